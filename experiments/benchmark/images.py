"""The images suite: convolutional networks in training, in a population and under attack.

Each path is the experiments' own, and stands beside the same steps called from a plain Python loop: on a CPU, where a
convolution inside a compiled loop is many times slower, all that a compiled loop could gain is not to lose.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmark.machine import Cost, product_flops, step_cost
from experiments.benchmark.measure import Plan, Row, Turn, random_dataset, stretches, timed
from experiments.benchmark.mlp import in_a_python_loop, num_parameters
from experiments.benchmark.settings import AUTO, CPU_NETWORKS, NETWORKS, Config, family
from experiments.cifar10_ceb import FUNCTIONS
from experiments.cifar10_ceb import Config as Cifar10Config
from experiments.core import networks as core_networks
from experiments.core.recipe import Recipe
from ib_jax import attacks, data, losses, training
from ib_jax.types import Array, Params

MEMBERS = 2
"""Models of the population."""
EPSILON, PGD_STEPS = 8 / 255, 20
PATH = 2.5  # radii that the steps of the attack add up to
DATA_BYTES = 50_000 * 32 * 32 * 3
"""Of the training images at least, about; as many as CIFAR-10 has, so that each step's shuffling costs what it does."""
CPU_STEPS, STEPS, CPU_BATCH = 10, 20, 100
SIZES = {"wrn": (32, 512), "resnet": (224, 256)}
"""Image size and, but on a CPU, batch size."""
DATA_SHEET = {
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H200": 989.4e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v6 lite": 918e12,
}
"""FLOP/s in bfloat16, dense, by JAX's name of the device: NVIDIA's data sheets, Google's Cloud TPU documentation."""
FAMILIES = {
    "wrn": (FUNCTIONS, 10),
    "resnet": (FUNCTIONS._replace(network=core_networks.resnet), 1000),
}
"""A family's recipe and classes."""


class Network(NamedTuple):
    """A network and how it is trained."""

    name: str  # "wrn-<depth>-<width>" or "resnet-<depth>"
    image_size: int  # side of the square images, in pixels
    batch_size: int  # images of a step
    precision: str  # of the products
    steps: int  # of a stretch


def networks(config: Config, platform: str) -> list[Network]:
    """What is measured: as the flags say, and where they leave it open as suits the platform ("cpu", "gpu", "tpu").

    Example:
      >>> from experiments.benchmark import images, settings
      >>> images.networks(settings.Config(image_networks="wrn-16-4"), "cpu")
      [Network(name='wrn-16-4', image_size=32, batch_size=100, precision='float32', steps=10)]
    """
    on_cpu = platform == "cpu"
    named = (CPU_NETWORKS if on_cpu else NETWORKS) if config.image_networks == AUTO else config.image_networks
    precision = ("float32" if on_cpu else "bfloat16") if config.image_precision == AUTO else config.image_precision
    found = []
    for name in named.split(","):
        size, batch = SIZES[family(name)[0]]
        batch_size = config.image_batch_size or (CPU_BATCH if on_cpu else batch)
        steps = config.image_steps or (CPU_STEPS if on_cpu else STEPS)
        found.append(Network(name, config.image_size or size, batch_size, precision, steps))
    return found


