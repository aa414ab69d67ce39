"""What is shown of CEB on CIFAR-10: the paper's Figures 1 and 2, every attack beside the others, and corruptions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.cifar10_ceb import verdicts
from experiments.core.adversary import NONE, PGD
from experiments.core.frames import per_model, where
from experiments.core.image_report import (
    NORMS,
    Group,
    checks_grid,
    clean_accuracy,
    corruption_rows,
    groups_of,
    pgd,
    scaled_table,
    together_table,
    white_box_table,
    with_levels,
)
from experiments.core.plots import Bars, Figure, Level, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Claims, Column, Departures, Headline, Report, Row, Table, Text, values_of
from ib_jax.objectives import BOTTLENECKS

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = ("", "logit_scales")
PAPER = "Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.1, Figures 1 and 2"
PAPER_TEXT = (
    "The paper (WRN-28-10, 1,500 epochs, AutoAugment): clean 94.4 % deterministic, 93.9 to 95.1 % for CEB, of which "
    "only the models with rho >= 1 trained; under L-inf PGD-20 at 8/255 deterministic 8 %, many CEB models above "
    "Madry's adversarially trained network; under L2 PGD deterministic 66 %, Madry's 45.7 %, CEB above 80 %; more "
    "robust as rho falls; mCE 61.2 at rho = 5 and 52.0 at rho = 0. The L2 radius of Figure 1 is not given."
)
MARKERS = "so^vD*Px"
LOG_ABOVE = 100.0
"""Levels from which on the paper's axis of L2 radii is logarithmic."""


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and figures of a folder of records."""
    frame, settings = with_levels(frame), {**records[0].models[0].settings, **records[0].settings}
    groups = groups_of(frame)
    count, seeds = where(frame, attack="clean")["num_images"].max(), frame["seed"].nunique()
    intro = (
        f"{groups[0].network}, norm {settings['norm']}, augmentation {settings['augment']}, {settings['num_epochs']} "
        f"epochs, {seeds} seed{'s' if seeds > 1 else ''}. Accuracy in per cent on the first {count:.0f} test images "
        "(clean: all of them), at the mean code as in the paper; EOT is against the sampled model. PGD takes "
        f"{settings['pgd_steps']} steps of {settings['pgd_path']:.3g} epsilon / n; radii in levels of 255."
    )
    claims = verdicts.claims(frame, groups, settings)
    sections: list[Any] = [
        Text(PAPER_TEXT),
        white_box_table(groups, settings),
        *_figures(frame, groups, settings),
        together_table(groups, settings, settings["radius"]),
        *scaled_table(groups, settings),
        *_corruptions(frame, groups, records[0].details),
        Claims(claims),
        checks_grid(groups, records),
        Departures(records),
        _origin(records),
    ]
    deterministic = clean_accuracy(where(frame, objective="cross_entropy", adversary=NONE))
    headlines = [Headline("section 3.1, deterministic, clean accuracy", deterministic, verdicts.CLEAN, "%")]
    headlines += [Headline(f"Figures 1, 2: {c.text}", c.larger, "rises", digits=2, claim=c) for c in claims[-2:]]
    return Report(f"CEB on {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _figures(frame: "pd.DataFrame", groups: Sequence[Group], settings: Mapping[str, Any]) -> list[Figure]:
    title = f"{settings['dataset']}, {groups[0].network}, norm {settings['norm']}, {settings['num_epochs']} epochs"
    figures = []
    if len(where(frame, objective=list(BOTTLENECKS))):
        alt = "Accuracy against rho, clean and attacked; level lines for networks without a bottleneck."
        figures.append(Figure("figure1.png", [_against_rho(frame, settings, title)], alt=alt, size=(6.4, 4.0)))
    alt = "Accuracy under PGD against its radius, L-inf and L2, a line for each model."
    suptitle = f"PGD-{settings['pgd_steps']}, {title}"
    panels = [_against_radius(groups, settings, norm) for norm in NORMS]
    return [*figures, Figure("figure2.png", panels, alt=alt, suptitle=suptitle, size=(9.5, 3.8), share="y")]


def _against_rho(frame: "pd.DataFrame", settings: Mapping[str, Any], title: str) -> Panel:
    """Figure 1, networks without a bottleneck as levels: ours, and the paper's of Madry et al."""
    curves: list[tuple[str, Any, dict[str, Any]]] = [
        ("clean", clean_accuracy, {}),
        *((label, "accuracy", at) for label, at in verdicts.attacks(settings).values()),
        (f"every attack, L-inf {settings['radius']:g}", "accuracy", verdicts.worst(settings)),
    ]
    bottlenecks, plain = where(frame, objective=list(BOTTLENECKS)), where(frame, objective="cross_entropy")
    others = {NONE: ("cross-entropy", "--"), PGD: ("cross-entropy against PGD", "-.")}
    published = [verdicts.MADRY_CLEAN, None, verdicts.MADRY_L2] if settings["dataset"] == "cifar10" else []
    lines, levels = [], []
    for place, (label, metric, at) in enumerate(curves):
        style: dict[str, Any] = {"color": f"C{place}", "marker": MARKERS[place], "spread": "seeds"}
        lines.append(Line(label, metric, at=at, frame=bottlenecks, scale=100, **style))
        for adversary, (name, dashes) in others.items():
            part = where(plain, adversary=adversary)
            values = values_of(part, Row(metric=metric, at=at, scale=100), Column())
            if values.size:
                levels.append(Level(values, "" if place else name, f"C{place}", dashes))
        if place < len(published) and published[place] is not None:
            levels.append(Level(published[place], "" if place else "Madry et al. in the paper", f"C{place}", ":"))
    labels: dict[str, Any] = {
        "xlabel": "rho (smaller: stronger bottleneck)",
        "ylabel": "test accuracy, %",
        "title": title,
    }
    return Panel(lines=lines, levels=levels, x="rho", ylim=(0, 100), **labels)


