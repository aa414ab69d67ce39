"""Auto-PGD: projected gradient ascent that chooses its own step size."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.ensemble import restarts
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import AttackLoss, ExpectationOf, Objective, TargetedLoss, loss_score
from ib_jax.attacks.problem import Problem, choose
from ib_jax.attacks.refuse import require_count, require_radius
from ib_jax.types import Array, Attack, LogitsFn

_MOMENTUM = 0.75  # weight of the new step; the rest is the step before
_RISING = 0.75  # share of steps that must raise the loss between two checkpoints
_FIRST, _SHRINK, _LEAST = 0.22, 0.03, 0.06  # time between checkpoints, and by how much it falls, as shares of all steps


class Settings(NamedTuple):
    """See `apgd`."""

    objective: Objective
    bounds: Bounds
    norm: str
    num_steps: int


class State(NamedTuple):
    """One row for each example. `best` is by loss, `answer` by success and then by loss."""

    step: Array
    current: Array
    previous: Array
    slope: Array
    loss: Array
    best: Array
    best_slope: Array
    best_loss: Array
    answer: Array
    answer_loss: Array
    fooled: Array
    length: Array
    period: Array
    since: Array
    rises: Array
    shortened: Array
    checkpoint_loss: Array
    blocked: Array


def apgd(
    epsilon: float | Array,
    *,
    num_steps: int = 100,
    norm: str = "linf",
    bounds: Bounds = (0.0, 1.0),
    num_restarts: int = 1,
    early_stop: bool = True,
    loss_fn: AttackLoss = losses.cross_entropy,
    targeted_loss_fn: TargetedLoss | None = None,
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
) -> Attack:
    r"""Auto-PGD in an L-inf or L2 ball.

    .. math:: z = \Pi(x_t + \alpha\, d(\nabla \ell(x_t))), \quad
              x_{t+1} = \Pi\big(x_t + \tfrac34 (z - x_t) + \tfrac14 (x_t - x_{t-1})\big)

    from a random point on the ball's surface, with :math:`\alpha = 2 \epsilon`. At checkpoints, further apart at first,
    the search halves :math:`\alpha` and goes back to its best point if fewer than 75 % of the steps since the last
    checkpoint raised the loss, or if neither :math:`\alpha` nor the best loss has changed since.

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced.
      num_steps: steps n >= 1; the attack asks the model n + 1 times.
      norm: "linf" or "l2".
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example.
      num_restarts: random starts; of several the successful one with the highest loss is kept.
      early_stop: stop at an example that fools the model; a stochastic model as in `pgd`. False climbs on to the worst
        loss.
      loss_fn: (logits, labels) -> loss per example: `losses.cross_entropy`, or `losses.dlr` (three classes or more).
      targeted_loss_fn: (logits, labels, targets) -> loss that a targeted attack climbs, `losses.targeted_dlr` (four
        classes or more); None descends `loss_fn` at the target.
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses", or "probabilities" under the loss.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; the loss needs more classes; else as `pgd`.

    Source: Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
    Attacks, 2020.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> result = attacks.apgd(0.2)(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.9]]), jnp.array([0, 0]))
      >>> result.success
      Array([ True, False], dtype=bool)
    """
    require_radius(epsilon)
    require_count("num_steps", num_steps)
    get_norm(norm, among=("l2", "linf"))
    objective = Objective(loss_fn, num_eot_samples, expectation_of, num_judge_samples, targeted_loss_fn)
    attack = IterativeAttack(
        settings=Settings(objective, bounds, norm, num_steps),
        init=init,
        step=step,
        active=active if early_stop else None,
        finish=finish,
        num_steps=num_steps,
        epsilon=epsilon,
        confidence=None if early_stop else 0.0,
    )
    if num_restarts == 1:
        return attack
    return restarts(attack, num_restarts, loss_score(objective), stop_at_success=early_stop)


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """A random point of the ball's surface, and what the model says of it."""
    inputs, dtype = problem.inputs, box.wide(problem.inputs.dtype)
    draws = jax.vmap(lambda key: _surface(key, inputs.shape[1:], settings.norm, dtype))(problem.start_keys())
    current = _feasible(settings, problem, problems.rows(problem.radius, draws) * draws)
    told = settings.objective.gradient(problem.look_keys(), logits_fn, problem, current)
    zero = jnp.zeros(inputs.shape[0], jnp.int32)
    first, _, _ = _periods(settings.num_steps)
    return State(
        step=zero,
        current=current,
        previous=current,
        slope=told.gradient,
        loss=told.loss,
        best=current,
        best_slope=told.gradient,
        best_loss=told.loss,
        answer=current,
        answer_loss=told.loss,
        fooled=problem.fooled(told.pooled),
        length=2.0 * problem.radius,
        period=zero + first,
        since=zero,
        rises=zero,
        shortened=zero > -1,  # so that the first checkpoint judges by the rises alone
        checkpoint_loss=told.loss,
        blocked=told.blocked,
    )


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """One step, and what the checkpoint makes of it where there is one."""
    point = _ahead(settings, problem, state)
    told = settings.objective.gradient(problem.step_keys(state.step), logits_fn, problem, point)
    slope, loss, fooled = told.gradient, told.loss, problem.fooled(told.pooled)

    better = loss > state.best_loss
    best, best_slope = choose(better, point, state.best), choose(better, slope, state.best_slope)
    best_loss = jnp.where(better, loss, state.best_loss)
    chosen = (fooled & ~state.fooled) | ((fooled == state.fooled) & (loss > state.answer_loss))

    rises, since = state.rises + (loss > state.loss).astype(jnp.int32), state.since + 1
    checkpoint = since == state.period
    stuck = ~state.shortened & (state.checkpoint_loss >= best_loss)
    few = rises.astype(jnp.float32) <= _RISING * state.period.astype(jnp.float32)
    shorten = checkpoint & (few | stuck)
    _, shrink, least = _periods(settings.num_steps)
    return State(
        step=state.step + 1,
        current=choose(shorten, best, point),
        previous=state.current,
        slope=choose(shorten, best_slope, slope),
        loss=loss,
        best=best,
        best_slope=best_slope,
        best_loss=best_loss,
        answer=choose(chosen, point, state.answer),
        answer_loss=jnp.where(chosen, loss, state.answer_loss),
        fooled=state.fooled | fooled,
        length=jnp.where(shorten, state.length / 2, state.length),
        period=jnp.where(checkpoint, jnp.maximum(state.period - shrink, least), state.period),
        since=jnp.where(checkpoint, 0, since),
        rises=jnp.where(checkpoint, 0, rises),
        shortened=jnp.where(checkpoint, shorten, state.shortened),
        checkpoint_loss=jnp.where(checkpoint, best_loss, state.checkpoint_loss),
        blocked=state.blocked | told.blocked,
    )


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have work left, if those that are fooled stop."""
    return (state.step < settings.num_steps) & ~state.fooled


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The point of the highest loss, among those that fool the model if there are any."""
    return state.answer


