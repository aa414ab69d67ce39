"""What a level of 0 to 10 means to each operation, by the authors' code and by torchvision's."""

from collections.abc import Callable
from typing import Literal

from ib_jax.augment.policies import POLICIES

Magnitudes = Literal["original", "torchvision"]

_GEOMETRY = frozenset({"rotate", "shear_x", "shear_y", "translate_x", "translate_y"})
_ENHANCE = frozenset({"brightness", "color", "contrast", "sharpness"})

CIFAR10_MEAN = (125, 122, 113)
"""The mean colour of CIFAR-10's training images, as the original code writes it."""

_Rules = dict[str, Callable[[int, int], float]]
"""From a level and the pixels of the side along which a translation goes to the amount, before its sign."""

_COMMON: _Rules = {
    "shear": lambda level, side: 0.3 * level / 10,
    "enhance": lambda level, side: 1.8 * level / 10 + 0.1,
}
_CIFAR10: _Rules = _COMMON | {
    "rotate": lambda level, side: int(30 * level / 10),
    "translate": lambda level, side: int(level * side / 32),
    "posterize": lambda level, side: 4 - int(4 * level / 10),
    "solarize": lambda level, side: 256 - int(256 * level / 10),
    "cut_out": lambda level, side: int(20 * level / 10),
}
_IMAGENET: _Rules = _COMMON | {
    "rotate": lambda level, side: 30 * level / 10,
    "translate": lambda level, side: int(150 / 331 * side * level / 10),
    "posterize": lambda level, side: max(1, int(4 * level / 10)),
    "solarize": lambda level, side: int(256 * level / 10),
    "solarize_add": lambda level, side: int(110 * level / 10),
}
_TORCHVISION: _Rules = {
    "shear": lambda level, side: 0.3 * level / 9,
    "enhance": lambda level, side: 0.9 * level / 9,
    "rotate": lambda level, side: 30 * level / 9,
    "translate": lambda level, side: int(150 / 331 * side * level / 9),
    "posterize": lambda level, side: 8 - round(level * 4 / 9),
    "solarize": lambda level, side: 255 - 255 * level / 9,
}


def amount(
    policy: str, magnitudes: Magnitudes, operation: str, level: int, *, negative: bool, shape: tuple[int, ...]
) -> float:
    """The amount that `operations.<operation>` takes.

    The original rules, for a level l: shear 0.03 l and rotate 3 l degrees, either way; enhance by a factor of
    0.1 + 0.18 l, without a sign. For CIFAR-10 (tensorflow/models): translate l of 32 pixels, posterize to
    4 - int(0.4 l) bits, solarize from 256 - int(25.6 l) on, cut_out int(2 l) pixels. For ImageNet (tensorflow/tpu):
    posterize to int(0.4 l) bits, at least 1, solarize from int(25.6 l) on, solarize_add int(11 l), translate 15 l of
    331 pixels: that is the paper's; the code's 25 l pixels would push an image of 224 pixels out of sight.
    torchvision's run over 10 bins, level 9 being the end: shear 0.3, rotate 30 degrees, translate 150 of 331 pixels,
    posterize from 8 to 4 bits, solarize from 255 down to 0, enhance by 1 +- 0.1 l.

    Args:
      policy: a name of `POLICIES`, which decides between the original rules.
      magnitudes: "original" or "torchvision".
      operation: a name of `operations`.
      level: 0 to 10.
      negative: the draw of the sign, for operations that have one.
      shape: [H, W, 3] of the images, for translations.

    Returns:
      The amount; 0 for an operation that takes none.

    Example:
      >>> from ib_jax.augment import magnitudes
      >>> magnitudes.amount("cifar10", "original", "posterize", 7, negative=False, shape=(32, 32, 3))
      2
      >>> magnitudes.amount("cifar10", "torchvision", "color", 9, negative=True, shape=(32, 32, 3))
      0.1
    """
    rules = _TORCHVISION if magnitudes == "torchvision" else _IMAGENET if policy.startswith("imagenet") else _CIFAR10
    family = "enhance" if operation in _ENHANCE else operation.removesuffix("_x").removesuffix("_y")
    if family not in rules:
        return 0
    found = rules[family](level, shape[1 if operation == "translate_x" else 0])
    if magnitudes == "torchvision" and operation in _ENHANCE:
        return 1 - found if negative else 1 + found
    return -found if negative and operation in _GEOMETRY else found


def default_fill(policy: str, magnitudes: Magnitudes) -> tuple[int, int, int]:
    """What comes in from outside the image: black in torchvision; originally the data's mean, or grey for ImageNet."""
    if magnitudes == "torchvision":
        return 0, 0, 0
    return (128, 128, 128) if policy.startswith("imagenet") else CIFAR10_MEAN


def check_policy(policy: str, magnitudes: str) -> None:
    """Checks that policy and magnitudes are known, and go together.

    Raises:
      ValueError: they are not, or do not.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
    if magnitudes not in ("original", "torchvision"):
        raise ValueError(f"magnitudes must be original or torchvision, got {magnitudes!r}")
    if magnitudes == "torchvision" and policy not in ("cifar10", "imagenet"):
        raise ValueError(
            f"magnitudes must be original for policy {policy!r}; torchvision has cifar10 and imagenet only"
        )
