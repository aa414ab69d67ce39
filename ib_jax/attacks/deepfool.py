"""DeepFool."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax.attacks import problem as problems
from ib_jax.attacks.hyperplane import DUAL, Face, clearly_fooled, nearest_face, rounding, step_onto
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective, pool
from ib_jax.attacks.problem import Bounds, Problem
from ib_jax.loops import compiles_whole
from ib_jax.types import Array, Attack, LogitsFn

_PLAIN_STEPS = 3
"""Steps as published; those that follow reckon with the bounds."""


class _State(NamedTuple):
    step: Array
    rivals: Array
    perturbation: Array
    point: Array  # what was judged last; once an example is found, its best
    found: Array
    low: Array  # the bisection's interval, in units of the perturbation
    high: Array
    bisections: Array


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
) -> Attack:
    r"""DeepFool: a small perturbation, from steps onto the nearest boundary of the linearised model.

    .. math:: r_t = \frac{|f_k - f_y|}{\|\nabla f_k - \nabla f_y\|_2^2} (\nabla f_k - \nabla f_y) \quad
              \text{(L2)}, \qquad
              r_t = \frac{|f_k - f_y|}{\|\nabla f_k - \nabla f_y\|_1} \mathrm{sign}(\nabla f_k - \nabla f_y) \quad
              \text{(L-inf)}

    at :math:`x_t = \mathrm{clip}(x + (1 + \eta) \sum_{s < t} r_s)`, with eta the overshoot and k the candidate whose
    boundary is nearest, until the answer changes. Targeted, k is the target and y the most probable other class.

    Where the bounds clip them, these steps fall short of the boundary (some 15 are needed on MNIST); the fourth and
    later ones are therefore the smallest inside the bounds that reach it. Far from the bounds they are the same.

    Guaranteed: the result lies in the bounds; an example that already answers as wanted stays as it is; an example's
    result depends on its own key, input and label alone. The perturbation is small, not minimal, and has no radius:
    where no step finds success, the result is where the last step led.

    Args:
      norm: "l2" or "linf", what is kept small.
      num_steps: most steps, >= 1; no more are computed than the slowest example needs, which are few.
      num_candidates: classes that are considered, the most probable ones at the input; the label is counted as one of
        them, as in foolbox, so that 10 considers 9 others. >= 2; more than there are is all.
      overshoot: eta >= 0, how far behind the boundary the result lies, as a share of the perturbation.
      num_bisections: halvings, >= 0, of the way from the input to the result, each keeping the half that ends in
        success: they take back the overshoot by forward passes alone. Beyond 15 float32 has little to give.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      num_eot_samples: samples of a stochastic model whose mean softmax gives the logits of each step.
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
    for name, value, least in (
        ("num_steps", num_steps, 1),
        ("num_candidates", num_candidates, 2),
        ("overshoot", overshoot, 0),
        ("num_bisections", num_bisections, 0),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    objective = Objective(num_eot_samples=num_eot_samples, num_judge_samples=num_judge_samples)

    def place(problem: Problem, perturbation: Array, scale: Array) -> Array:
        moved = problem.inputs + problems.rows(scale, perturbation) * perturbation
        return jnp.clip(moved, *problems.limits(bounds, moved.dtype))

    def start(logits_fn: LogitsFn, problem: Problem) -> _State:
        step = jnp.zeros(problem.inputs.shape[0], jnp.int32)
        logits = pool(objective.logits(problem.step_keys(step), logits_fn, problem.inputs))
        if problem.targets is None:
            is_label = problem.labels[:, None] == jnp.arange(logits.shape[-1])
            count = min(num_candidates, logits.shape[-1]) - 1
            rivals = jax.lax.top_k(jnp.where(is_label, -jnp.inf, logits), count)[1]
        else:
            rivals = problem.targets[:, None]
        found = problem.fooled(logits)
        low = jnp.zeros(step.shape, problem.inputs.dtype)
        bisections = jnp.where(found, num_bisections, 0)  # what has not moved needs none
        return _State(
            step, rivals, jnp.zeros_like(problem.inputs), problem.inputs, found, low, low + 1 + overshoot, bisections
        )

    def move(logits_fn: LogitsFn, problem: Problem, state: _State) -> Array:
        keys = problem.step_keys(state.step)
        face = nearest_face(objective, keys, logits_fn, problem, state.point, state.rivals, norm)
        low, high = problems.limits(bounds, problem.inputs.dtype)

        def blocked() -> Array:
            inside = step_onto(-_needed(face), face.slope, low - state.point, high - state.point, norm)
            return jnp.where(problems.rows(late, inside), inside, _onto(face, norm))

        # Where the bounds clip them, plain steps fall short of the boundary again and again.
        late = state.step >= _PLAIN_STEPS
        step = jax.lax.cond((late & ~state.found).any(), blocked, lambda: _onto(face, norm))
        moved = state.perturbation + step.astype(state.perturbation.dtype)
        return jnp.clip(moved, low - problem.inputs, high - problem.inputs)

    def step(logits_fn: LogitsFn, problem: Problem, state: _State) -> _State:
        if num_bisections and compiles_whole(
            logits_fn, problem.keys, problem.inputs
        ):  # gradients only while an example wants one
            seeking = ~state.found & (state.step < num_steps)
            moved = jax.lax.cond(seeking.any(), lambda: move(logits_fn, problem, state), lambda: state.perturbation)
        else:
            moved = move(logits_fn, problem, state)
        moved = jnp.where(problems.rows(state.found, moved), state.perturbation, moved)
        scale = jnp.where(state.found, (state.low + state.high) / 2, state.high)
        point = place(problem, moved, scale)
        # Judged with the keys of the next step, whose gradient starts from these logits.
        logits = pool(objective.logits(problem.step_keys(state.step + 1), logits_fn, point))
        fooled = clearly_fooled(problem, logits)
        kept = problems.rows(fooled | ~state.found, point)
        return _State(
            step=state.step + 1,
            rivals=state.rivals,
            perturbation=moved,
            point=jnp.where(kept, point, state.point),
            found=state.found | fooled,
            low=jnp.where(state.found & ~fooled, scale, state.low),
            high=jnp.where(state.found & fooled, scale, state.high),
            bisections=state.bisections + state.found,
        )

    def active(problem: Problem, state: _State) -> Array:
        return jnp.where(state.found, state.bisections < num_bisections, state.step < num_steps)

    def finish(problem: Problem, state: _State) -> Array:
        return state.point

    return IterativeAttack(start, step, active, finish, objective, num_steps + num_bisections, bounds)


def _needed(face: Face) -> Array:
    # Past the face by rounding's worth, without which the label might stay the answer.
    return jnp.abs(face.gap) + 2 * rounding(face.logits)


def _onto(face: Face, norm: str) -> Array:
    size = jnp.where(face.size > 0, face.size, 1.0)
    length = jnp.where(face.size > 0, _needed(face) / size, 0.0)
    direction = jnp.sign(face.slope) if norm == "linf" else face.slope / problems.rows(size, face.slope)
    return problems.rows(length, direction) * direction
