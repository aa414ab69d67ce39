"""The Carlini-Wagner L2 attack."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ib_jax import losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.objective import ExpectationOf, Objective
from ib_jax.attacks.problem import Bounds, Problem
from ib_jax.types import Array, Attack, LogitsFn

_ENOUGH = 0.9999  # a tenth of a round must lower the loss at least by this factor to go on
_CHECKS = 10  # how often a round looks
_INSIDE = 0.99  # at the bounds themselves tanh is flat, so the search begins a little inside


class _State(NamedTuple):
    """One row for each example: the round of the binary search, and the descent within it."""

    step: Array
    round: Array
    const: Array
    low: Array
    high: Array
    found: Array
    origin: Array
    point: Array
    moments: optax.OptState
    last_loss: Array
    answer: Array
    distance: Array


def carlini_wagner(
    *,
    num_steps: int = 1000,
    num_binary_steps: int = 9,
    learning_rate: float = 1e-2,
    initial_const: float = 1e-3,
    confidence: float = 0.0,
    abort_early: bool = True,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
) -> Attack:
    r"""Carlini and Wagner's attack: the smallest L2 perturbation that changes the answer.

    .. math:: \min_u \|x'(u) - x\|_2^2 + c\, \max\big(0,\, l_y - \max_{j \ne y} l_j + \kappa\big), \quad
              x'(u) = \tfrac{\mathrm{lower} + \mathrm{upper}}2 + \tfrac{\mathrm{upper} - \mathrm{lower}}2 \tanh u

    by Adam, with c found by binary search for each example: 10 times larger as long as nothing is found, halfway
    between the largest failure and the smallest success afterwards. A targeted attack has
    :math:`\max_{j \ne t} l_j - l_t` for the margin. Every example stops on its own: batch-mates play no part. Inputs at
    the bounds are a finite u, and x'(u) starts at the input exactly. Where nothing is found the input is returned.

    Args:
      num_steps: steps of one round at most; the paper takes 10,000.
      num_binary_steps: rounds, one for each c.
      learning_rate: Adam's, in units of u.
      initial_const: the first c > 0, per nat of margin.
      confidence: kappa >= 0, in units of the logits (nats): by how much the wrong answer must lead.
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
    for name, value in [("num_steps", num_steps), ("num_binary_steps", num_binary_steps)]:
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for name, number in [("learning_rate", learning_rate), ("initial_const", initial_const)]:
        if not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")
    if not confidence >= 0:
        raise ValueError(f"confidence must be at least 0, got {confidence}")
    adam = optax.adam(learning_rate)
    every = max(1, num_steps // _CHECKS)
    objective = Objective(
        loss_fn=lambda logits, labels: -jax.nn.relu(losses.margin(logits, labels) + confidence),
        targeted_loss_fn=lambda logits, labels, targets: -jax.nn.relu(confidence - losses.margin(logits, targets)),
        num_eot_samples=num_eot_samples,
        expectation_of=expectation_of,
        num_judge_samples=num_judge_samples,
    )

    def image(problem: Problem, origin: Array, point: Array) -> Array:
        """The inputs at a point of the unbounded space, which is centred at the example."""
        low, high = problems.limits(bounds, point.dtype)
        moved = problem.inputs + (high - low) / 2 * (jnp.tanh(origin + point) - jnp.tanh(origin))
        # Inputs at a bound go a little beyond it; clip's own gradient is zero there, and would never let them return.
        # The difference is zero, and only its gradient counts.
        return jax.lax.stop_gradient(jnp.clip(moved, low, high)) + (moved - jax.lax.stop_gradient(moved))

    def start(logits_fn: LogitsFn, problem: Problem) -> _State:
        inputs = problem.inputs
        _, pooled = objective.evaluate(problem.look_keys(), logits_fn, problem, inputs)
        zero, point = jnp.zeros(inputs.shape[0]), jnp.zeros_like(inputs)
        return _State(
            step=zero.astype(jnp.int32),
            # An input that fools the model as it is needs no search.
            round=jnp.where(problem.fooled(pooled), num_binary_steps, 0),
            const=zero + initial_const,
            low=zero,
            high=zero + jnp.inf,
            found=zero > 0,
            origin=_origin(inputs, *problems.limits(bounds, inputs.dtype)),
            point=point,
            moments=jax.vmap(adam.init)(point),
            last_loss=zero + jnp.inf,
            answer=inputs,
            distance=zero + jnp.inf,
        )

    def step(logits_fn: LogitsFn, problem: Problem, state: _State) -> _State:
        keys = problems.fold(problem.step_keys(state.step), state.round)

        def total(point: Array) -> tuple[Array, tuple[Array, ...]]:
            perturbed = image(problem, state.origin, point)
            climbed, pooled = objective.evaluate(keys, logits_fn, problem, perturbed)
            squares = jnp.square(perturbed - problem.inputs).sum(range(1, perturbed.ndim))
            loss = squares - state.const * climbed
            return loss.sum(), (loss, climbed, pooled, perturbed, squares)

        slope, (loss, climbed, pooled, perturbed, squares) = jax.grad(total, has_aux=True)(state.point)
        success = problem.fooled(pooled) & (climbed >= 0)
        closer = success & (squares < state.distance)
        found = state.found | success
        updates, moments = jax.vmap(adam.update)(slope, state.moments)
        step = state.step + 1
        looks = step % every == 0
        over = step >= num_steps
        if abort_early:
            over |= looks & (loss > _ENOUGH * state.last_loss)
        # The end of a round: the next c, and a fresh descent.
        high = jnp.where(over & found, jnp.minimum(state.high, state.const), state.high)
        low = jnp.where(over & ~found, jnp.maximum(state.low, state.const), state.low)
        following = jnp.where(jnp.isinf(high), 10.0 * state.const, (low + high) / 2)
        fresh = jax.vmap(adam.init)(jnp.zeros_like(state.point))
        return _State(
            step=jnp.where(over, 0, step),
            round=state.round + over,
            const=jnp.where(over, following, state.const),
            low=low,
            high=high,
            found=found & ~over,
            origin=state.origin,
            point=jnp.where(problems.rows(over, slope), 0.0, state.point + updates),
            moments=jax.tree.map(lambda new, old: jnp.where(problems.rows(over, old), new, old), fresh, moments),
            last_loss=jnp.where(over, jnp.inf, jnp.where(looks, loss, state.last_loss)),
            answer=jnp.where(problems.rows(closer, perturbed), perturbed, state.answer),
            distance=jnp.where(closer, squares, state.distance),
        )

    return IterativeAttack(
        start,
        step,
        lambda problem, state: state.round < num_binary_steps,
        lambda problem, state: state.answer,
        objective,
        num_steps * num_binary_steps,
        bounds,
    )


def _origin(inputs: Array, low: Array, high: Array) -> Array:
    """Where an input lies in the unbounded space; at the bounds themselves tanh would be flat in float32."""
    scaled = (2 * inputs - low - high) / (high - low)
    return jnp.arctanh(jnp.clip(scaled, -1.0, 1.0) * _INSIDE)
