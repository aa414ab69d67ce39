"""Steps along the gradient inside a ball: what FGSM, BIM, PGD and MI-FGSM have in common."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax.attacks import problem as problems
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Bounds, Problem
from ib_jax.attacks.step_size import StepSize, step_lengths
from ib_jax.types import Array, LogitsFn


class _State(NamedTuple):
    step: Array
    perturbation: Array
    velocity: Array | None
    done: Array | None


def first_order(
    epsilon: float | Array,
    *,
    num_steps: int,
    step_size: StepSize,
    norm: str,
    bounds: Bounds,
    objective: Objective,
    random_start: bool,
    early_stop: bool = False,
    decay: float | None = None,
) -> IterativeAttack:
    """Start, step along the direction of the gradient (or of its decaying sum), project; see `pgd` and `mi_fgsm`."""
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    geometry = get_norm(norm)

    def feasible(example: Array, perturbation: Array, radius: Array) -> Array:
        low, high = problems.limits(bounds, example.dtype)
        return jnp.clip(example + geometry.project(perturbation, radius), low, high) - example

    def start(logits_fn: LogitsFn, problem: Problem) -> _State:
        inputs, zero = problem.inputs, jnp.zeros_like(problem.inputs)
        perturbation = zero
        if random_start:
            assert problem.epsilon is not None
            directions = jax.vmap(lambda key: geometry.random(key, inputs.shape[1:], inputs.dtype))(
                problem.start_keys()
            )
            perturbation = problems.rows(problem.epsilon, inputs) * directions
            perturbation = jax.vmap(feasible)(inputs, perturbation, problem.epsilon)
        step = jnp.zeros(inputs.shape[0], jnp.int32)
        return _State(step, perturbation, None if decay is None else zero, step > 0 if early_stop else None)

    def step(logits_fn: LogitsFn, problem: Problem, state: _State) -> _State:
        assert problem.epsilon is not None
        low, high = problems.limits(bounds, problem.inputs.dtype)
        current = problem.inputs + state.perturbation
        slope, _, pooled = objective.gradient(problem.step_keys(state.step), logits_fn, problem, current)
        velocity = state.velocity
        if velocity is not None and decay is not None:
            slope = velocity = decay * velocity + jax.vmap(_unit_l1)(slope)
        free = jnp.where(slope > 0, current < high, current > low)
        move = jax.vmap(geometry.direction)(slope, free)
        lengths = step_lengths(step_size, problem.epsilon, num_steps)
        moved = state.perturbation + problems.rows(lengths, move) * move
        moved = jax.vmap(feasible)(problem.inputs, moved, problem.epsilon)
        done = state.done
        if done is not None:
            done = problem.fooled(pooled)
            moved = jnp.where(problems.rows(done, moved), state.perturbation, moved)
        return _State(state.step + 1, moved, velocity, done)

    def active(problem: Problem, state: _State) -> Array:
        assert state.done is not None
        return (state.step < num_steps) & ~state.done

    def finish(problem: Problem, state: _State) -> Array:
        # Rounding in `inputs + perturbation` can leave the bounds by one unit in the last place.
        return jnp.clip(problem.inputs + state.perturbation, *problems.limits(bounds, problem.inputs.dtype))

    return IterativeAttack(start, step, active if early_stop else None, finish, objective, num_steps, bounds, epsilon)


def _unit_l1(slope: Array) -> Array:
    # Scaled by the largest entry first, see `losses.perturbation_norm`.
    largest = jnp.max(jnp.abs(slope), initial=0.0)
    scaled = slope / jnp.where(largest > 0, largest, 1.0)
    return scaled / jnp.maximum(jnp.abs(scaled).sum(), 1.0)
