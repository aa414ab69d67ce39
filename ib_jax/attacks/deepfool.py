"""DeepFool."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.hyperplane import DUAL, Face, clearly_fooled, nearest_face, step_onto
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem, choose
from ib_jax.attacks.refuse import require, require_count
from ib_jax.loops import compiles_whole
from ib_jax.types import Array, Attack, LogitsFn

_PLAIN_STEPS = 3
"""Steps as published; those that follow reckon with the bounds."""


class Settings(NamedTuple):
    """See `deepfool`."""

    objective: Objective
    bounds: Bounds
    norm: str
    num_steps: int
    num_candidates: int
    overshoot: float
    num_bisections: int


class State(NamedTuple):
    """One row for each example: the search, and once it has found something the bisection."""

    step: Array
    rivals: Array
    perturbation: Array
    point: Array  # what was judged last; once an example is found, its best
    found: Array
    low: Array  # the bisection's interval, in units of the perturbation
    high: Array
    bisections: Array
    blocked: Array


def deepfool(
    *,
    norm: str = "l2",
    num_steps: int = 50,
    num_candidates: int = 10,
    overshoot: float = 0.02,
    num_bisections: int = 0,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    num_judge_samples: int | None = None,
    confidence: float | None = None,
) -> Attack:
    r"""DeepFool: a small perturbation, from steps onto the nearest boundary of the linearised model.

    .. math:: r_t = \frac{|f_k - f_y|}{\|\nabla f_k - \nabla f_y\|_2^2} (\nabla f_k - \nabla f_y) \quad
              \text{(L2)}, \qquad
              r_t = \frac{|f_k - f_y|}{\|\nabla f_k - \nabla f_y\|_1} \mathrm{sign}(\nabla f_k - \nabla f_y) \quad
              \text{(L-inf)}

    at :math:`x_t = \mathrm{clip}(x + (1 + \eta) \sum_{s < t} r_s)`, with :math:`\eta` the overshoot and k the candidate
    whose boundary is nearest, until the answer changes. In a targeted attack k is the target and y the most probable
    other class.

    Where the bounds clip them, these steps fall short of the boundary (MNIST needs some 15). From the fourth on, a step
    is therefore the smallest one inside the bounds that reaches the boundary. Far from the bounds the two are the same.

    Guaranteed: the result lies in the bounds; an example that already fools the model stays as it is; an example's
    result depends on its own key, input and label alone. The perturbation is small, not minimal. Without a radius (a
    `Runner` may give one), the result of a search without success is where the last step led.

    Args:
      norm: "l2" or "linf", what is kept small.
      num_steps: most steps, >= 1; the attack ends with its slowest example, usually after few.
      num_candidates: how many classes to consider, the most probable ones at the input, >= 2. The label counts as one
        of them, as in foolbox, so 10 considers 9 others; a number above C considers all.
      overshoot: eta >= 0, how far behind the boundary the result lies, as a share of the perturbation.
      num_bisections: halvings, >= 0, of the way from the input to the result, each keeping the half that ends in
        success. They undo the overshoot with forward passes alone. More than 15 change little in float32.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      num_eot_samples: samples of a stochastic model whose mean softmax gives the logits of each step.
      confidence: by how many nats the wanted answer must lead in the search. None is 0 for a deterministic model, and
        three standard errors of the margin at the input for a stochastic one, where a lucky sample would otherwise end
        the search too early.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, labels of a wrong
        shape, type or range.

    Source: Moosavi-Dezfooli et al., DeepFool: a simple and accurate method to fool deep neural networks, 2016.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> attack = attacks.deepfool(overshoot=0.01)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.4]]), jnp.array([0, 0]))
      >>> result.inputs.round(3)
      Array([[0.499], [0.4 ]], dtype=float32)
    """
    get_norm(norm, tuple(DUAL))
    require_count("num_steps", num_steps)
    require_count("num_candidates", num_candidates, 2)
    require_count("num_bisections", num_bisections, 0)
    require("overshoot", overshoot, 0)
    objective = Objective(num_eot_samples=num_eot_samples, num_judge_samples=num_judge_samples)
    return IterativeAttack(
        settings=Settings(objective, bounds, norm, num_steps, num_candidates, overshoot, num_bisections),
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=num_steps + num_bisections,
        minimal=norm,
        confidence=confidence,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The input, and the classes that are considered."""
    step = jnp.zeros(problem.inputs.shape[0], jnp.int32)
    logits = _logits(settings, logits_fn, problem, step, problem.inputs)
    if problem.targets is None:
        count = min(settings.num_candidates, logits.shape[-1]) - 1
        rivals = losses.likeliest_others(logits, problem.labels, count)
    else:
        rivals = problem.targets[:, None]
    found, perturbation = problem.fooled(logits), jnp.zeros(problem.inputs.shape, box.wide(problem.inputs.dtype))
    low = jnp.zeros(step.shape, perturbation.dtype)
    return State(
        step=step,
        rivals=rivals,
        perturbation=perturbation,
        point=problem.inputs,
        found=found,
        low=low,
        high=low + 1 + settings.overshoot,
        bisections=jnp.where(found, jnp.int32(settings.num_bisections), jnp.int32(0)),  # what has not moved needs none
        blocked=step > 0,
    )


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """One step onto a boundary, or one halving of the way back from it."""
    moved, blocked = state.perturbation, state.blocked
    if settings.num_bisections and compiles_whole(logits_fn, *problem.asked()):
        # Gradients only while an example wants one.
        seeking = ~state.found & (state.step < settings.num_steps)
        moved, blocked = jax.lax.cond(
            seeking.any(), lambda: _move(settings, logits_fn, problem, state), lambda: (moved, blocked)
        )
    else:
        moved, blocked = _move(settings, logits_fn, problem, state)
    moved = choose(state.found, state.perturbation, moved)
    scale = jnp.where(state.found, (state.low + state.high) / 2, state.high)
    point = box.move(problem.inputs, problems.rows(scale, moved) * moved, *problem.box(settings.bounds))
    # Judged with the keys of the next step, whose gradient starts from these logits.
    fooled = clearly_fooled(problem, _logits(settings, logits_fn, problem, state.step + 1, point))
    return State(
        step=state.step + 1,
        rivals=state.rivals,
        perturbation=moved,
        point=choose(fooled | ~state.found, point, state.point),
        found=state.found | fooled,
        low=jnp.where(state.found & ~fooled, scale, state.low),
        high=jnp.where(state.found & fooled, scale, state.high),
        bisections=state.bisections + state.found.astype(jnp.int32),
        blocked=jnp.where(state.found, state.blocked, blocked),
    )


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have steps left or, once they are found, halvings."""
    return jnp.where(state.found, state.bisections < settings.num_bisections, state.step < settings.num_steps)


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The closest success, or where the last step led."""
    return state.point


