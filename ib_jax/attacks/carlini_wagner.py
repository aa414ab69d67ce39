"""The Carlini-Wagner L2 attack."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax

from ib_jax import losses, promotion
from ib_jax.attacks import box
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.objective import ExpectationOf, Objective
from ib_jax.attacks.problem import Problem, choose
from ib_jax.attacks.refuse import require, require_count, require_finite
from ib_jax.types import Array, Attack, LogitsFn

_ENOUGH = 0.9999  # a tenth of a round must lower the loss at least by this factor to go on
_CHECKS = 10  # how often a round looks
_INSIDE = 0.99  # at the bounds themselves tanh is flat, so the search begins a little inside

ConstPer = Literal["distance", "nat"]


class Settings(NamedTuple):
    """See `carlini_wagner`."""

    objective: Objective
    bounds: Bounds
    num_steps: int
    num_binary_steps: int
    adam: optax.GradientTransformation
    initial_const: float
    const_per: ConstPer
    abort_early: bool


class State(NamedTuple):
    """One row for each example: the round of the binary search, and the descent within it."""

    step: Array
    round: Array
    const: Array
    unit: Array  # that the margin is divided by
    low: Array
    high: Array
    found: Array
    origin: Array
    point: Array
    moments: optax.OptState
    last_loss: Array
    answer: Array
    distance: Array
    blocked: Array


def carlini_wagner(
    *,
    num_steps: int = 1000,
    num_binary_steps: int = 9,
    learning_rate: float = 1e-2,
    initial_const: float | None = None,
    const_per: ConstPer = "distance",
    confidence: float | None = None,
    abort_early: bool = True,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
) -> Attack:
    r"""Carlini and Wagner's attack: the smallest L2 perturbation that changes the answer.

    .. math:: \min_u \|x'(u) - x\|_2^2 + \frac{c\, d_0^2}{m_0}\, m(x'(u)), \quad
              m(x) = \max\big(0,\, l_y - \max_{j \ne y} l_j + \kappa\big), \quad
              x'(u) = \tfrac{\mathrm{lower} + \mathrm{upper}}2 + \tfrac{\mathrm{upper} - \mathrm{lower}}2 \tanh u

    by Adam. A binary search chooses c for each example: 10 times larger until the first success, then halfway between
    the largest failure and the smallest success. :math:`m_0` is the margin at the input and :math:`d_0` the distance at
    which it vanishes if its gradient is constant, so the scale of the logits does not change the search; on an affine
    model c ends at 2. The margin of a targeted attack is :math:`\max_{j \ne t} l_j - l_t`. Every example stops on its
    own, whatever the rest of the batch does. Inputs at the bounds are a finite u, and x'(u) starts at the input
    exactly. Without a success the result is the input.

    Args:
      num_steps: steps of one round at most; the paper takes 10,000.
      num_binary_steps: rounds, one for each c.
      learning_rate: Adam's, in units of u.
      initial_const: the first c > 0; None is 1, and 1e-3 per nat.
      const_per: "distance", or "nat" for c m in place of c d_0^2 m / m_0, as in the paper and in other libraries.
      confidence: kappa >= 0, in nats: by how much the wanted answer must lead. None is 0 for a deterministic model, as
        in the paper, and :math:`3 \mathrm{sd}(m(x)) \sqrt{2 / S}` for a stochastic one, measured at the input. The
        luckiest draws of a long search, of S samples each, deviate that far; at 0 the attack ends on such a draw, with
        an image that does not fool the model when asked again.
      abort_early: a round ends once a tenth of its steps no longer lowers the example's loss.
      bounds: lower and upper limits of the inputs, finite; scalars, or arrays that broadcast against one example.
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses" (margins), or "probabilities" under the margin.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: as `pgd`.

    Source: Carlini and Wagner, Towards Evaluating the Robustness of Neural Networks, 2017.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> attack = attacks.carlini_wagner(num_steps=100)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6]]), jnp.array([0]))
      >>> print(f"{0.6 - float(result.inputs[0, 0]):.2f} {result.success}")
      0.10 [ True]
    """
    require_count("num_steps", num_steps)
    require_count("num_binary_steps", num_binary_steps)
    require("learning_rate", learning_rate, 0, inside=True)
    if initial_const is None:
        initial_const = 1e-3 if const_per == "nat" else 1.0
    require("initial_const", initial_const, 0, inside=True)
    require_finite(bounds)
    if const_per not in get_args(ConstPer):
        raise ValueError(f"const_per must be {' or '.join(get_args(ConstPer))}, got {const_per!r}")
    objective = Objective(
        loss_fn=lambda logits, labels: -jax.nn.relu(losses.margin(logits, labels)),
        targeted_loss_fn=lambda logits, labels, targets: -jax.nn.relu(-losses.margin(logits, targets)),
        num_eot_samples=num_eot_samples,
        expectation_of=expectation_of,
        num_judge_samples=num_judge_samples,
    )
    adam = optax.adam(learning_rate)
    return IterativeAttack(
        settings=Settings(objective, bounds, num_steps, num_binary_steps, adam, initial_const, const_per, abort_early),
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=num_steps * num_binary_steps,
        minimal="l2",
        confidence=confidence,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The input, at the first c; an input that fools the model as it is needs no search."""
    inputs, objective = problem.inputs, settings.objective
    point = jnp.zeros(inputs.shape, box.wide(inputs.dtype))
    zero, far = jnp.zeros(inputs.shape[0], point.dtype), problems.farthest(point.dtype)
    if settings.const_per == "distance":
        told = objective.gradient(problem.look_keys(), logits_fn, problem, inputs)
        pooled, blocked = told.pooled, told.blocked
        slope = losses.perturbation_norm(told.gradient, "l2")
        distance = -told.loss / jnp.where(slope > 0, slope, 1.0)
        unit = slope / jnp.where(distance > 0, distance, 1.0)
    else:
        _, pooled = objective.evaluate(problem.look_keys(), logits_fn, problem, inputs)
        unit, blocked = zero + 1.0, zero > 0
    return State(
        step=zero.astype(jnp.int32),
        round=jnp.where(problem.fooled(pooled), jnp.int32(settings.num_binary_steps), jnp.int32(0)),
        const=zero + settings.initial_const,
        unit=jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1.0),
        low=zero,
        high=zero + far,
        found=zero > 0,
        origin=_origin(inputs.astype(point.dtype), *problem.box(settings.bounds)),
        point=point,
        moments=jax.vmap(settings.adam.init)(point),
        last_loss=zero + far,
        answer=inputs,
        distance=zero + far,
        blocked=blocked,
    )


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """One step of Adam, and at the end of a round the next c."""
    keys = problems.fold(problem.step_keys(state.step), state.round)

    def total(point: Array) -> tuple[Array, tuple[Array, ...]]:
        perturbed = _image(settings, problem, state.origin, point)
        climbed, pooled = settings.objective.evaluate(keys, logits_fn, problem, perturbed)
        change = perturbed.astype(point.dtype) - problem.inputs.astype(point.dtype)
        squares = jnp.square(change).sum(range(1, change.ndim))
        loss = squares - state.const * (climbed / state.unit)
        return loss.sum(), (loss, pooled, perturbed, squares)

    slope, (loss, pooled, perturbed, squares) = jax.grad(total, has_aux=True)(state.point)
    slope, blocked = problems.finite_or_zero(slope)
    success = problem.fooled(pooled)
    closer = success & (squares < state.distance)
    with promotion.of_others():
        updates, moments = jax.vmap(settings.adam.update)(slope, state.moments)
    step, looks = state.step + 1, (state.step + 1) % max(1, settings.num_steps // _CHECKS) == 0
    over = step >= settings.num_steps
    if settings.abort_early:
        compared = state.last_loss < problems.farthest(loss.dtype)
        over |= looks & compared & (loss > _ENOUGH * state.last_loss)
    moved = state._replace(
        step=step,
        found=state.found | success,
        point=state.point + updates,
        moments=moments,
        last_loss=jnp.where(looks, loss, state.last_loss),
        answer=choose(closer, perturbed, state.answer),
        distance=jnp.where(closer, squares, state.distance),
        blocked=state.blocked | blocked | jnp.isnan(loss),
    )
    return jax.tree.map(lambda new, old: choose(over, new, old), _next_round(settings, moved), moved)


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have rounds left."""
    return state.round < settings.num_binary_steps


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The closest success, or the input."""
    return state.answer


def _next_round(settings: Settings, state: State) -> State:
    """A fresh descent with the next c."""
    high = jnp.where(state.found, jnp.minimum(state.high, state.const), state.high)
    low = jnp.where(state.found, state.low, jnp.maximum(state.low, state.const))
    point = jnp.zeros_like(state.point)
    return state._replace(
        step=jnp.zeros_like(state.step),
        round=state.round + 1,
        const=jnp.where(high >= problems.farthest(high.dtype), 10.0 * state.const, (low + high) / 2),
        low=low,
        high=high,
        found=jnp.zeros_like(state.found),
        point=point,
        moments=jax.vmap(settings.adam.init)(point),
        last_loss=jnp.full_like(state.last_loss, problems.farthest(state.last_loss.dtype)),
    )


def _image(settings: Settings, problem: Problem, origin: Array, point: Array) -> Array:
    """The inputs at a point of the unbounded space, which is centred at the example."""
    low, high = problem.box(settings.bounds)
    width = high.astype(point.dtype) - low.astype(point.dtype)
    moved = problem.inputs.astype(point.dtype) + width / 2 * (jnp.tanh(origin + point) - jnp.tanh(origin))
    moved = moved.astype(problem.inputs.dtype)
    # Inputs at a bound go a little beyond it; clip's own gradient is zero there, and would never let them return.
    # The difference is zero, and only its gradient counts.
    return jax.lax.stop_gradient(jnp.clip(moved, low, high)) + (moved - jax.lax.stop_gradient(moved))


def _origin(inputs: Array, low: Array, high: Array) -> Array:
    """Where an input lies in the unbounded space; at the bounds themselves tanh would be flat in float32."""
    width = (high - low).astype(inputs.dtype)
    scaled = (2 * inputs - low.astype(inputs.dtype) - high.astype(inputs.dtype)) / width
    return jnp.arctanh(jnp.clip(scaled, -1.0, 1.0) * _INSIDE)
