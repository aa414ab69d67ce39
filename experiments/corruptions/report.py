"""What is shown of models under common corruptions: Table 1 of the CEB paper, panels of Figures 3 and 4, attacks."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import per_model, where
from experiments.core.image_models import AVERAGE, IMAGENET
from experiments.core.image_report import (
    Group,
    checks_grid,
    corruption_error,
    corruption_rows,
    groups_of,
    pgd,
    pgd_label,
    together_table,
    with_levels,
)
from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Column, Departures, Headline, Report, Row, Table, Text, values_of
from ib_jax import corruptions

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.2, Figures 3 and 4, Table 1"
TIE = 0.001
BEST = (
    "(*) rho*, the strength of the least clean error, chosen on test images, as in the paper; of several within 0.1 "
    "points the lowest."
)
PAPER_NOTE = (
    "In brackets the paper's Table 1, of its rho* (AutoAugment but for -aa; PGD at a random target, epsilon 16, 20 "
    "steps), as far as its text is legible. Its caption of Figure 4 says that L-inf baselines exceed 99.9 %, which in "
    "the table the row of L2 does."
)

# Table 1 as far as the paper's text can be read, errors in per cent: network ("-aa" is without AutoAugment, "x2" twice
# as wide), objective, ImageNet-A, PGD L2, PGD L-inf, and of other rows what is one number in a row of one name, or
# clean error and mCE together. Left out: all of ResNet152x2 cCEB, whose first digits are torn off; defocus, glass and
# motion blur, pixelate and JPEG, whose rows run into each other; fog, whose row has no name; every empty cell.
PAPER_CELLS = """
ResNet152x2  ceb            83.7 80.4 80.3  clean 19.3 elastic_transform 47.6
ResNet152x2  cross_entropy  86.2 99.9 99.3
ResNet152    ceb            87.6 85.0 85.1  clean 19.9 mce 62.9 zoom_blur 58.8 frost 54.6 brightness 28.2 contrast 51.1
          elastic_transform 49.4
ResNet152    cross_entropy  87.9 99.9 99.4
ResNet152-aa ceb            91.6 84.1 83.9
ResNet152-aa cross_entropy  93.4 99.9 99.5
ResNet50x2   consistent_ceb 87.5 95.7 95.5  clean 20.0 mce 65.5 average 51.9 shot_noise 53.8 impulse_noise 59.2
          zoom_blur 60.0 snow 61.4 brightness 28.2 contrast 52.3 elastic_transform 51.3
ResNet50x2   ceb            88.8 99.4 99.5  snow 61.6 brightness 28.8 elastic_transform 51.4
ResNet50x2   cross_entropy  90.5 99.9 99.9
ResNet50     ceb            92.2 99.7 99.8  clean 21.9 mce 70.4 zoom_blur 63.6 snow 65.4 frost 59.8 brightness 31.0
          elastic_transform 54.3
ResNet50     cross_entropy  93.3 99.9 99.9  gaussian_noise 59.8 shot_noise 60.2 impulse_noise 66.4 zoom_blur 65.2
          snow 68.3 brightness 31.8 elastic_transform 55.8
ResNet50-aa  ceb            94.9 99.4 99.4  clean 22.8 mce 77.7 average 61.5 gaussian_noise 65.4 frost 65.3
          contrast 65.4
ResNet50-aa  cross_entropy  96.8 99.9 99.9  clean 24.0 gaussian_noise 71.3 impulse_noise 76.8 snow 74.5 frost 68.3
          brightness 36.4
