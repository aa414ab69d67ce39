"""The package imagecorruptions, made to run beside today's NumPy, scikit-image and setuptools.

Its last version, 1.1.2, asks for `pkg_resources`, which setuptools 81 dropped, for `numpy.float_`, which NumPy 2
dropped, and for scikit-image's `multichannel`, which became `channel_axis`. All three are given to its module alone.
"""

import concurrent.futures
import importlib
import importlib.util
import multiprocessing
import os
import sys
import time
import types
from typing import Any

import numpy as np


def missing() -> str:
    """What to install before `load` will do; empty if nothing."""
    absent = [name for name in ("imagecorruptions", "skimage", "cv2") if importlib.util.find_spec(name) is None]
    return f"no {', '.join(absent)}: pip install ib-jax[corruptions]" if absent else ""


def load() -> Any:
    """The module `imagecorruptions.corruptions`, mended.

    Raises:
      ImportError: it, scikit-image or OpenCV is not installed.
    """
    resources: Any = types.ModuleType("pkg_resources")
    resources.resource_filename = _resource_filename
    pretended = sys.modules.setdefault("pkg_resources", resources) is resources
    try:
        module: Any = importlib.import_module("imagecorruptions.corruptions")
    finally:
        if pretended:
            del sys.modules["pkg_resources"]
    if isinstance(module.np, _NumPy):
        return module
    gaussian = module.gaussian
    module.np = _NumPy("numpy")
    module.gaussian = lambda image, *args, multichannel=False, **kwargs: gaussian(
        image, *args, channel_axis=-1 if multichannel else None, **kwargs
    )
    return module


def images_per_second(images: np.ndarray, name: str, severity: int, seconds: float) -> float:
    """The speed of the package, taking images uint8 [B, H, W, 3] one by one for so long, at least one of them."""
    load()
    begin, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - begin < seconds:
        corrupt(images[count % len(images)], name, severity)
        count += 1
    return count / (time.perf_counter() - begin)


class Cores:
    """A process for each core of this machine, which sleeps between turns; they start with the first."""

    def __init__(self) -> None:
        affinity = getattr(os, "sched_getaffinity", None)
        self.count = len(affinity(0)) if affinity else os.cpu_count() or 1
        self._pools = [
            concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) for _ in range(self.count)
        ]

    def images_per_second(self, images: np.ndarray, name: str, severity: int, seconds: float) -> float:
        """The speed of all processes together."""
        running = [pool.submit(images_per_second, images, name, severity, seconds) for pool in self._pools]
        return sum(each.result() for each in running)

    def __enter__(self) -> "Cores":
        return self

    def __exit__(self, *exception: object) -> None:
        for pool in self._pools:
            pool.shutdown()


def corrupt(image: np.ndarray, name: str, severity: int) -> np.ndarray:
    """One image, uint8 [H, W, 3], under its corruption; draws from `numpy.random`."""
    load()
    package: Any = importlib.import_module("imagecorruptions")
    return package.corrupt(image, severity, name)


def _resource_filename(package: str, path: str) -> str:
    spec = importlib.util.find_spec(package.partition(".")[0])
    assert spec is not None
    assert spec.submodule_search_locations
    return f"{spec.submodule_search_locations[0]}/{path}"


class _NumPy(types.ModuleType):
    """NumPy, and the name of float64 that it dropped."""

    float_ = np.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)
