"""What is shown of the attacks on VIB: every attack at each radius, Carlini-Wagner, and the paper's Figures 3 to 6."""

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.frames import groups, per_seed, where
from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Claims, Column, Departures, Findings, Grid, Headline, Report, Row, Table, Text
from experiments.core.tables import cell_of, number, values_of
from experiments.mnist_robustness import minimal, zeros
from experiments.mnist_robustness.attack import PGD_STEPS
from experiments.mnist_robustness.minimal import BASELINES, most
from experiments.mnist_robustness.settings import DETERMINISTIC, DROPOUT, VIB
from experiments.mnist_robustness.verdicts import claims

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PAPER = "Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Figures 3 to 6"
PAPER_FGSM = {DETERMINISTIC: {0.35: "about 5 %", 0.5: "about 1 %"}, DROPOUT: {0.35: "about 16 %", 0.5: "about 5 %"}}
PAPER_EPSILONS = (0.35, 0.4, 0.45, 0.5)
LINF: dict[str, dict[str, Any]] = {
    "clean": {"attack": "clean"},
    "FGSM, 1 sample": {"attack": "fgsm", "num_eot_samples": 1},
    "FGSM": {"attack": "fgsm"},
    f"PGD-{PGD_STEPS}": {"attack": "pgd", "loss": "cross_entropy", "num_steps": PGD_STEPS, "source": None},
    f"PGD-{PGD_STEPS}, margin": {"attack": "pgd", "loss": "margin"},
    f"PGD-{2 * PGD_STEPS}": {"attack": "pgd", "num_steps": 2 * PGD_STEPS},
    "transfer": {"attack": "pgd", "source": DETERMINISTIC},
    "Square": {"attack": "square"},
    "worst of all": {"attack": "worst"},
}
UNITS = (
    "The paper does not say in which units epsilon is: ours are those of [0, 1], and half of each epsilon is what it "
    "would be if the paper's were those of its notebook, [-1, 1]."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and figures of the records, one for each model and seed."""
    settings, training = records[0].settings, records[0].models[0].settings
    rows = _rows(frame)
    seeds = sorted({row.frame["seed"].nunique() for row in rows if row.frame is not None})
    together = where(frame, together=True)
    count = together["num_images"].min()
    intro = (
        f"Test images of {settings['dataset']}; models of {training['num_epochs']} epochs, K = "
        f"{training['latent_dim']}; mean and standard deviation over seeds ({' or '.join(map(str, seeds))} of them). "
        f"An answer is that of the mean softmax over {settings['num_eval_samples']} fresh samples of z; gradients and "
        f"queries are means over {settings['num_eot_samples']}, unless a column says 1 sample."
    )
    note = (
        f"Accuracy in % under attacks in an L-inf ball, inputs in [0, 1], the first {count:g} test images. The last "
        "column counts an image if it stands under every attack; only it says something of robustness. Transfer is "
        f"PGD-{PGD_STEPS} on the deterministic network of another seed, Square has {settings['num_queries']} queries."
    )
    sections: list[Any] = [Text(note, "Every attack in an L-inf ball")]
    for epsilon in settings["pgd_epsilons"]:
        columns = _columns(where(together, epsilon=epsilon), scale=100)
        sections.append(Table(rows=rows, columns=columns, corner=(f"radius {epsilon:g}",)))
    sections += [_every_attack(settings["radius"], count, rows, together), minimal.table(frame, rows, settings)]
    sections += [*zeros.figures(records, rows, minimal.names(frame))]
    sections += [minimal.figure6(frame), _paper_grid(frame, rows), _figure5(frame)]
    sections += [Claims(found)] if (found := claims(frame, settings["radius"])) else []
    sections += [Findings(records, rows, messages=True), Departures(records)]
    headlines = [
        Headline(f"FGSM at {epsilon:g}, {BASELINES[name]}", _fgsm(part, epsilon, 1), paper, "%")
        for name, claims in PAPER_FGSM.items()
        for epsilon, paper in claims.items()
        if len(part := where(frame, objective=name, num_eot_samples=1))
    ]
    return Report(f"Attacks on VIB, {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _rows(frame: "pd.DataFrame") -> list[Row]:
    """The baselines, then VIB by beta."""
    order = {name: place for place, name in enumerate(BASELINES)}
    parts = sorted(groups(frame, "objective", "beta"), key=lambda each: (order.get(each[0][0], 9), each[0][1] or 0.0))
    return [
        Row(BASELINES.get(objective) or f"VIB, beta = {beta:g}", frame=part, key=objective)
        for (objective, beta), part in parts
    ]


def _columns(here: "pd.DataFrame", **options: Any) -> list[Column]:
    """The accuracy under each attack at a radius."""
    return [
        Column(label, most("accuracy", **at), frame=here, **options)
        for label, at in LINF.items()
        if len(where(here, **at))
    ]


def _fgsm(part: "pd.DataFrame", epsilon: float, samples: int | None = None) -> Any:
    """The accuracy by seed under FGSM, with so many samples of z, or the most."""
    tried = where(part, attack="fgsm", epsilon=epsilon, together=None)
    return per_seed(where(tried, num_eot_samples=samples or tried["num_eot_samples"].max()), "accuracy")


def _paper_grid(frame: "pd.DataFrame", rows: Sequence[Row]) -> Grid:
    """The paper's numbers beside ours, at the epsilon that it names and at half of it."""
    found: list[list[Any]] = []
    for row in rows:
        assert row.frame is not None
        for epsilon, claim in PAPER_FGSM.get(row.key, {}).items():
            ours = [number(_fgsm(row.frame, radius, 1), scale=100) for radius in (epsilon, epsilon / 2)]
            found.append([f"accuracy under FGSM, epsilon {epsilon:g}, {row.label}, %", claim, *ours])
        if row.key in PAPER_FGSM:
            values = [minimal.measured("accuracy", targeted) for targeted in (False, True)]
            cells = [cell_of(frame, row, Column("", value, scale=100)).text for value in values]
            found.append([f"accuracy under CW, untargeted and targeted, {row.label}, %", "0", " and ".join(cells), ""])
    betas = sorted(where(frame, objective=VIB)["beta"].unique())
    for samples, note in ((1, "1 sample"), (None, "EOT")):
        cells = []
        for epsilon in (0.35, 0.175):
            values = [_ratio(where(frame, beta=beta), frame, DETERMINISTIC, epsilon, samples) for beta in betas]
            cells.append(", ".join(number(each, digits=2, spread="none").text for each in values))
        over = ", ".join(f"{beta:g}" for beta in betas)
        label = f"VIB / deterministic under FGSM, {note}, epsilon 0.35, beta = {over}"
        found.append([label, "grows", *cells])
    count = where(frame, attack="fgsm", together=None)["num_images"].max()
    notes = f"FGSM on {count:g} images. {UNITS}"
    return Grid(["", "paper", "ours", "ours at half the epsilon"], found, "What the paper prints", notes)


def _ratio(part: "pd.DataFrame", frame: "pd.DataFrame", baseline: str, epsilon: float, samples: int | None) -> Any:
    """Accuracy of VIB under FGSM over a baseline's of the same seed; NaN where that has no right answer."""
    base = _fgsm(where(frame, objective=baseline), epsilon, samples)
    ours = _fgsm(part, epsilon, samples)
    return ours / base.where(base > 0).reindex(ours.index)


def _figure5(frame: "pd.DataFrame") -> Figure:
    """Two rows, for the two units that the paper's epsilon may have; a gap where the baseline has no right answer."""
    panels, vib = [], minimal.on_log_axis(where(frame, objective=VIB))
    for (units, width), (baseline, title) in itertools.product((("[0, 1]", 1), ("[-1, 1]", 2)), BASELINES.items()):
        lines = [
            Line(
                f"{epsilon:g}{', EOT' if samples is None else ''}",
                functools.partial(_ratio, frame=frame, baseline=baseline, epsilon=epsilon / width, samples=samples),
                frame=vib,
                color=f"C{index}",
                marker=marker,
                style=style,
            )
            for index, epsilon in enumerate(PAPER_EPSILONS)
            for samples, marker, style in ((1, ".", "-"), (None, "x", "--"))
        ]
        radii = [epsilon / width for epsilon in PAPER_EPSILONS]
        left = any(_fgsm(where(frame, objective=baseline), epsilon).any() for epsilon in radii)
        panel = Panel(
            lines=lines,
            x="beta",
            levels=[Level(1.0, color="black", style="-")],
            title=f"VIB / {title}, epsilon for inputs in {units}{'' if left else ': none is right'}",
            ylabel="accuracy under FGSM, relative",
            xscale="log",
            xlim=(vib["beta"].min() / 2, 2 * vib["beta"].max()),
            ylim=(0, None),
            legend=False,
        )
        panels.append(panel)
    alt = "Accuracy of VIB under FGSM over that of each baseline, against beta, at four radii."
    return Figure("figure5.png", panels, title="Figure 5", alt=alt, columns=2, size=(11, 7.5), legend=8)


def _every_attack(radius: float, count: float, rows: Sequence[Row], together: "pd.DataFrame") -> Figure:
    """Accuracy of every model under every attack at one radius: the lowest is what counts."""
    title = f"L-inf radius {radius:g}, first {count:g} test images"
    alt = "Accuracy of each model under each attack; below all lies that under the worst of them."
    draw = functools.partial(_draw_attacks, rows, _columns(where(together, epsilon=radius)))
    return Figure("figure_honest.png", [draw], suptitle=title, alt=alt, size=(9, 4.2))


def _draw_attacks(rows: Sequence[Row], columns: Sequence[Column], axes: "Axes", frame: "pd.DataFrame") -> None:
    """The baselines are points, VIB by beta is a line."""
    vib = np.array([row.key == VIB for row in rows])
    for index, (column, marker) in enumerate(zip(columns, ".xo+sv^D*", strict=False)):  # lines lie on top of each other
        found = [values_of(frame, row, column) for row in rows]
        mean = np.array([values.mean() if values.size else np.nan for values in found])
        deviation = np.array([values.std(ddof=1) if values.size > 1 else 0.0 for values in found])
        color = "black" if column.label == "worst of all" else f"C{index}"
        for chosen, style, label in ((vib, "-", column.label), (~vib, "none", None)):
            errorbar = functools.partial(axes.errorbar, color=color, marker=marker, linestyle=style, capsize=2)
            errorbar(np.flatnonzero(chosen), mean[chosen], deviation[chosen], label=label)
    labels = [str(row.label).replace("VIB, beta = ", "") for row in rows]
    axes.set_xticks(np.arange(len(rows)), labels, rotation=30, ha="right")
    axes.set(ylabel="accuracy", ylim=(0, 1.02), xlabel="baselines, and VIB by beta")
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