def _ahead(settings: Settings, problem: Problem, state: State) -> Array:
    """The next point: a step along the slope, mixed with the step before."""
    start = problem.inputs.astype(state.length.dtype)
    current, previous = (point.astype(start.dtype) for point in (state.current, state.previous))
    slope = state.slope.astype(start.dtype)
    move = jax.vmap(get_norm(settings.norm).step)(slope, slope, state.length)  # these norms do not ask for the room
    ahead = _feasible(settings, problem, current + move - start).astype(start.dtype)
    # The first step has no step before it.
    weight = problems.rows(jnp.where(state.step == 0, 1.0, _MOMENTUM).astype(start.dtype), start)
    mixed = current + weight * (ahead - current) + (1 - weight) * (current - previous)
    return _feasible(settings, problem, mixed - start)


def _feasible(settings: Settings, problem: Problem, perturbation: Array) -> Array:
    projected = problem.project(perturbation, settings.norm, settings.bounds)
    return box.move(problem.inputs, projected, *problem.box(settings.bounds))


def _periods(num_steps: int) -> tuple[int, int, int]:
    """Steps before the first checkpoint, by how many the next ones are closer, and how many there are at least."""
    first, shrink, least = (max(1, int(share * num_steps)) for share in (_FIRST, _SHRINK, _LEAST))
    return first, shrink, least


def _surface(key: Array, shape: tuple[int, ...], norm: str, dtype: jnp.dtype) -> Array:
    """A random direction of unit norm."""
    draw = jax.random.normal(key, shape, dtype)
    if norm == "linf":
        draw = jax.random.uniform(key, shape, dtype, -1.0, 1.0)
    size = losses.perturbation_norm(draw[None], norm)[0].astype(dtype)
    return draw / jnp.where(size > 0, size, 1.0)
