"""What is shown of CEB on CIFAR-10: the paper's Figures 1 and 2, every attack beside the others, and corruptions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.claims import Claim
from experiments.core.image_models import AVERAGE
from experiments.core.image_report import (
    PGD,
    Group,
    checks_grid,
    corruption_rows,
    groups_of,
    together_table,
    with_levels,
)
from experiments.core.plots import Bars, Figure, Level, Line, Panel
from experiments.core.records import Record, per_model, where
from experiments.core.report import Claims, Column, Departures, Headline, Report, Row, Table, Text
from experiments.core.settings import BOTTLENECKS

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.1, Figures 1 and 2"
PAPER_TEXT = (
    "The paper (WRN-28-10, 1,500 epochs, AutoAugment): clean 94.4 % deterministic, 93.9 to 95.1 % for CEB, of which "
    "only the models with rho >= 1 trained; under L-inf PGD-20 at 8/255 deterministic 8 %, many CEB models above "
    "Madry's adversarially trained network; under L2 PGD deterministic 66 %, Madry's 45.7 %, CEB above 80 %; more "
    "robust as rho falls; mCE 61.2 at rho = 5 and 52.0 at rho = 0."
)
MARKERS = "so^vD*Px"


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and figures of a folder of records."""
    frame, settings = with_levels(frame), {**records[0].models[0].settings, **records[0].settings}
    groups, radius = groups_of(frame), settings["radius"]
    count, seeds = where(frame, attack="clean")["num_images"].max(), frame["seed"].nunique()
    intro = (
        f"{groups[0].network}, norm {settings['norm']}, augmentation {settings['augment']}, {settings['num_epochs']} "
        f"epochs, {seeds} seed{'s' if seeds > 1 else ''}. Accuracy in per cent on the first {count:.0f} test images "
        "(clean: all of them), at the mean code as in the paper; EOT is against the sampled model. PGD takes "
        f"{settings['pgd_steps']} steps of {settings['pgd_path']:.3g} epsilon / n; radii in levels of 255."
    )
    claims = _trend(frame, settings)
    sections: list[Any] = [
        Text(PAPER_TEXT),
        _white_box(groups, settings),
        *_figures(frame, groups, settings),
        together_table(groups, settings, radius),
        *_corruptions(frame, groups, records),
        Claims(claims, "The trend") if claims else Text("Too few values of rho to speak of a trend.", "The trend"),
        checks_grid(groups, records),
        Departures(records),
        _origin(records),
    ]
    plain = where(frame, objective="cross_entropy")
    headlines = [
        Headline(
            "section 3.1, deterministic, clean accuracy", 1 - per_model(plain, "error_mean", split="test"), 94.4, "%"
        ),
        *(Headline(f"Figures 1, 2: {each.text}", each.larger, "rises", digits=2, claim=each) for each in claims[-2:]),
    ]
    return Report(f"CEB on {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _pgd(settings: Mapping[str, Any], norm: str, levels: float, *, targeted: bool = False) -> dict[str, Any]:
    """The conditions of PGD on all images."""
    return PGD | {
        "num_steps": settings["pgd_steps"],
        "targeted": targeted,
        "norm": norm,
        "levels": levels,
        "together": None,
    }


def _label(norm: str, levels: float, *, targeted: bool = False) -> str:
    return f"PGD{' targeted' if targeted else ''} {'L-inf' if norm == 'linf' else 'L2'} {levels:g}"


def _clean(part: "pd.DataFrame") -> "pd.Series[float]":
    return 1 - per_model(part, "error_mean", split="test")


def _white_box(groups: Sequence[Group], settings: Mapping[str, Any]) -> Table:
    columns = [Column("clean", _clean, scale=100)]
    for norm in ("linf", "l2"):
        radii = settings[f"{norm}_epsilons"]
        for targeted, own in ((False, radii), (True, radii[-2:])):
            columns += [
                Column(
                    _label(norm, e, targeted=targeted),
                    "accuracy",
                    at=_pgd(settings, norm, e, targeted=targeted),
                    scale=100,
                )
                for e in own
            ]
    rows = [Row(group.title, frame=group.frame) for group in groups]
    return Table(title="White box", rows=rows, columns=columns, corner=("model",))


def _figures(frame: "pd.DataFrame", groups: Sequence[Group], settings: Mapping[str, Any]) -> list[Figure]:
    """Accuracy against rho, the deterministic network as a level (Figure 1), and against the radius (Figure 2)."""
    radius, l2 = settings["radius"], settings["l2_epsilons"][-2:][0]
    worst = {"attack": "worst", "levels": radius}
    curves: list[tuple[str, Any, dict[str, Any]]] = [
        ("clean", _clean, {}),
        (_label("linf", radius), "accuracy", _pgd(settings, "linf", radius)),
        (_label("l2", l2), "accuracy", _pgd(settings, "l2", l2)),
        (f"every attack, L-inf {radius:g}", "accuracy", worst),
    ]
    bottlenecks, plain = (where(frame, objective=names) for names in (list(BOTTLENECKS), ["cross_entropy"]))
    lines, levels = [], []
    for place, (label, metric, at) in enumerate(curves):
        style: dict[str, Any] = {"color": f"C{place}", "marker": MARKERS[place], "spread": "seeds"}
        lines.append(Line(label, metric, at=at, frame=bottlenecks, scale=100, **style))
        values = metric(plain) if callable(metric) else per_model(plain, metric, **at)
        if len(values):
            levels.append(Level(100 * values, "" if place else "cross-entropy", f"C{place}", "--"))
    title = f"{settings['dataset']}, {groups[0].network}, norm {settings['norm']}, {settings['num_epochs']} epochs"
    against_rho = Panel(
        lines=lines,
        levels=levels,
        x="rho",
        xlabel="rho (smaller: stronger bottleneck)",
        ylabel="test accuracy, %",
        ylim=(0, 100),
        title=title,
    )
    alt = "Accuracy against rho, clean and attacked; dashed lines for cross-entropy."
    figures = [Figure("figure1.png", [against_rho], alt=alt, size=(6.4, 4.0))] if len(bottlenecks) else []
    panels = []
    for norm, name in (("linf", "L-inf"), ("l2", "L2")):
        lines = []
        for place, group in enumerate(groups):
            style = {"color": "k" if group.rho is None else f"C{place}", "marker": MARKERS[place % len(MARKERS)]}
            clean = per_model(group.frame, "accuracy", attack="clean", at_mean=True, together=None)
            at = {name: value for name, value in _pgd(settings, norm, 0).items() if name != "levels"}
            measured = where(group.frame, levels=list(settings[f"{norm}_epsilons"]))
            lines.append(
                Line(
                    group.title,
                    "accuracy",
                    at=at,
                    frame=measured,
                    scale=100,
                    first=(0.0, clean),
                    spread="none",
                    **style,
                )
            )
            if norm == "linf":
                style |= {"marker": "_", "style": ""}
                label = "every attack together" if group is groups[-1] else ""
                lines.append(Line(label, "accuracy", at=worst, frame=group.frame, scale=100, spread="none", **style))
        xlabel, ylabel = f"{name} epsilon, levels of 255", "accuracy, %" if norm == "linf" else ""
        panels.append(
            Panel(lines=lines, x="levels", xlabel=xlabel, ylabel=ylabel, ylim=(0, 100), legend=norm == "linf")
        )
    alt = "Accuracy under PGD against its radius, L-inf and L2, a line for each model."
    suptitle = f"PGD-{settings['pgd_steps']}, {title}"
    return [*figures, Figure("figure2.png", panels, alt=alt, suptitle=suptitle, size=(9.5, 3.8), share="y")]


def _corruptions(frame: "pd.DataFrame", groups: Sequence[Group], records: Sequence[Record]) -> list[Any]:
    rows = corruption_rows(frame)
    if not rows:
        return []
    details = records[0].details
    notes = (
        f"Error in per cent on the first {details['num_images']} test images, corrupted here with the constants for "
        f"{details['constants']} (frost is made up), mean of five severities. The last four are not of the 15."
    )
    rows = [Row(row.label, row.metric, at=row.at, scale=100) for row in rows]
    columns = [Column(group.title, frame=group.frame) for group in groups]
    bars = Bars(rows=rows, columns=columns, label="error, %", limits=(0, None), horizontal=True, legend=False)
    alt = "Error under each corruption, a bar for each model."
    return [
        Table(title="Common corruptions", rows=rows, columns=columns, corner=("corruption",), notes=notes),
        Figure("corruptions.png", [bars], alt=alt, size=(7.5, 9), legend=5),
    ]


def _trend(frame: "pd.DataFrame", settings: Mapping[str, Any]) -> list[Claim]:
    """Whether robustness rises as rho falls, as the paper says; the more general statements last."""
    from scipy.stats import spearmanr

    bottlenecks = where(frame, objective=list(BOTTLENECKS))
    strengths = {key: -part["rho"].iloc[0] for key, part in bottlenecks.groupby(["file", "model", "seed"])}
    if len(set(strengths.values())) < 3:
        return []
    measures: list[tuple[str, dict[str, Any], int]] = [
        (f"accuracy under {_label(norm, levels)}", _pgd(settings, norm, levels), 1)
        for norm in ("linf", "l2")
        for levels in settings[f"{norm}_epsilons"]
    ]
    measures.append(("the average corruption error", {"corruption": AVERAGE}, -1))
    radius = settings["radius"]
    worst = {"attack": "worst", "levels": radius}
    measures.append((f"the share that stands under every attack at {radius:g}", worst, 1))
    claims = []
    for what, at, sign in measures:
        values = per_model(bottlenecks, "accuracy" if sign > 0 else "error_mean", **at)
        text = f"{what} {'rises' if sign > 0 else 'falls'} as rho falls (rank correlation with falling rho)"
        if values.nunique() < 2:
            if len(values):
                claims.append(Claim(text, [0.0], n=len(values), ours="the same at every rho"))
            continue
        rank = spearmanr([strengths[key] for key in values.index], values)
        ours = f"{rank.statistic:+.2f}"
        claims.append(Claim(text, [sign * rank.statistic], p_value=float(rank.pvalue), n=len(values), ours=ours))
    return claims


def _origin(records: Sequence[Record]) -> Text:
    models = [model for record in records for model in record.models]
    commits = sorted({model.details["training"]["environment"]["commit"][:9] for model in models})
    minutes = sum(model.details["training_seconds"] for model in models) / 60
    return Text(
        f"Trained at commit {', '.join(commits)}, {minutes:.0f} minutes in all; `{records[0].command}`.", "Origin"
    )
