"""The report of the comparison of attacks: ours beside each library's, with the noise of the starts."""

import collections
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.records import Record
from experiments.core.report import Cell, Grid, Report, Text

if TYPE_CHECKING:
    import pandas as pd

OURS = "ib_jax"
NORMS = {"linf": "L-inf", "l2": "L2", "l1": "L1", "l0": "L0"}
LABELS = {
    "fgsm": "FGSM",
    "bim": "BIM-{num_steps}",
    "mi_fgsm": "MI-FGSM-{num_steps}",
    "pgd": "PGD-{num_steps}",
    "apgd": "APGD-{loss}",
    "carlini_wagner": "Carlini-Wagner",
    "deepfool": "DeepFool",
    "fab": "FAB",
    "ddn": "DDN",
    "fmn": "FMN",
    "sigma_zero": "sigma-zero",
    "square": "Square",
    "hop_skip_jump": "HopSkipJump",
    "autoattack": "AutoAttack",
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
LEFT_OUT = {"outside": "images outside the ball or [0, 1]", "not_finite": "images with a NaN"}
Values = Mapping[str, list[float]]
"""A number of each start, by its name; empty for a library that is missing."""


class Difference(NamedTuple):
    """How far the mean of ours is from that of theirs, its standard error (0 for a single start), and the verdict."""

    value: float
    noise: float
    verdict: str

    def text(self, unit: str) -> str:
        """For a table: value and noise."""
        noise = f" ± {100 * self.noise:.1f}" if self.noise else ""
        return "-" if math.isnan(self.value) else f"{100 * self.value:+.1f}{noise} {unit}"


def compare(ours: Sequence[float], theirs: Sequence[float], *, tolerance: float, relative: bool) -> Difference:
    """Compares robust accuracies, or median sizes, of each start; lower is better for the attack.

    Args:
      ours: of this library.
      theirs: of the other.
      tolerance: how far ours may lag behind.
      relative: whether the difference, and so the tolerance, is a share of theirs.
    """
    mine, other = statistics.fmean(ours), statistics.fmean(theirs)
    scale = other if relative else 1.0
    met = not math.isfinite(other) or mine - other <= tolerance * scale + 1e-9
    if not (math.isfinite(mine) and math.isfinite(other) and scale > 0):
        return Difference(math.nan, 0.0, MET if met else MISSED)
    value, noise = (mine - other) / scale, math.hypot(*map(_standard_error, (ours, theirs))) / scale
    missed = CHANCE if value - tolerance <= 2 * noise else MISSED
    return Difference(value, noise, MET if met else missed)


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def label(at: Mapping[str, Any]) -> str:
    """An attack's name for a table."""
    text = LABELS[at["attack"]].format(**{**at, "loss": str(at.get("loss")).upper()})
    return f"{text}{', all steps' if at.get('abort_early') is False else ''}, {NORMS[at['norm']]}"


def name_of(at: Mapping[str, Any]) -> str:
    """An attack's name, with its radius."""
    return f"{label(at)}, " + (f"radius {at['epsilon']:g}" if "epsilon" in at else "smallest")


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """A table for each record: a line for each attack of each other library."""
    sections = [section for record in records for section in _sections(record)]
    return Report("Attacks beside other libraries'", frame, sections, intro=INTRO)


def _sections(record: Record) -> list[Grid | Text]:
    rows: list[list[Cell | str | float | None]] = []
    verdicts, notes, left_out = [], list[str](), list[str]()
    for at, libraries in _by_attack(record):
        minimal, name, ours = "epsilon" not in at, name_of(at), libraries[OURS]
        form, measure = (_size, f"median_{at['norm']}_all") if minimal else ("{:.1%}".format, "robust_accuracy")
        unit, settings = "%" if minimal else "points", {"tolerance": at["tolerance"], "relative": minimal}
        for library, values in libraries.items():
            counts = {text: sum(values.get(key, [])) for key, text in LEFT_OUT.items()}
            whose = f"{name}, {'ours' if library == OURS else library}"
            left_out += [f"{whose}: {count:g} {text}, counted as failures." for text, count in counts.items() if count]
            if library == OURS:
                continue
            where = "smallest" if minimal else f"{at['epsilon']:g}"
            cells = [label(at), where, form(statistics.fmean(ours[measure])), library]
            if not values:
                details = (model.details.get(f"{name}, {library}", {}) for model in record.models)
                rows.append([*cells, next(each["status"] for each in details if "status" in each), None, None])
                continue
            found = compare(ours[measure], values[measure], **settings)
            verdicts.append(found.verdict)
            verdict = Cell(found.verdict, bold=found.verdict == MISSED)
            rows.append([*cells, form(statistics.fmean(values[measure])), found.text(unit), verdict])
            if minimal and any(values["on_boundary"]):
                theirs = values[f"boundary_{measure}"]
                found = compare(ours[f"boundary_{measure}"], theirs, **settings)
                notes.append(
                    f"{label(at)}, {library}: {statistics.fmean(values['on_boundary']):g} of "
                    f"{statistics.fmean(values['num_correct']):g} images end on the boundary itself, where rounding "
                    "decides, and count as failures above. As successes their median would be "
                    f"{_size(statistics.fmean(theirs))}, ours beside it {found.text(unit)}, the target {found.verdict}."
                )
    summary = f"Targets met: {verdicts.count(MET)} of {len(verdicts)}."
    summary += f" Missed within chance: {verdicts.count(CHANCE)}." if CHANCE in verdicts else ""
    columns = ["attack", "radius", "ours", "library", "theirs", "ours beside theirs", "target"]
    return [Grid(columns, rows, _title(record), summary), *map(Text, (*notes, *left_out))]


def _title(record: Record) -> str:
    details, network, count = record.details, record.models[0].settings, len(record.models)
    names = ("torch", "torchattacks", "foolbox", "pyautoattack", "adv_lib")
    versions = ", ".join(f"{name} {details['peers'][name]}" for name in names if name in details["peers"])
    return (
        f"{network['dataset']}, first {details['num_images']} test images, {details['clean_accuracy']:.1%} "
        f"classified right; {network['objective']}, {network['num_epochs']} epochs; "
        f"{count} start{'s' * (count > 1)}; {versions or 'no other library'}"
    )


def _by_attack(record: Record) -> list[tuple[Mapping[str, Any], dict[str, Values]]]:
    """Of each attack its conditions and, by library, every number of each start."""
    conditions, found = {}, dict[str, dict[str, dict[str, list[float]]]]()
    for each in (each for model in record.models for each in model.measurements):
        name = name_of(each.at)
        conditions[name] = each.at
        values = found.setdefault(name, {}).setdefault(each.at["library"], collections.defaultdict(list))
        for metric, value in each.values.items():
            values[metric].append(math.inf if value is None else value)
    return [(conditions[name], dict(libraries)) for name, libraries in found.items()]


def _size(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "infinite"
