"""The rows of `experiments.benchmark.images`: the library's paths on one network, and the plain loops beside them."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.program import Cost, product_flops, step_cost
from experiments.benchmark.turns import Turn
from experiments.cifar10_ceb import FUNCTIONS
from experiments.cifar10_ceb.settings import Cifar10Config
from experiments.core import networks
from experiments.core.recipe import Recipe
from experiments.core.settings import SettingError
from ib_jax import attacks, data, losses, training
from ib_jax.types import Array, Params

MEMBERS = 2
"""Models of the population."""
EPSILON, PGD_STEPS = 8 / 255, 20
PATH = 2.5  # radii that the steps of the attack add up to
DATA_BYTES = 50_000 * 32 * 32 * 3
"""Of the training images at least, about; as many as CIFAR-10 has, so that each step's shuffling costs what it does."""

_NAME = re.compile(r"(wrn)-(\d+)-(\d+)|(resnet)-(50|101|152)")


class Network(NamedTuple):
    """A network and how it is trained.

    Attributes:
      name: "wrn-<depth>-<width>" or "resnet-<depth>".
      image_size: side of the square images, in pixels.
      batch_size: images of a step.
      precision: of the products.
      steps: of a stretch.
    """

    name: str
    image_size: int
    batch_size: int
    precision: str
    steps: int


def family(name: str) -> tuple[str, int, int]:
    """Family, depth and width of a network by its name.

    Raises:
      ValueError: there is no such network.

    Example:
      >>> from experiments.benchmark import image_rows as benchmark_image_rows
      >>> benchmark_image_rows.family("wrn-28-10")
      ('wrn', 28, 10)
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise SettingError(f"--image_networks must be auto, wrn-<depth>-<width> or resnet-<50, 101, 152>, got {name!r}")
    wide, depth, width, _, layers = match.groups()
    return ("wrn", int(depth), int(width)) if wide else ("resnet", int(layers), 1)


FAMILIES = {
    "wrn": (FUNCTIONS, 10),
    "resnet": (FUNCTIONS._replace(network=networks.resnet), 1000),
}
"""A family's recipe and classes."""


