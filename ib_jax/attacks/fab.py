"""The fast adaptive boundary attack."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.ensemble import Ensemble, Member
from ib_jax.attacks.hyperplane import DUAL, clearly_fooled, nearest_face, step_onto
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem, choose
from ib_jax.attacks.refuse import require, require_count, require_radius
from ib_jax.types import Array, Attack, LogitsFn


class Settings(NamedTuple):
    """See `fab`; without a random start it begins at the input."""

    objective: Objective
    bounds: Bounds
    norm: str
    num_steps: int
    alpha_max: float
    eta: float
    beta: float
    random_start: bool = False


class State(NamedTuple):
    """One row for each example."""

    step: Array
    point: Array  # not judged yet
    best: Array
    distance: Array  # of the best; infinite without one
    blocked: Array


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
    confidence: float | None = None,
) -> Attack:
    r"""FAB, the fast adaptive boundary attack: the smallest perturbation it finds, in L-inf or L2.

    .. math:: x_{t+1} = \mathrm{clip}\big((1 - \alpha)(x_t + \eta d_t) + \alpha (x + \eta d)\big), \quad
              \alpha = \min\Big(\frac{\|d_t\|}{\|d_t\| + \|d\|}, \alpha_{\max}\Big)

    with :math:`d_t` and d the smallest steps inside the bounds from the iterate and from the input to the nearest
    boundary of the linearised model. An iterate that fools the model is kept if it is the closest so far; the search
    then goes on from a point nearer to the input, :math:`x + \beta (x_t - x)`.

    A step costs one forward pass, and a backward pass for each wrong class; one backward pass in a targeted attack. An
    iterate is judged by the logits of its own linearisation, which also serves the point that the search goes back to.

    Guaranteed: the result lies in the bounds and, if there is a radius, in the ball; the input itself is returned where
    the search fails, and where it already fools the model; an example's result depends on its own key, input and label
    alone.

    Args:
      norm: "linf" or "l2", what is made small.
      num_steps: steps, >= 1, from each start; every iterate is judged, the last one too.
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced. An example
        is done as soon as a perturbation within the radius succeeds; larger ones do not count. None looks for the
        smallest.
      alpha_max: the most that an iterate is drawn towards the input's projection, in [0, 1].
      eta: how far steps go, >= 1; 1 ends on the linearised boundary.
      beta: the share of a successful perturbation from which the search goes on, in (0, 1).
      num_restarts: starts, >= 1: first the input, then uniform draws from the ball of half of `epsilon`, so more than
        one needs a radius. The first success is kept.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      num_eot_samples: samples of a stochastic model whose mean softmax gives the logits of each step.
      confidence: by how many nats the wanted answer must lead in the search. None is 0 for a deterministic model, and
        three standard errors of the margin at the input for a stochastic one, where a lucky sample would otherwise end
        the search too early.
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
    require_count("num_steps", num_steps)
    require_count("num_restarts", num_restarts)
    require("alpha_max", alpha_max, 0, 1)
    require("eta", eta, 1)
    require("beta", beta, 0, 1, inside=True)
    if epsilon is not None:
        require_radius(epsilon)
    elif num_restarts > 1:
        raise ValueError(f"num_restarts must be 1 without an epsilon, got {num_restarts}")
    objective = Objective(num_eot_samples=num_eot_samples, num_judge_samples=num_judge_samples)
    settings = Settings(objective, bounds, norm, num_steps, alpha_max, eta, beta)
    from_input = _from(settings, epsilon, confidence)
    if num_restarts == 1:
        return from_input
    drawn = _from(settings._replace(random_start=True), epsilon, confidence)
    members = [Member("start 0", from_input)] + [Member(f"start {n}", drawn) for n in range(1, num_restarts)]
    return Ensemble(members)  # with a radius, the first success is as good as any


