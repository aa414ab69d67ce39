"""What is shown of the theorems: every inequality's slack, what all statistics say of Theorem 1, and two Gaussians."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.plots import Figure
from experiments.core.records import Record, where
from experiments.core.report import Column, Grid, Headline, Report, Row, Table, Text
from experiments.theorems.toy import toy_problem

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

PAPER = "Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): Theorems 1 to 4"
NAMES = {
    "lemma 1": "Lemma 1",
    "theorem 2": "Theorem 2, C1 to C4 derived",
    "theorem 2, trivial": "beside it: max(I(X;T), I(X';T'))",
    "theorem 2, smooth": "beside it: 2 M psi(L eps) for M codes",
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
STYLES = (("C0", "-", 4.5), ("C1", "--", 2.0), ("C3", "-", 1.8), ("C0", ":", 1.8), ("C1", "-.", 1.8))
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
    sections = [
        Grid(["inequality", "problems", "violations", "median slack", "least slack"], rows),
        Text(says_something),
        *_first_theorem(counts),
        _gaussians(frame, record),
        Figure(
            "toy.png", draw=_draw_gaussians(record), alt="Boundaries of statistics, and who has adversarial examples."
        ),
        Figure("slack.png", draw=_draw_slacks(slacks), alt="The slack of every inequality on random problems."),
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


def _draw_gaussians(record: Record) -> "Callable[[Canvas, pd.DataFrame], None]":
    """Left: densities, levels of T and boundaries. Right: the share of points with an adversarial example."""
    cases = [model for model in record.models if model.settings["kind"] == "two Gaussians"]

    def draw(figure: "Canvas", frame: "pd.DataFrame") -> None:
        problem = toy_problem()
        oracle = problem.oracle()
        points, labels = problem.sample(np.random.default_rng(0), 240)
        figure.set_size_inches(12, 5.4)
        left, right = figure.subplots(1, 2)
        limit = 4.2
        axis = np.linspace(-limit, limit, 200)
        plane = np.stack(np.meshgrid(axis, axis), -1) @ oracle.weights
        levels = left.contour(axis, axis, plane - oracle.threshold, levels=np.arange(-12, 13, 2), colors="0.8",
                              linewidths=0.8, linestyles="-")  # fmt: skip
        left.clabel(levels, fmt="%d", fontsize=7)
        for label, marker in ((0, "o"), (1, "^")):
            left.scatter(*points[labels == label].T, s=14, marker=marker, color=("C4", "C2")[label], alpha=0.7, lw=0,
                         label=f"y = {label}")  # fmt: skip
        handles = []
        for model, (colour, dash, width) in zip(cases, STYLES, strict=True):
            weights, threshold = np.array(model.details["weights"]), model.details["threshold"]
            along = np.array([-weights[1], weights[0]]) / np.linalg.norm(weights)
            ends = threshold * weights / (weights @ weights) + np.array([[-9.0], [9.0]]) * along
            left.plot(*ends.T, dash, color=colour, linewidth=width)
            shares = where(frame, model=model.name, metric="adversarial")
            line = right.plot(shares["epsilon"], 100 * shares["value"], dash, color=colour, linewidth=width)
            handles += [*line]
            line[0].set_label(model.name)
        left.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$x_1$", ylabel="$x_2$", aspect="equal",
                 title="Boundaries, over levels of $T(x) = \\theta^\\top x - c$")  # fmt: skip
        left.legend(frameon=True, loc="upper left", fontsize="small", framealpha=0.9)
        right.set(xlabel="epsilon, L2", ylabel="points with $f(x') \\neq o(x')$ within epsilon, %", ylim=(-2, 101),
                  xlim=(0, frame["epsilon"].max()), title="Adversarial examples, by the oracle")  # fmt: skip
        count = record.settings["num_training"]
        title = f"statistic, decoder (learned: from {count} points; left one training set, right their mean)"
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small",
                      title=title, title_fontsize="small")  # fmt: skip

    return draw


def _draw_slacks(slacks: Mapping[str, Any]) -> "Callable[[Canvas, pd.DataFrame], None]":
    """For each inequality the bound over what it bounds: 5 to 95 %, the quartiles, the median and the least."""

    def draw(figure: "Canvas", frame: "pd.DataFrame") -> None:
        figure.set_size_inches(9, 0.42 * len(slacks) + 1.6)
        axis = figure.subplots()
        for height, row in enumerate(reversed(list(slacks.values()))):
            low, first, middle, third, high = (2 * LARGEST if row[name] is None else row[name] for name in SLACKS)
            colour = "C3" if row["violations"] else "C0"
            axis.plot([low, high], [height, height], color=colour, linewidth=1.2)
            axis.plot([first, third], [height, height], color=colour, linewidth=7, alpha=0.45, solid_capstyle="butt")
            axis.plot(middle, height, "|", color=colour, markersize=13, markeredgewidth=2)
            axis.plot(row["slack_least"], height, "o", color=colour, markersize=4)
            if row["violations"]:
                text = f"{row['violations']} of {row['problems']} violated"
                axis.text(0.99, height + 0.3, text, transform=axis.get_yaxis_transform(), ha="right", va="center",
                          fontsize="small", color=colour)  # fmt: skip
        axis.axvline(1.0, color="black", linewidth=1)
        axis.set(xscale="log", yticks=range(len(slacks)), yticklabels=[NAMES[name] for name in reversed(list(slacks))],
                 xlabel="bound / value (log scale); left of 1 the inequality fails", ylim=(-0.7, len(slacks) - 0.3),
                 xlim=(0.1, LARGEST), title="Slack on exact problems: least, 5 to 95 %, quartiles, median")  # fmt: skip
        axis.grid(axis="x", color="0.92")
        axis.set_axisbelow(True)

    return draw
