"""What is shown of `experiments.exact_ib`: where each objective ends, beside the exact optimum and the exact curve."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import where
from experiments.core.plots import Figure
from experiments.core.records import Record
from experiments.core.report import Grid, Headline, Report

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


KNOWN = 1e-3  # nats of I(Z;Y); with less there is no information to speak of


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """A table and a plane of information for each problem."""
    codes = where(frame, split=None).pivot_table("value", ["problem", "objective", "beta"], "metric")
    curves = {record.models[0].settings["problem"]: record.details["curve"] for record in records}
    problems = sorted(curves, reverse=True)
    panels = [functools.partial(_plane, problem, codes.loc[problem], curves[problem]) for problem in problems]
    alt = "I(X;Z) against I(Z;Y): the exact curve of each problem, and the trained codes on it or above."
    figure = Figure("figure.png", panels, size=(5.5 * len(panels), 4.2), alt=alt)
    judged = codes[(codes["contained"] > 0) & (codes["information_zy"] > KNOWN)]
    largest = judged["shortfall"].groupby("objective").max()
    item = "{} beside the exact curve, largest shortfall where the family contains the optimum"
    headlines = [Headline(item.format(name.upper()), [largest.get(name)], unit="%", digits=2) for name in MARKERS]
    title = "Trained codes and the exact information bottleneck"
    tables = [_table(problem, codes.loc[problem]) for problem in problems]
    return Report(title, frame, [*tables, figure], PAPERS, INTRO, headlines)


def _table(problem: str, codes: "pd.DataFrame") -> Grid:
    columns, rows = ["beta", "optimum: I(X;Z), I(Z;Y)"], []
    for name in MARKERS:
        columns += [f"{name}: I(X;Z), I(Z;Y)", "shortfall"]
    for beta, own in reversed(list(codes.groupby("beta"))):
        optimum = own.iloc[0]
        cells = [f"{beta:g}", f"{optimum['optimal_xz']:.3f}, {optimum['optimal_zy']:.4f}"]
        for _, code in own.loc[list(MARKERS)].iterrows():
            star = "" if code["contained"] else "*"
            shortfall = f"{100 * code['shortfall']:.2f} %{star}" if code["information_zy"] > KNOWN else "-"
            cells += [f"{code['information_xz']:.3f}, {code['information_zy']:.4f}", shortfall]
        rows.append(cells)
    return Grid(columns, rows, problem)


def _plane(problem: str, codes: "pd.DataFrame", curve: Mapping[str, Any], axes: "Axes", _: "pd.DataFrame") -> None:
    """The least I(X;Z) for an I(Z;Y), and the trained codes above it."""
    relevance, rates = curve["information_zy"], curve["information_xz"]
    axes.plot(relevance, rates, color="black", label="exact")
    axes.fill_between(relevance, rates, color="0.93", label="no code lies here")
    for index, (name, marker) in enumerate(MARKERS.items()):
        own = codes.loc[name]
        line = axes.plot(own["information_zy"], own["information_xz"], marker, color=f"C{index}", label=name)
        line[0].set_markerfacecolor("none")
    axes.set(xlabel="I(Z;Y), nats", ylabel="I(X;Z), nats", title=problem, xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False)
