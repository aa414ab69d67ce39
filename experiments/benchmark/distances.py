"""The suite `distances`: what each attack finds by when, beside other libraries' forms of it.

Every attack is run with ever more steps (HopSkipJump and Square: queries), on the same network and images; each run is
a point: its seconds, once compiled and in the first call, against the median distance of what it found, or, of an
attack in a ball, against what still stands. A failure counts as infinitely far, and a run that failed on most images
has no point.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console

from experiments import attack_comparison
from experiments.attack_comparison import Comparison
from experiments.benchmark.attacks import AttackBenchmark, attacked_model
from experiments.benchmark.measure import Plan, Row
from experiments.benchmark.settings import Config
from experiments.benchmark.tables import FIRST, Goal, Rows, Section, Timed, column, table, tables_of
from experiments.core.plots import Figure
from experiments.core.records import Record

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

STEPS = (10, 30, 100)
STANDING, EPSILON = "standing", 0.08  # the radius at which some of the network's images stand
TITLES = {"l2": "L2", "linf": "L-inf", "l1": "L1", "l0": "L0, values", STANDING: f"L-inf, standing at {EPSILON}"}
BUDGETS = (1, 2, 4, 8, 16, 32, 64)
"""Seconds by which the smaller distance is promised."""
CW, CW_SHARE = "Carlini-Wagner", 1 / 3
"""In what share of its peer's time it is to reach what that finds at last."""
_CW = {"num_binary_steps": 5, "learning_rate": 0.03, "initial_const": 1.0, "abort_early": True}
_DECISIONS, OURS = "HopSkipJump", "JAX"
_WHEN = {"seconds": "once compiled", "first": "first call"}
_QUERIES_A_STEP = 10  # of Square
_STEPS_A_ROUND = 5  # of HopSkipJump, which asks at least a hundred times in each
ATTACKS: dict[str, dict[str, Callable[[int], Comparison]]] = {
    "l2": {
        CW: lambda steps: attack_comparison.carlini_wagner(num_steps=steps, **_CW),
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
    STANDING: {
        "PGD": lambda steps: attack_comparison.pgd(EPSILON, num_steps=steps),
        "APGD": lambda steps: attack_comparison.apgd(EPSILON, steps),
        "Square": lambda steps: attack_comparison.square(EPSILON, _QUERIES_A_STEP * steps),
        "AutoAttack": lambda steps: attack_comparison.autoattack(EPSILON, steps, num_queries=_QUERIES_A_STEP * steps),
    },
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
                own = steps if "num_steps" in compared.settings else compared.settings["num_queries"]
                more: dict[str, Any] = {"attack": name, "steps": own}
                count = config.num_images
                ours = made.ours, compared.attack, compared
                rows.append(made.row(norm, f"{name} {own} jax", f"{name}, {OURS}", count, *ours, **more))
                for peer in compared.peers if config.peers != "none" else ():
                    library = peer.partition(".")[0]
                    count = config.slow_images if peer == "torchattacks.DeepFool" else config.num_images
                    theirs = made.theirs, compared, peer, False
                    rows.append(made.row(norm, f"{name} {own} {library}", f"{name}, {library}", count, *theirs, **more))
    return Plan(rows, made.describe, dtype="", min_seconds=config.min_seconds)


def report(record: Record) -> list[Section | Figure]:
    """A table for each norm, all of them in one figure, and who is ahead by when."""
    network, tables = record.details["network"], tables_of(record)
    count, clean = record.settings["num_images"], record.details["clean_accuracy"]
    shown: list[Section | Figure] = [
        f"{count} images of {network['dataset']} ({network['checkpoint']}), {clean:.1%} right before the attack. "
        "Seconds are those of an attack on all of them, compiled; the first time compiles too."
    ]
    for norm, rows in tables.items():
        columns = {
            "steps, queries": lambda row: str(row.settings["steps"]),
            "images": lambda row: str(row.settings["num_images"]),
        }
        columns |= FIRST | column("seconds (range)", "seconds", spread=True)
        if norm == STANDING:
            columns |= column("standing", found(norm), ".1%")
        else:
            columns |= column("success", "success_rate", ".1%") | column("median distance", found(norm), ".4g")
        shown.append(table(TITLES[norm] + ", median distance" * (norm != STANDING), rows, columns))
    alt = "What each attack found against seconds, a panel for each norm, a line for each attack."

    def draw(canvas: "Canvas", _: "pd.DataFrame") -> None:
        _draw(canvas, tables)

    figure = Figure("distances.png", draw=draw, title="Distance against seconds", alt=alt, size=(12, 7.4))
    return [*shown, figure, *goals(tables)]


def found(norm: str) -> str:
    """What a row says of the attack: the less, the better."""
    return "robust_accuracy" if norm == STANDING else f"median_{norm}_all"


class Point(NamedTuple):
    """One run of an attack."""

    seconds: float
    first: float
    found: float


def goals(tables: Mapping[str, Rows]) -> list[Goal]:
    """The budgets at which no library's form of an attack is ahead, once compiled and in the first call."""
    shown = []
    for norm, rows in tables.items():
        lines = dict(lines_of(rows, norm))
        for attack in dict.fromkeys(label.partition(", ")[0] for label in lines):
            ours = lines.get(f"{attack}, {OURS}", [])
            others = [point for label, points in lines.items() if label.startswith(attack + ", ") for point in points]
            others = [point for point in others if point not in ours]
            for when in ("seconds", "first"):
                ahead = [best(ours, when, each) <= best(others, when, each) for each in BUDGETS]
                known = [won for won, each in zip(ahead, BUDGETS, strict=True) if best(others, when, each) < math.inf]
                if known:
                    title = f"{TITLES[norm]}, {attack}, share of time budgets not behind, {_WHEN[when]}"
                    shown.append(Goal(title, 1.0, np.array(np.mean(known))))
            if attack == CW and others:
                last = min(others, key=lambda point: point.found)
                soonest = min((point.seconds for point in ours if point.found <= last.found), default=math.inf)
                title = f"{CW}, seconds to the distance that another library finds at last / its own"
                shown.append(Goal(title, CW_SHARE, np.array(soonest / last.seconds), at_most=True))
    return shown


def best(points: Sequence[Point], when: str, budget: float) -> float:
    """The best that was found in that time; infinity for nothing."""
    return min((point.found for point in points if getattr(point, when) <= budget), default=math.inf)


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
            style = "-" if library == OURS else {"foolbox": "--", "torchattacks": ":"}.get(library, "-.")
            seconds, sizes = [point.seconds for point in points], [point.found for point in points]
            axes.plot(seconds, sizes, style, color=color, marker="o", markersize=3, label=label)
        axes.set(
            xscale="log",
            title=title,
            xlabel="seconds, compiled",
            ylabel="standing" if title == TITLES[STANDING] else "median distance",
        )
        axes.xaxis.set_minor_formatter("")
        axes.legend(fontsize="x-small")
    for axes in canvas.axes[len(panels) :]:
        axes.set_axis_off()


def lines_of(rows: Rows, norm: str) -> Iterable[tuple[str, list[Point]]]:
    """The points of each attack and library, of equally many images and where most were fooled."""
    most = max(row.settings["num_images"] for row in rows.values())
    lines: dict[str, list[Point]] = {}
    for row in rows.values():
        size: Any = row.median(found(norm)) if row.measured and row.settings["num_images"] == most else math.nan
        if math.isfinite(size):
            point = Point(row.median("seconds"), row.median("first_seconds"), size)
            lines.setdefault(row.label, []).append(point)
    return lines.items()
