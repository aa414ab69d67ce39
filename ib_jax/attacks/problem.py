"""The examples under attack, a row for each, and the streams of their noise."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks.box import Bounds, limits
from ib_jax.attacks.norms import get_norm
from ib_jax.types import Array

# Streams of an example's key: no two uses share one. A step's is its number above _STEPS.
_START, _JUDGE, _STEPS = 0, 1, 2
_LOOK, _SPREAD = 1, 2  # folded into that of the start


class Problem(NamedTuple):
    """What does not change while examples are attacked. Every field has a row for each example.

    Attributes:
      keys: one PRNG key for each example, [B].
      inputs: float [B, ...].
      labels: int [B].
      targets: int [B], the class that the loss aims at, or None for an untargeted attack.
      wanted: int [B], the answer that counts as success, or None where any wrong one does.
      epsilon: float [B], the radii, in float32 or more; None for an attack without one.
      lead: float [B], by how many nats the wanted answer must lead to end or to win a search; None for 0.
    """

    keys: Array
    inputs: Array
    labels: Array
    targets: Array | None
    wanted: Array | None
    epsilon: Array | None
    lead: Array | None = None

    def asked(self) -> tuple[Any, Any]:
        """What a model is traced with, of no examples one that is made up."""
        return losses.at_least_one(self.keys, self.inputs)

    def start_keys(self) -> Array:
        """Keys for the starting point."""
        return fold(self.keys, _START)

    def look_keys(self) -> Array:
        """Keys for what the model says of the starting point."""
        return fold(self.start_keys(), _LOOK)

    def spread_keys(self) -> Array:
        """Keys for the spread of the model's answers at the input."""
        return fold(self.start_keys(), _SPREAD)

    def judge_keys(self) -> Array:
        """Keys for the verdict, which nothing else uses."""
        return fold(self.keys, _JUDGE)

    def step_keys(self, step: Array) -> Array:
        """Keys for each example's step of that number, int [B]."""
        return fold(self.keys, _STEPS + step)

    @property
    def radius(self) -> Array:
        """The radii of an attack that has them."""
        assert self.epsilon is not None
        return self.epsilon

    def box(self, bounds: Bounds) -> tuple[Array, Array]:
        """Lower and upper limits of each example: the bounds, and the example itself where rounding left it outside."""
        low, high = limits(bounds, self.inputs.dtype)
        low, high, inputs = losses.one_rank(low, high, self.inputs)
        return jnp.minimum(low, inputs), jnp.maximum(high, inputs)

    def project(self, perturbation: Array, norm: str, bounds: Bounds) -> Array:
        """Perturbations [B, ...] brought back into each example's ball and box."""
        room = self.room(self.inputs.astype(perturbation.dtype), bounds)
        return jax.vmap(get_norm(norm).project)(perturbation, self.radius, *room)

    def room(self, point: Array, bounds: Bounds) -> tuple[Array, Array]:
        """How far each value of a point [B, ...] may fall and rise within the box, in the point's precision."""
        low, high = (limit.astype(point.dtype) for limit in self.box(bounds))
        return low - point, high - point

    def fooled(self, logits: Array) -> Array:
        """Whether the model answers, and as the attacker wants, bool [B], from logits [B, C]."""
        return self.wins(losses.predicted_class(logits))

    def wins(self, answer: Array) -> Array:
        """Whether an answer, int [B], is as the attacker wants, bool [B]; -1, no answer, is not."""
        wanted = (self.labels if self.wanted is None else self.wanted).astype(answer.dtype)
        return (answer >= 0) & (answer != wanted if self.wanted is None else answer == wanted)


def fold(keys: Array, data: int | Array) -> Array:
    """`fold_in` for each example's key; `data` is an int, or one for each example."""
    return jax.vmap(jax.random.fold_in, (0, 0 if isinstance(data, jax.Array) and data.ndim else None))(keys, data)


def rows(mask: Array, like: Array) -> Array:
    """A mask or number for each example, [B], shaped to broadcast against `like`, [B, ...]."""
    return mask.reshape(mask.shape + (1,) * (like.ndim - mask.ndim))


def choose(mask: Array, new: Array, old: Array) -> Array:
    """Row by row the new where the mask, bool [B], says so, else the old."""
    return jnp.where(rows(mask, new), new, old)


def finite_or_zero(values: Array) -> tuple[Array, Array]:
    """Values [B, ...] with zeros where they are not finite, and which rows had such, bool [B]."""
    finite = jnp.isfinite(values)
    return jnp.where(finite, values, 0), ~finite.all(range(1, values.ndim))


def farthest(dtype: jnp.dtype) -> Array:
    """A distance that any other is smaller than: the largest finite number, as `jax_debug_infs` stops at infinity."""
    return jnp.asarray(jnp.finfo(dtype).max, dtype)
