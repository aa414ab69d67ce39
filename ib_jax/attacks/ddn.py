"""The decoupled direction and norm attack."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box, closest
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.closest import Closest
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.objective import ExpectationOf, Objective, worst_if_nan
from ib_jax.attacks.problem import Problem
from ib_jax.attacks.refuse import require, require_count
from ib_jax.attacks.step_size import annealed
from ib_jax.types import Array, Attack, LogitsFn

_ALPHA = (1.0, 0.01)  # the first and the last step, in radii


class Settings(NamedTuple):
    """See `ddn`."""

    objective: Objective
    bounds: Bounds
    num_steps: int
    gamma: tuple[float, float]
    initial_margin: float


class State(NamedTuple):
    """One row for each example."""

    step: Array
    perturbation: Array  # not judged yet
    radius: Array
    unit: Array  # that the logits are divided by
    closest: Closest
    blocked: Array


def ddn(
    *,
    num_steps: int = 100,
    gamma_init: float = 0.05,
    gamma_final: float = 0.005,
    initial_margin: float = 7.0,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
    confidence: float | None = None,
) -> Attack:
    r"""DDN, the decoupled direction and norm attack: a small L2 perturbation, from steps on a sphere that adapts.

    .. math:: \rho_{t+1} = (1 \mp \gamma_t) \rho_t, \quad
              x_{t+1} = \mathrm{clip}\Big(x + \rho_{t+1} \frac{d}{\|d\|_2}\Big), \quad
              d = x_t - x + \alpha_t \rho_t \frac{\nabla \ell(x_t)}{\|\nabla \ell(x_t)\|_2}

    with the smaller radius where :math:`x_t` fools the model and the larger one where it does not; :math:`\ell` is the
    cross-entropy, at a target with the opposite sign. :math:`\gamma` and :math:`\alpha` (from 1 to 0.01) fall along
    half a cosine.

    In the paper :math:`\alpha` and the first radius are 1, in units of inputs in [0, 1]. Here :math:`\alpha` is a share
    of the radius, the first radius is the distance to the boundary of the model linearised at the input, and the
    cross-entropy is that of logits divided by a number for each example: the search is the same whatever the units of
    inputs and logits. Gradients that point out of the bounds are left out of a step.

    Guaranteed: the result lies in the bounds; the input itself is returned where the search fails, and where it already
    fools the model; an example's result depends on its own key, input and label alone.

    Args:
      num_steps: gradients, >= 1. Each also judges its iterate; the first iterate is the input.
      gamma_init: the share by which the radius grows or shrinks, in (0, 1), at first and until the first success.
      gamma_final: the same at the end.
      initial_margin: the lead of the label at the input, > 0, in nats of the logits that the cross-entropy takes: the
        smaller, the more all classes but the strongest count.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses", or "probabilities" under the loss.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.
      confidence: by how many nats the wanted answer must lead in the search. None is 0 for a deterministic model, and
        three standard errors of the margin at the input for a stochastic one, where a lucky sample would otherwise win
        the search.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, labels of a wrong
        shape, type or range.

    Source: Rony et al., Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and Defenses,
    2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> result = attacks.ddn()(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.4]]), jnp.array([0, 0]))
      >>> result.inputs.round(3)
      Array([[0.5], [0.4]], dtype=float32)
    """
    require_count("num_steps", num_steps)
    require("gamma_init", gamma_init, 0, 1, inside=True)
    require("gamma_final", gamma_final, 0, 1, inside=True)
    require("initial_margin", initial_margin, 0, inside=True)
    objective = Objective(
        num_eot_samples=num_eot_samples, expectation_of=expectation_of, num_judge_samples=num_judge_samples
    )
    return IterativeAttack(
        settings=Settings(objective, bounds, num_steps, (gamma_init, gamma_final), initial_margin),
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=num_steps,
        minimal="l2",
        confidence=confidence,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The input, which nobody was asked about yet."""
    perturbation = jnp.zeros(problem.inputs.shape, box.wide(problem.inputs.dtype))
    zero = jnp.zeros(problem.labels.shape, perturbation.dtype)
    step = zero.astype(jnp.int32)
    return State(step, perturbation, zero, zero + 1, Closest.none(problem), step > 0)


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """Judges the iterate by the logits of its own gradient, and steps to the next sphere."""
    keys, first = problem.step_keys(state.step), state.step == 0
    point = box.move(problem.inputs, state.perturbation, *problem.box(settings.bounds))
    logits, pullback = jax.vjp(lambda point: settings.objective.logits(keys, logits_fn, point), point)
    pooled = losses.pooled_logits(logits)
    unit = jnp.where(first, _lead(problem, pooled).astype(state.unit.dtype) / settings.initial_margin, state.unit)
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1.0)

    def climbed(logits: Array) -> tuple[Array, Array]:
        scaled = logits.astype(unit.dtype) / problems.rows(unit, logits[0])[None]
        value = settings.objective.values(scaled, problem)[0]
        return value.sum(), value

    slope_of_logits, value = jax.grad(climbed, has_aux=True)(logits)
    slope, blocked = problems.finite_or_zero(pullback(slope_of_logits)[0].astype(point.dtype))
    fooled = closest.fooled(problem, state.step, pooled)
    best = state.closest.keep(problem, point, fooled, "l2")

    room = problem.room(problem.inputs.astype(state.perturbation.dtype), settings.bounds)
    slope = closest.movable(slope.astype(state.perturbation.dtype), *(end - state.perturbation for end in room))
    steepness = losses.perturbation_norm(slope, "l2")
    # Of two classes the cross-entropy has the margin's slope times the probability to be gained.
    gained = -jnp.expm1(-jnp.abs(worst_if_nan(value))).astype(unit.dtype)
    distance = settings.initial_margin * gained / jnp.where(steepness > 0, steepness, 1.0)
    radius = jnp.where(first, jnp.where(steepness > 0, distance, 0.0), state.radius)
    gamma = annealed(*settings.gamma, state.step, settings.num_steps).astype(radius.dtype)
    grown = 1 + jnp.where(best.found, gamma, settings.gamma[0])
    radius = jnp.minimum(radius * jnp.where(fooled, 1 - gamma, grown), closest.farthest_corner(*room, "l2"))

    length = annealed(*_ALPHA, state.step, settings.num_steps).astype(radius.dtype) * radius
    moved = state.perturbation + problems.rows(length / jnp.where(steepness > 0, steepness, 1.0), slope) * slope
    size = losses.perturbation_norm(moved, "l2")
    moved = jnp.clip(problems.rows(radius / jnp.where(size > 0, size, 1.0), moved) * moved, *room)
    return State(state.step + 1, moved, radius, unit, best, state.blocked | blocked | jnp.isnan(value))


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have work left."""
    return (state.step < settings.num_steps) & state.closest.improvable(problem, "l2")


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The closest success, or the input."""
    return state.closest.point


def _lead(problem: Problem, logits: Array) -> Array:
    """By how many nats the label leads, or the target is behind, [B]."""
    if problem.targets is None:
        return losses.margin(logits, problem.labels)
    return -losses.margin(logits, problem.targets)
