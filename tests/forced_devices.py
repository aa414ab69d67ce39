"""The environment of a process that is to see several devices on the CPU."""

import os


def forced_devices(count: int) -> dict[str, str]:
    """This environment, its flags for XLA kept, with that many devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    if count > 1:
        environment["PJRT_NPROC"] = "64"  # with fewer threads the all-reduce can hang
    return environment
