"""The adversarial suite of `experiments.benchmark`: what a step of adversarial training costs, in plain steps.

A step against n steps of PGD on the whole batch runs the network n + 1 times forth and back, so n + 1 plain steps are
what it may cost; n of them need no gradient of the weights and no optimizer, so it should cost less.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from experiments.benchmark import jax_programs as benchmark_jax
from experiments.benchmark.device import MatrixPeak, peak_memory
from experiments.benchmark.program import Program, Stretch
from experiments.benchmark.show import print_peak, print_targets, spread, summary
from experiments.benchmark.turns import Row, Turn, take_turns, timed
from experiments.ib_adversarial_training.recipe import recipe_of
from experiments.ib_adversarial_training.settings import FGSM, NONE, PGD, AdversarialConfig
from ib_jax import training

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

PLAIN = "plain"
GOAL = 20  # steps of PGD
WAYS: dict[str, dict[str, Any]] = {
    PLAIN: {"adversary": NONE},
    "fgsm": {"adversary": FGSM},
    "pgd-5": {"adversary": PGD, "adversary_steps": 5},
    "pgd-10": {"adversary": PGD, "adversary_steps": 10},
    "pgd-20": {"adversary": PGD, "adversary_steps": GOAL},
    "pgd-20, half": {"adversary": PGD, "adversary_steps": GOAL, "adversary_fraction": 0.5},
}


def adversarial_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Plain and adversarial steps of the paper's MLP, taking turns, on one device."""
    base = AdversarialConfig(batch_size=config.batch_size, average_decay=0.999, adversary_fraction=1.0)
    steps, peak = config.steps, MatrixPeak(matmul_sizes, config.precision)
    rows: dict[str, Row] = {name: {"label": name, **settings} for name, settings in WAYS.items()}
    starts: dict[str, Callable[[], Turn]] = {
        name: _starter(dataclasses.replace(base, **settings), steps) for name, settings in WAYS.items()
    }
    take_turns(console, rows, starts, repeats=config.repeats, each_round=peak.measure)
    for row in rows.values():
        row["step_ms"] = summary([1000 * seconds / steps for seconds in row["seconds"]])
        row["over_plain"] = summary(
            [own / plain for own, plain in zip(row["seconds"], rows[PLAIN]["seconds"], strict=True)]
        )
    measured = rows[f"pgd-{GOAL}"]["over_plain"]["median"]
    target = f"one step against PGD-{GOAL} on the whole batch, in plain steps"
    return {
        "matrix_peak": peak.summary(),
        "peak_memory": peak_memory(),
        "hidden": "{512}x3-{256}x3",
        "latent_dim": base.latent_dim,
        "rows": rows,
        "targets": {target: {"target": GOAL + 1, "measured": measured, "met": measured <= GOAL + 1, "at_most": True}},
    }


def _starter(config: AdversarialConfig, steps: int) -> Callable[[], Turn]:
    def start() -> Turn:
        recipe = recipe_of(config, benchmark_jax.random_dataset(steps * config.batch_size))
        run = Program(jax.jit(recipe.epoch(None, 1), donate_argnums=0))
        state, resident = recipe.init(), training.Batch(*map(jnp.asarray, recipe.dataset.train))

        def stretch() -> float:
            nonlocal state
            state, metrics = jax.block_until_ready(run(state, resident))
            return float(metrics["loss"][-1])

        return timed(Stretch(stretch, run))

    return start


def print_adversarial(console: Console, record: Mapping[str, Any]) -> None:
    """Prints the table, the peak and the target."""
    config = record["config"]
    title = (
        f"MLP {record['hidden']}-2K, K = {record['latent_dim']}, batch {config['batch_size']}, "
        f"{config['repeats']} rounds of {config['steps']} steps; attacks on the whole batch, or half of it"
    )
    table = Table(title=title, title_justify="left")
    for column in ("", "compile, s", "step, ms (range)", "x plain (range)"):
        table.add_column(column, justify="left" if not column else "right")
    for row in record["rows"].values():
        compiled = f"{row['compile_seconds']:.1f}"
        table.add_row(row["label"], compiled, spread(row["step_ms"], ".2f"), spread(row["over_plain"], ".2f"))
    console.print(table)
    print_peak(console, record)
    print_targets(console, record)
