"""The closest success of a search so far: what attacks that look for the smallest perturbation keep and end with."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box
from ib_jax.attacks import problem as problems
from ib_jax.attacks.hyperplane import clearly_fooled
from ib_jax.attacks.problem import Problem, choose
from ib_jax.types import Array

_ENDLESS = 1e30
"""In place of bounds at infinity, whose norm would be NaN."""


class Closest(NamedTuple):
    """One row for each example.

    Attributes:
      point: [B, ...], the closest point that fooled the model; the input where none did.
      distance: [B], from the input, in the attack's norm; the largest finite number where nothing was found.
    """

    point: Array
    distance: Array

    @classmethod
    def none(cls, problem: Problem) -> "Closest":
        """Before anything was asked."""
        far = problems.farthest(box.wide(problem.inputs.dtype))
        return cls(problem.inputs, jnp.full(problem.labels.shape, far))

    @property
    def found(self) -> Array:
        """Whether anything was, bool [B]."""
        return self.distance < problems.farthest(self.distance.dtype)

    def keep(self, problem: Problem, point: Array, fooled: Array, norm: str) -> "Closest":
        """The closer one of this and of points [B, ...], where they fooled the model, bool [B]."""
        distance = length(problem, point, norm)
        closer = fooled & (distance < self.distance)
        return Closest(choose(closer, point, self.point), jnp.where(closer, distance, self.distance))

    def improvable(self, problem: Problem, norm: str) -> Array:
        """Where a closer point is of use, bool [B]: not for inputs that fool nor, with a radius, what lies in it."""
        enough = self.distance <= 0.0
        if problem.epsilon is not None:
            exact = norm == "l0"  # a number, which is not rounded
            size = math.prod(problem.inputs.shape[1:])
            enough |= self.distance <= (problem.epsilon if exact else box.shrunk(problem.epsilon, size))
        return ~enough


def length(problem: Problem, point: Array, norm: str) -> Array:
    """How far points [B, ...] are from the inputs, [B]."""
    wide = box.wide(point.dtype)
    return losses.perturbation_norm(point.astype(wide) - problem.inputs.astype(wide), norm)


def fooled(problem: Problem, step: Array, pooled: Array) -> Array:
    """Whether logits [B, C] of a step, [B], are those of a success, bool [B].

    Of the input, step 0, that is the argmax; of what a search finds, more than rounding: see `clearly_fooled`.
    """
    return jnp.where(step > 0, clearly_fooled(problem, pooled), problem.fooled(pooled))


def farthest_corner(low: Array, high: Array, norm: str) -> Array:
    """How far the bounds let an input move at most, [B], from how far each value may fall and rise."""
    return losses.perturbation_norm(jnp.minimum(jnp.maximum(-low, high), _ENDLESS), norm)


def movable(slope: Array, low: Array, high: Array) -> Array:
    """A direction to follow, [B, ...], with zeros where the bounds leave it no room."""
    return jnp.where(jnp.where(slope > 0, high > 0, low < 0), slope, 0.0)
