"""The package imagecorruptions, made to run beside today's NumPy, scikit-image and setuptools.

Its last version, 1.1.2, asks for `pkg_resources`, which setuptools 81 dropped, for `numpy.float_`, which NumPy 2
dropped, and for scikit-image's `multichannel`, which became `channel_axis`. All three are given to its module alone.
"""

import importlib
import importlib.util
import sys
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
