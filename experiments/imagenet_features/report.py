"""What is shown of heads on frozen features: Table 1 of the VUB paper, Table 2 of the VIB paper, and what is robust."""

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import distinct, groups, per_model, where
from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Claims, Column, Departures, Findings, Headline, Report, Row, Table
from experiments.imagenet_features import examples
from experiments.imagenet_features.settings import BACKBONE, DETERMINISTIC
from experiments.imagenet_features.verdicts import EPSILONS, claims

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = ("", "pgd50")
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
# Section 4.2.5: accuracy in %, and I(X;Z) in bits.
_VIB_CLEAN = {
    (BACKBONE, None): (80.4, None),
    ("vib", 0.0): (78.87, "10,000"),
    ("vib", 1e-2): (80.12, "45"),
}
ONE, AVERAGED = "1 sample", "averaged"
_CW = {"attack": "carlini_wagner"}
_COLORS = {"vib": "C0", "vub": "C1", "ceb": "C2"}
_BASELINES = {BACKBONE: ("network", "black", ":"), DETERMINISTIC: ("deterministic", "gray", "--")}
_KINDS = (*_BASELINES, *_COLORS)
_NOTES = (
    "FGS: share of the images answered rightly before that no longer are. epsilon in [0, 1]; the paper's 0.1 and 0.5, "
    "which its authors' code adds to normalised images, are some 0.0225 and 0.1125 here. CW: mean L2 in [0, 1] over "
    "successes; the paper's unit is not given, and cannot be this one. 1 sample: of z in gradients and answers, as in "
    "the paper; averaged: {num_eot_samples} in gradients, {num_eval_samples} in answers.",
    "The paper does not say among which images its shares are.",
    "Carlini-Wagner L2 to class {target} on those of {cw_share:.3g} of the images that are rightly answered and not of "
    "that class; {cw_binary_steps} rounds of {cw_steps} steps. L2 and L-inf: means over successes, in "
    "pixels of [0, 1] (the paper's unit is not given).",
    "Accuracy in % by averaged answers. Only the last column says something of robustness: an image counts if it "
    "stands under every attack. PGD has {pgd_steps} steps, transfer is PGD on the deterministic head of another seed, "
    "Square has {num_queries} queries.",
)


