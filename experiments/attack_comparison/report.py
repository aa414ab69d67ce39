"""The report of the comparison of attacks: ours beside each library's, with the noise of the starts."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.records import Record
from experiments.core.report import Cell, Grid, Report, Text

if TYPE_CHECKING:
    import pandas as pd

OURS = "ib_jax"
NORMS = {"linf": "L-inf", "l2": "L2"}
LABELS = {
    **{"fgsm": "FGSM", "bim": "BIM-{num_steps}", "mi_fgsm": "MI-FGSM-{num_steps}", "pgd": "PGD-{num_steps}"},
    **{"apgd": "APGD-{loss}", "carlini_wagner": "Carlini-Wagner", "deepfool": "DeepFool", "fab": "FAB"},
    **{"square": "Square", "autoattack": "AutoAttack"},
}
INTRO = (
    "Attacks of this library beside the same ones of others: same weights, images and settings, all results judged "
    "by the JAX network. At a radius: robust accuracy; without one: the median perturbation of the images that "
    "were classified right, a failure being infinitely far. Lower is the stronger attack. A target is met by at "
    "most 0.5 points more (AutoAttack: 0.3), or a median at most 2 % larger; where it is missed by less than two "
    "standard errors of the starts, that is within chance. Attacks on the cross-entropy differ "
    "most with one step: PyTorch's loses the slope of a logit that leads by 17 nats to rounding, "
    "`losses.cross_entropy` does not."
)
MET, CHANCE, MISSED = "met", "within chance", "missed"
Values = Mapping[str, list[float]]
"""A number of each start, by its name."""


class Difference(NamedTuple):
    """How far ours is from theirs, lower being better for the attack.

    Attributes:
      value: of the means over the starts: the difference of robust accuracies, or of medians over theirs.
      noise: its standard error; 0 for a single start.
      verdict: whether the target is met.
    """

    value: float
    noise: float
    verdict: str


def label(at: Mapping[str, Any]) -> str:
    """An attack's name for a table."""
    text = LABELS[at["attack"]].format(**{**at, "loss": str(at.get("loss")).upper()})
    text += ", all steps" if at.get("abort_early") is False else ""
    return f"{text}, {NORMS[at['norm']]}"


def compare(ours: Sequence[float], theirs: Sequence[float], *, tolerance: float, relative: bool) -> Difference:
    """Ours beside theirs.

    Args:
      ours: robust accuracies, or median sizes, of each start.
      theirs: likewise.
      tolerance: how far ours may lag behind.
      relative: whether the difference is a share of theirs.
    """
    mine, other = statistics.fmean(ours), statistics.fmean(theirs)
    scale = other if relative else 1.0
    met = mine - other <= tolerance * scale + 1e-9 if math.isfinite(other) else True
    if not (math.isfinite(mine) and math.isfinite(other) and scale > 0):
        return Difference(math.nan, 0.0, MET if met else MISSED)
    value, noise = (mine - other) / scale, math.hypot(_error(ours), _error(theirs)) / scale
    missed = CHANCE if value - tolerance <= 2 * noise else MISSED
    return Difference(value, noise, MET if met else missed)


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """A table for each record: a line for each attack of each other library."""
    sections = [section for record in records for section in _table(record)]
    return Report("Attacks beside other libraries'", frame, sections, intro=INTRO)


def _starts(record: Record) -> dict[str, dict[str, tuple[Mapping[str, Any], Values]]]:
    """By attack and library: the conditions, and every number of each start."""
    found: dict[str, dict[str, tuple[Mapping[str, Any], dict[str, list[float]]]]] = {}
    for model in record.models:
        for measurement in model.measurements:
            libraries = found.setdefault(name_of(measurement.at), {})
            _, values = libraries.setdefault(measurement.at["library"], (measurement.at, {}))
            for name, value in measurement.values.items():
                values.setdefault(name, []).append(math.inf if value is None else value)
    return found  # type: ignore[return-value]


