"""Common corruptions of images, on the device: the 15 of the benchmark and four more, at five severities.

Each is a pure function (keys [B], images uint8 [B, H, W, 3], severity, constants) -> uint8 [B, H, W, 3].
"""

from ib_jax.corruptions.blur import defocus_blur, gaussian_blur, zoom_blur
from ib_jax.corruptions.colour import brightness, contrast, saturate
from ib_jax.corruptions.constants import CONSTANTS, CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES
from ib_jax.corruptions.corrupt import corrupt
from ib_jax.corruptions.elastic import elastic_transform
from ib_jax.corruptions.fog import fog
from ib_jax.corruptions.frost import frost
from ib_jax.corruptions.glass import glass_blur
from ib_jax.corruptions.jpeg import jpeg_compression
from ib_jax.corruptions.motion import motion_blur
from ib_jax.corruptions.noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from ib_jax.corruptions.pixelate import pixelate
from ib_jax.corruptions.snow import snow
from ib_jax.corruptions.spatter import spatter

__all__ = [
    "CONSTANTS",
    "CORRUPTIONS",
    "EXTRA_CORRUPTIONS",
    "SEVERITIES",
    "brightness",
    "contrast",
    "corrupt",
    "defocus_blur",
    "elastic_transform",
    "fog",
    "frost",
    "gaussian_blur",
    "gaussian_noise",
    "glass_blur",
    "impulse_noise",
    "jpeg_compression",
    "motion_blur",
    "pixelate",
    "saturate",
    "shot_noise",
    "snow",
    "spatter",
    "speckle_noise",
    "zoom_blur",
]