def _logits(settings: Settings, logits_fn: LogitsFn, problem: Problem, step: Array, inputs: Array) -> Array:
    return settings.objective.pooled(problem.step_keys(step), logits_fn, inputs)


def _move(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> tuple[Array, Array]:
    """The perturbation after a step onto the nearest face, and which rows met a gradient that is not finite."""
    keys, norm = problem.step_keys(state.step), settings.norm
    face = nearest_face(settings.objective, keys, logits_fn, problem, state.point, state.rivals, norm)

    def blocked() -> Array:
        room = problem.room(state.point, settings.bounds)
        inside = step_onto(-_needed(face), face.slope, *room, norm)
        return choose(late, inside, _onto(face, norm).astype(inside.dtype))

    # Where the bounds clip them, plain steps fall short of the boundary again and again.
    late = state.step >= _PLAIN_STEPS
    step = jax.lax.cond((late & ~state.found).any(), blocked, lambda: _onto(face, norm))
    moved = state.perturbation + step.astype(state.perturbation.dtype)
    room = problem.room(problem.inputs.astype(moved.dtype), settings.bounds)
    return jnp.clip(moved, *room), state.blocked | face.blocked


def _needed(face: Face) -> Array:
    # Past the face by rounding's worth, without which the label might stay the answer.
    return jnp.abs(face.gap) + 2 * face.doubt


def _onto(face: Face, norm: str) -> Array:
    size = jnp.where(face.size > 0, face.size, 1.0)
    length = jnp.where(face.size > 0, _needed(face).astype(size.dtype) / size, 0.0)
    slope = face.slope.astype(size.dtype)
    direction = jnp.sign(slope) if norm == "linf" else slope / problems.rows(size, slope)
    return problems.rows(length, direction) * direction