def _against_radius(groups: Sequence[Group], settings: Mapping[str, Any], norm: str) -> Panel:
    """A panel of Figure 2; under L-inf also what stands under every attack."""
    lines = []
    for place, group in enumerate(groups):
        own: dict[str, Any] = {"frame": group.frame, "scale": 100, "spread": "none"}
        own["color"] = f"C{place}" if group.rho is not None else "0.6" if group.against else "k"
        clean = per_model(group.frame, "accuracy", attack="clean", at_mean=True, together=None)
        at, marker = pgd(settings, norm, settings[f"{norm}_epsilons"]), MARKERS[place % len(MARKERS)]
        lines.append(Line(group.title, "accuracy", at=at, first=(0.0, clean), marker=marker, **own))
        if norm == "linf":
            label = "every attack together" if group is groups[-1] else ""
            lines.append(Line(label, "accuracy", at=verdicts.worst(settings), marker="_", style="", **own))
    labels: dict[str, Any] = {
        "xlabel": f"{NORMS[norm]} epsilon, levels of 255",
        "ylabel": "accuracy, %" if norm == "linf" else "",
    }
    scale = "symlog" if norm == "l2" and settings["l2_epsilons"][-1] > LOG_ABOVE else "linear"
    return Panel(
        lines=lines, x="levels", ylim=(0, 100), legend=norm == "linf", xscale=scale, linear_to=LOG_ABOVE, **labels
    )


def _corruptions(frame: "pd.DataFrame", groups: Sequence[Group], details: Mapping[str, Any]) -> list[Any]:
    rows = corruption_rows(frame)
    if not rows:
        return []
    notes = (
        f"Error in per cent on the first {details['num_images']} test images, corrupted here with the constants for "
        f"{details['constants']} (frost is made up), mean of five severities. The last four are not of the 15."
    )
    columns = [Column(group.title, frame=group.frame) for group in groups]
    bars = Bars(rows=rows, columns=columns, label="error, %", limits=(0, None), horizontal=True, legend=False)
    alt = "Error under each corruption, a bar for each model."
    return [
        Table(title="Common corruptions", rows=rows, columns=columns, corner=("corruption",), notes=notes),
        Figure("corruptions.png", [bars], alt=alt, size=(7.5, 9), legend=5),
    ]


def _origin(records: Sequence[Record]) -> Text:
    models = [model for record in records for model in record.models]
    commits = sorted({model.details["training"]["environment"]["commit"][:9] for model in models})
    minutes = sum(model.details["training_seconds"] for model in models) / 60
    return Text(
        f"Trained at commit {', '.join(commits)}, {minutes:.0f} minutes in all; `{records[0].command}`.", "Origin"
    )
