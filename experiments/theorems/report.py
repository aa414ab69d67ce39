"""What is shown of the theorems: every inequality's slack, what all statistics say of Theorem 1, and two Gaussians."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.frames import where
from experiments.core.plots import Figure, Line, Panel
from experiments.core.records import Model, Record
from experiments.core.report import Column, Grid, Headline, Report, Row, Table, Text
from experiments.theorems.toy import toy_problem

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PAPER = "Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): Theorems 1 to 4"
NAMES = {
    "fano": "Fano, sharp: the least error from H(Y|T), and the best decoder's",
    "fano, weak": "Fano as printed, equation 3",
    "lemma 1": "Lemma 1",
    "theorem 2": "Theorem 2, C1 to C4 derived",
    "theorem 2, trivial": "beside it: max(I(X;T), I(X';T'))",
    "theorem 2, smooth": "beside it: 2 M psi(L eps) for M codes",
    "theorem 2, finite sample": "Theorem 2 for the information on 1,000 samples",
    "theorem 3": "Theorem 3, corrected",
    "theorem 3, printed": "Theorem 3, as printed",
    "theorem 4": "Theorem 4 with TV(p(t), q(t))",
    "theorem 4, half": "Theorem 4 with M L eps / 2",
    "theorem 4, printed": "Theorem 4, as printed",
    "theorem 4, most likely label": "the same for the most likely label",
    "quantised": "L of a grid encoder, corrected",
    "quantised, printed": "L of a grid encoder, as printed",
}
SLACKS = {"slack_05": 0.05, "slack_25": 0.25, "slack_median": 0.5, "slack_75": 0.75, "slack_95": 0.95}
STYLES = (("C0", "-"), ("C1", "--"), ("C3", "-"), ("C0", ":"), ("C1", "-."))
LARGEST = 1e6  # slack beyond it is not drawn


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and figures of the one record."""
    (record,) = records
    slacks: dict[str, Any] = {m.name: m.measurements[0].values for m in record.models if m.name in NAMES}
    counts = next(model.measurements[0].values for model in record.models if model.name == "counts")
    rows = [
        [NAMES[name], row["problems"], row["violations"], _short(row["slack_median"]), _short(row["slack_least"])]
        for name, row in slacks.items()
    ]
    says_something = (
        f"Theorem 2 is below max(I(X;T), I(X';T')) in {counts['theorem_2_below_trivial']} problems. Theorem 4's "
        f"delta' for random predictions is below 1, and so says something, in {counts['theorem_4_printed_below_1']} "
        f"as printed and in {counts['theorem_4_below_1']} with the total variation."
    )
    slack = "The slack of every inequality on random problems."
    sections = [
        Grid(["inequality", "problems", "violations", "median slack", "least slack"], rows),
        Text(says_something),
        *_first_theorem(counts),
        _gaussians(frame, record),
        _toy(frame, record),
        Figure("slack.png", [functools.partial(_draw_slacks, slacks)], alt=slack, size=(9, 0.42 * len(slacks) + 1.6)),
    ]
    broken = sum(row["violations"] > 0 for row in slacks.values())
    headline = Headline(f"Theorems 1 to 4: inequalities with a violation, of {len(rows)}", [broken], digits=0)
    intro = "Random exact problems. Slack: the bound over what it bounds; below 1 the inequality is violated."
    return Report("The theorems on robustness", frame, sections, PAPER, intro, [headline])


def _short(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.4g}"


def _first_theorem(counts: Any) -> list[Any]:
    """Theorem 1: which statistics of the tables have an adversarial example."""
    intro = (
        f"All {counts['statistics']} statistics of {counts['problems']} tables. Assumption 1 holds for all pairs of "
        f"statistics in {counts['assumption_1']} tables."
    )
    insufficient = counts["statistics"] - counts["sufficient"], counts["attackable"] - counts["attackable_sufficient"]
    longer = counts["not_minimal"], counts["attackable_sufficient"] - counts["attackable_minimal"]
    rows = [
        ["insufficient, on the support, best decoder", *insufficient],
        ["sufficient but not minimal, on the support, best decoder", *longer],
        ["minimal sufficient, on the support, best decoder", counts["minimal"], counts["attackable_minimal"]],
        ["minimal sufficient, attack may leave the support", counts["minimal"], counts["off_support"]],
        ["minimal sufficient, decoder wrong on one value", counts["minimal"], counts["wrong_decoder"]],
    ]
    return [Text(intro, "Theorem 1"), Grid(["statistics", "of", "have an adversarial example"], rows)]


