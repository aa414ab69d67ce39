"""What a train step of the MLP cannot go below: its matrix products alone, and the optimizer's pass over memory alone.

Both in one compiled loop over as many steps, as the step itself runs. Nothing else that a step does (noise, losses,
activations, the choice of the batch) is in them.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmark.machine import Program
from experiments.benchmark.measure import Turn, timed
from experiments.core.objectives import NONE
from experiments.core.recipe import Recipe
from ib_jax import training
from ib_jax.training.average import move_average
from ib_jax.types import Array


def products(layers: Sequence[Sequence[int]], batch_size: int, num_steps: int) -> Turn:
    """The products of so many steps of a network of dense layers, given by their inputs and outputs."""
    rng = np.random.default_rng(0)
    kernels = [jnp.asarray(rng.standard_normal(layer) / layer[0] ** 0.5, jnp.float32) for layer in layers]
    images = jnp.asarray(rng.standard_normal((num_steps, batch_size, layers[0][0])), jnp.float32)

    def step(_: list[Array], images: Array) -> tuple[list[Array], None]:
        return step_products(kernels, images), None

    return _loop(lambda start, images: jax.lax.scan(step, start, images)[0], kernels, images)


def step_products(kernels: Sequence[Array], images: Array) -> list[Array]:
    """The products of a step: forth, and back to the weights and to all inputs but the first.

    A layer takes the first outputs of the one before, as the decoder takes the means of the code.
    """
    inputs, slopes = [images], list[Array]()
    for kernel in kernels:
        inputs.append(inputs[-1][:, : len(kernel)] @ kernel)
    slope = inputs.pop()
    for place, kernel in reversed(list(enumerate(kernels))):
        slope = jnp.tile(slope, (1, kernel.shape[1] // slope.shape[1]))
        slopes.append(inputs[place][:, : len(kernel)].T @ slope)
        slope = slope @ kernel.T if place else slope
    return slopes[::-1]


def update(recipe: Recipe, num_steps: int) -> Turn:
    """The optimizer's steps with gradients that are there already, and the average of the parameters."""
    state = recipe.init()
    gradients = jax.tree.map(lambda leaf: 1e-3 * jnp.ones_like(leaf), state.params)
    optimizer = recipe.functions.optimizer(recipe.config, recipe.steps_per_epoch, NONE)

    def step(state: training.TrainState, gradients: Any) -> training.TrainState:
        updates, moments = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = move_average(state.average, params, recipe.config.average_decay)
        return state._replace(params=params, opt_state=moments, average=average)

    return _loop(
        lambda state, gradients: jax.lax.fori_loop(0, num_steps, lambda _, state: step(state, gradients), state),
        state,
        gradients,
    )


def _loop(run: Any, *args: Any) -> Turn:
    program = Program(jax.jit(run))
    return timed(lambda: program(*args), describe=lambda _: program.describe())
