"""The amount of each operation at a level of 0 to 10, as in the authors' code and in torchvision."""

from collections.abc import Callable
from typing import Literal

from ib_jax.augment.policies import POLICIES

Magnitudes = Literal["original", "torchvision"]

_GEOMETRY = frozenset({"rotate", "shear_x", "shear_y", "translate_x", "translate_y"})
_ENHANCE = frozenset({"brightness", "color", "contrast", "sharpness"})

CIFAR10_MEAN = (125, 122, 113)
"""The mean colour of CIFAR-10's training images, as the original code writes it."""

_Rules = dict[str, Callable[[int, int], float]]
"""(level, pixels of the side along which a translation moves) -> amount, before its sign."""

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
    r"""The amount that `operations.<operation>` takes.

    The original rules for a level l: shear by :math:`0.03 l` and rotate by :math:`3 l` degrees, with either sign;
    enhance by a factor of :math:`0.1 + 0.18 l`, without a sign. For CIFAR-10 (tensorflow/models): translate by l of 32
    pixels, posterize to :math:`4 - \lfloor 0.4 l \rfloor` bits, solarize from :math:`256 - \lfloor 25.6 l \rfloor` up,
    cut_out :math:`2 l` pixels. For ImageNet (tensorflow/tpu): posterize to :math:`\lfloor 0.4 l \rfloor` bits, at least
    1, solarize from :math:`\lfloor 25.6 l \rfloor` up, solarize_add :math:`11 l`, translate by :math:`15 l` of 331
    pixels as in the paper; the code's :math:`25 l` pixels would move an image of 224 pixels out of view.
    torchvision has 10 bins and ends at level 9: shear 0.3, rotate 30 degrees, translate 150 of 331 pixels, posterize
    from 8 to 4 bits, solarize from 255 down to 0, enhance by :math:`1 \pm 0.1 l`.

    Args:
      policy: a name of `POLICIES`; it selects the original rules of CIFAR-10 or ImageNet.
      magnitudes: "original" or "torchvision".
      operation: a name of `operations`.
      level: 0 to 10.
      negative: whether the sign is negative, for operations that have one.
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
    """The fill from outside the image: black in torchvision; in the original, CIFAR-10's mean or grey for ImageNet."""
    if magnitudes == "torchvision":
        return 0, 0, 0
    return (128, 128, 128) if policy.startswith("imagenet") else CIFAR10_MEAN


def check_policy(policy: str, magnitudes: str) -> None:
    """Checks that the policy and the magnitudes are known and fit together.

    Raises:
      ValueError: one is unknown, or the policy does not have these magnitudes.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
    if magnitudes not in ("original", "torchvision"):
        raise ValueError(f"magnitudes must be original or torchvision, got {magnitudes!r}")
    if magnitudes == "torchvision" and policy not in ("cifar10", "imagenet"):
        raise ValueError(
            f"magnitudes must be original for policy {policy!r}; torchvision has cifar10 and imagenet only"
        )