def random_images(network: Network, num_classes: int) -> data.Dataset:
    """Random images, the same every time: whole stretches of them, of `DATA_BYTES` together or more."""
    stretch, rng = network.steps * network.batch_size, np.random.default_rng(0)
    count = stretch * max(1, -(-DATA_BYTES // (stretch * 3 * network.image_size**2)))
    images = rng.integers(0, 256, (count, network.image_size, network.image_size, 3), np.uint8)
    train = data.Split(images, np.arange(count, dtype=np.int32) % num_classes)
    return data.Dataset("random", train, None, train, num_classes)


class ImageBenchmark:
    """One network: training, a population and an attack, as the experiments run them and as plain loops.

    Args:
      network: what is measured.
    """

    def __init__(self, network: Network):
        kind, depth, width = family(network.name)
        functions, num_classes = FAMILIES[kind]
        config = Cifar10Config(
            depth=depth,
            width=width,
            batch_size=network.batch_size,
            steps_per_call=network.steps,
            precision=network.precision,
        )
        self.network, self.recipe = network, Recipe(config, random_images(network, num_classes), functions)
        self._shapes = jax.eval_shape(self.recipe.init)
        self.num_parameters = sum(leaf.size for leaf in jax.tree.leaves(self._shapes.params))
        platform = jax.local_devices()[0].platform
        self.members_at_once = training.choose_members_at_once(self.num_parameters, platform, whole=self.recipe.whole)

    def forward_flops(self) -> int:
        """FLOPs of an image's convolutions and products on the way forward."""
        inputs = jax.ShapeDtypeStruct((1, *self.recipe.dataset.train.inputs.shape[1:]), jnp.float32)
        return product_flops(lambda params, x: self._logits(params, None, x), self._shapes.params, inputs)

    def xla_cost(self) -> Cost | None:
        """One training step as XLA counts it."""
        images, labels = self.recipe.dataset.train
        size = self.network.batch_size
        # XLA leaves out the products with padding, of which small images have many.
        at_least = 3 * self.forward_flops() * size / 4
        return step_cost(self.recipe.step(None), self._shapes, training.Batch(images[:size], labels[:size]), at_least)

    def stretch(self) -> Turn:
        """A stretch of training as `training.fit` runs it, on all devices."""
        state = self.recipe.init()
        return _as_fit(self.recipe.run_from(state), training.REPLICATED, state)

    def loop(self) -> Turn:
        """The same train step, jitted and called from a Python loop on one device."""
        recipe, network = self.recipe, self.network
        state, resident = recipe.init(), training.Batch(*map(jnp.asarray, recipe.dataset.train))
        shuffle = jax.jit(jax.random.permutation, static_argnums=1)
        train_step = recipe.step(None)

        def step(state: training.TrainState, resident: training.Batch, order: Array) -> Any:
            start = (state.step % network.steps) * network.batch_size
            rows = jax.lax.dynamic_slice_in_dim(order, start, network.batch_size)
            batch = training.Batch(data.to_unit_interval(resident.inputs[rows]), resident.labels[rows])
            return train_step(state, batch, jax.random.fold_in(state.key, state.step))

        jitted = jax.jit(step, donate_argnums=0)

        def turn() -> tuple[float, Mapping[str, Any]]:
            nonlocal state
            begin = time.perf_counter()
            order = shuffle(jax.random.fold_in(state.key, state.step), recipe.num_examples)
            for _ in range(network.steps):
                state, metrics = jitted(state, resident, order)
            jax.block_until_ready((state, metrics))
            return time.perf_counter() - begin, {"last_loss": float(metrics["loss"])}

        return turn

    def population(self) -> Turn:
        """A stretch of `MEMBERS` models that differ in rho and seed, as `experiments.core.population` trains them."""
        recipe = self.recipe
        own = {"rho": np.linspace(3.0, 1.0, MEMBERS), "seed": np.arange(MEMBERS)}
        sweep, resident = training.shard_epoch(recipe.run_population(self.members_at_once)), recipe.resident()
        run = recipe.driven(lambda placed: sweep(placed, resident))
        return _as_fit(run, training.spread_members(MEMBERS), training.init_population(recipe.init, own))

    def runner(self) -> Turn:
        """PGD by `attacks.Runner`, on one device."""
        attack = attacks.pgd(EPSILON, num_steps=PGD_STEPS, step_size=attacks.path_length(PATH), random_start=False)
        run = attacks.Runner(attack, self._logits, batch_size=self.network.batch_size)
        return self._attacked(lambda params, *images: run(params, jax.random.key(0), *images).inputs)

    def pgd_loop(self) -> Turn:
        """A step of PGD, jitted and called from a Python loop; at the end the answers, as the runner gives them."""

        @jax.jit
        def step(params: Params, inputs: Array, labels: Array, current: Array) -> Array:
            slope = jax.grad(lambda x: losses.cross_entropy(self._logits(params, None, x), labels).sum())(current)
            moved = current + PATH * EPSILON / PGD_STEPS * jnp.sign(slope)
            return jnp.clip(jnp.clip(moved, inputs - EPSILON, inputs + EPSILON), 0.0, 1.0)

        answer = jax.jit(lambda params, x: self._logits(params, None, x).argmax(-1))

        def attack(params: Params, inputs: Array, labels: Array) -> np.ndarray:
            current = inputs
            for _ in range(PGD_STEPS):
                current = step(params, inputs, labels, current)
            answer(params, current).block_until_ready()
            return np.asarray(current)

        return self._attacked(attack)

    def _logits(self, params: Params, keys: Array | None, inputs: Array) -> Array:
        return self.recipe.model.decode(params, self.recipe.model.encode(params, inputs).mean)

    def _attacked(self, attack: Callable[..., Any]) -> Turn:
        params, (images, labels) = self.recipe.init().params, self.recipe.dataset.train
        size = self.network.batch_size
        inputs, answers = data.to_unit_interval(jnp.asarray(images[:size])), jnp.asarray(labels[:size])
        loss = jax.jit(lambda params, x: losses.cross_entropy(self._logits(params, None, x), answers).mean())

        def turn() -> tuple[float, Mapping[str, Any]]:
            begin = time.perf_counter()
            found = attack(params, inputs, answers)
            seconds = time.perf_counter() - begin
            return seconds, {"last_loss": float(loss(params, found))}

        return turn


def _as_fit(run: Callable[[Any], Any], placement: training.Placement, state: Any) -> Turn:
    """A turn of one stretch, with what `training.fit` does to have its metrics."""
    placed = placement.put(state)

    def turn() -> tuple[float, Mapping[str, Any]]:
        nonlocal placed
        begin = time.perf_counter()
        placed, traced = run(placed)
        parts = [placement.get(part) for part in (traced if isinstance(traced, list) else [traced])]
        traces = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
        jax.block_until_ready(placed)
        return time.perf_counter() - begin, {"last_loss": float(traces["loss"][..., -1].mean())}

    return turn
