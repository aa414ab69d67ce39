"""How many members of a population fit a device's memory, and into how many programs the others are split."""

import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

USABLE = 0.9
"""Of the free memory: what XLA does not tell of, and fragments, need the rest."""


class Footprint(NamedTuple):
    """Memory that a population's program needs on a device, in bytes.

    Attributes:
      shared: independent of the number of members; mostly the data.
      member: for each additional member.
    """

    shared: int
    member: int


class Plan(NamedTuple):
    """How a population is split.

    Attributes:
      num_members: of the whole population.
      num_programs: programs that run one after another, each over all devices.
      members_per_program: of each but the last, which has the rest.
      message: one sentence that says so, with the bytes.
    """

    num_members: int
    num_programs: int
    members_per_program: int
    message: str

    def groups(self) -> list[range]:
        """The members of each program."""
        starts = range(0, self.num_members, self.members_per_program)
        return [range(start, min(start + self.members_per_program, self.num_members)) for start in starts]


def measure_members(run: Callable[..., Any], population: Any, data: Any) -> Footprint:
    """Asks XLA what a member costs, from the program of a few; nothing is run.

    Everything but the data counts as the members', scratch memory included: where members take turns, that is more than
    they need.

    Args:
      run: from `make_sweep`.
      population: of a few members, arrays or their shapes; two are enough.
      data: what `run` is handed, arrays or their shapes.

    Returns:
      Footprint on the default device.

    Raises:
      RuntimeError: the compiler does not say.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import training
      >>> run = lambda population, data: (population + data.sum(), data)
      >>> footprint = training.measure_members(run, jnp.zeros((2, 256)), jnp.zeros(1024))
      >>> footprint.shared, footprint.member >= 1024
      (4096, True)
    """
    found = jax.jit(run, donate_argnums=0).lower(population, data).compile().memory_analysis()
    if found is None:
        raise RuntimeError("XLA does not report this program's memory; say how many members a program may have")
    outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    total = found.argument_size_in_bytes + outputs + found.temp_size_in_bytes
    shared = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(data))
    num_members = len(jax.tree.leaves(population)[0])
    return Footprint(shared, max(1, -(-(total - shared) // num_members)))


def device_memory(*, free: bool = True) -> int:
    """Memory of a local device, in bytes; the devices of a CPU share the machine's, or its container's.

    Args:
      free: True for what is free now; False for the total, which does not change.

    Returns:
      Bytes.

    Example:
      >>> from ib_jax import training
      >>> 0 < training.device_memory() <= training.device_memory(free=False)
      True
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - (int(stats.get("bytes_in_use", 0)) if free else 0)
    return host_memory(free=free) // jax.local_device_count()


def host_memory(*, free: bool = True) -> int:
    """Memory of the machine, or of the container, that the process is in, in bytes; see `device_memory`.

    Example:
      >>> from ib_jax import training
      >>> 0 < training.host_memory() <= training.host_memory(free=False)
      True
    """
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    meminfo, cgroup = pathlib.Path("/proc/meminfo"), pathlib.Path("/sys/fs/cgroup")
    if meminfo.exists() and free:
        fields = dict(line.split(":", 1) for line in meminfo.read_text(encoding="utf-8").splitlines())
        sizes.append(1024 * int(fields["MemAvailable"].split()[0]))
    limit = cgroup / "memory.max"
    if limit.exists() and limit.read_text(encoding="utf-8").strip().isdigit():
        used = int((cgroup / "memory.current").read_text(encoding="utf-8")) if free else 0
        sizes.append(int(limit.read_text(encoding="utf-8")) - used)
    return max(0, min(sizes))


def plan_programs(num_members: int, footprint: Footprint, *, free_bytes: int, num_devices: int) -> Plan:
    """Splits a population into as few programs of one size as the memory of the devices allows.

    Args:
      num_members: M >= 1.
      footprint: from `measure_members`.
      free_bytes: of a device.
      num_devices: of all processes.

    Returns:
      Plan.

    Raises:
      ValueError: not even one member fits a device.

    Example:
      >>> from ib_jax import training
      >>> from ib_jax.training.capacity import Footprint
      >>> plan = training.plan_programs(45, Footprint(10**8, 10**9), free_bytes=12 * 10**9, num_devices=2)
      >>> plan.num_programs, plan.members_per_program, plan.groups()[-1]
      (3, 15, range(30, 45))
    """
    fit = (int(USABLE * free_bytes) - footprint.shared) // footprint.member
    needs = f"a member needs {size_of(footprint.member)} plus {size_of(footprint.shared)} that all share"
    if fit < 1:
        raise ValueError(
            f"not one member fits a device: {needs}, and {size_of(free_bytes)} are free. A smaller batch, more "
            "microbatches or rematerialisation need less."
        )
    num_programs = -(-num_members // (fit * num_devices))
    members_per_program = -(-num_members // num_programs)
    per_device = -(-members_per_program // num_devices)
    programs = "one program" if num_programs == 1 else f"{num_programs} programs, one after another"
    message = (
        f"{num_members} members on {num_devices} device{'s' * (num_devices > 1)}, {per_device} on each, in {programs}: "
        f"{needs}; {size_of(free_bytes)} are free on a device."
    )
    return Plan(num_members, -(-num_members // members_per_program), members_per_program, message)


def size_of(num_bytes: int) -> str:
    """A number of bytes for people.

    Example:
      >>> from ib_jax.training.capacity import size_of
      >>> size_of(3 * 2**29)
      '1.5 GiB'
    """
    unit, factor = ("GiB", 2**30) if num_bytes >= 2**30 else ("MiB", 2**20)
    return f"{num_bytes / factor:.3g} {unit}"
