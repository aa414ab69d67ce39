"""The suite `distances`: how small a perturbation each attack finds by when, beside other libraries' forms of it.

Every attack is run with ever more steps (HopSkipJump: queries), on the same network and images; each run is a point,
its seconds against the median distance of what it found. A failure counts as infinitely far, and a run that failed on
most images has no point.
"""

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console

from experiments import attack_comparison
from experiments.attack_comparison import Comparison
from experiments.benchmark.attacks import AttackBenchmark, attacked_model
from experiments.benchmark.measure import Plan, Row
from experiments.benchmark.settings import Config
from experiments.benchmark.tables import FIRST, Rows, Timed, column, table, tables_of
from experiments.core.plots import Figure
from experiments.core.records import Record
from experiments.core.report import Grid

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

STEPS = (10, 30, 100)
TITLES = {"l2": "L2", "linf": "L-inf", "l1": "L1", "l0": "L0, values"}
_CW = {"num_binary_steps": 5, "learning_rate": 0.03, "initial_const": 1.0, "abort_early": True}
_DECISIONS = "HopSkipJump"
_STEPS_A_ROUND = 5  # of HopSkipJump, which asks at least a hundred times in each
ATTACKS: dict[str, dict[str, Callable[[int], Comparison]]] = {
    "l2": {
        "Carlini-Wagner": lambda steps: attack_comparison.carlini_wagner(num_steps=steps, **_CW),
        "DeepFool": lambda steps: attack_comparison.deepfool("l2", steps),
        "FAB": lambda steps: attack_comparison.fab_without_radius("l2", steps),
        "DDN": attack_comparison.ddn,
        "FMN": lambda steps: attack_comparison.fmn("l2", steps),
        "HopSkipJump": lambda steps: attack_comparison.hop_skip_jump("l2", steps // _STEPS_A_ROUND),
    },
    "linf": {
        "DeepFool": lambda steps: attack_comparison.deepfool("linf", steps),
        "FAB": lambda steps: attack_comparison.fab_without_radius("linf", steps),
        "FMN": lambda steps: attack_comparison.fmn("linf", steps),
        "HopSkipJump": lambda steps: attack_comparison.hop_skip_jump("linf", steps // _STEPS_A_ROUND),
    },
    "l1": {"FMN": lambda steps: attack_comparison.fmn("l1", steps)},
    "l0": {"sigma-zero": attack_comparison.sigma_zero},
}
"""By norm; Carlini-Wagner takes the steps in each of five rounds."""


def distances(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan | None:
    """Every attack with every number of steps, here and elsewhere; None if training the network was stopped."""
    model = attacked_model(config, console)
    if model is None:
        return None
    made = AttackBenchmark(config, model, stack)
    rows: list[Row] = []
    for norm, attacks in ATTACKS.items():
        for name, make in attacks.items():
            for steps in STEPS:
                compared = make(steps)
                asked = compared.settings.get("num_queries", steps)
                more = {"attack": name, "steps": asked}
                rows.append(
                    made.row(
                        norm,
                        f"{name} {asked} jax",
                        f"{name}, JAX",
                        config.num_images,
                        made.ours,
                        compared.attack,
                        compared,
                        **more,
                    )
                )
                for peer in compared.peers if config.peers != "none" else ():
                    library = peer.partition(".")[0]
                    count = config.slow_images if peer == "torchattacks.DeepFool" else config.num_images
                    label = f"{name}, {library}"
                    rows.append(
                        made.row(
                            norm, f"{name} {asked} {library}", label, count, made.theirs, compared, peer, False, **more
                        )
                    )
    return Plan(rows, made.describe, dtype="", min_seconds=config.min_seconds)


def report(record: Record) -> list[Grid | str | Figure]:
    """A table for each norm, and all of them in one figure."""
    network, tables = record.details["network"], tables_of(record)
    count, clean = record.settings["num_images"], record.details["clean_accuracy"]
    shown: list[Grid | str | Figure] = [
        f"{count} images of {network['dataset']} ({network['checkpoint']}), {clean:.1%} right before the attack. "
        "Seconds are those of an attack on all of them, compiled; the first time compiles too."
    ]
    for norm, rows in tables.items():
        columns = {
            "steps, queries": lambda row: str(row.settings["steps"]),
            "images": lambda row: str(row.settings["num_images"]),
        }
        columns |= FIRST | column("seconds (range)", "seconds", spread=True)
        columns |= column("success", "success_rate", ".1%") | column("median distance", _median(norm), ".4g")
        shown.append(table(f"{TITLES[norm]}, median distance", rows, columns))
    alt = "Median distance of the perturbation against seconds, a panel for each norm, a line for each attack."

    def draw(canvas: "Canvas", _: "pd.DataFrame") -> None:
        _draw(canvas, tables)

    return [*shown, Figure("distances.png", draw=draw, title="Distance against seconds", alt=alt, size=(12, 7.4))]


def _median(norm: str) -> str:
    return f"median_{norm}_all"


def _draw(canvas: "Canvas", tables: dict[str, dict[str, Timed]]) -> None:
    """Lines of ours are solid, of others dashed; who sees decisions alone goes much farther, in a panel of its own."""
    panels: dict[str, list[tuple[str, Any]]] = {}
    for norm, rows in tables.items():
        for label, points in lines_of(rows, norm):
            title = TITLES[norm] + ", decisions" * label.startswith(_DECISIONS)
            panels.setdefault(title, []).append((label, points))
    columns = math.ceil(len(panels) / 2)
    for axes, (title, lines) in zip(canvas.subplots(2, columns, squeeze=False).flat, panels.items(), strict=False):
        colors: dict[str, str] = {}
        for label, points in lines:
            attack, library = label.split(", ")
            color = colors.setdefault(attack, f"C{len(colors)}")
            style = "-" if library == "JAX" else {"foolbox": "--", "torchattacks": ":"}.get(library, "-.")
            axes.plot(*zip(*points, strict=True), style, color=color, marker="o", markersize=3, label=label)
        axes.set(xscale="log", title=title, xlabel="seconds, compiled", ylabel="median distance")
        axes.xaxis.set_minor_formatter("")
        axes.legend(fontsize="x-small")
    for axes in canvas.axes[len(panels) :]:
        axes.set_axis_off()


def lines_of(rows: Rows, norm: str) -> Iterable[tuple[str, list[tuple[float, float]]]]:
    """(label, (seconds, distance) of each number of steps), of equally many images and where most were fooled."""
    most = max(row.settings["num_images"] for row in rows.values())
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows.values():
        distance: Any = row.median(_median(norm)) if row.measured and row.settings["num_images"] == most else math.nan
        if math.isfinite(distance):
            lines.setdefault(row.label, []).append((row.median("seconds"), distance))
    return lines.items()
