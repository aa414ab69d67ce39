"""The suites of the papers' MLP: train, sweep, scaling, adversarial. All take the path of the experiments, `Recipe`.

train: the VIB step in JAX and in PyTorch. sweep: a population of models in one program beside one model on its own, the
best there is of it (a whole epoch in one compiled loop, on one device), for a network whose products fill the machine
and for one so small that calls cost as much as arithmetic.

scaling: the step on one device, two, four, ... and all of all processes. Weak scaling gives every device the same
batch, strong scaling divides one global batch. Up to a process's own devices every process trains by itself, all at the
same time; the last row is all of them together. The batches lie on the devices before the clock starts, so that neither
memory nor shuffling grows with their number; all devices hold the same images, but draw their own noise.

adversarial: a step against n steps of PGD on the whole batch runs the network n + 1 times forth and back, so n + 1
plain steps are what it may cost; n of them need no gradient of the weights and no optimizer, so it should cost less.
"""

import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmark import torch_worker
from experiments.benchmark.device import check_threads
from experiments.benchmark.measure import Plan, Row, Turn, Work
from experiments.benchmark.program import Cost, Program, step_cost
from experiments.benchmark.settings import Config
from experiments.core.recipe import Recipe
from experiments.ib_adversarial_training import Config as AdversarialConfig
from experiments.ib_adversarial_training import recipe_of
from experiments.mnist_vib import Config as VibConfig
from ib_jax import data, training
from ib_jax.training import parallel
from ib_jax.types import Array

IMAGE_SHAPE, NUM_CLASSES = (28, 28, 1), 10
NETWORKS: dict[str, dict[str, Any]] = {"wide": {}, "narrow": {"latent_dim": 2, "hidden_width": 128}}
"""Of the sweep: what differs from the flags."""
WAYS: dict[str, dict[str, Any]] = {
    "plain": {"adversary": "none"},
    "fgsm": {"adversary": "fgsm"},
    **{f"pgd-{steps}": {"adversary": "pgd", "adversary_steps": steps} for steps in (5, 10, 20)},
    "pgd-20, half": {"adversary": "pgd", "adversary_steps": 20, "adversary_fraction": 0.5},
}
"""Of adversarial training."""
TORCH_LABELS = {"eager": "eager", "fused": "fused Adam", "compile": "compile, fused Adam"}


def train_config(config: Config, **settings: Any) -> VibConfig:
    """The main job's configuration with the benchmark's sizes, but for `settings`."""
    names = ("batch_size", "latent_dim", "hidden_width", "precision")
    sizes = {name: getattr(config, name) for name in names}
    return dataclasses.replace(VibConfig(learning_rate=1e-4), **(sizes | settings))


def random_dataset(num_examples: int) -> data.Dataset:
    """Random images of MNIST's shape, the same every time."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_examples, *IMAGE_SHAPE), np.uint8)
    train = data.Split(images, rng.integers(0, NUM_CLASSES, num_examples, np.int32))
    return data.Dataset("random", train, None, train, NUM_CLASSES)


def layers(config: VibConfig) -> list[list[int]]:
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

    Example:
      >>> from experiments.benchmark import mlp
      >>> mlp.matmul_flops([[3, 4], [4, 2]], batch_size=10)
      960
    """
    products = [fan_in * fan_out for fan_in, fan_out in layers]
    return 2 * batch_size * (3 * sum(products) - products[0])


def num_parameters(recipe: Recipe) -> int:
    """Of the recipe's network."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(recipe.init).params))


def cost_of(recipe: Recipe, device_batch: int) -> tuple[int, Cost | None]:
    """Of one step on one device: FLOPs of the products, and the cost as XLA counts it."""
    products = matmul_flops(layers(recipe.config), device_batch)
    batch = training.Batch(*random_dataset(device_batch).train)
    return products, step_cost(recipe.step(None), jax.eval_shape(recipe.init), batch, products)


def work_of(cost: Callable[[], tuple[int, Cost | None]], steps: int, batch_size: int, times: int = 1) -> Work:
    """Of so many steps, `times` over: of members, or of devices."""
    (products, xla), count = cost(), times * steps
    return Work(count * batch_size, steps, count * products, None if xla is None else count * xla.flops)


# ---- ways to run a recipe ----


def stretches(run: Program, state: Any, *arguments: Any, replicated: bool = False) -> Turn:
    """A turn of one stretch, which goes on from the last.

    Args:
      run: (state, *arguments) -> (state, metrics).
      state: before the first stretch; in a list, if several turns go on with the same.
      *arguments: the data, the same for all stretches.
      replicated: whether the metrics have an axis of devices.
    """
    held = state if isinstance(state, list) else [state]

    def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
        begin = time.perf_counter()
        held[0], metrics = jax.block_until_ready(run(held[0], *arguments))
        losses = training.unreplicate(metrics["loss"]) if replicated else metrics["loss"]
        loss = float(np.asarray(losses).ravel()[-1])
        return time.perf_counter() - begin, {"last_loss": loss, **run.describe()}

    return turn


def on_all_devices(recipe: Recipe) -> Turn:
    """The library's path, as the main job takes it: a whole epoch in one compiled loop, on all devices."""
    run = Program(training.shard_epoch(recipe.epoch(parallel.AXIS, jax.device_count())))
    return stretches(run, training.replicate(recipe.init()), recipe.resident(), replicated=True)


