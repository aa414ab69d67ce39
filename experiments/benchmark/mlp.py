"""The suites of the papers' MLP: train, sweep, scaling, adversarial. All take the path of the experiments, `Recipe`.

train: the VIB step in JAX and in PyTorch, and its parts alone (`floor`). sweep: a population of models in one program
beside one model on its own, the best there is of it (a whole epoch in one compiled loop, on one device), for a network
whose products fill the machine and for one so small that calls cost as much as arithmetic.

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
import os
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmark import floor
from experiments.benchmark.machine import Cost, Program, check_threads, step_cost
from experiments.benchmark.measure import Plan, Row, Turn, random_dataset, refuse_peer, stretches
from experiments.benchmark.settings import AVX512, TORCH_WORKER, Config
from experiments.core import worker as core_worker
from experiments.core.recipe import Recipe
from experiments.ib_adversarial_training import Config as AdversarialConfig
from experiments.ib_adversarial_training import recipe_of
from experiments.mnist_vib import Config as VibConfig
from ib_jax import data, training
from ib_jax.training import parallel
from ib_jax.types import Array

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


# ---- one step, and ways to run a stretch of them ----


def recipe_for(config: Config, num_examples: int, **settings: Any) -> Recipe:
    """The main job on random images, with the benchmark's sizes but for `settings`."""
    names = ("batch_size", "latent_dim", "hidden_width", "precision")
    sizes = {name: getattr(config, name) for name in names}
    return Recipe(VibConfig(learning_rate=1e-4, **(sizes | settings)), random_dataset(num_examples))


def layers(config: VibConfig) -> list[list[int]]:
    """Inputs and outputs of each dense layer of the VIB network, the decoder last."""
    width = config.hidden_width
    return [[28 * 28, width], [width, width], [width, 2 * config.latent_dim], [config.latent_dim, 10]]


def num_parameters(state: training.TrainState) -> int:
    """Of a state, or of its shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def cost_of(recipe: Recipe, batch_size: int) -> Cost:
    """Of one step on one device."""
    return step_cost(recipe.step(None), jax.eval_shape(recipe.init), training.Batch(*random_dataset(batch_size).train))


def stretch_of(run: Program, state: Any, resident: Any, *, replicated: bool = True, all_reduces: bool = False) -> Turn:
    """A turn of (state, resident) -> (state, metrics), by default on several devices with metrics of each."""

    def stretch(state: Any) -> Any:
        state, metrics = run(state, resident)
        return state, (training.unreplicate(metrics) if replicated else metrics)["loss"]

    return stretches(stretch, state, describe=functools.partial(run.describe, all_reduces=all_reduces))


def on_all_devices(recipe: Recipe) -> Turn:
    """The library's path, as the main job takes it: a whole epoch in one compiled loop, on all devices."""
    run = Program(training.shard_epoch(recipe.epoch(parallel.AXIS, jax.device_count())))
    return stretch_of(run, training.replicate(recipe.init()), recipe.resident())


def on_one_device(recipe: Recipe) -> Turn:
    """A whole epoch in one compiled loop, on one device."""
    run = Program(jax.jit(recipe.epoch(None, 1), donate_argnums=0))
    return stretch_of(run, recipe.init(), training.Batch(*map(jnp.asarray, recipe.dataset.train)), replicated=False)


def in_a_python_loop(recipe: Recipe) -> Turn:
    """The same step, jitted and called from a Python loop on one device."""
    resident = training.Batch(*map(jnp.asarray, recipe.dataset.train))
    shuffle = jax.jit(jax.random.permutation, static_argnums=1)
    train_step, size, num_steps = recipe.step(None), recipe.config.batch_size, recipe.steps_per_call

    def step(state: training.TrainState, resident: training.Batch, order: Array) -> Any:
        rows = jax.lax.dynamic_slice_in_dim(order, (state.step % num_steps) * size, size)
        batch = training.Batch(data.to_unit_interval(resident.inputs[rows]), resident.labels[rows])
        return train_step(state, batch, jax.random.fold_in(state.key, state.step))

    run = Program(jax.jit(step, donate_argnums=0))

    def stretch(state: training.TrainState) -> Any:
        order = shuffle(jax.random.fold_in(state.key, state.step), recipe.num_examples)
        for _ in range(num_steps):
            state, metrics = run(state, resident, order)
        return state, metrics["loss"]

    return stretches(stretch, recipe.init(), describe=run.describe)


