"""What is shown of heads on frozen features: Table 1 of the VUB paper, Table 2 of the VIB paper, and what is robust."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.records import Record, distinct, groups, per_model, where
from experiments.core.report import Column, Departures, Findings, Headline, Report, Row, Table
from experiments.imagenet_features.settings import BACKBONE, DETERMINISTIC

if TYPE_CHECKING:
    import pandas as pd

PAPER = (
    "Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): Table 1, InceptionV3, five runs; "
    "Alemi et al., Deep Variational Information Bottleneck (2017): Table 2, Inception ResNet V2"
)
_VUB = {
    (BACKBONE, None): (77.2, 68.9, 67.7, 788),
    ("vib", 1e-3): ("73.7 ± 1", "59.5 ± 2", "63.9 ± 2", "3917 ± 291"),
    ("vib", 1e-2): ("72.8 ± 1", "53.5 ± 2", "62.0 ± 1", "3318 ± 293"),
    ("vib", 1e-1): ("72.1 ± 0.1", "58.4 ± 1", "62.0 ± 1", "3318 ± 293"),
    ("vub", 1e-3): ("75.5 ± 0.03", "62.8 ± 1", "66.4 ± 1", "2666 ± 140"),
    ("vub", 1e-2): ("75.0 ± 0.05", "57.6 ± 2", "64.3 ± 1", "1564 ± 218"),
    ("vub", 1e-1): ("74.8 ± 0.09", "57.9 ± 5", "64.8 ± 5", "3575 ± 456"),
}
# Successful target, L2, L-inf. The paper says that VIB withstood 13 attacks, which makes 30 images of the 0.567.
_VIB = {
    (DETERMINISTIC, None): (1.0, 6.45, 0.18),
    (BACKBONE, None): (1.0, 14.43, 0.44),
    ("vib", 1e-2): (0.567, 43.27, 0.92),
}
ONE, AVERAGED, CORNER = "1 sample", "averaged", ("model", "by")
_CW = {"attack": "carlini_wagner"}
_COLORS = {"vib": "C0", "vub": "C1", "ceb": "C2"}
_BASELINES = {BACKBONE: ("network", "black", ":"), DETERMINISTIC: ("deterministic", "gray", "--")}
_KINDS = (*_BASELINES, *_COLORS)
_UNITS = (
    "FGS: share of those images that were answered rightly before and no longer are. epsilon in [0, 1]; the paper's, if "
    "of normalised images as in its authors' code, would be some 0.0225 and 0.1125 here. CW: mean L2 in [0, 1] over "
    "successes; the paper's unit is not given, and cannot be this one. "
)


def report(frame: "pd.DataFrame", records: Sequence[Record], *, figures: bool = True) -> Report:
    """The tables and the figure of a folder of records."""
    settings, details = records[0].settings, records[0].details
    network, used = details["backbone"], details["data"]
    rows = _rows(frame, settings, network["name"])
    intro = (
        f"{network['name']}, weights {network['weights']}, {network['image_size']} pixels, on {settings['dataset']}: "
        f"{used['train']['num_images']} training images, {used['evaluation']['num_images']} to evaluate on; heads of "
        f"{settings['num_epochs']} epochs on {network['num_features']} features. Mean and standard deviation over "
        f"seeds ({settings['num_seeds']} of them); in square brackets the paper's."
    )
    sections: list[Any] = [*_vub_tables(rows, settings), _vib_table(rows, settings, details["target_class"])]
    together = where(frame, together=True)
    sections.append(_together(rows, together, settings))
    if figures:
        note = " (not the papers' setting)" if records[0].departures else ""
        title = f"Heads on {network['name']}, weights {network['weights']}, {settings['dataset']}{note}"
        sections.append(_figure(frame, together, title))
    sections += [Findings(records, [row for row in rows if row.label[1] != ONE], messages=True), Departures(records)]
    headlines = [
        Headline(f"Table 1, {row.label[0]}, accuracy", _accuracy(row.frame), _VUB[row.key][0], "%")
        for row in rows
        if row.key in _VUB and row.frame is not None
    ]
    return Report(f"Heads on frozen features of {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _rows(frame: "pd.DataFrame", settings: Any, network: str) -> list[Row]:
    """Of each bottleneck one by a single sample of z, in gradients and answers, and one by many; of others just one."""
    kinds = sorted(groups(frame, "objective", "beta"), key=lambda kind: (_KINDS.index(kind[0][0]), kind[0][1] or 0.0))
    many, rows = (AVERAGED, settings["num_eot_samples"], settings["num_eval_samples"]), []
    for key, part in kinds:
        objective, beta = key
        name = {BACKBONE: network, DETERMINISTIC: "deterministic"}.get(objective, objective.upper())
        name += "" if beta is None else f", beta = {beta:g}"
        for kind, eot, samples in [(ONE, 1, 1), many] if objective in _COLORS else [("", 1, 1)]:
            own = part[part["num_samples"].isna() | (part["num_samples"] == samples)]
            at = {"num_eot_samples": eot}
            rows.append(Row((name, kind), frame=own, at=at, key=None if kind == AVERAGED else key))
    return rows


def _accuracy(part: "pd.DataFrame | None") -> Any:
    """On all images, by the answers of a row."""
    assert part is not None
    metric = "error_one" if part["num_samples"].max() == 1 else "error_avg"
    return 1 - per_model(part, metric, split="test", attack=None)


def _vub_tables(rows: Sequence[Row], settings: Any) -> list[Table]:
    def fgs(metric: str, paper: Mapping[float, int]) -> list[Column]:
        columns = []
        for radius in settings["fgsm_epsilons"]:
            theirs = {key: row[paper[radius]] for key, row in _VUB.items()} if radius in paper else None
            at = {"attack": "fgsm", "epsilon": radius, "together": None}
            columns.append(Column(f"FGS {radius:g}, %", metric, at=at, scale=100, paper=theirs))
        return columns

    accuracy, distance = ({key: row[place] for key, row in _VUB.items()} for place in (0, 3))
    columns = [
        Column("accuracy, %", _accuracy, scale=100, paper=accuracy),
        *fgs("success", {0.1: 1, 0.5: 2}),
        Column("CW L2", "mean_l2", at=_CW, digits=2, paper=distance),
    ]
    notes = _UNITS + (
        f"1 sample: of z in gradients and answers, as in the paper; averaged: {settings['num_eot_samples']} in "
        f"gradients, {settings['num_eval_samples']} in answers."
    )
    more = "The paper does not say among which images its shares are."
    return [
        Table(title="Table 1 of the VUB paper", rows=rows, columns=columns, corner=CORNER, notes=notes),
        Table(
            title="FGS, share of all images", rows=rows, columns=fgs("success_of_all", {}), corner=CORNER, notes=more
        ),
    ]


def _vib_table(rows: Sequence[Row], settings: Any, target: int) -> Table:
    shown = (("successful target", "success", 3), ("L2", "mean_l2", 2), ("L-inf", "mean_linf", 3))
    columns = [
        Column(name, metric, at=_CW, digits=digits, paper={key: row[place] for key, row in _VIB.items()})
        for place, (name, metric, digits) in enumerate(shown)
    ]
    columns.append(Column("median L2, failures infinite", "median_l2_all", at=_CW, digits=2))
    notes = (
        f"Carlini-Wagner L2 to class {target} on those of {settings['cw_share']:.3g} of the images that are rightly "
        f"answered and not of that class; {settings['cw_binary_steps']} rounds of {settings['cw_steps']} steps, "
        "confidence 0. L2 and L-inf: means over successes, pixels in [0, 1] (the paper's unit is not given)."
    )
    return Table(title="Table 2 of the VIB paper", rows=rows, columns=columns, corner=CORNER, notes=notes)


def _together(rows: Sequence[Row], together: "pd.DataFrame", settings: Any) -> Table:
    """All attacks of one radius on the same images."""
    alone, sources = {"num_eot_samples": None}, [each["source"] for each in distinct(together, "source") if each]
    columns = [
        Column("clean", at={"attack": "clean"} | alone),
        Column(
            "FGSM, 1 sample", at={"attack": "fgsm", "num_eot_samples": 1}, frame=where(together, objective=[*_COLORS])
        ),
        Column("FGSM", at={"attack": "fgsm"}),
        Column("PGD", at={"attack": "pgd", "source": None}),
        Column("transfer", at={"attack": "pgd", "source": sources, "num_eot_samples": 1}),
        Column("Square", at={"attack": "square"}),
        Column("worst of all", at={"attack": "worst"} | alone),
    ]
    columns = [dataclasses.replace(column, metric="accuracy", scale=100) for column in columns]
    averaged = [
        dataclasses.replace(row, label=row.label[0], at=row.at | {"together": True})
        for row in rows
        if row.label[1] != ONE
    ]
    notes = (
        "Accuracy in % by averaged answers. Only the last column says something of robustness: an image counts if it "
        f"stands under every attack. PGD has {settings['pgd_steps']} steps, transfer is PGD on the deterministic head "
        f"of another seed, Square has {settings['num_queries']} queries."
    )
    title = f"{together['num_images'].max():g} images in an L-inf ball of radius {settings['radius']:g}"
    return Table(title=title, rows=averaged, columns=columns, notes=notes)


def _figure(frame: "pd.DataFrame", together: "pd.DataFrame", title: str) -> Figure:
    """Accuracy on all images, and what attacks leave of it, against beta."""
    worst: dict[str, Any] = {"metric": "accuracy", "at": {"attack": "worst"}}
    one = {"metric": "accuracy", "at": {"attack": "fgsm", "num_eot_samples": 1}}
    panels = [
        _panel(frame, {"metric": _clean("error_avg")}, {"metric": _clean("error_one")}, ("averaged", "1 sample")),
        _panel(together, worst, one, ("worst of all attacks", "FGSM, 1 sample")),
    ]
    titles, labels = ("all evaluation images", "all attacks of one radius"), ("accuracy", "accuracy under attack")
    panels = [
        dataclasses.replace(panel, title=name, ylabel=label)
        for panel, name, label in zip(panels, titles, labels, strict=True)
    ]
    alt = "Accuracy, and accuracy under attack, against beta for each bottleneck, with the baselines as levels."
    return Figure("figure.png", panels, alt=alt, suptitle=title, size=(10.5, 4.6))


def _clean(metric: str) -> Any:
    return lambda part: 1 - per_model(part, metric, split="test", attack=None)


def _panel(frame: "pd.DataFrame", full: Any, dotted: Any, names: tuple[str, str]) -> Panel:
    lines, levels = [], []
    for objective, color in _COLORS.items():
        own = where(frame, objective=objective)
        for name, shown, style, marker in zip(names, (full, dotted), "-:", ".x", strict=True):
            label = f"{objective.upper()}, {name}"
            lines.append(Line(label, frame=own, color=color, style=style, marker=marker, **shown))
    for objective, (name, color, style) in _BASELINES.items():
        own, metric = where(frame, objective=objective), full["metric"]
        if len(own):
            value = metric(own) if callable(metric) else per_model(own, metric, **full["at"])
            levels.append(Level(value, name, color, style))
    return Panel(
        lines=[line for line in lines if line.frame is not None and len(line.frame)],
        x="beta",
        levels=levels,
        xscale="log",
        ylim=(0, None),
    )