"""
PAPER_RHO = {("ResNet152x2", "ceb"): 2, ("ResNet152", "ceb"): 3, ("ResNet152-aa", "ceb"): 3, ("ResNet50x2", "ceb"): 3}
"""rho*, the one of the least clean error, by network and objective, where it is legible."""


def paper_table() -> dict[tuple[str, str], dict[str, float]]:
    """The paper's errors in per cent, by network and objective, then by the key of a row."""
    table = {}
    for line in PAPER_CELLS.replace("\n   ", " ").strip().splitlines():
        network, objective, natural, l2, linf, *others = line.split()
        cells = ["imagenet_a", natural, "pgd_l2", l2, "pgd_linf", linf, *others]
        table[network, objective] = dict(zip(cells[::2], map(float, cells[1::2]), strict=True))
    return table


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The table, the figure and the attacks of a folder of records."""
    frame, first = with_levels(frame), records[0]
    groups, dataset, count = groups_of(frame), first.models[0].settings["dataset"], first.details["num_images"]
    source = "the published ones" if first.settings["published"] else "made here on the device (frost is made up)"
    intro = (
        f"Errors in per cent at the mean code, as in the paper, on the first {count} test images; under corruptions, "
        f"{source}, with the constants for {first.details['constants']}, mean of five severities."
    )
    attacks = next((record.settings for record in records if "linf_epsilon" in record.settings), None)
    best = best_rhos(groups)
    rows, columns = _rows(frame, groups, attacks), [_column(group, best, dataset) for group in groups]
    notes = " ".join([BEST, *([PAPER_NOTE] if any(column.paper for column in columns) else [])])
    title = f"{dataset}, {count} images, mean of five severities: error, % (lower is better), against rho"
    sections: list[Any] = [
        Text(_mce_text(frame, groups)),
        Table(title="Table 1", rows=rows, columns=columns, corner=("error, %",), notes=notes),
        *_figures(frame, rows, groups, best, title),
    ]
    if attacks is not None:
        attacked = [group for group in groups if len(where(group.frame, attack="worst"))]
        sections += [together_table(attacked, attacks, attacks["linf_epsilon"]), checks_grid(attacked, records)]
        images = where(frame, attack="clean", together=None)["num_images"].max()
        steps = f"with steps of {attacks['pgd_path']:g} epsilon / n"
        sections.append(Text(f"PGD in Table 1 is on {images:.0f} images, {steps}."))
    commits = sorted({record.environment["commit"][:9] for record in records})
    origin = Text(f"Evaluated at commit {', '.join(commits)}; `{first.command}`.", "Origin")
    sections += [Departures(records), origin]
    headlines = [  # of cross-entropy and the strongest bottleneck
        Headline(f"Table 1, {row.label}, {column.label}", values, (column.paper or {}).get(row.key), "", 1)
        for row in rows
        if row.key in ("clean", "mce")
        for column in (columns[0], columns[-1])
        if (values := values_of(frame, row, column)).size
    ]
    return Report(f"{dataset} under common corruptions", frame, sections, PAPER, intro, headlines)


def best_rhos(groups: Sequence[Group]) -> dict[tuple[str, str], float]:
    """rho* by network and objective: that of the least clean error, of several within a tenth of a point the lowest."""
    errors: dict[tuple[str, str], dict[float, float]] = {}
    for group in groups:
        if group.rho is not None:
            errors.setdefault((group.network, group.objective), {})[group.rho] = _clean(group.frame).mean()
    least = {key: min(each.values()) + TIE for key, each in errors.items()}
    return {key: min(rho for rho, error in each.items() if error <= least[key]) for key, each in errors.items()}


def _clean(part: "pd.DataFrame") -> "pd.Series[float]":
    """The error on the images that were corrupted."""
    rows = where(part, metric="error_mean", split="test", corruption=None, epoch=None)
    return rows[rows["num_images"].notna()].set_index(["file", "model", "seed"])["value"]


def _rows(frame: "pd.DataFrame", groups: Sequence[Group], attacks: Mapping[str, Any] | None) -> list[Row]:
    """What was measured, in the order of the paper's Table 1; the extra corruptions after the 15."""
    errors = corruption_rows(frame)
    rows = [Row("clean", _clean, key="clean", scale=100)]
    if errors and errors[0].key == AVERAGE:
        rows.append(Row("mCE", functools.partial(_mce, means=_baseline_errors(groups)), key="mce", scale=100))
    rows += [*errors, Row("ImageNet-A", "error_mean", at={"split": "natural"}, key="imagenet_a", scale=100)]
    radii = {"l2": attacks["l2_epsilons"], "linf": [attacks["linf_epsilon"]]} if attacks else {}
    for norm, levels in ((norm, levels) for norm, own in radii.items() for levels in own):
        fooled = functools.partial(_fooled, at=pgd(attacks or {}, norm, levels, targeted=True))
        rows.append(Row(pgd_label(norm, levels, targeted=True), fooled, key=f"pgd_{norm}", scale=100))
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
    means = {name: float(corruption_error(plain, name).mean()) for name in corruptions.CORRUPTIONS}
    return means if all(mean > 0 for mean in means.values()) else {}  # NaN: not measured


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


def _column(group: Group, best: Mapping[tuple[str, str], float], dataset: str) -> Column:
    """A model, with the paper's numbers at its rho*, if it is one of the paper's networks on ImageNet."""
    key = group.network, group.objective
    known = paper_table().get(key) if dataset == IMAGENET and group.rho == best.get(key) else None
    star = " (*)" if key in best and group.rho == best[key] else ""
    rho = f" [{PAPER_RHO.get(key, '?')}]" if known and star else ""
    return Column(f"{group.name}{star}{rho}", frame=group.frame, paper=known)


def _figures(
    frame: "pd.DataFrame",
    rows: Sequence[Row],
    groups: Sequence[Group],
    best: Mapping[tuple[str, str], float],
    title: str,
) -> list[Figure]:
    """Figure 3; of ResNets of 152 layers Figure 4."""
    deep = [group for group in groups if group.network.startswith("ResNet152")]
    figures = []
    for name, own in (("figure3.png", [group for group in groups if group not in deep]), ("figure4.png", deep)):
        if not own:
            continue
        panels = [_panel(row, frame, own, best) for row in rows]
        alt = "A panel for each corruption: the error against rho, horizontal lines for cross-entropy."
        size = (13.0, 2.4 * -(-len(panels) // 5) + 0.8)
        figures.append(Figure(name, panels, alt=alt, suptitle=title, columns=5, size=size, legend=4))
    return figures


def _panel(row: Row, frame: "pd.DataFrame", groups: Sequence[Group], best: Mapping[tuple[str, str], float]) -> Panel:
    """The error against rho, with a star at rho*; cross-entropy as levels."""
    lines, levels = [], []
    kinds = {(group.network, group.objective): group.kind for group in groups}
    for place, (key, kind) in enumerate(kinds.items()):
        part, label, color = where(frame, network=key[0], objective=key[1]), f"{key[0]}: {kind}", f"C{place}"
        if key in best:
            own: dict[str, Any] = {"metric": row.metric, "at": row.at, "scale": 100}
            lines.append(Line(label, frame=part, color=color, marker="o", spread="seeds", **own))
            star: dict[str, Any] = {"color": "black", "marker": "*", "style": "", "spread": "none"}
            lines.append(Line("rho*", frame=where(part, rho=best[key]), **star, **own))
        elif (values := values_of(frame, row, Column(frame=part))).size:
            levels.append(Level(values, label, color, "-"))
    return Panel(lines=lines, levels=levels, x="rho", xlabel="", title=str(row.label), legend=False)