def on_one_device(recipe: Recipe) -> Turn:
    """A whole epoch in one compiled loop, on one device."""
    run = Program(jax.jit(recipe.epoch(None, 1), donate_argnums=0))
    return stretches(run, recipe.init(), training.Batch(*map(jnp.asarray, recipe.dataset.train)))


def in_a_python_loop(recipe: Recipe) -> Turn:
    """The same step, jitted and called from a Python loop on one device."""
    state, resident = recipe.init(), training.Batch(*map(jnp.asarray, recipe.dataset.train))
    shuffle = jax.jit(jax.random.permutation, static_argnums=1)
    train_step, size, num_steps = recipe.step(None), recipe.config.batch_size, recipe.steps_per_call

    def step(state: training.TrainState, resident: training.Batch, order: Array) -> Any:
        rows = jax.lax.dynamic_slice_in_dim(order, (state.step % num_steps) * size, size)
        batch = training.Batch(data.to_unit_interval(resident.inputs[rows]), resident.labels[rows])
        return train_step(state, batch, jax.random.fold_in(state.key, state.step))

    run = Program(jax.jit(step, donate_argnums=0))

    def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
        nonlocal state
        begin = time.perf_counter()
        order = shuffle(jax.random.fold_in(state.key, state.step), recipe.num_examples)
        for _ in range(num_steps):
            state, metrics = run(state, resident, order)
        jax.block_until_ready((state, metrics))
        return time.perf_counter() - begin, {"last_loss": float(metrics["loss"]), **run.describe()}

    return turn


# ---- the suites ----


