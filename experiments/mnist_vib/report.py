"""What is shown of the records of `experiments.mnist_vib`: errors, information, calibration, accuracy under attack."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import distinct, groups, per_model, where
from experiments.core.plots import Figure, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Column, Departures, Headline, Report, Row, Table, Text, attack_label
from experiments.core.settings import TRAINING
from experiments.mnist_vib.plane import latent_planes
from experiments.mnist_vib.settings import PRESETS, Config

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FOLDERS = ("", "digits", "held_out")
PAPER = "Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Table 1, Figure 2"
CORNER = ("recipe", "objective")
NAMED = {"preset", "dataset", "data_checksum", "objective", "beta", "rho", "latent_dim", "num_epochs", "seed"}
"""Settings that a row's label has in any case, or none needs."""
STRENGTHS = {"vib": "beta", "vub": "beta", "ceb": "rho", "consistent_ceb": "rho"}
SAMPLED = {("mnist", "vib", 256): 1.13}  # Table 1 of the paper, K = 256, in per cent
AT_MEAN = {
    ("mnist", "cross_entropy", 256): 1.38,
    ("mnist", "dropout", 256): 1.34,
    ("mnist", "confidence_penalty", 256): 1.36,
    ("mnist", "label_smoothing", 256): 1.40,
}
WHITE_BOX = (
    "These use the model's own gradients only: until transfer and black-box attacks stand beside them, a high number "
    "may mean masked gradients rather than robustness."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and figures of a folder of records."""
    frame = _with_changes(frame, records)
    rows, stochastic = _rows(frame), where(frame, objective=list(STRENGTHS))
    dataset, samples = records[0].settings["dataset"], records[0].settings["num_eval_samples"]
    error = functools.partial(Column, at={"split": "test"}, unit="%", digits=2, spread="range")
    bits = functools.partial(Column, at={"split": "test"}, spread="range")
    held_out = [error("on held-out images", "error_avg", at={"split": "validation"})]
    columns = [
        Column("seeds", lambda part: ", ".join(map(str, sorted(part["seed"].unique())))),
        *(held_out if "validation" in set(frame["split"]) else ()),
        error(f"error, {samples} samples", "error_avg", frame=stochastic, paper=SAMPLED),
        error("error, 1 sample", "error_one", frame=stochastic),
        error("error at the mean", "error_mean", paper=AT_MEAN),
        bits("rate, bits", "rate_bits", frame=stochastic, digits=2),
        bits("I(Z;Y) >=, bits", "information_zy_bits", digits=3),
        error("calibration error", "calibration_error"),
    ]
    intro = (
        f"Error on the {records[0].models[0].details['num_test_images']:,} test images of {dataset}, debiased average "
        "of the weights; mean over seeds, their range, and in square brackets the paper's."
    )
    sections: list[Any] = [Table(title="Table 1", rows=rows, columns=columns, corner=CORNER)]
    sections += _robustness(frame, rows)
    sections += [*_figures(records, rows), Departures(records)]
    vib = where(frame, objective="vib", latent_dim=256, dataset="mnist", split="test", epoch=None)
    headlines = [
        Headline(f"Table 1, VIB, error ({preset} recipe)", per_model(part, "error_avg"), 1.13, "%", 2)
        for (preset,), part in groups(vib[vib["metric"] == "error_avg"], "preset")
    ]
    return Report(f"VIB on {dataset}", frame, sections, PAPER, intro, headlines)


def changes(settings: Mapping[str, Any]) -> str:
    """In what a record's training differs from its preset, such as "decay cosine", besides what every label has."""
    usual, objective, own = Config(**PRESETS[settings["preset"]].on(settings["dataset"])), settings["objective"], []
    for field in dataclasses.fields(Config):
        value, only = settings.get(field.name, field.default), field.metadata["objectives"]
        matters = field.metadata["decides"] == TRAINING and field.name not in NAMED and (not only or objective in only)
        if matters and value != getattr(usual, field.name):
            own.append(f"{field.name.replace('_', ' ')} {value}")
    return ", ".join(own)


def _with_changes(frame: "pd.DataFrame", records: Sequence[Record]) -> "pd.DataFrame":
    """The frame, with what each record's recipe is in place of its preset alone."""
    own = {record.file: changes(record.settings) for record in records}
    recipes = zip(frame["preset"], frame["file"].map(own), strict=True)
    return frame.assign(preset=[", ".join(filter(None, recipe)) for recipe in recipes])


def _rows(frame: "pd.DataFrame") -> list[Row]:
    """A row for each recipe and objective."""
    rows = []
    for values, part in groups(frame, "preset", "objective", "latent_dim", "num_epochs", "beta", "rho", "dataset"):
        preset, objective, latent_dim, num_epochs, beta, rho, dataset = values
        name = STRENGTHS.get(objective)
        strength = f", {name} {beta if name == 'beta' else rho:g}" if name else ""
        label = (f"{preset}, {num_epochs:g} epochs, K = {latent_dim:g}", f"{objective}{strength}")
        rows.append(Row(label, frame=part, key=(dataset, objective, latent_dim)))
    return rows


def _robustness(frame: "pd.DataFrame", rows: Sequence[Row]) -> list[Any]:
    attacked = frame[frame["epsilon"].notna()] if "epsilon" in frame else frame.iloc[:0]
    if attacked.empty:
        return []
    text = (
        f"Accuracy on the first {attacked['num_images'].max():g} test images under white-box attacks, gradients "
        f"averaged over samples of z, mean over seeds. {WHITE_BOX}"
    )
    conditions = distinct(attacked, "attack", "norm", "num_steps", "targeted", "epsilon")
    columns = [Column(attack_label(at), "accuracy", at=at, unit="%", spread="none") for at in conditions]
    panel = functools.partial(Panel, x="epsilon", ylabel="accuracy, %", ylim=(0, 100))
    norms = attacked["norm"].unique()
    panels = [panel(lines=_accuracy_lines(attacked, rows, norm), xlabel=f"epsilon, {norm}") for norm in norms]
    alt = "Accuracy against the radius of the attack, a panel for each norm and a line for each attack."
    figure = Figure("robustness.png", panels, alt=alt, size=(6.5 * len(panels), 4.4))
    return [Text(text, "Robustness"), Table(rows=rows, columns=columns, corner=CORNER), figure]


def _accuracy_lines(attacked: "pd.DataFrame", rows: Sequence[Row], norm: str) -> list[Line]:
    """Every attack of a norm on every row: colours tell the attacks of one row apart, or else the rows."""
    lines, alone = [], len(rows) == 1
    attacks = distinct(where(attacked, norm=norm), "attack", "norm", "num_steps", "targeted")
    for place, row in enumerate(rows):
        assert row.frame is not None
        clean = per_model(row.frame, "accuracy", attack="clean").mean()
        line = functools.partial(Line, metric="accuracy", frame=row.frame, scale=100, first=(0.0, clean))
        for at, style in zip(attacks, ("-", "--", ":"), strict=False):
            if alone:
                lines.append(line(attack_label(at), at=at))
            else:
                label = f"{row.label[0].split(',')[0]} {row.label[1]}, {attack_label(at)}"
                lines.append(line(label, at=at, color=f"C{place}", style=style))
    return lines


def _figures(records: Sequence[Record], rows: Sequence[Row]) -> list[Figure]:
    numbers = [
        ("error_avg", 100, "test error, %", (0, None)),
        ("information_zy_bits", 1, "I(Z;Y) lower bound, bits", (None, None)),
        ("rate_bits", 1, "I(X;Z) upper bound, bits", (0, None)),
    ]
    panels = [
        Panel(
            lines=[Line(", ".join(row.label), metric, at={"split": "test"}, frame=row.frame, scale=s) for row in rows],
            x="epoch",
            ylabel=label,
            ylim=limits,
            legend=metric == "error_avg",
        )
        for metric, s, label, limits in numbers
    ]
    alt = "Test error and information against the epoch, a line for each recipe and objective."
    evaluated = max(where(row.frame, split="test")["epoch"].nunique() for row in rows if row.frame is not None)
    figures = [Figure("training.png", panels, title="Training", alt=alt, size=(13, 3.6))] if evaluated > 1 else []
    models = [(record, model) for record in records for model in record.models]
    bins = [
        (", ".join(filter(None, [model.name, changes(record.settings)])), model.details["calibration_bins"])
        for record, model in models
        if "calibration_bins" in model.details
    ]
    if bins:
        panel = functools.partial(_reliability, bins)
        alt = "Accuracy against confidence in bins; on the diagonal a model is calibrated."
        width = 4.4 if len({name for name, _ in bins}) == 1 else 9.4  # several names stand beside the panel
        figures.append(Figure("reliability.png", [panel], title="Reliability", alt=alt, size=(width, 3.8)))
    drawn = [(_title(record), model.details["codes"]) for record, model in models if "codes" in model.details]
    return figures + ([latent_planes(drawn, "latent_plane.png")] if drawn else [])


def _title(record: Record) -> str:
    test, settings = record.models[0].values_at(split="test"), record.settings
    samples = f"{test['error_avg']:.2%} ({settings['num_eval_samples']} samples), {test['error_one']:.2%} (1)"
    return f"{settings['objective']} on {settings['dataset']}, beta {settings['beta']:g}: error {samples}"


def _reliability(models: Sequence[tuple[str, Any]], axes: "Axes", _: "pd.DataFrame") -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    names = list(dict.fromkeys(name for name, _ in models))
    for name, bins in models:  # of one seed each
        axes.plot(bins["confidence"], bins["accuracy"], marker=".", color=f"C{names.index(name)}")
    for place, name in enumerate(names):
        axes.plot([], [], marker=".", color=f"C{place}", label=name)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    beside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if len(names) > 1 else {}
    axes.legend(frameon=False, fontsize="small", **beside)
