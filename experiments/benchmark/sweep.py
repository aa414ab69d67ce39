"""The sweep suite of `experiments.benchmark`: a population of models in one program beside one model on its own.

For two networks, one whose products fill the machine and one so small that calls cost as much as arithmetic. Both rows
take the path of the experiments: `Recipe`, `training.make_sweep`, members dealt out over all devices. The single model
is the best there is of it: a whole epoch in one compiled loop, on one device.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.benchmark import jax_programs as benchmark_jax
from experiments.benchmark.device import MatrixPeak, own_arithmetic, peak_memory
from experiments.benchmark.program import Cost, Program, Stretch, step_cost
from experiments.benchmark.projection import project
from experiments.benchmark.show import summary
from experiments.benchmark.sweep_report import NARROW, SINGLE, WIDE, sweep_targets
from experiments.benchmark.turns import Row, Turn, Work, add_speed, take_turns, timed
from experiments.core.recipe import Recipe
from experiments.mnist_vib.settings import Config as VibConfig
from ib_jax import training

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

NARROW_SIZES = {"latent_dim": 2, "hidden_width": 128}


class SweepBenchmark:
    """One network: a model on its own, and a population in any way of going through its members.

    Args:
      vib: the configuration of all models; members differ in beta and seed.
      members: M.
      steps: of one stretch, an epoch of random images.
    """

    def __init__(self, vib: VibConfig, members: int, steps: int):
        self.vib, self.members, self.steps = vib, members, steps
        self._recipe = Recipe(vib, benchmark_jax.random_dataset(steps * vib.batch_size))
        self._shapes = jax.eval_shape(self._recipe.init)
        self.num_parameters = sum(leaf.size for leaf in jax.tree.leaves(self._shapes.params))
        self.matmul_flops = benchmark_jax.matmul_flops(benchmark_jax.layers(vib), vib.batch_size)
        self._placement = training.spread_members(members)
        self._placed: Any = None

    def xla_cost(self) -> Cost | None:
        """One step of one model as XLA counts it."""
        images, labels = self._recipe.dataset.train
        batch = training.Batch(images[: self.vib.batch_size], labels[: self.vib.batch_size])
        return step_cost(self._recipe.step(None), self._shapes, batch, self.matmul_flops)

    def ways(self) -> tuple[dict[int, int | None], int]:
        """The ways to try, from the members of a device computed at once to `members_at_once`; and the chosen one."""
        chosen = training.choose_members_at_once(self.num_parameters, jax.default_backend())
        on_device = -(-self.members // jax.device_count())
        sizes = {on_device if way is None else min(way, on_device): way for way in (1, 2, chosen, None)}
        return dict(sorted(sizes.items())), on_device if chosen is None else min(chosen, on_device)

    def single(self) -> Stretch:
        """One model on one device."""
        run = Program(jax.jit(self._recipe.epoch(None, 1), donate_argnums=0))
        state, resident = self._recipe.init(), training.Batch(*map(jnp.asarray, self._recipe.dataset.train))

        def stretch() -> float:
            nonlocal state
            state, metrics = jax.block_until_ready(run(state, resident))
            return float(metrics["loss"][-1])

        return Stretch(stretch, run)

    def population(self, members_at_once: int | None) -> Stretch:
        """All members on all devices; every way goes on with the same population, so that memory holds only one."""
        run = Program(training.shard_epoch(self._recipe.run_population(members_at_once)))
        if self._placed is None:
            own = {"beta": np.geomspace(1e-4, 1e-1, self.members), "seed": np.arange(self.members)}
            self._placed = (
                self._placement.put(training.init_population(self._recipe.init, own)),
                self._recipe.resident(),
            )

        def stretch() -> float:
            placed, resident = self._placed
            placed, metrics = jax.block_until_ready(run(placed, resident))
            self._placed = placed, resident
            return float(training.unreplicate(metrics["loss"])[0, -1])

        return Stretch(stretch, run)


def sweep_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Single models, populations and the matrix peak, taking turns."""
    peak = MatrixPeak(matmul_sizes, config.precision)
    benchmarks = {
        name: SweepBenchmark(benchmark_jax.train_config(config, **sizes), config.members, config.steps)
        for name, sizes in {WIDE: {}, NARROW: NARROW_SIZES}.items()
    }
    rows: dict[tuple[str, str], Row] = {}
    start: dict[tuple[str, str], Callable[[], Turn]] = {}
    for name, benchmark in benchmarks.items():
        rows[name, SINGLE] = {"label": "one model, one device", "members": 1, "devices": 1}
        start[name, SINGLE] = _starter(benchmark.single)
        ways, chosen = benchmark.ways()
        for at_once, way in ways.items():
            key = name, f"at-once-{at_once}"
            label = f"{config.members} models, {at_once} at once"
            rows[key] = {"label": label, "members": config.members, "devices": jax.device_count()}
            rows[key] |= {"members_at_once": at_once, "chosen": at_once == chosen}
            start[key] = _starter(benchmark.population, way)
    take_turns(console, rows, start, repeats=config.repeats, each_round=peak.measure)
    matrix_peak = peak.summary()
    networks: dict[str, dict[str, Any]] = {}
    for name, benchmark in benchmarks.items():
        own = {row: found for (network, row), found in rows.items() if network == name}
        networks[name] = _described(benchmark, own, matrix_peak)
    wide = next(row for row in networks[WIDE]["rows"].values() if row.get("chosen"))
    return {
        "matrix_peak": matrix_peak,
        "peak_memory": peak_memory(),
        "networks": networks,
        "targets": sweep_targets(networks),
        "projection": project(networks[WIDE], config, wide),
    }


def _starter(make: Callable[..., Stretch], *args: Any) -> Callable[[], Turn]:
    return lambda: timed(make(*args))


def _described(benchmark: SweepBenchmark, rows: dict[str, Row], matrix_peak: dict[str, Any]) -> dict[str, Any]:
    """One network's part of the record."""
    cost, images = benchmark.xla_cost(), benchmark.steps * benchmark.vib.batch_size
    xla_flops = None if cost is None else cost.flops
    for row in rows.values():
        models = row["members"]
        xla = None if xla_flops is None else models * benchmark.steps * xla_flops
        matmul = models * benchmark.steps * benchmark.matmul_flops
        add_speed(row, Work(benchmark.steps, models * images, matmul, xla, row["devices"]), matrix_peak)
    rates = {name: row["images_per_second"]["rounds"] for name, row in rows.items()}
    for name, row in rows.items():
        if name != SINGLE:
            row["over_single"] = summary([all_ / one for all_, one in zip(rates[name], rates[SINGLE], strict=True)])
    return {
        "latent_dim": benchmark.vib.latent_dim,
        "hidden_width": benchmark.vib.hidden_width,
        "num_parameters": benchmark.num_parameters,
        "flops_per_step": {"matmul": benchmark.matmul_flops, "xla": xla_flops},
        "bytes_per_step": None if cost is None else cost.num_bytes,
        "own_arithmetic": own_arithmetic(jax.device_count()),
        "rows": rows,
    }