def _gaussians(frame: "pd.DataFrame", record: Record) -> Table:
    """The two Gaussians: information and errors of each statistic with its decoder."""
    shares: dict[str, Any] = {"unit": "%", "digits": 2}
    columns = [
        Column("I(X;T)", "rate", digits=3),
        Column("I(T;Y)", "information", digits=3),
        Column("error", "error", **shares),
        Column("f(x) != o(x)", "disagreement", **shares),
        Column("example within 0.5", "adversarial", at={"epsilon": 0.5}, **shares),
        Column("within 1", "adversarial", at={"epsilon": 1.0}, **shares),
    ]
    part = where(frame, kind="two Gaussians")
    rows = [Row(name, frame=where(part, model=name)) for name in part["model"].unique()]
    notes = (
        f"Bayes error {100 * record.details['bayes_error']:.2f} %; information in nats of the statistic with noise "
        f"{record.details['noise']:g}; learned decoders from {record.settings['num_training']} points."
    )
    return Table(title="Two Gaussians", rows=rows, columns=columns, corner=("statistic and decoder",), notes=notes)


def _toy(frame: "pd.DataFrame", record: Record) -> Figure:
    """Left: densities, levels of T and boundaries. Right: the share of points with an adversarial example."""
    cases = [model for model in record.models if model.settings["kind"] == "two Gaussians"]
    line = functools.partial(Line, metric="adversarial", scale=100, marker="")
    lines = [
        line(model.name, frame=where(frame, model=model.name), color=color, style=style)
        for model, (color, style) in zip(cases, STYLES, strict=True)
    ]
    shares = Panel(
        lines=lines,
        x="epsilon",
        xlabel="epsilon, L2",
        ylabel="points with $f(x') \\neq o(x')$ within epsilon, %",
        xlim=(0, frame["epsilon"].max()),
        ylim=(-2, 101),
        title="Adversarial examples, by the oracle",
        legend=False,
    )
    count = record.settings["num_training"]
    title = f"Statistics and decoders (learned: from {count} points; left one training set, right their mean)"
    alt = "Boundaries of statistics, and who has adversarial examples."
    panels = [functools.partial(_boundaries, cases), shares]
    return Figure("toy.png", panels, suptitle=title, alt=alt, size=(12, 5.8), legend=3)


def _boundaries(cases: Sequence[Model], axes: "Axes", _: "pd.DataFrame") -> None:
    problem, limit = toy_problem(), 4.2
    oracle = problem.oracle()
    along = np.linspace(-limit, limit, 200)
    plane = np.stack(np.meshgrid(along, along), -1) @ oracle.weights - oracle.threshold
    levels = axes.contour(along, along, plane, np.arange(-12, 13, 2), colors="0.8", linewidths=0.8, linestyles="-")
    axes.clabel(levels, fmt="%d", fontsize=7)
    points, labels = problem.sample(np.random.default_rng(0), 240)
    for label, marker, color in ((0, "o", "C4"), (1, "^", "C2")):
        own = points[labels == label]
        axes.scatter(own[:, 0], own[:, 1], 14, color, marker=marker, alpha=0.7, lw=0, label=f"y = {label}")
    for model, (color, style) in zip(cases, STYLES, strict=True):
        weights, threshold = np.array(model.details["weights"]), model.details["threshold"]
        foot, normal = threshold * weights / (weights @ weights), np.array([-weights[1], weights[0]])
        axes.axline(foot, foot + normal, color=color, linestyle=style)
    axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
    axes.set_title("Boundaries, over levels of $T(x) = \\theta^\\top x - c$", fontsize="medium")


def _draw_slacks(slacks: Mapping[str, Any], axes: "Axes", _: "pd.DataFrame") -> None:
    """For each inequality the bound over what it bounds: 5 to 95 %, the quartiles, the median and the least."""
    rows, heights = list(slacks.values()), np.arange(len(slacks))
    quantiles = [[2 * LARGEST if row[name] is None else row[name] for row in rows] for name in SLACKS]
    colors = ["C3" if row["violations"] else "C0" for row in rows]
    axes.hlines(heights, quantiles[0], quantiles[4], colors, linewidth=1.2)
    axes.hlines(heights, quantiles[1], quantiles[3], colors, linewidth=7, alpha=0.45)
    axes.scatter(quantiles[2], heights, 170, colors, marker="|", linewidth=2)
    axes.scatter([row["slack_least"] for row in rows], heights, 16, colors)
    for height, row in enumerate(rows):
        if row["violations"]:
            text, place = f"{row['violations']} of {row['problems']} violated", axes.get_yaxis_transform()
            axes.text(0.99, height - 0.3, text, transform=place, ha="right", va="center", fontsize="small", color="C3")
    axes.set_yticks(heights, [NAMES[name] for name in slacks])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set(xscale="log", xlim=(0.1, LARGEST), xlabel="bound / value (log scale); left of 1 the inequality fails")
    axes.set_title("Slack on exact problems: least, 5 to 95 %, quartiles, median", loc="right")
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