def name_of(at: Mapping[str, Any]) -> str:
    """An attack's name, with its radius."""
    return f"{label(at)}, {_where(at)}"


def _where(at: Mapping[str, Any]) -> str:
    return "smallest" if "epsilon" not in at else f"radius {at['epsilon']:g}"


def _table(record: Record) -> list[Grid | Text]:
    details, network, count = record.details, record.models[0].settings, len(record.models)
    names = ("torch", "torchattacks", "foolbox", "pyautoattack")
    versions = ", ".join(f"{name} {details['peers'][name]}" for name in names if name in details["peers"])
    title = (
        f"{network['dataset']}, first {details['num_images']} test images, {details['clean_accuracy']:.1%} "
        f"classified right; {network['objective']}, {network['num_epochs']} epochs; "
        f"{count} start{'s' * (count > 1)}; {versions or 'no other library'}"
    )
    rows: list[list[Cell | str | float | None]] = []
    verdicts, notes, left_out = [], list[str](), list[str]()
    for name, libraries in _starts(record).items():
        at, ours = libraries[OURS]
        minimal = "epsilon" not in at
        measure = f"median_{at['norm']}_all" if minimal else "robust_accuracy"
        for library, (_, values) in libraries.items():
            left_out += _left_out(f"{name}, {'ours' if library == OURS else library}", values)
            if library == OURS:
                continue
            cells: list[Cell | str | float | None] = [label(at), _where(at).removeprefix("radius ")]
            cells += [_value(ours[measure], minimal), library]
            if values:
                found = compare(ours[measure], values[measure], tolerance=at["tolerance"], relative=minimal)
                verdicts.append(found.verdict)
                verdict = Cell(found.verdict, bold=found.verdict == MISSED)
                cells += [_value(values[measure], minimal), _difference(found, minimal), verdict]
                notes += _on_boundary(f"{label(at)}, {library}", at, ours, values) if minimal else []
            else:
                said = (model.details.get(f"{name}, {library}", {}) for model in record.models)
                cells += [next(each["status"] for each in said if "status" in each), None, None]
            rows.append(cells)
    counts = f"Targets met: {verdicts.count(MET)} of {len(verdicts)}."
    counts += f" Missed within chance: {verdicts.count(CHANCE)}." if CHANCE in verdicts else ""
    corner = ["attack", "radius", "ours", "library", "theirs", "ours beside theirs", "target"]
    return [Grid(corner, rows, title, counts), *map(Text, (*notes, *left_out))]


def _value(values: Sequence[float], minimal: bool) -> str:
    mean = statistics.fmean(values)
    if not minimal:
        return f"{mean:.1%}"
    return f"{mean:.4f}" if math.isfinite(mean) else "infinite"


def _difference(found: Difference, minimal: bool) -> str:
    if math.isnan(found.value):
        return "-"
    noise = f" ± {100 * found.noise:.1f}" if found.noise else ""
    return f"{100 * found.value:+.1f}{noise} {'%' if minimal else 'points'}"


def _left_out(name: str, values: Values) -> list[str]:
    said = {"outside": "images outside the ball or [0, 1]", "not_finite": "images with a NaN"}
    counts = {text: sum(values.get(key, [])) for key, text in said.items()}
    return [f"{name}: {count:g} {text}, counted as failures." for text, count in counts.items() if count]


def _on_boundary(name: str, at: Mapping[str, Any], ours: Values, theirs: Values) -> list[str]:
    if not any(theirs["on_boundary"]):
        return []
    measure = f"boundary_median_{at['norm']}_all"
    found = compare(ours[measure], theirs[measure], tolerance=at["tolerance"], relative=True)
    return [
        f"{name}: {statistics.fmean(theirs['on_boundary']):g} of {statistics.fmean(theirs['num_correct']):g} images "
        "end on the boundary itself, where rounding decides, and count as failures above. As successes their median "
        f"would be {_value(theirs[measure], True)}, ours beside it {_difference(found, True)}, the target "
        f"{found.verdict}."
    ]
