"""The sigma-zero attack."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ib_jax import losses, promotion
from ib_jax.attacks import box, closest
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.closest import Closest
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.objective import ExpectationOf, Objective
from ib_jax.attacks.problem import Problem
from ib_jax.attacks.refuse import require, require_count, require_finite
from ib_jax.attacks.step_size import annealed
from ib_jax.types import Array, Attack, LogitsFn

_RATE = (1.0, 0.1)  # of Adam, the first and the last, in widths of the bounds


class Settings(NamedTuple):
    """See `sigma_zero`."""

    objective: Objective
    bounds: Bounds
    num_steps: int
    sigma: float
    threshold: float
    threshold_rate: float
    adam: optax.GradientTransformation


class State(NamedTuple):
    """One row for each example."""

    step: Array
    perturbation: Array  # in widths of the bounds; not judged yet
    moments: optax.OptState
    threshold: Array
    unit: Array  # that the margin is divided by
    closest: Closest
    blocked: Array


def sigma_zero(
    *,
    num_steps: int = 1000,
    sigma: float = 1e-3,
    threshold: float = 0.3,
    threshold_rate: float = 0.01,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
    confidence: float | None = None,
) -> Attack:
    r"""Sigma-zero: a perturbation of few values (L0), from descent on a smooth count of them and a threshold.

    .. math:: \min_\delta \frac{\max(0, m(x + \delta))}{m(x)} + \frac1D \sum_i \frac{\delta_i^2}{\delta_i^2 + \sigma},
              \qquad \delta_i \leftarrow 0 \text{ where } |\delta_i| < \tau

    by Adam on the gradient divided by its largest entry, with m the margin of the label (in a targeted attack, the lead
    over the target) and :math:`\delta` in widths of the bounds. The threshold :math:`\tau` rises by its rate times that
    of Adam while the iterate fools the model and falls while it does not, which drives :math:`\delta` along the
    boundary towards fewer values. The paper does not divide the margin; divided, the search is the same whatever the
    scale of the logits.

    Values are counted one by one: a pixel of three channels counts as three.

    Guaranteed: the result lies in the bounds; the input itself is returned where the search fails, and where it already
    fools the model; an example's result depends on its own key, input and label alone.

    Args:
      num_steps: gradients, >= 1. Each also judges its iterate; the first iterate is the input.
      sigma: how smooth the count is, > 0, in squares of widths.
      threshold: tau at first, in [0, 1], in widths of the bounds.
      threshold_rate: by how much tau changes in a step, > 0, as a share of the step's length.
      bounds: lower and upper limits of the inputs, finite; scalars, or arrays that broadcast against one example.
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses" (margins), or "probabilities" under the margin.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.
      confidence: by how many nats the wanted answer must lead in the search. None is 0 for a deterministic model, and
        three standard errors of the margin at the input for a stochastic one, where a lucky sample would otherwise win
        the search.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult. A radius that a `Runner` gives is a number
      of values.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, labels of a wrong
        shape, type or range.

    Source: Cinà et al., Sigma-zero: Gradient-based Optimization of L0-norm Adversarial Examples, 2025.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.stack([x @ jnp.array([1.0, 3.0, 1.0]), jnp.full(len(x), 1.5)], -1)
      >>> attack = attacks.sigma_zero(num_steps=100)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.full((1, 3), 0.4), jnp.array([0]))
      >>> result.inputs != 0.4
      Array([[False,  True, False]], dtype=bool)
    """
    require_count("num_steps", num_steps)
    require("sigma", sigma, 0, inside=True)
    require("threshold", threshold, 0, 1)
    require("threshold_rate", threshold_rate, 0, inside=True)
    require_finite(bounds)
    objective = Objective(
        loss_fn=lambda logits, labels: -jax.nn.relu(losses.margin(logits, labels)),
        targeted_loss_fn=lambda logits, labels, targets: -jax.nn.relu(-losses.margin(logits, targets)),
        num_eot_samples=num_eot_samples,
        expectation_of=expectation_of,
        num_judge_samples=num_judge_samples,
    )
    return IterativeAttack(
        settings=Settings(
            objective, bounds, num_steps, sigma, threshold, threshold_rate, optax.scale_by_adam(b1=0.9, b2=0.999)
        ),
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=num_steps,
        minimal="l0",
        confidence=confidence,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The input, which nobody was asked about yet."""
    perturbation = jnp.zeros(problem.inputs.shape, box.wide(problem.inputs.dtype))
    zero = jnp.zeros(problem.labels.shape, perturbation.dtype)
    step = zero.astype(jnp.int32)
    return State(
        step=step,
        perturbation=perturbation,
        moments=jax.vmap(settings.adam.init)(perturbation),
        threshold=zero + settings.threshold,
        unit=zero + 1,
        closest=Closest.none(problem),
        blocked=step > 0,
    )


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """Judges the iterate by the logits of its own gradient; a step of Adam, and of the threshold."""
    delta, wide = state.perturbation, state.perturbation.dtype
    low, high = (limit.astype(wide) for limit in problem.box(settings.bounds))
    width = high - low
    point = box.move(problem.inputs, delta * width, *problem.box(settings.bounds))
    told = settings.objective.gradient(problem.step_keys(state.step), logits_fn, problem, point)
    fooled = closest.fooled(problem, state.step, told.pooled)
    unit = jnp.where(state.step == 0, -told.loss.astype(wide), state.unit)
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1.0)

    count_slope = 2 * settings.sigma * delta / jnp.square(jnp.square(delta) + settings.sigma)
    count_slope = count_slope / math.prod(delta.shape[1:])
    slope = count_slope - told.gradient.astype(wide) * width / problems.rows(unit, delta)
    largest = losses.perturbation_norm(slope, "linf")
    slope = slope / problems.rows(jnp.where(largest > 0, largest, 1.0), slope)
    with promotion.of_others():
        updates, moments = jax.vmap(settings.adam.update)(slope, state.moments)
    before, rate = (
        annealed(*_RATE, jnp.maximum(step, 0), settings.num_steps).astype(wide) for step in (state.step - 1, state.step)
    )  # the threshold falls a step ahead of Adam: of 20 steps both at once take a tenth more values
    moved = delta - problems.rows(before, delta) * updates
    room = problem.room(problem.inputs.astype(wide), settings.bounds)
    moved = jnp.clip(moved, *(end / width for end in room))
    change = settings.threshold_rate * rate
    threshold = jnp.clip(state.threshold + jnp.where(fooled, change, -change), 0.0, 1.0)
    return State(
        step=state.step + 1,
        perturbation=jnp.where(jnp.abs(moved) < problems.rows(threshold, moved), 0.0, moved),
        moments=moments,
        threshold=threshold,
        unit=unit,
        closest=state.closest.keep(problem, point, fooled, "l0"),
        blocked=state.blocked | told.blocked,
    )


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have work left."""
    return (state.step < settings.num_steps) & state.closest.improvable(problem, "l0")


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The closest success, or the input."""
    return state.closest.point
