"""The JAX side of `experiments.benchmark`: the library's own train step, random images to train it on, its FLOPs."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.program import Program, Stretch, xla_cost
from experiments.core import networks
from experiments.core.objectives import make_loss
from experiments.mnist_vib.settings import Config
from ib_jax import data, training
from ib_jax.training import parallel
from ib_jax.types import Array

if TYPE_CHECKING:
    from experiments.benchmark import run as benchmark

IMAGE_SHAPE, NUM_CLASSES = (28, 28, 1), 10
CLASS_PROBABILITIES = np.full(NUM_CLASSES, 1 / NUM_CLASSES)


def train_config(config: "benchmark.Config", **settings: Any) -> Config:
    """The main job's configuration with the benchmark's sizes, but for `settings`."""
    names = ("batch_size", "latent_dim", "hidden_width", "precision")
    sizes = {name: getattr(config, name) for name in names}
    return dataclasses.replace(Config(learning_rate=1e-4), **(sizes | settings))


def random_dataset(num_examples: int) -> data.Dataset:
    """Random images of MNIST's shape, the same every time."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_examples, *IMAGE_SHAPE), np.uint8)
    train = data.Split(images, rng.integers(0, NUM_CLASSES, num_examples, np.int32))
    return data.Dataset("random", train, None, train, NUM_CLASSES)


def layers(config: Config) -> list[list[int]]:
    """Inputs and outputs of each dense layer of the VIB network, the decoder last."""
    width = config.hidden_width
    encoder = [[math.prod(IMAGE_SHAPE), width], [width, width], [width, 2 * config.latent_dim]]
    return [*encoder, [config.latent_dim, NUM_CLASSES]]


def matmul_flops(layers: Sequence[Sequence[int]], batch_size: int) -> int:
    r"""FLOPs of the matrix products of one training step.

    .. math:: 2 B \Big(3 \sum_l m_l n_l - m_1 n_1\Big)

    Forward, weight gradients and input gradients, two operations for each multiply-add; the first layer has no input
    gradient.

    Args:
      layers: inputs m and outputs n of each dense layer.
      batch_size: B.

    Returns:
      FLOPs of one step.

    Example:
      >>> from experiments.benchmark import jax_programs as benchmark_jax
      >>> benchmark_jax.matmul_flops([[3, 4], [4, 2]], batch_size=10)
      960
    """
    products = [fan_in * fan_out for fan_in, fan_out in layers]
    return 2 * batch_size * (3 * sum(products) - products[0])


class TrainBenchmark:
    """The main job's train step on random images of MNIST's shape, one epoch of `steps` steps to a stretch.

    Args:
      config: network, objective and batch size.
      steps: of one stretch.
    """

    def __init__(self, config: Config, steps: int):
        self._config, self._steps = config, steps
        self._num_examples = steps * config.batch_size
        self._model = networks.mlp(config, CLASS_PROBABILITIES)
        self._optimizer = training.paper_adam(config.learning_rate, steps_per_decay=2 * steps)
        self._data = training.Batch(*map(jax.device_put, random_dataset(self._num_examples).train))

    def _state(self) -> training.TrainState:
        params = self._model.init(jax.random.key(0), jnp.zeros((1, *IMAGE_SHAPE)))
        return training.init_state(jax.random.key(1), params, self._optimizer, self._config.average_decay)

    def _step(self, axis_name: str | None) -> Callable[..., tuple[training.TrainState, dict[str, Array]]]:
        loss_fn = make_loss(self._config, self._model, CLASS_PROBABILITIES)
        decay = self._config.average_decay
        return training.make_train_step(loss_fn, self._optimizer, average_decay=decay, axis_name=axis_name)

    def epoch(self) -> Stretch:
        """The library's path, as the main job takes it: a whole epoch in one compiled loop, on all devices."""
        epoch = training.make_epoch(
            self._step(parallel.AXIS),
            num_examples=self._num_examples,
            batch_size=self._config.batch_size,
            num_steps=self._steps,
            num_shards=jax.device_count(),
            axis_name=parallel.AXIS,
            prepare=data.to_unit_interval,
        )
        run = Program(training.shard_epoch(epoch))
        state, resident = training.replicate(self._state()), training.replicate(self._data)

        def stretch() -> float:
            nonlocal state
            state, metrics = jax.block_until_ready(run(state, resident))
            return float(training.unreplicate(metrics["loss"])[-1])

        return Stretch(stretch, run)

    def loop(self) -> Stretch:
        """The same step, jitted and called from a Python loop on one device."""
        state, resident = self._state(), self._data
        shuffle = jax.jit(jax.random.permutation, static_argnums=1)
        step = Program(self._jitted_step())

        def stretch() -> float:
            nonlocal state
            order = shuffle(jax.random.fold_in(state.key, state.step), self._num_examples)
            for _ in range(self._steps):
                state, metrics = step(state, resident, order)
            state, metrics = jax.block_until_ready((state, metrics))
            return float(metrics["loss"])

        return Stretch(stretch, step)

    def _jitted_step(self) -> Any:
        step, batch_size = self._step(None), self._config.batch_size

        def step_on_resident_data(
            state: training.TrainState, resident: training.Batch, order: Array
        ) -> tuple[training.TrainState, dict[str, Array]]:
            start = (state.step % self._steps) * batch_size
            rows = jax.lax.dynamic_slice_in_dim(order, start, batch_size)
            batch = training.Batch(data.to_unit_interval(resident.inputs[rows]), resident.labels[rows])
            return step(state, batch, jax.random.fold_in(state.key, state.step))

        return jax.jit(step_on_resident_data, donate_argnums=0)

    def xla_flops(self) -> float | None:
        """FLOPs of one step as XLA counts them, element-wise work included; None where it does not say."""
        order = jnp.arange(self._num_examples)
        products = matmul_flops(layers(self._config), self._config.batch_size)
        cost = xla_cost(self._jitted_step().lower(self._state(), self._data, order), products)
        return None if cost is None else cost.flops