def report(frame: "pd.DataFrame", records: Sequence[Record], *, figures: bool = True) -> Report:
    """The tables and the figure of a folder of records."""
    settings, details = records[0].settings, records[0].details
    network, used = details["backbone"], details["data"]
    rows, together = _rows(frame, settings, network["name"]), where(frame, together=True)
    averaged = [dataclasses.replace(row, at={**row.at, "together": True}) for row in rows if row.label[1] != ONE]
    size, radius = together["num_images"].max(), settings["radius"]
    tables = [
        ("Table 1 of the VUB paper", rows, _vub(settings)),
        ("FGS, share of all images", rows, _fgs(settings, "success_of_all")),
        ("Table 2 of the VIB paper", rows, _distances()),
        (f"{size:g} images in an L-inf ball of radius {radius:g}", averaged, _attacks(together)),
    ]
    notes = [note.format(target=details["target_class"], **settings) for note in _NOTES]
    sections: list[Any] = [
        Table(title=title, rows=own, columns=columns, corner=("model", "by"), notes=note)
        for (title, own, columns), note in zip(tables, notes, strict=True)
    ]
    if figures:
        note = " (not the papers' setting)" if records[0].departures else ""
        title = f"Heads on {network['name']}, weights {network['weights']}, {settings['dataset']}{note}"
        panels = [
            _panel(frame, "accuracy", ("averaged", _clean("error_avg")), ("1 sample", _clean("error_one"))),
            _panel(
                together,
                "accuracy under attack",
                ("worst of all attacks", _under(attack="worst")),
                ("FGSM, 1 sample", _under(attack="fgsm", num_eot_samples=1)),
            ),
        ]
        alt = "Accuracy, and what all attacks of one radius leave of it, against beta; the baselines are levels."
        sections.append(Figure("figure.png", panels, alt=alt, suptitle=title, size=(10.5, 4.6)))
        sections += examples.figures(records)
    stated = claims(rows, _accuracy, settings["fgsm_epsilons"], _VUB)
    sections += [Claims(stated)] if stated else []
    sections += [Findings(records, averaged, messages=True), Departures(records)]
    headlines = [
        Headline(f"Table 1, {row.label[0]}, accuracy", _accuracy(row.frame), _VUB[row.key][0], "%")
        for row in rows
        if row.key in _VUB
    ]
    intro = (
        f"{network['name']}, weights {network['weights']}, {network['image_size']} pixels, on {settings['dataset']}: "
        f"{used['train']['num_images']} training images, {used['evaluation']['num_images']} to evaluate on; heads of "
        f"{settings['num_epochs']} epochs on {network['num_features']} features. Mean and standard deviation over "
        f"seeds ({frame['seed'].nunique()} of them); in square brackets the paper's."
    )
    return Report(f"Heads on frozen features of {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _rows(frame: "pd.DataFrame", settings: Any, network: str) -> list[Row]:
    """Of each bottleneck one by a single sample of z, in gradients and answers, and one by many; of others just one."""
    kinds = sorted(groups(frame, "objective", "beta"), key=lambda kind: (_KINDS.index(kind[0][0]), kind[0][1] or 0.0))
    many, rows = (AVERAGED, settings["num_eot_samples"], settings["num_eval_samples"]), []
    for (objective, beta), part in kinds:
        name = {BACKBONE: network, DETERMINISTIC: "deterministic"}.get(objective, objective.upper())
        name += "" if beta is None else f", beta = {beta:g}"
        for kind, eot, samples in [(ONE, 1, 1), many] if objective in _COLORS else [("no noise", 1, 1)]:
            own = part[part["num_samples"].isna() | (part["num_samples"] == samples)]
            key = None if kind == AVERAGED else (objective, beta)
            rows.append(Row((name, kind), frame=own, at={"num_eot_samples": eot}, key=key))
    return rows


def _paper(table: Mapping[Any, Any], place: int | None) -> dict[Any, Any] | None:
    return None if place is None else {key: row[place] for key, row in table.items() if row[place] is not None}


def _vub(settings: Any) -> list[Column]:
    accuracy = Column("accuracy, %", _accuracy, scale=100, paper=_paper(_VUB, 0))
    distance = Column("CW L2", "mean_l2", at=_CW, digits=2, paper=_paper(_VUB, 3))
    return [accuracy, *_fgs(settings, "success", EPSILONS), distance]


def _fgs(settings: Any, metric: str, places: Mapping[float, int] = types.MappingProxyType({})) -> list[Column]:
    column = functools.partial(Column, metric=metric, scale=100)
    return [
        column(
            f"FGS {epsilon:g}, %",
            at={"attack": "fgsm", "together": None, "epsilon": epsilon},
            paper=_paper(_VUB, places.get(epsilon)),
        )
        for epsilon in settings["fgsm_epsilons"]
    ]


def _distances() -> list[Column]:
    """What the VIB paper tells of its models: accuracy and rate, and what Carlini-Wagner found."""
    return [
        Column("accuracy, %", _accuracy, scale=100, paper=_paper(_VIB_CLEAN, 0)),
        Column("I(X;Z) <=, bits", _rate, digits=0, paper=_paper(_VIB_CLEAN, 1)),
        Column("successful target", "success", at=_CW, digits=3, paper=_paper(_VIB, 0)),
        Column("L2", "mean_l2", at=_CW, digits=2, paper=_paper(_VIB, 1)),
        Column("L-inf", "mean_linf", at=_CW, digits=3, paper=_paper(_VIB, 2)),
        Column("median L2, failures infinite", "median_l2_all", at=_CW, digits=2),
    ]


def _attacks(together: "pd.DataFrame") -> list[Column]:
    """All attacks of one radius, on the same images."""
    sources, alone = [each["source"] for each in distinct(together, "source") if each], {"num_eot_samples": None}
    bottlenecks, one = where(together, objective=[*_COLORS]), {"num_eot_samples": 1}
    column = functools.partial(Column, metric="accuracy", scale=100)
    return [
        column("clean", at={"attack": "clean"} | alone),
        column("FGSM, 1 sample", at={"attack": "fgsm"} | one, frame=bottlenecks),
        column("FGSM", at={"attack": "fgsm"}),
        column("PGD", at={"attack": "pgd", "source": None}),
        column("transfer", at={"attack": "pgd", "source": sources} | one),
        column("Square", at={"attack": "square"}),
        column("worst of all", at={"attack": "worst"} | alone),
    ]


def _accuracy(part: Any) -> Any:
    """On all images, by the answers of a row."""
    return _clean("error_one" if part["num_samples"].max() == 1 else "error_avg")(part)


def _clean(metric: str) -> Callable[[Any], Any]:
    return lambda part: 1 - per_model(part, metric, split="test", attack=None)


def _rate(part: Any) -> Any:
    return per_model(part, "rate_bits", split="test", attack=None)


def _under(**at: Any) -> Callable[[Any], Any]:
    return lambda part: per_model(part, "accuracy", **at)


def _panel(frame: "pd.DataFrame", ylabel: str, *curves: tuple[str, Callable[[Any], Any]]) -> Panel:
    """The first curve is solid, and the baselines' is shown; the second is dotted."""
    lines, levels = [], []
    for (objective,), part in groups(frame, "objective"):
        if objective in _BASELINES:
            levels.append(Level(curves[0][1](part), *_BASELINES[objective]))
            continue
        for (name, metric), style, marker in zip(curves, "-:", ".x", strict=True):
            label, color = f"{objective.upper()}, {name}", _COLORS[objective]
            lines.append(Line(label, metric, frame=part, color=color, style=style, marker=marker))
    return Panel(lines=lines, x="beta", levels=levels, ylabel=ylabel, xscale="log", ylim=(0, None))
