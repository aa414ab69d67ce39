"""What is shown of `experiments.exact_ib`: where each objective ends, beside the exact optimum and the exact curve."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.plots import Figure
from experiments.core.records import Record, per_model, where
from experiments.core.report import Column, Headline, Report, Row, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PAPERS = (
    "Tishby et al. (2000); Chechik et al. (2005); the bounds of Alemi et al. (2017), Fischer and Alemi (2020) and "
    "arXiv 2402.07639"
)
MARKERS = {"vib": "o", "vub": "^", "ceb": "x"}
INTRO = (
    "Exact information of trained codes, in nats. Shortfall: how far I(Z;Y) is below the highest of any encoder with "
    "the same I(X;Z); an asterisk marks a rate whose optimum the family of encoders does not contain, and a dash where "
    "there is no information to speak of."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """A table and a plane of information for each problem."""
    curves = {record.models[0].settings["problem"]: record.details["curve"] for record in records}
    problems = sorted(curves, reverse=True)
    tables = [_table(where(frame, problem=problem, split=None), problem) for problem in problems]
    panels = [functools.partial(_plane, problem=problem, curve=curves[problem]) for problem in problems]
    alt = "I(X;Z) against I(Z;Y): the exact curve of each problem, and the trained codes on it or above."
    figure = Figure("figure.png", panels, size=(5.5 * len(panels), 4.2), alt=alt)
    headlines = [
        Headline(
            f"{objective.upper()} beside the exact curve, largest shortfall where the family contains the optimum",
            [_largest_shortfall(where(frame, objective=objective))],
            unit="%",
            digits=2,
        )
        for objective in MARKERS
    ]
    title = "Trained codes and the exact information bottleneck"
    return Report(title, frame, [*tables, figure], PAPERS, INTRO, headlines)


def _table(frame: "pd.DataFrame", problem: str) -> Table:
    columns = [Column("optimum: I(X;Z), I(Z;Y)", functools.partial(_pair, kind="optimal"))]
    for objective in MARKERS:
        part = where(frame, objective=objective)
        columns.append(Column(f"{objective}: I(X;Z), I(Z;Y)", functools.partial(_pair, kind="information"), frame=part))
        columns.append(Column("shortfall", _shortfall, frame=part))
    rows = [Row(f"{beta:g}", frame=where(frame, beta=beta)) for beta in frame["beta"].unique()]
    return Table(title=problem, rows=rows, columns=columns, corner=("beta",))


def _values(part: "pd.DataFrame") -> Mapping[str, float]:
    return {str(name): value for name, value in zip(part["metric"], part["value"], strict=True)}


def _pair(part: "pd.DataFrame", kind: str) -> str:
    values = _values(part)
    return f"{values[f'{kind}_xz']:.3f}, {values[f'{kind}_zy']:.4f}"


def _shortfall(part: "pd.DataFrame") -> str:
    values = _values(part)
    text = f"{100 * values['shortfall']:.2f} %{'' if values['contained'] else '*'}"
    return text if values["information_zy"] > 1e-3 else "-"


def _largest_shortfall(part: "pd.DataFrame") -> float:
    contained, known = per_model(part, "contained") > 0, per_model(part, "information_zy") > 1e-3
    return float(per_model(part, "shortfall")[contained & known].max())


def _plane(axes: "Axes", frame: "pd.DataFrame", *, problem: str, curve: Mapping[str, Any]) -> None:
    """The least I(X;Z) for an I(Z;Y), and the trained codes above it."""
    relevance, rates = curve["information_zy"], curve["information_xz"]
    axes.plot(relevance, rates, color="black", label="exact")
    axes.fill_between(relevance, rates, color="0.93", label="no code lies here")
    for index, (objective, marker) in enumerate(MARKERS.items()):
        part = where(frame, problem=problem, objective=objective, split=None)
        values = [per_model(part, metric).to_numpy() for metric in ("information_zy", "information_xz")]
        axes.plot(*values, marker, color=f"C{index}", markerfacecolor="none", label=objective)
    axes.set(xlabel="I(Z;Y), nats", ylabel="I(X;Z), nats", title=problem, xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False)
