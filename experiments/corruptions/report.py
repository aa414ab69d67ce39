"""What is shown of models under common corruptions: Table 1 of the CEB paper, panels of Figures 3 and 4, attacks."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.image_models import AVERAGE, IMAGENET
from experiments.core.image_report import (
    NAMES,
    PGD,
    Group,
    checks_grid,
    corruption_error,
    corruption_rows,
    groups_of,
    together_table,
    with_levels,
)
from experiments.core.plots import Figure
from experiments.core.records import Record, per_model, where
from experiments.core.report import Column, Departures, Headline, Report, Row, Table, Text, values_of
from experiments.corruptions import paper
from ib_jax import corruptions

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.2, Figures 3 and 4, Table 1"
BEST = "(*) rho*, the strength of the least clean error, chosen on test images, as in the paper."
PAPER_NOTE = (
    "In brackets the paper's Table 1, of its rho* (AutoAugment but for -aa; PGD at a random target, epsilon 16, 20 "
    "steps), as far as its text is legible. Its caption of Figure 4 says that L-inf baselines exceed 99.9 %, which in "
    "the table the row of L2 does."
)
SUMMARIES = ("clean", "mce", "average")
RED, BLUE = (0.8, 0.1, 0.1), (0.1, 0.3, 0.7)  # of the summaries' panels and the others', as in the paper
MARKERS = {"ceb": "o", "consistent_ceb": "s", "vib": "^", "vub": "v"}


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The table, the figure and the attacks of a folder of records."""
    frame, first = with_levels(frame), records[0]
    groups, settings = groups_of(frame), first.settings
    dataset, count = first.models[0].settings["dataset"], first.details["num_images"]
    source = "the published ones" if settings["published"] else "made here on the device (frost is made up)"
    intro = (
        f"Errors in per cent at the mean code, as in the paper, on the first {count} test images; under corruptions, "
        f"{source}, with the constants for {first.details['constants']}, mean of five severities."
    )
    rows, columns = _rows(frame, groups, first), [_column(group, groups, dataset) for group in groups]
    notes = " ".join([BEST, *([PAPER_NOTE] if any(column.paper for column in columns) else [])])
    panels = [functools.partial(_panel, row, groups) for row in rows]
    suptitle = f"{dataset}, {count} images, mean of five severities: error, % (lower is better)"
    alt = "A panel for each corruption: the error against rho, vertical lines for cross-entropy."
    height = 1.3 + 0.12 * max(4, len(groups))
    size = (11.5, height * -(-len(panels) // 5) + 0.8)
    sections: list[Any] = [
        Text(_mce_text(frame, groups)),
        Table(title="Table 1", rows=rows, columns=columns, corner=("error, %",), notes=notes),
        Figure("figure3.png", panels, alt=alt, suptitle=suptitle, columns=5, size=size, legend=4),
    ]
    attacked = [group for group in groups if len(where(group.frame, attack="worst"))]
    if attacked:
        own = next(record.settings for record in records if "linf_epsilon" in record.settings)
        sections += [together_table(attacked, own, own["linf_epsilon"]), checks_grid(attacked, records)]
        attacked_images = where(frame, attack="clean", together=None)["num_images"].max()
        path = f"PGD in Table 1 is on {attacked_images:.0f} images, with steps of {own['pgd_path']:g} epsilon / n."
        sections.append(Text(path))
    commits = sorted({record.environment["commit"][:9] for record in records})
    origin = Text(f"Evaluated at commit {', '.join(commits)}; `{first.command}`.", "Origin")
    sections += [Departures(records), origin]
    return Report(
        f"{dataset} under common corruptions", frame, sections, PAPER, intro, _headlines(rows, columns, frame)
    )


def is_best(group: Group, groups: Sequence[Group]) -> bool:
    """Whether its rho is rho*: that of the least clean error among bottlenecks of its kind, of several the lowest."""
    if group.rho is None:
        return False
    same = [g for g in groups if g.rho is not None and (g.network, g.objective) == (group.network, group.objective)]
    return group.rho == min(same, key=lambda g: (_clean(g.frame).mean(), g.rho)).rho


def _clean(part: "pd.DataFrame") -> "pd.Series[float]":
    """The error on the images that were corrupted."""
    rows = where(part, metric="error_mean", split="test", corruption=None, epoch=None)
    return rows[rows["num_images"].notna()].set_index(["file", "model", "seed"])["value"]


def _rows(frame: "pd.DataFrame", groups: Sequence[Group], record: Record) -> list[Row]:
    """What was measured, in the order of the paper's Table 1; the extra corruptions after the 15."""
    errors = corruption_rows(frame)
    rows = [Row("clean", _clean, key="clean", scale=100)]
    if any(row.key == "average" for row in errors):
        rows.append(Row("mCE", functools.partial(_mce, means=_baseline_errors(groups)), key="mce", scale=100))
    rows += [Row(row.label, row.metric, at=row.at, key=row.key, scale=100) for row in errors]
    rows.append(Row("ImageNet-A", "error_mean", at={"split": "natural"}, key="imagenet_a", scale=100))
    for norm, name, radii in (
        ("l2", "L2", record.settings.get("l2_epsilons", ())),
        ("linf", "L-inf", [record.settings.get("linf_epsilon")]),
    ):
        for radius in radii:
            at = PGD | {"targeted": True, "norm": norm, "levels": radius, "together": None}
            label = f"PGD targeted {name} {radius or 0:g}"
            rows.append(Row(label, functools.partial(_fooled, at=at), key=f"pgd_{norm}", scale=100))
    return [row for row in rows if values_of(frame, row, Column()).size]


def _fooled(part: "pd.DataFrame", at: Mapping[str, Any]) -> "pd.Series[float]":
    return 1 - per_model(part, "accuracy", **at)


def _mce(part: "pd.DataFrame", means: Mapping[str, float]) -> "pd.Series[float]":
    """mCE of each model: the one that its record holds, relative to AlexNet; or else relative to cross-entropy here."""
    known = per_model(part, "mce", corruption=AVERAGE)
    if len(known) or not means:
        return known
    return sum(corruption_error(part, name) / means[name] for name in means) / len(means)  # type: ignore[return-value]


def _baseline_errors(groups: Sequence[Group]) -> dict[str, float]:
    """The errors of the cross-entropy models under the 15 corruptions, or none: mCE is relative to all of them."""
    plain = next((group.frame for group in groups if group.rho is None), None)
    if plain is None:
        return {}
    errors = {name: corruption_error(plain, name) for name in corruptions.CORRUPTIONS}
    means = {name: float(error.mean()) for name, error in errors.items() if error.any()}
    return means if len(means) == len(errors) else {}


def _mce_text(frame: "pd.DataFrame", groups: Sequence[Group]) -> str:
    if not len(where(frame, corruption=AVERAGE)):
        return "Not all of the 15 corruptions were measured, so there is neither their average nor mCE."
    if (frame["metric"] == "mce").any():
        return "mCE is relative to AlexNet on ImageNet-C."
    plain = next((group for group in groups if group.rho is None), None)
    if plain is None:
        return "mCE would be relative to a cross-entropy model, of which there is none here."
    return (
        f"mCE is relative to the cross-entropy model here ({plain.network}), which so has 100: there are AlexNet's "
        "figures for ImageNet alone. The paper's on CIFAR-10, 61.2 at rho = 5 and 52.0 at rho = 0, are relative to "
        "another network and cannot be compared."
    )


def _column(group: Group, groups: Sequence[Group], dataset: str) -> Column:
    """A model, with the paper's numbers at its rho*, if it is one of the paper's networks on ImageNet."""
    best, key = is_best(group, groups), (group.network, group.objective)
    known = paper.TABLE.get(key) if dataset == IMAGENET and (best or group.rho is None) else None
    label = f"{group.network}, {group.title}{' (*)' if best else ''}"
    if known and best:
        label += f" [{paper.RHO.get(key, '?')}]"
    return Column(label, frame=group.frame, paper=known)


def _headlines(rows: Sequence[Row], columns: Sequence[Column], frame: "pd.DataFrame") -> list[Headline]:
    """Clean error and mCE of the strongest bottleneck and of cross-entropy."""
    return [
        Headline(f"Table 1, {row.label}, {column.label}", values, (column.paper or {}).get(row.key), "", 1)
        for row in rows
        if row.key in ("clean", "mce")
        for column in (columns[0], columns[-1])
        if (values := values_of(frame, row, column)).size
    ]


def _panel(row: Row, groups: Sequence[Group], axes: Any, frame: "pd.DataFrame") -> None:
    """The error over rho at even distances, as in the paper; cross-entropy as vertical lines, the best rho filled."""
    strengths = sorted({group.rho for group in groups if group.rho is not None})
    networks = list(dict.fromkeys(group.network for group in groups))
    base = RED if row.key in SUMMARIES else BLUE
    for group in groups:
        values = values_of(frame, row, Column(frame=group.frame))
        if not values.size:
            continue
        share = 0.0 if len(networks) == 1 else 0.6 * (1 - networks.index(group.network) / (len(networks) - 1))
        color = tuple(part + share * (1 - part) for part in base)  # from light to dark over the networks
        label = f"{group.network}: {NAMES.get(group.objective, group.objective.upper())}"
        if group.rho is None:
            axes.axvline(values.mean(), color=color, linewidth=1.2, label=label)
            continue
        height, face = strengths.index(group.rho), color if is_best(group, groups) else "white"
        axes.plot(values, [height] * len(values), "|", color=color, markersize=5, alpha=0.6)
        style = {"color": color, "markerfacecolor": face, "markersize": 4.5}
        axes.plot(
            values.mean(),
            height,
            MARKERS.get(group.objective, "o"),
            label=f"{label} (filled: least clean error)",
            **style,
        )
    axes.set_title(row.label, fontsize=8, color=base)
    axes.set_yticks(np.arange(len(strengths)), [f"rho {rho:g}" for rho in strengths])
    axes.set_ylim(-0.7, len(strengths) - 0.3)
    axes.margins(x=0.15)
    axes.tick_params(labelsize=7)