def images(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """All networks: training, a population and an attack, as the experiments run them and as plain loops."""
    device = jax.devices()[0]
    benchmarks = {network.name: ImageBenchmark(network) for network in networks(config, device.platform)}
    precision = next(iter(benchmarks.values())).network.precision
    sheet = DATA_SHEET.get(device.device_kind) if precision == "bfloat16" else None

    def details() -> dict[str, Any]:
        tables = {name: made.describe() for name, made in benchmarks.items()}
        return {"tables": tables, "data_sheet_peak": sheet, "platform": device.platform}

    return Plan([row for made in benchmarks.values() for row in made.rows()], details, precision)


class ImageBenchmark:
    """One network; its random images are whole stretches, of `DATA_BYTES` together or more."""

    def __init__(self, network: Network):
        kind, depth, width = family(network.name)
        functions, num_classes = FAMILIES[kind]
        shape, stretch = (network.image_size, network.image_size, 3), network.steps * network.batch_size
        count = stretch * max(1, -(-DATA_BYTES // (stretch * int(np.prod(shape)))))
        config = Cifar10Config(
            depth=depth,
            width=width,
            batch_size=network.batch_size,
            steps_per_call=network.steps,
            precision=network.precision,
        )
        self.network = network
        self.recipe = Recipe(config, random_dataset(count, shape, num_classes), functions)
        self._shapes = jax.eval_shape(self.recipe.init)
        self.num_parameters = num_parameters(self._shapes)

    @property
    def members_at_once(self) -> int | None:
        """Of the population."""
        platform = jax.local_devices()[0].platform
        return training.choose_members_at_once(self.num_parameters, platform, whole=self.recipe.whole)

    def rows(self) -> list[Row]:
        """Each path of the experiments and, after it, the loop that it is held against."""
        name, _, size, _, steps = self.network
        row, loop, devices = functools.partial(Row, name), "its steps in a Python loop", jax.device_count()
        own: dict[str, Any] = {"images": steps * size, "steps": steps, "cost": lambda: self.step_cost().times(steps)}
        together = {**own, "images": MEMBERS * steps * size, "cost": lambda: self.step_cost().times(MEMBERS * steps)}
        attacked: dict[str, Any] = {"images": size, "steps": PGD_STEPS, "cost": self.attack_cost}
        return [
            row("stretch", "training, as fit runs it", self.stretch, devices=devices, **own),
            row("loop", loop, lambda: in_a_python_loop(self.recipe), **own),
            row(
                "population", f"{MEMBERS} models, as a sweep trains them", self.population, devices=devices, **together
            ),
            row("runner", f"PGD-{PGD_STEPS}, attacks.Runner", self.runner, **attacked),
            row("pgd-loop", loop, self.pgd_loop, **attacked),
        ]

    def describe(self) -> dict[str, Any]:
        """What the record says of the network."""
        xla = self.step_cost().xla
        xla = None if xla is None else xla / self.network.batch_size
        return {
            **self.network._asdict(),
            "num_parameters": self.num_parameters,
            "num_train_images": self.recipe.num_examples,
            "whole": self.recipe.whole,
            "members": MEMBERS,
            "members_at_once": self.members_at_once,
            "flops_per_image": {"products": 3 * self.forward_flops(), "xla": xla},
        }

    @functools.cache  # noqa: B019
    def forward_flops(self) -> int:
        """FLOPs of an image's convolutions and products on the way forward."""
        image = jax.ShapeDtypeStruct((1, *self.recipe.dataset.train.inputs.shape[1:]), jnp.float32)
        return product_flops(lambda params, x: self._logits(params, None, x), self._shapes.params, image)

    @functools.cache  # noqa: B019
    def step_cost(self) -> Cost:
        """A training step takes three times the FLOPs of the way forward."""
        size, products = self.network.batch_size, 3 * self.forward_flops() * self.network.batch_size
        batch = training.Batch(*(part[:size] for part in self.recipe.dataset.train))
        # XLA leaves out the products with padding, of which small images have many.
        return step_cost(self.recipe.step(None), self._shapes, batch, products, share=1 / 4)

    def attack_cost(self) -> Cost:
        """An attack needs no gradient of the weights: its step takes twice those, its answers at the end once."""
        return Cost(self.network.batch_size * (2 * PGD_STEPS + 1) * self.forward_flops())

    def stretch(self) -> Turn:
        """A stretch of training as `training.fit` runs it, on all devices."""
        state = self.recipe.init()
        return _as_fit(self.recipe.run_from(state), training.REPLICATED, state)

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
        images, labels = (part[: self.network.batch_size] for part in self.recipe.dataset.train)
        params, inputs, answers = (
            self.recipe.init().params,
            data.to_unit_interval(jnp.asarray(images)),
            jnp.asarray(labels),
        )
        loss = jax.jit(lambda params, x: losses.cross_entropy(self._logits(params, None, x), answers).mean())
        describe = lambda adversarial: {"last_loss": float(loss(params, adversarial))}  # noqa: E731
        return timed(lambda: attack(params, inputs, answers), describe=describe)


def _as_fit(run: Callable[[Any], Any], placement: training.Placement, state: Any) -> Turn:
    """A turn of one stretch, with what `training.fit` does to have its metrics."""

    def stretch(placed: Any) -> Any:
        placed, traced = run(placed)
        parts = [placement.get(part) for part in (traced if isinstance(traced, list) else [traced])]
        traces = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
        return placed, traces["loss"]

    return stretches(stretch, placement.put(state))