def train(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """The VIB step: JAX and the PyTorch peers."""
    vib = train_config(config)
    recipe = Recipe(vib, random_dataset(config.steps * config.batch_size))
    cost = functools.cache(lambda: cost_of(recipe, config.batch_size))
    row = functools.partial(Row, "", work=functools.partial(work_of, cost, config.steps, config.batch_size))
    rows = [
        row("jax-scan", "JAX, epoch in a scan", functools.partial(on_all_devices, recipe), devices=jax.device_count()),
        row("jax-loop", "JAX, Python loop", functools.partial(in_a_python_loop, recipe)),
    ]
    for peer in config.peer_names:
        rows.append(row(peer, _torch_label(peer), functools.partial(_torch_train, peer, vib, config.steps, stack)))

    def details() -> dict[str, Any]:
        products, xla = cost()
        return {"flops_per_step": {"matmul": products, "xla": None if xla is None else xla.flops}}

    return Plan(rows, details, config.precision)


def _torch_label(peer: str) -> str:
    text = f"PyTorch, {TORCH_LABELS[peer.removesuffix(torch_worker.AVX512)]}"
    return f"{text}, AVX-512" if peer.endswith(torch_worker.AVX512) else text


def _torch_train(peer: str, vib: VibConfig, steps: int, stack: contextlib.ExitStack) -> Turn:
    """Starts a peer; how to run it."""
    sizes: dict[str, Any] = {"steps": steps, "batch_size": vib.batch_size, "layers": layers(vib)}
    sizes |= {"beta": vib.beta, "average_decay": vib.average_decay}
    kind: dict[str, Any] = {"precision": vib.precision, "processes": jax.process_count()}
    torch_worker.refuse(torch_worker.missing(peer), jax.default_backend(), **kind)
    worker = stack.enter_context(torch_worker.start_training(peer, sizes))

    def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
        reply = worker({})
        return reply["seconds"], {"last_loss": reply["loss"], "process": worker.info}

    return turn


def sweep(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """For each network a model on its own, and a population in every way of going through its members."""
    rows: list[Row] = []
    facts: dict[str, Callable[[], dict[str, Any]]] = {}
    for table, sizes in NETWORKS.items():
        vib = train_config(config, **sizes)
        recipe = Recipe(vib, random_dataset(config.steps * vib.batch_size))
        cost = functools.cache(functools.partial(cost_of, recipe, vib.batch_size))
        work = functools.partial(work_of, cost, config.steps, config.batch_size)
        settings = {"latent_dim": vib.latent_dim, "hidden_width": vib.hidden_width}
        start: Callable[[], Turn] = functools.partial(on_one_device, recipe)
        label = "one model, one device"
        rows.append(Row(table, "single", label, start, work, settings={**settings, "members": 1}))
        ways, chosen = ways_through(config.members, num_parameters(recipe))
        held: list[Any] = []
        for at_once, way in ways.items():
            start = functools.partial(_population, recipe, config.members, way, held)
            label, name = f"{config.members} models, {at_once} at once", f"at-once-{at_once}"
            own = {**settings, "members": config.members, "members_at_once": at_once, "chosen": at_once == chosen}
            all_work = functools.partial(work, config.members)
            rows.append(Row(table, name, label, start, all_work, jax.device_count(), own))
        facts[table] = functools.partial(_describe, recipe, cost, settings)
    return Plan(rows, lambda: {"tables": {name: made() for name, made in facts.items()}}, config.precision)


def _describe(recipe: Recipe, cost: Callable[[], tuple[int, Cost | None]], settings: dict[str, Any]) -> dict[str, Any]:
    products, xla = cost()
    flops = {"matmul": products, "xla": None if xla is None else xla.flops}
    moved = None if xla is None else xla.num_bytes
    return {**settings, "num_parameters": num_parameters(recipe), "flops_per_step": flops, "bytes_per_step": moved}


def ways_through(members: int, num_parameters: int) -> tuple[dict[int, int | None], int]:
    """The ways to try, from the members of a device computed at once to `members_at_once`; and the chosen one."""
    chosen = training.choose_members_at_once(num_parameters, jax.default_backend())
    on_device = -(-members // jax.device_count())
    sizes = {on_device if way is None else min(way, on_device): way for way in (1, 2, chosen, None)}
    return dict(sorted(sizes.items())), on_device if chosen is None else min(chosen, on_device)


def _population(recipe: Recipe, members: int, members_at_once: int | None, held: list[Any]) -> Turn:
    """All members on all devices; every way goes on with the same population, so that memory holds only one."""
    run = Program(training.shard_epoch(recipe.run_population(members_at_once)))
    if not held:
        own = {"beta": np.geomspace(1e-4, 1e-1, members), "seed": np.arange(members)}
        placement = training.spread_members(members)
        held += [placement.put(training.init_population(recipe.init, own)), recipe.resident()]
    return stretches(run, held, held[1], replicated=True)


def scaling(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """Every number of devices, with weak and with strong scaling."""
    local, total = jax.local_device_count(), jax.device_count()
    if jax.default_backend() == "cpu":
        check_threads(os.environ.get("PJRT_NPROC"), os.cpu_count() or 1, local)
    vib = train_config(config)
    # The recipe needs images to start from; what it trains on is handed over.
    recipe = Recipe(vib, random_dataset(vib.batch_size))
    counts = device_counts(local, total)
    divide = [count for count in counts if config.global_batch_size % count == 0]
    batches = {("weak", count): config.batch_size for count in counts}
    batches |= {("strong", count): config.global_batch_size // count for count in divide}
    costs = {size: functools.cache(functools.partial(cost_of, recipe, size)) for size in batches.values()}
    rows = [
        Row(
            kind,
            str(count),
            f"{count} device{'s' * (count > 1)}",
            functools.partial(_on_some_devices, recipe, config.steps, count, size),
            functools.partial(work_of, costs[size], config.steps, size, count),
            count,
            {"processes": jax.process_count() if count == total else 1, "batch_size": count * size},
        )
        for (kind, count), size in batches.items()
    ]
    details = {
        "devices": {"local": local, "total": total, "processes": jax.process_count()},
        "platform": jax.default_backend(),
        "num_parameters": num_parameters(recipe),
        "strong_left_out": [count for count in counts if count not in divide],
    }
    return Plan(rows, lambda: details, config.precision)


def device_counts(local: int, total: int) -> list[int]:
    """Powers of two up to a process's devices, all of these, and all devices of all processes.

    Example:
      >>> from experiments.benchmark import mlp
      >>> mlp.device_counts(6, 12)
      [1, 2, 4, 6, 12]
    """
    return sorted({2**power for power in range(local.bit_length())} | {local, total})


def _on_some_devices(recipe: Recipe, steps: int, num_devices: int, device_batch: int) -> Turn:
    """So many devices of this process, or all of all."""
    devices = None if num_devices == jax.device_count() else jax.local_devices()[:num_devices]
    epoch = training.make_stretch(recipe.step(parallel.AXIS), prepare=data.to_unit_interval)
    run = Program(training.shard_epoch(epoch, devices))
    images, labels = random_dataset(steps * device_batch).train
    shape = steps, device_batch
    batches = training.Batch(images.reshape(*shape, *images.shape[1:]), labels.reshape(shape))
    state = training.replicate(recipe.init(), devices)
    train = stretches(run, state, training.replicate(batches, devices), replicated=True)

    def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
        seconds, found = train(min_seconds)
        return seconds, {**found, "all_reduces": run.all_reduces()}

    return turn


def adversarial(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """Plain and adversarial steps of the paper's MLP, on one device."""
    base = AdversarialConfig(batch_size=config.batch_size, average_decay=0.999, adversary_fraction=1.0)
    images = config.steps * config.batch_size

    def start(settings: Mapping[str, Any]) -> Turn:
        return on_one_device(recipe_of(dataclasses.replace(base, **settings), random_dataset(images)))

    rows = [
        Row("", name, name, functools.partial(start, settings), lambda: Work(images, config.steps), settings=settings)
        for name, settings in WAYS.items()
    ]
    return Plan(rows, lambda: {"hidden": "{512}x3-{256}x3", "latent_dim": base.latent_dim}, config.precision)
