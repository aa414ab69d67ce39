"""The operations of AutoAugment, (image, amount) -> image, equal to Pillow's where Pillow has them.

All take and return uint8 [H, W, 3]; use `jax.vmap` for a batch [B, H, W, 3].
"""

from ib_jax.augment.cutout import cut_out
from ib_jax.augment.enhance import brightness, color, contrast, sharpness
from ib_jax.augment.geometry import rotate, shear_x, shear_y, translate_x, translate_y
from ib_jax.augment.tone import auto_contrast, equalize, invert, posterize, solarize, solarize_add

__all__ = [
    "auto_contrast",
    "brightness",
    "color",
    "contrast",
    "cut_out",
    "equalize",
    "invert",
    "posterize",
    "rotate",
    "sharpness",
    "shear_x",
    "shear_y",
    "solarize",
    "solarize_add",
    "translate_x",
    "translate_y",
]
