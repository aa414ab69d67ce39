"""What is shown of the comparison of objectives: the test set at the best strengths, and how these were chosen."""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.calibration import calibration
from experiments.core.frames import distinct, per_model, where
from experiments.core.plots import Figure, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Column, Departures, Grid, Headline, Report, Row, Table, attack_label, number
from experiments.mnist_objectives.settings import STRENGTH
from ib_jax.objectives import BOTTLENECKS

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = ("",)
RECURSIVE = True
CLAIMS_OF = "vub"  # the claims, on the calibration and the loss of VUB beside VIB, are of that paper
PAPER = (
    "Alemi et al., Deep VIB (2017); Fischer and Alemi, CEB Improves Model Robustness (2020); Tighter Bounds on the "
    "Information Bottleneck (arXiv 2402.07639)"
)
NUMBERS = [
    ("error, 12 samples, %", "error_avg", 100, 2),
    ("error, 1 sample, %", "error_one", 100, 2),
    ("error at the mean of z, %", "error_mean", 100, 2),
    ("I(X;Z) <= rate, bits", "rate_bits", 1, 1),
    ("I(X;Z|Y) <= residual, bits", "residual_bits", 1, 1),
    ("I(Z;Y) >=, bits", "information_zy_bits", 1, 3),
    ("calibration error, %", "calibration_error", 100, 2),
]
TUNING, SEEDS = "tuning", "seeds"  # the folders of records


def best_records(tuning: Iterable[Record]) -> list[Record]:
    """For each objective the record with the lowest held-out error, and of equal ones the lowest cross-entropy."""

    def held_out(record: Record) -> tuple[Any, Any]:
        values = record.models[0].values_at(split="validation")
        return values["error_avg"], values["cross_entropy"]

    return [min(own, key=held_out) for own in _by_objective(tuning).values()]


def _by_objective(tuning: Iterable[Record]) -> dict[str, list[Record]]:
    """From the strongest regularisation to the weakest."""
    found: dict[str, list[Record]] = {name: [] for name in STRENGTH}
    for record in tuning:
        found[record.settings["objective"]].append(record)
    for name, own in found.items():
        own.sort(key=lambda each: each.settings[STRENGTH[name]], reverse=STRENGTH[name] != "rho")
    return {name: own for name, own in found.items() if own}


def trials(records: Sequence[Record]) -> list[Record]:
    """The runs that chose the strengths."""
    return [record for record in records if record.file.startswith(f"{TUNING}/")]


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and the figure of the records of all runs."""
    tuning, seeds = (frame[frame["file"].str.startswith(f"{name}/")] for name in (TUNING, SEEDS))
    names = [name for name in STRENGTH if name in set(seeds["objective"])]
    final = {name: next(r for r in records if r.file.startswith(f"{SEEDS}/{name}_seed")) for name in names}
    columns = [Column(strength_of(final[name], name), frame=where(seeds, objective=name)) for name in names]
    rows = [Row(label, metric, at={"split": "test"}, scale=s, digits=d) for label, metric, s, d in NUMBERS]
    attacked = seeds[seeds["epsilon"].notna()]
    for at in distinct(attacked, "attack", "norm", "num_steps", "targeted", "epsilon"):
        rows.append(Row(f"accuracy, {attack_label(at)}, %", "accuracy", at=at, scale=100))
    settings = next(iter(final.values())).settings
    count = seeds["seed"].nunique()
    intro = (
        f"The test set of {settings['dataset']}, {settings['num_epochs']} epochs on all training images, K = "
        f"{settings['latent_dim']}, debiased average of the weights: mean and standard deviation over {count} seeds, "
        "each objective at the strength that was best on held-out training images. Attacked are the first "
        f"{attacked['num_images'].max():g} test images, by white-box attacks with gradients averaged over "
        f"{settings['num_eot_samples']} samples of z; no transfer or black-box attack stands beside them, so a high "
        "number may mean masked gradients. The rate of CEB is that under the marginal of its backward encoder."
    )
    sections: list[Any] = [
        Table(title="On the test set", rows=rows, columns=columns),
        *_calibration(seeds),
        chosen(trials(records)),
        _figure(tuning, [name for name in BOTTLENECKS if name in set(tuning["objective"])]),
        Departures(records),
    ]
    errors = {name: per_model(where(seeds, objective=name), "error_avg", split="test") for name in names}
    paper = {"vib": 1.13}
    headlines = [Headline(f"test error, {name}", each, paper.get(name), "%", 2) for name, each in errors.items()]
    return Report(f"Four objectives on {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _calibration(seeds: "pd.DataFrame") -> list[Any]:
    vib, vub = (where(seeds, objective=name) for name in ("vib", "vub"))
    return [] if vib.empty or vub.empty else calibration({"each at its best beta": (vib, vub)})


def strength_of(record: Record, *before: str) -> str:
    """The chosen setting and its value, after words of the caller's."""
    name = STRENGTH[record.settings["objective"]]
    own = [f"{name.replace('_', ' ')} = {record.settings[name]:.3g}"] if name else []
    return ", ".join([*before, *own])


def chosen(trials: Sequence[Record]) -> Grid:
    """Held-out errors: a row for each strength."""
    rows: list[list[Any]] = []
    best = best_records(trials)
    errors = {record.file: record.models[0].values_at(split="validation")["error_avg"] or 0.0 for record in trials}
    for name, own in _by_objective(trials).items():
        for record in own:
            values = record.models[0].values_at(split="validation")
            error = number(values["error_avg"], unit="%", digits=2)._replace(bold=record in best)
            rows.append([name, strength_of(record), error, number(values["cross_entropy"], digits=4)])
    settings, lowest = trials[0].settings, min(errors.values())
    deviation = 100 * math.sqrt(lowest * (1 - lowest) / settings["num_validation"])
    notes = (
        f"On {settings['num_validation']} held-out training images (12 samples, seed {settings['seed']}, "
        f"{settings['num_epochs']} epochs on the others); an error has a standard error of about {deviation:.2f} %. "
        "The lowest of each objective, in bold, was chosen; of equal errors the one with the lower cross-entropy."
    )
    return Grid(["objective", "strength", "error", "cross-entropy, nats"], rows, "How the strengths were chosen", notes)


def _figure(tuning: "pd.DataFrame", names: Sequence[str]) -> Figure:
    numbers = [
        ("error_avg", 100, "held-out error, %"),
        ("information_zy_bits", 1, "I(Z;Y) lower bound, bits"),
        ("calibration_error", 100, "calibration error, %"),
    ]
    parts = {name: where(tuning, objective=name) for name in names}
    line = functools.partial(Line, at={"split": "validation"}, x="rate_bits")
    panel = functools.partial(Panel, xlabel="I(X;Z) upper bound, bits", xscale="log")
    panels = [
        panel(
            lines=[line(name, metric, frame=parts[name], over=STRENGTH[name], scale=scale) for name in names],
            ylabel=label,
            legend=metric == "error_avg",
        )
        for metric, scale, label in numbers
    ]
    alt = "Held-out error, information and calibration error against the rate, a line for each objective."
    return Figure("figure.png", panels, alt=alt, size=(11, 3.4))
