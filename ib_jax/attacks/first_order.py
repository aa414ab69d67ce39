"""Steps along the gradient inside a ball: what FGSM, BIM, PGD and MI-FGSM have in common."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax.attacks import box
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem
from ib_jax.attacks.refuse import require, require_count, require_radius
from ib_jax.attacks.step_size import StepSize, step_lengths
from ib_jax.types import Array, LogitsFn


class Settings(NamedTuple):
    """See `pgd` and `mi_fgsm`; without a decay there is no momentum."""

    objective: Objective
    bounds: Bounds
    norm: str
    num_steps: int
    step_size: StepSize
    random_start: bool
    early_stop: bool
    decay: float | None


class State(NamedTuple):
    """One row for each example. The perturbation is kept in float32 or more, whatever the inputs are in."""

    step: Array
    perturbation: Array
    velocity: Array | None
    done: Array | None
    blocked: Array


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
    require_radius(epsilon)
    require_count("num_steps", num_steps)
    get_norm(norm)
    if not callable(step_size):
        require("step_size", step_size, 0)
    return IterativeAttack(
        settings=Settings(objective, bounds, norm, num_steps, step_size, random_start, early_stop, decay),
        init=init,
        step=step,
        active=active if early_stop else None,
        finish=finish,
        num_steps=num_steps,
        epsilon=epsilon,
        confidence=None if early_stop else 0.0,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The input, or a uniform draw from the ball around it."""
    inputs = problem.inputs
    zero = jnp.zeros(inputs.shape, box.wide(inputs.dtype))
    perturbation = zero
    if settings.random_start:
        random = get_norm(settings.norm).random
        directions = jax.vmap(lambda key: random(key, inputs.shape[1:], zero.dtype))(problem.start_keys())
        perturbation = problem.project(problems.rows(problem.radius, zero) * directions, settings.norm, settings.bounds)
    count = jnp.zeros(inputs.shape[0], jnp.int32)
    return State(
        step=count,
        perturbation=perturbation,
        velocity=None if settings.decay is None else zero,
        done=count > 0 if settings.early_stop else None,
        blocked=count > 0,
    )


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """One step up the loss, and back into the ball and the bounds."""
    geometry, (low, high) = get_norm(settings.norm), problem.box(settings.bounds)
    current = finish(settings, problem, state)
    told = settings.objective.gradient(problem.step_keys(state.step), logits_fn, problem, current)
    slope, velocity = told.gradient.astype(state.perturbation.dtype), state.velocity
    if velocity is not None and settings.decay is not None:
        slope = velocity = settings.decay * velocity + jax.vmap(_unit_l1)(slope)
    lengths = step_lengths(settings.step_size, problem.radius, settings.num_steps)
    room = jnp.where(slope > 0, high - current, current - low).astype(slope.dtype)
    move = jax.vmap(geometry.step)(slope, room, lengths)
    moved = problem.project(state.perturbation + move, settings.norm, settings.bounds)
    done = state.done
    if done is not None:
        done = problem.fooled(told.pooled)
        moved = problems.choose(done, state.perturbation, moved)
    return State(state.step + 1, moved, velocity, done, state.blocked | told.blocked)


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have work left, if those that are fooled stop."""
    assert state.done is not None
    return (state.step < settings.num_steps) & ~state.done


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The perturbed inputs."""
    return box.move(problem.inputs, state.perturbation, *problem.box(settings.bounds))


def _unit_l1(slope: Array) -> Array:
    # Scaled by the largest entry first, see `losses.perturbation_norm`.
    largest = jnp.max(jnp.abs(slope), initial=0.0)
    scaled = slope / jnp.where(largest > 0, largest, 1.0)
    return scaled / jnp.maximum(jnp.abs(scaled).sum(), 1.0)
