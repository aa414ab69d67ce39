"""The fast minimum-norm attack."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box, closest
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.closest import Closest
from ib_jax.attacks.hyperplane import DUAL
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import ExpectationOf, Objective
from ib_jax.attacks.problem import Problem
from ib_jax.attacks.refuse import require, require_count
from ib_jax.attacks.step_size import annealed
from ib_jax.types import Array, Attack, LogitsFn

_DUAL = DUAL | {"l1": "linf"}
_ALPHA = (1.0, 0.01)  # the first and the last step, in radii


class Settings(NamedTuple):
    """See `fmn`."""

    objective: Objective
    bounds: Bounds
    norm: str
    num_steps: int
    gamma: tuple[float, float]


class State(NamedTuple):
    """One row for each example."""

    step: Array
    perturbation: Array  # not judged yet
    radius: Array
    closest: Closest
    blocked: Array


def fmn(
    *,
    norm: str = "l2",
    num_steps: int = 100,
    gamma_init: float = 0.05,
    gamma_final: float = 0.001,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
    confidence: float | None = None,
) -> Attack:
    r"""FMN, the fast minimum-norm attack: a small L1, L2 or L-inf perturbation, from steps in a ball that adapts.

    .. math:: \rho_{t+1} = \begin{cases}
                \min\big((1 - \gamma_t) \rho_t, \rho^*\big) & x_t \text{ fools the model} \\
                (1 + \gamma_t) \rho_t & \text{another iterate did} \\
                \max\big(\|x_t - x\| + (1 + \gamma_t) |m(x_t)| / \|\nabla m(x_t)\|_*, (1 + \gamma_t) \rho_t\big)
                  & \text{none did} \end{cases} \qquad
              x_{t+1} = \Pi_{\mathrm{bounds}} \Pi_{\|x' - x\| \le \rho_{t+1}} \big(x_t - \alpha_t \rho_{t+1}
              d(\nabla m(x_t))\big)

    with m the margin of the label (in a targeted attack, the lead over the target) and :math:`\rho^*` the smallest
    distance so far; the third line, with the dual norm, reaches the boundary of the linearised model. :math:`\gamma`
    and :math:`\alpha` (from 1 to 0.01) fall along half a cosine. The direction d is the gradient normalised in L2, for
    L-inf so that its root mean square is 2, and for L1 its few largest entries.

    In the paper :math:`\alpha` is a length in units of inputs in [0, 1]; here it is a share of the radius, so the units
    do not matter. The radius also grows where the bounds cut a step short, without which a search may never arrive, and
    gradients that point out of the bounds are left out.

    Guaranteed: the result lies in the bounds; the input itself is returned where the search fails, and where it already
    fools the model; an example's result depends on its own key, input and label alone.

    Args:
      norm: "l2", "linf" or "l1", what is made small.
      num_steps: gradients, >= 1. Each also judges its iterate; the first iterate is the input.
      gamma_init: the share by which the radius grows or shrinks, in (0, 1), at first.
      gamma_final: the same at the end.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses" (margins), or "probabilities" under the margin.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.
      confidence: by how many nats the wanted answer must lead in the search. None is 0 for a deterministic model, and
        three standard errors of the margin at the input for a stochastic one, where a lucky sample would otherwise win
        the search.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, labels of a wrong
        shape, type or range.

    Source: Pintor et al., Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints, 2021; sparse L1
    steps inside the bounds: Croce and Hein, Mind the Box, 2021.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> attack = attacks.fmn(norm="linf")
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.4]]), jnp.array([0, 0]))
      >>> result.inputs.round(3)
      Array([[0.5], [0.4]], dtype=float32)
    """
    get_norm(norm, tuple(_DUAL))
    require_count("num_steps", num_steps)
    require("gamma_init", gamma_init, 0, 1, inside=True)
    require("gamma_final", gamma_final, 0, 1, inside=True)
    objective = Objective(
        loss_fn=lambda logits, labels: -losses.margin(logits, labels),
        num_eot_samples=num_eot_samples,
        expectation_of=expectation_of,
        num_judge_samples=num_judge_samples,
    )
    return IterativeAttack(
        settings=Settings(objective, bounds, norm, num_steps, (gamma_init, gamma_final)),
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=num_steps,
        minimal=norm,
        confidence=confidence,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The input, which nobody was asked about yet."""
    perturbation = jnp.zeros(problem.inputs.shape, box.wide(problem.inputs.dtype))
    zero = jnp.zeros(problem.labels.shape, perturbation.dtype)
    step = zero.astype(jnp.int32)
    return State(step, perturbation, zero, Closest.none(problem), step > 0)


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """Judges the iterate by the logits of its own gradient, and steps to the next ball."""
    norm, wide = settings.norm, state.perturbation.dtype
    point = box.move(problem.inputs, state.perturbation, *problem.box(settings.bounds))
    told = settings.objective.gradient(problem.step_keys(state.step), logits_fn, problem, point)
    fooled = closest.fooled(problem, state.step, told.pooled)
    best = state.closest.keep(problem, point, fooled, norm)

    room = problem.room(problem.inputs.astype(wide), settings.bounds)
    left = [end - state.perturbation for end in room]
    slope = closest.movable(told.gradient.astype(wide), *left)
    steepness = losses.perturbation_norm(slope, _DUAL[norm])
    known = (steepness > 0) & jnp.isfinite(told.loss)
    gap = jnp.where(known, jnp.abs(told.loss), 0.0).astype(wide) / jnp.where(known, steepness, 1.0)
    gamma = annealed(*settings.gamma, state.step, settings.num_steps).astype(wide)
    grown = (1 + gamma) * state.radius
    reach = jnp.maximum(closest.length(problem, point, norm) + (1 + gamma) * gap, grown)
    smaller = jnp.minimum((1 - gamma) * state.radius, best.distance)
    radius = jnp.where(fooled, smaller, jnp.where(best.found, grown, reach))
    radius = jnp.minimum(radius, closest.farthest_corner(*room, norm))

    length = annealed(*_ALPHA, state.step, settings.num_steps).astype(wide) * radius
    if norm == "linf":  # of signs small gradients would make as much as of large ones
        length *= 2 * jnp.sqrt(jnp.maximum((slope != 0).sum(range(1, slope.ndim)), 1).astype(wide))
    move = jax.vmap(get_norm("l1" if norm == "l1" else "l2").step)
    moved = state.perturbation + move(slope, jnp.where(slope > 0, left[1], -left[0]), length)
    moved = jnp.clip(jax.vmap(get_norm(norm).project)(moved, radius, *room), *room)
    return State(state.step + 1, moved, radius, best, state.blocked | told.blocked)


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have work left."""
    return (state.step < settings.num_steps) & state.closest.improvable(problem, settings.norm)


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The closest success, or the input."""
    return state.closest.point