# ---- the suites ----


def train(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """The VIB step: JAX and the PyTorch peers."""
    images = config.steps * config.batch_size
    recipe = recipe_for(config, images)
    cost = functools.cache(lambda: cost_of(recipe, config.batch_size))
    sizes = config.batch_size, config.steps
    row = functools.partial(Row, "", images=images, steps=config.steps, cost=lambda: cost().times(config.steps))
    rows = [
        row("jax-scan", "JAX, epoch in a scan", lambda: on_all_devices(recipe), devices=jax.device_count()),
        row("jax-loop", "JAX, Python loop", lambda: in_a_python_loop(recipe)),
        row("products", "its matrix products alone", lambda: floor.products(layers(recipe.config), *sizes)),
        row("update", "its optimizer and average alone", lambda: floor.update(recipe, config.steps), cost=Cost),
    ]
    for peer in config.peer_names:
        label = f"PyTorch, {TORCH_LABELS[peer.removesuffix(AVX512)]}{', AVX-512' * peer.endswith(AVX512)}"
        rows.append(row(peer, label, functools.partial(_torch_train, peer, config.steps, recipe.config, stack)))
    return Plan(rows, lambda: {"flops_per_step": {"matmul": cost().products, "xla": cost().xla}}, config.precision)


def missing_torch(peer: str) -> str:
    """Why a way of PyTorch to train cannot run here; empty if it can."""
    reason = core_worker.missing(["torch"], "benchmark", avx512=peer.endswith(AVX512))
    if not reason and peer.startswith("compile"):
        compilers = filter(None, (os.environ.get("CXX"), shutil.which("g++"), shutil.which("clang++")))
        reason = "" if any(compilers) else "skipped: torch.compile needs a C++ compiler"
    return reason


def _torch_train(peer: str, steps: int, vib: VibConfig, stack: contextlib.ExitStack) -> Turn:
    """Starts a peer, which trains a stretch for each request."""
    refuse_peer(missing_torch(peer), vib.precision)
    sizes = {"steps": steps, "batch_size": vib.batch_size, "layers": layers(vib)}
    arguments = {**sizes, "beta": vib.beta, "average_decay": vib.average_decay, "optimizer": peer.removesuffix(AVX512)}
    worker = stack.enter_context(core_worker.Worker(TORCH_WORKER, arguments, avx512=peer.endswith(AVX512)))

    def turn(min_seconds: float) -> Any:
        reply = worker({})
        return reply["seconds"], {"last_loss": reply["loss"], "process": worker.info, "peak_bytes": worker.peak_bytes}

    return turn


def sweep(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """For each network a model on its own, and a population in every way of going through its members."""
    tables = {table: _population(config, table, sizes) for table, sizes in NETWORKS.items()}
    return Plan(
        [row for rows, _ in tables.values() for row in rows],
        lambda: {"tables": {table: details() for table, (_, details) in tables.items()}},
        config.precision,
    )


def _population(config: Config, table: str, sizes: dict[str, Any]) -> tuple[list[Row], Callable[[], dict[str, Any]]]:
    """The rows of a network, and what the record says of it."""
    members, images = config.members, config.steps * config.batch_size
    recipe = recipe_for(config, images, **sizes)
    parameters = num_parameters(jax.eval_shape(recipe.init))
    cost = functools.cache(lambda: cost_of(recipe, config.batch_size))
    settings = {name: getattr(recipe.config, name) for name in ("latent_dim", "hidden_width")}

    def row(name: str, label: str, start: Callable[[], Turn], members: int, **own: Any) -> Row:
        stretch = lambda: cost().times(members * config.steps)  # noqa: E731
        devices = jax.device_count() if own else 1
        own = {**settings, "members": members, **own}
        return Row(table, name, label, start, images * members, config.steps, stretch, devices, own)

    @functools.cache
    def population() -> tuple[list[Any], Any]:
        """Every way goes on with the same one, so that memory holds only one."""
        vary = {"beta": np.geomspace(1e-4, 1e-1, members), "seed": np.arange(members)}
        state = training.init_population(recipe.init, vary)
        return [training.spread_members(members).put(state)], recipe.resident()

    def on_all(way: int | None) -> Turn:
        held, resident = population()
        return stretch_of(Program(training.shard_epoch(recipe.run_population(way))), held, resident)

    rows = [row("single", "one model, one device", lambda: on_one_device(recipe), 1)]
    ways, chosen = ways_through(members, parameters)
    for at_once, way in ways.items():
        label, start = f"{members} models, {at_once} at once", functools.partial(on_all, way)
        own = {"members_at_once": at_once, "chosen": at_once == chosen}
        rows.append(row(f"at-once-{at_once}", label, start, members, **own))

    def details() -> dict[str, Any]:
        flops = {"matmul": cost().products, "xla": cost().xla}
        known = {"num_parameters": parameters, "flops_per_step": flops, "bytes_per_step": cost().num_bytes}
        return settings | known

    return rows, details


def ways_through(members: int, num_parameters: int) -> tuple[dict[int, int | None], int]:
    """The ways to try, from the members of a device computed at once to `members_at_once`; and the chosen one."""
    chosen = training.choose_members_at_once(num_parameters, jax.default_backend())
    on_device = -(-members // jax.device_count())
    sizes = {on_device if way is None else min(way, on_device): way for way in (1, 2, chosen, None)}
    return dict(sorted(sizes.items())), on_device if chosen is None else min(chosen, on_device)


def scaling(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """Every number of devices, with weak and with strong scaling."""
    local, total, steps = jax.local_device_count(), jax.device_count(), config.steps
    if jax.default_backend() == "cpu":
        check_threads(local)
    # The recipe needs images to start from; what it trains on is handed over.
    recipe = recipe_for(config, config.batch_size)
    counts = device_counts(local, total)
    divide = [count for count in counts if config.global_batch_size % count == 0]
    batches = {("weak", count): config.batch_size for count in counts}
    batches |= {("strong", count): config.global_batch_size // count for count in divide}
    cost = functools.cache(functools.partial(cost_of, recipe))
    rows = [
        Row(
            kind,
            str(count),
            f"{count} device{'s' * (count > 1)}",
            functools.partial(_on_some_devices, recipe, steps, count, size),
            images=steps * size * count,
            steps=steps,
            cost=functools.partial(lambda count, size: cost(size).times(steps * count), count, size),
            devices=count,
            settings={"processes": jax.process_count() if count == total else 1, "batch_size": count * size},
        )
        for (kind, count), size in batches.items()
    ]
    details = {
        "devices": {"local": local, "total": total, "processes": jax.process_count()},
        "platform": jax.default_backend(),
        "num_parameters": num_parameters(jax.eval_shape(recipe.init)),
        "strong_left_out": [count for count in counts if count not in divide],
    }
    return Plan(rows, lambda: details, config.precision)


def device_counts(local: int, total: int) -> list[int]:
    """Powers of two up to a process's devices, all of these, and all devices of all processes.

    Example:
      >>> device_counts(6, 12), device_counts(8, 32), device_counts(1, 1)
      ([1, 2, 4, 6, 12], [1, 2, 4, 8, 32], [1])
    """
    return sorted({2**power for power in range(local.bit_length())} | {local, total})


def _on_some_devices(recipe: Recipe, steps: int, num_devices: int, device_batch: int) -> Turn:
    """So many devices of this process, or all of all."""
    devices = None if num_devices == jax.device_count() else jax.local_devices()[:num_devices]
    epoch = training.make_stretch(recipe.step(parallel.AXIS), prepare=data.to_unit_interval)
    images, labels = random_dataset(steps * device_batch).train
    shape = steps, device_batch
    batches = training.Batch(images.reshape(*shape, *images.shape[1:]), labels.reshape(shape))
    run, state = Program(training.shard_epoch(epoch, devices)), training.replicate(recipe.init(), devices)
    return stretch_of(run, state, training.replicate(batches, devices), all_reduces=True)


def adversarial(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """Plain and adversarial steps of the paper's MLP, on one device."""
    base = AdversarialConfig(batch_size=config.batch_size, average_decay=0.999, adversary_fraction=1.0)
    images = config.steps * config.batch_size

    def start(settings: dict[str, Any]) -> Turn:
        return on_one_device(recipe_of(dataclasses.replace(base, **settings), random_dataset(images)))

    rows = [
        Row("", name, name, functools.partial(start, settings), images, config.steps, settings=settings)
        for name, settings in WAYS.items()
    ]
    return Plan(rows, lambda: {"hidden": "{512}x3-{256}x3", "latent_dim": base.latent_dim}, config.precision)