def _from(settings: Settings, epsilon: float | Array | None, confidence: float | None) -> IterativeAttack:
    return IterativeAttack(
        settings=settings,
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=settings.num_steps + 1,
        epsilon=epsilon,
        minimal=settings.norm,
        confidence=confidence,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The input, or a uniform draw from the ball of half the radius."""
    inputs = problem.inputs
    step = jnp.zeros(inputs.shape[0], jnp.int32)
    distance = jnp.full(step.shape, problems.farthest(box.wide(inputs.dtype)))
    point = inputs
    if settings.random_start:
        logits = settings.objective.pooled(problem.look_keys(), logits_fn, inputs)
        distance = jnp.where(problem.fooled(logits), 0.0, distance)
        random = get_norm(settings.norm).random
        draw = jax.vmap(lambda key: random(key, inputs.shape[1:], distance.dtype))(problem.start_keys())
        point = box.move(inputs, problems.rows(problem.radius / 2, draw) * draw, *problem.box(settings.bounds))
    return State(step, point, inputs, distance, step > 0)


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """Judges the iterate by the logits of its own linearisation, and steps towards the boundary from there."""
    inputs, point, norm = problem.inputs, state.point, settings.norm
    rivals = _rivals(logits_fn, problem)
    keys = problem.step_keys(state.step)
    face = nearest_face(settings.objective, keys, logits_fn, problem, point, rivals, norm)

    fooled = jnp.where(state.step > 0, clearly_fooled(problem, face.logits), problem.fooled(face.logits))
    perturbation = point - inputs
    distance = losses.perturbation_norm(perturbation, norm)
    closer = fooled & (distance < state.distance)

    # On the linearisation at the iterate lie also the point it is drawn back to, and the input.
    share = jnp.where(fooled, settings.beta, 1.0).astype(inputs.dtype)
    base = choose(fooled, inputs + settings.beta * perturbation, point)
    gain = (face.slope * perturbation).sum(tuple(range(1, inputs.ndim)))
    low, high = problem.box(settings.bounds)
    gap = face.gap - 2 * face.doubt  # past the boundary by rounding's worth, as in DeepFool
    from_base = step_onto(
        gap - ((1 - share) * gain).astype(gap.dtype), face.slope, *problem.room(base, settings.bounds), norm
    )
    from_input = step_onto(gap - gain.astype(gap.dtype), face.slope, *problem.room(inputs, settings.bounds), norm)
    length, reach = losses.perturbation_norm(from_base, norm), losses.perturbation_norm(from_input, norm)
    both = length + reach
    alpha = problems.rows(jnp.minimum(length / jnp.where(both > 0, both, 1.0), settings.alpha_max), base)
    base, start = base.astype(from_base.dtype), inputs.astype(from_input.dtype)
    moved = (1 - alpha) * (base + settings.eta * from_base) + alpha * (start + settings.eta * from_input)
    return State(
        step=state.step + 1,
        point=jnp.clip(moved.astype(inputs.dtype), low, high),
        best=choose(closer, point, state.best),
        distance=jnp.where(closer, distance, state.distance),
        blocked=state.blocked | face.blocked,
    )


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have work left: with a radius, those that no iterate within it fooled."""
    # Step n judges the n-th iterate, so that one more than the steps judges the last.
    within = state.distance <= 0.0
    if problem.epsilon is not None:
        within |= state.distance <= box.shrunk(problem.epsilon, math.prod(problem.inputs.shape[1:]))
    return (state.step <= settings.num_steps) & ~within


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The closest success, or the input."""
    return state.best


def _rivals(logits_fn: LogitsFn, problem: Problem) -> Array:
    """The classes whose boundaries are looked at, int [B, K]."""
    if problem.targets is not None:
        return problem.targets[:, None]
    num_classes = losses.count_classes(logits_fn, problem.keys, problem.inputs)
    labels = problem.labels.astype(jnp.int32)
    return (labels[:, None] + jnp.arange(1, num_classes, dtype=jnp.int32)[None]) % num_classes
