"""Auto-PGD: projected gradient ascent that chooses its own step size."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks.ensemble import restarts
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import AttackLoss, ExpectationOf, Objective, TargetedLoss, loss_score
from ib_jax.attacks.problem import Bounds, Problem
from ib_jax.types import Array, Attack, LogitsFn

_MOMENTUM = 0.75  # weight of the new step; the rest is the step before
_RISING = 0.75  # share of steps that must raise the loss between two checkpoints
_FIRST, _SHRINK, _LEAST = 0.22, 0.03, 0.06  # time between checkpoints, and by how much it falls, as shares of all steps


class _State(NamedTuple):
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

    from a random point of the ball's surface with alpha = 2 epsilon. At checkpoints, further apart at first, alpha is
    halved and the search goes back to its best point if fewer than 75 % of the steps since the last one raised the
    loss, or if alpha stayed and the best loss did not rise.

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced.
      num_steps: steps n >= 1; the model is asked n + 1 times.
      norm: "linf" or "l2".
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example.
      num_restarts: random starts; of several the successful one with the highest loss is kept.
      early_stop: an example that fools the model is done. False climbs on to the worst loss.
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
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    geometry = get_norm(norm, among=("l2", "linf"))
    objective = Objective(loss_fn, num_eot_samples, expectation_of, num_judge_samples, targeted_loss_fn)
    first, shrink, least = (max(1, int(share * num_steps)) for share in (_FIRST, _SHRINK, _LEAST))

    def feasible(example: Array, point: Array, radius: Array) -> Array:
        low, high = problems.limits(bounds, example.dtype)
        return jnp.clip(example + geometry.project(point - example, radius), low, high)

    def start(logits_fn: LogitsFn, problem: Problem) -> _State:
        inputs, radius = problem.inputs, problem.epsilon
        assert radius is not None
        draws = jax.vmap(lambda key: _surface(key, inputs.shape[1:], norm, inputs.dtype))(problem.start_keys())
        current = jax.vmap(feasible)(inputs, inputs + problems.rows(radius, draws) * draws, radius)
        slope, loss, pooled = objective.gradient(problem.look_keys(), logits_fn, problem, current)
        zero = jnp.zeros(inputs.shape[0], jnp.int32)
        return _State(
            step=zero,
            current=current,
            previous=current,
            slope=slope,
            loss=loss,
            best=current,
            best_slope=slope,
            best_loss=loss,
            answer=current,
            answer_loss=loss,
            fooled=problem.fooled(pooled),
            length=2.0 * radius,
            period=zero + first,
            since=zero,
            rises=zero,
            shortened=zero > -1,  # so that the first checkpoint judges by the rises alone
            checkpoint_loss=loss,
        )

    def step(logits_fn: LogitsFn, problem: Problem, state: _State) -> _State:
        radius = problem.epsilon
        assert radius is not None
        move = jax.vmap(geometry.direction)(state.slope, state.slope != 0)
        ahead = state.current + problems.rows(state.length, move) * move
        ahead = jax.vmap(feasible)(problem.inputs, ahead, radius)
        # The first step has no step before it.
        weight = problems.rows(jnp.where(state.step == 0, 1.0, _MOMENTUM).astype(move.dtype), move)
        mixed = state.current + weight * (ahead - state.current) + (1 - weight) * (state.current - state.previous)
        point = jax.vmap(feasible)(problem.inputs, mixed, radius)
        slope, loss, pooled = objective.gradient(problem.step_keys(state.step), logits_fn, problem, point)
        fooled = problem.fooled(pooled)

        better = loss > state.best_loss
        best, best_slope = _where(better, point, state.best), _where(better, slope, state.best_slope)
        best_loss = jnp.where(better, loss, state.best_loss)
        chosen = (fooled & ~state.fooled) | ((fooled == state.fooled) & (loss > state.answer_loss))

        rises, since = state.rises + (loss > state.loss), state.since + 1
        checkpoint = since == state.period
        stuck = ~state.shortened & (state.checkpoint_loss >= best_loss)
        shorten = checkpoint & ((rises <= _RISING * state.period) | stuck)
        return _State(
            step=state.step + 1,
            current=_where(shorten, best, point),
            previous=state.current,
            slope=_where(shorten, best_slope, slope),
            loss=loss,
            best=best,
            best_slope=best_slope,
            best_loss=best_loss,
            answer=_where(chosen, point, state.answer),
            answer_loss=jnp.where(chosen, loss, state.answer_loss),
            fooled=state.fooled | fooled,
            length=jnp.where(shorten, state.length / 2, state.length),
            period=jnp.where(checkpoint, jnp.maximum(state.period - shrink, least), state.period),
            since=jnp.where(checkpoint, 0, since),
            rises=jnp.where(checkpoint, 0, rises),
            shortened=jnp.where(checkpoint, shorten, state.shortened),
            checkpoint_loss=jnp.where(checkpoint, best_loss, state.checkpoint_loss),
        )

    def active(problem: Problem, state: _State) -> Array:
        return (state.step < num_steps) & ~state.fooled

    attack = IterativeAttack(
        start,
        step,
        active if early_stop else None,
        lambda problem, state: state.answer,
        objective,
        num_steps,
        bounds,
        epsilon,
    )
    if num_restarts == 1:
        return attack
    return restarts(attack, num_restarts, loss_score(objective), stop_at_success=early_stop)


def _where(mask: Array, new: Array, old: Array) -> Array:
    return jnp.where(problems.rows(mask, new), new, old)


def _surface(key: Array, shape: tuple[int, ...], norm: str, dtype: jnp.dtype) -> Array:
    """A random direction of unit norm."""
    draw = jax.random.normal(key, shape, dtype)
    if norm == "linf":
        draw = jax.random.uniform(key, shape, dtype, -1.0, 1.0)
    size = losses.perturbation_norm(draw[None], norm)[0].astype(dtype)
    return draw / jnp.where(size > 0, size, 1.0)
