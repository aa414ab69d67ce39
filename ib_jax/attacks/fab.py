"""The fast adaptive boundary attack."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks.ensemble import Ensemble, Member
from ib_jax.attacks.hyperplane import DUAL, clearly_fooled, nearest_face, step_onto
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective, pool
from ib_jax.attacks.problem import Bounds, Problem
from ib_jax.types import Array, Attack, LogitsFn


class _State(NamedTuple):
    step: Array
    point: Array  # not judged yet
    best: Array
    distance: Array  # of the best; infinite without one


def fab(
    *,
    norm: str = "linf",
    num_steps: int = 100,
    epsilon: float | Array | None = None,
    alpha_max: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    num_restarts: int = 1,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    num_judge_samples: int | None = None,
) -> Attack:
    r"""FAB, the fast adaptive boundary attack: the smallest perturbation it finds, in L-inf or L2.

    .. math:: x_{t+1} = \mathrm{clip}\big((1 - \alpha)(x_t + \eta d_t) + \alpha (x + \eta d)\big), \quad
              \alpha = \min\Big(\frac{\|d_t\|}{\|d_t\| + \|d\|}, \alpha_{\max}\Big)

    with d_t and d the smallest steps inside the bounds that lead from the iterate and from the input onto the nearest
    boundary of the linearised model. Iterates that fool the model are kept if they are the closest so far, and followed
    from where they are drawn back towards the input, :math:`x + \beta (x_t - x)`.

    A step costs one forward pass and, untargeted, a backward pass for each wrong class, targeted one. An iterate is
    judged by the logits of its own linearisation, which also serves the point that it is drawn back to.

    Guaranteed: the result lies in the bounds and, if there is a radius, in the ball; the input itself is returned where
    nothing was found (there), and where it already answers as wanted; an example's result depends on its own key,
    input and label alone.

    Args:
      norm: "linf" or "l2", what is made small.
      num_steps: steps, >= 1, from each start; each iterate is judged, the last one included.
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced. An example
        is done as soon as it is fooled within; larger perturbations are no result. None looks for the smallest.
      alpha_max: the most that an iterate is drawn towards the input's projection, in [0, 1].
      eta: how far steps go, >= 1, where 1 ends on the linearised boundary.
      beta: how much of a successful perturbation the search goes on from, in (0, 1).
      num_restarts: starts, >= 1: the input first, then uniform draws from the ball of half of `epsilon`, which more
        than one therefore needs. The first success is kept.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      num_eot_samples: samples of a stochastic model whose mean softmax gives the logits of each step.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, epsilon < 0, labels
        of a wrong shape, type or range.

    Source: Croce and Hein, Minimally distorted Adversarial Examples with a Fast Adaptive Boundary Attack, 2020.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> attack = attacks.fab(num_steps=20)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.4]]), jnp.array([0, 0]))
      >>> result.inputs.round(3)
      Array([[0.499], [0.4 ]], dtype=float32)
    """
    get_norm(norm, tuple(DUAL))
    for name, value, allowed, right in (
        ("num_steps", num_steps, num_steps >= 1, "at least 1"),
        ("alpha_max", alpha_max, 0 <= alpha_max <= 1, "in [0, 1]"),
        ("eta", eta, eta >= 1, "at least 1"),
        ("beta", beta, 0 < beta < 1, "in (0, 1)"),
        ("num_restarts", num_restarts, num_restarts >= 1, "at least 1"),
        ("num_restarts", num_restarts, num_restarts == 1 or epsilon is not None, "1 without an epsilon"),
    ):
        if not allowed:
            raise ValueError(f"{name} must be {right}, got {value}")
    objective = Objective(num_eot_samples=num_eot_samples, num_judge_samples=num_judge_samples)
    settings = _Settings(norm, num_steps, alpha_max, eta, beta)
    from_input = _from(False, settings, bounds, objective, epsilon)
    if num_restarts == 1:
        return from_input
    drawn = _from(True, settings, bounds, objective, epsilon)
    members = [Member("start 0", from_input)] + [Member(f"start {n}", drawn) for n in range(1, num_restarts)]
    return Ensemble(members)  # with a radius, the first success is as good as any


class _Settings(NamedTuple):
    norm: str
    num_steps: int
    alpha_max: float
    eta: float
    beta: float


def _from(
    random_start: bool, settings: _Settings, bounds: Bounds, objective: Objective, epsilon: float | Array | None
) -> IterativeAttack:
    """The attack from one start."""
    norm, num_steps, alpha_max, eta, beta = settings
    geometry = get_norm(norm)

    def start(logits_fn: LogitsFn, problem: Problem) -> _State:
        inputs = problem.inputs
        step = jnp.zeros(inputs.shape[0], jnp.int32)
        distance = jnp.full(step.shape, jnp.inf, jnp.promote_types(inputs.dtype, jnp.float32))
        point = inputs
        if random_start:
            assert problem.epsilon is not None
            logits = pool(objective.logits(problem.start_keys(), logits_fn, inputs))
            distance = jnp.where(problem.fooled(logits), 0.0, distance)
            draw = jax.vmap(lambda key: geometry.random(key, inputs.shape[1:], inputs.dtype))
            moved = inputs + problems.rows(problem.epsilon / 2, inputs) * draw(problem.start_keys())
            point = jnp.clip(moved, *problems.limits(bounds, inputs.dtype))
        return _State(step, point, inputs, distance)

    def step(logits_fn: LogitsFn, problem: Problem, state: _State) -> _State:
        inputs, point = problem.inputs, state.point
        if problem.targets is None:
            num_classes = jax.eval_shape(logits_fn, problem.keys, inputs).shape[-1]
            rivals = (problem.labels[:, None] + jnp.arange(1, num_classes)) % num_classes
        else:
            rivals = problem.targets[:, None]
        face = nearest_face(objective, problem.step_keys(state.step), logits_fn, problem, point, rivals, norm)

        fooled = jnp.where(state.step > 0, clearly_fooled(problem, face.logits), problem.fooled(face.logits))
        perturbation = point - inputs
        distance = losses.perturbation_norm(perturbation, norm)
        closer = fooled & (distance < state.distance)
        best = jnp.where(problems.rows(closer, point), point, state.best)

        # On the linearisation at the iterate lie also the point it is drawn back to, and the input.
        share = jnp.where(fooled, beta, 1.0).astype(inputs.dtype)
        base = jnp.where(problems.rows(fooled, point), inputs + beta * perturbation, point)
        gain = (face.slope * perturbation).sum(tuple(range(1, inputs.ndim)))
        low, high = problems.limits(bounds, inputs.dtype)
        from_base = step_onto(face.gap - (1 - share) * gain, face.slope, low - base, high - base, norm)
        from_input = step_onto(face.gap - gain, face.slope, low - inputs, high - inputs, norm)
        length, reach = losses.perturbation_norm(from_base, norm), losses.perturbation_norm(from_input, norm)
        both = length + reach
        alpha = problems.rows(jnp.minimum(length / jnp.where(both > 0, both, 1.0), alpha_max), base)
        moved = (1 - alpha) * (base + eta * from_base) + alpha * (inputs + eta * from_input)
        moved = jnp.clip(moved.astype(inputs.dtype), low, high)
        return _State(state.step + 1, moved, best, jnp.where(closer, distance, state.distance))

    def active(problem: Problem, state: _State) -> Array:
        # Step n judges the n-th iterate, so that one more than the steps judges the last.
        goal = 0.0 if problem.epsilon is None else problem.epsilon
        return (state.step <= num_steps) & (state.distance > goal)

    def finish(problem: Problem, state: _State) -> Array:
        if problem.epsilon is None:
            return state.best
        return jnp.where(problems.rows(state.distance <= problem.epsilon, state.best), state.best, problem.inputs)

    return IterativeAttack(start, step, active, finish, objective, num_steps + 1, bounds, epsilon)
