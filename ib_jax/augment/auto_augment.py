"""AutoAugment: draws a sub-policy at random and applies each of its two steps with that step's probability."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ib_jax.augment import geometry, operations
from ib_jax.augment.image import Augment, Fill, check_image, fill_colour
from ib_jax.augment.magnitudes import Magnitudes, amount, check_policy, default_fill
from ib_jax.augment.policies import POLICIES
from ib_jax.types import Array


class Draw(NamedTuple):
    """The random numbers of one image.

    Attributes:
      sub_policy: int [], the index of the sub-policy.
      uniform: float [2] in [0, 1): a step is applied where this is below its probability.
      negative: bool [2], whether a step's amount is negated, if it has a sign.
      centre: float [2, 2] in [0, 1): the hole's centre (down, across) for each step, if the step cuts one.
    """

    sub_policy: Array
    uniform: Array
    negative: Array
    centre: Array


def draw_sub_policy(key: Array, num_sub_policies: int) -> Draw:
    """Draws a sub-policy and the random numbers of its two steps, as `auto_augment` does.

    Args:
      key: one PRNG key.
      num_sub_policies: the number of sub-policies to draw from.

    Returns:
      Draw.

    Example:
      >>> import jax
      >>> from ib_jax import augment
      >>> augment.draw_sub_policy(jax.random.key(0), 25).uniform.shape
      (2,)
    """
    drawn = jax.random.uniform(
        key, (9,), jnp.float32
    )  # one call: a call of the generator costs as much as many of the operations
    which = (drawn[0] * num_sub_policies).astype(jnp.int32)
    return Draw(which, drawn[1:3], drawn[3:5] < 0.5, drawn[5:].reshape(2, 2))


class _Steps(NamedTuple):
    """The steps of a policy, [sub-policy, step, ...], for images of one size, with the amounts of both signs."""

    branch: np.ndarray
    probability: np.ndarray
    amount: np.ndarray
    coefficients: np.ndarray


def auto_augment(policy: str = "cifar10", *, magnitudes: Magnitudes = "original", fill: Fill | None = None) -> Augment:
    """AutoAugment: draws a sub-policy uniformly, then applies each of its two steps with that step's probability.

    The operations are those of `augment.operations`, equal to Pillow's bit for bit. Random crops, flips and cutout are
    not included; add them with `compose` (the paper's recipe for CIFAR-10 ends with a cutout of 16 pixels).

    Args:
      policy: "cifar10" (25 sub-policies), "cifar10_95" (the full set of 95), "imagenet" (25, the paper's table) or
        "imagenet_v0" (25, the authors' code).
      magnitudes: the meaning of a level, see `augment.magnitudes.amount`: "original", or "torchvision" for "cifar10"
        and "imagenet".
      fill: level of pixels from outside the image, filled in after each step. None: CIFAR-10's mean colour, grey (128)
        for ImageNet, black with torchvision's magnitudes. The original code for CIFAR-10 keeps such pixels transparent:
        the next step's histogram counts them as black, and they get the mean colour at the end.

    Returns:
      Augment: (key, image uint8 [H, W, 3]) -> the same shape.

    Raises:
      ValueError: an unknown policy or magnitudes, magnitudes that the policy does not have, a fill outside 0..255;
        from the result, an image that is not uint8 [H, W, 3].

    Source: Cubuk et al., AutoAugment: Learning Augmentation Strategies from Data, 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import augment
      >>> images = jnp.zeros((4, 32, 32, 3), jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 4)
      >>> jax.jit(augment.batched(augment.auto_augment("cifar10_95")))(keys, images).shape
      (4, 32, 32, 3)
    """
    check_policy(policy, magnitudes)
    colour = default_fill(policy, magnitudes) if fill is None else fill
    fill_colour(colour)
    _, branches = _branches(policy, colour)

    def apply(key: Array, image: Array) -> Array:
        check_image(image)
        steps = jax.tree.map(jnp.asarray, _steps(policy, magnitudes, image.shape))
        draw = draw_sub_policy(key, len(POLICIES[policy]))

        def step(index: int, image: Array) -> Array:
            which = draw.sub_policy, index
            sign = draw.negative[index].astype(jnp.int32)
            taken = draw.uniform[index] < steps.probability[which]
            branch = jnp.where(taken, steps.branch[which], 0)
            arguments = steps.amount[(*which, sign)], steps.coefficients[(*which, sign)], draw.centre[index]
            return lax.switch(branch, branches, image, *arguments)

        return lax.fori_loop(0, 2, step, image)

    return apply


_AFFINE = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
_WITHOUT_AMOUNT = ("auto_contrast", "equalize", "invert")

_Branch = Callable[[Array, Array, Array, Array], Array]
"""(image, amount, coefficients, centre) -> image."""


def _branches(policy: str, fill: Fill) -> tuple[dict[str, int], list[_Branch]]:
    """The index of each operation's branch, and the branches of the policy; branch 0 does nothing."""
    branches: list[_Branch] = [
        lambda image, *_: image,
        lambda image, _, fixed, __: geometry.affine(image, fixed, fill=fill),
    ]
    index = dict.fromkeys(_AFFINE, 1)
    for name in sorted({name for sub_policy in POLICIES[policy] for name, _, _ in sub_policy} - set(_AFFINE)):
        index[name] = len(branches)
        branches.append(_branch(name, fill))
    return index, branches


def _branch(name: str, fill: Fill) -> _Branch:
    operation = getattr(operations, name)
    if name == "cut_out":
        return lambda image, amount, _, centre: operation(image, amount, centre, fill=fill)
    if name in _WITHOUT_AMOUNT:
        return lambda image, *_: operation(image)
    return lambda image, amount, *_: operation(image, amount)


@functools.lru_cache(maxsize=16)
def _steps(policy: str, magnitudes: Magnitudes, shape: tuple[int, ...]) -> _Steps:
    """The policy's tables. Amounts are computed in float64 and rounded here."""
    sub_policies = POLICIES[policy]
    index, _ = _branches(policy, 0)
    size = (len(sub_policies), 2)
    steps = _Steps(
        branch=np.zeros(size, np.int32),
        probability=np.zeros(size, np.float32),
        amount=np.zeros((*size, 2), np.float32),
        coefficients=np.zeros((*size, 2, 6), np.int32),
    )
    for row, sub_policy in enumerate(sub_policies):
        for column, (name, probability, level) in enumerate(sub_policy):
            steps.branch[row, column] = index[name]
            steps.probability[row, column] = probability
            for negative in (False, True):
                found = amount(policy, magnitudes, name, level, negative=negative, shape=shape)
                at = row, column, int(negative)
                steps.amount[at] = found
                if name in _AFFINE:
                    steps.coefficients[at] = geometry.coefficients(name, found, shape)
    return steps
