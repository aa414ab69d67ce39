"""What is shown of the records of `experiments.mnist_vib`: errors, information, calibration, accuracy under attack."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.plots import Figure, Line, Panel
from experiments.core.records import Record, distinct, groups, per_model, where
from experiments.core.report import Column, Departures, Headline, Report, Row, Table, Text, attack_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

FOLDERS = ("", "digits")
PAPER = "Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Table 1, Figure 2"
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
    rows, stochastic = _rows(frame), where(frame, objective=list(STRENGTHS))
    dataset, samples = records[0].settings["dataset"], records[0].settings["num_eval_samples"]
    error = functools.partial(Column, at={"split": "test"}, unit="%", digits=2, spread="range")
    bits = functools.partial(Column, at={"split": "test"}, spread="range")
    columns = [
        Column("seeds", lambda part: ", ".join(map(str, sorted(part["seed"].unique())))),
        error(f"error, {samples} samples", "error_avg", frame=stochastic, paper=SAMPLED),
        error("error, 1 sample", "error_one", frame=stochastic),
        error("error at the mean", "error_mean", paper=AT_MEAN),
        bits("rate, bits", "rate_bits", frame=stochastic, digits=2),
        bits("I(Z;Y) >=, bits", "information_zy_bits", digits=3),
        error("calibration error", "calibration_error"),
    ]
    count = records[0].models[0].details["num_test_images"]
    intro = (
        f"Error on the {count:,} test images of {dataset}, debiased average of "
        "the weights; mean over seeds, their range, and in square brackets the paper's."
    )
    corner = ("recipe", "objective")
    sections: list[Any] = [Table(title="Table 1", rows=rows, columns=columns, corner=corner)]
    sections += _robustness(frame, rows, corner)
    sections += [*_figures(frame, records, rows), Departures(records)]
    vib = where(frame, objective="vib", latent_dim=256, dataset="mnist", split="test", epoch=None)
    headlines = [
        Headline(f"Table 1, VIB, error ({preset} recipe)", per_model(part, "error_avg"), 1.13, "%", 2)
        for (preset,), part in groups(vib[vib["metric"] == "error_avg"], "preset")
    ]
    return Report(f"VIB on {dataset}", frame, sections, PAPER, intro, headlines)


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


def _robustness(frame: "pd.DataFrame", rows: Sequence[Row], corner: Sequence[str]) -> list[Any]:
    attacked = frame[frame["epsilon"].notna()] if "epsilon" in frame else frame.iloc[:0]
    if attacked.empty:
        return []
    count = attacked["num_images"].max()
    text = (
        f"Accuracy on the first {count:g} test images under white-box attacks, gradients averaged "
        f"over samples of z, mean over seeds. {WHITE_BOX}"
    )
    conditions = distinct(attacked, "attack", "norm", "num_steps", "targeted", "epsilon")
    columns = [Column(attack_label(at), "accuracy", at=at, unit="%", spread="none") for at in conditions]
    lines = {norm: _accuracy_lines(attacked, frame, rows, norm) for norm in attacked["norm"].unique()}
    panels = [
        Panel(lines=each, x="epsilon", xlabel=f"epsilon, {norm}", ylabel="accuracy, %", ylim=(0, 100))
        for norm, each in lines.items()
    ]
    alt = "Accuracy against the radius of the attack, a panel for each norm and a line for each attack."
    figure = Figure("robustness.png", panels, alt=alt, size=(6.5 * len(panels), 4.4))
    return [Text(text, "Robustness"), Table(rows=rows, columns=columns, corner=corner), figure]


def _accuracy_lines(attacked: "pd.DataFrame", frame: "pd.DataFrame", rows: Sequence[Row], norm: str) -> list[Line]:
    lines = []
    for place, row in enumerate(rows):
        assert row.frame is not None
        clean = per_model(row.frame, "accuracy", attack="clean").mean()
        attacks = distinct(where(attacked, norm=norm), "attack", "norm", "num_steps", "targeted")
        for at, style in zip(attacks, ("-", "--", ":", "-."), strict=False):
            kind = "" if len(rows) == 1 else f"{row.label[0].split(',')[0]} {row.label[1]}, "
            name, color = kind + attack_label(at), None if len(rows) == 1 else f"C{place}"
            first, style = (0.0, clean), "-" if len(rows) == 1 else style
            lines.append(
                Line(name, "accuracy", at=at, frame=row.frame, scale=100, first=first, color=color, style=style)
            )
    return lines


def _figures(frame: "pd.DataFrame", records: Sequence[Record], rows: Sequence[Row]) -> list[Any]:
    numbers = [
        ("error_avg", 100, "test error, %"),
        ("information_zy_bits", 1, "I(Z;Y) lower bound, bits"),
        ("rate_bits", 1, "I(X;Z) upper bound, bits"),
    ]
    panels = [
        Panel(
            lines=[
                Line(", ".join(row.label), metric, at={"split": "test"}, frame=row.frame, scale=scale) for row in rows
            ],
            x="epoch",
            ylabel=label,
            ylim=(0, None) if metric != "information_zy_bits" else (None, None),
            legend=metric == "error_avg",
        )
        for metric, scale, label in numbers
    ]
    alt = "Test error and information against the epoch, a line for each recipe and objective."
    figures = [Figure("training.png", panels, title="Training", alt=alt, size=(13, 3.6))]
    models = [(record, model) for record in records for model in record.models]
    if bins := [
        (model.name, model.details["calibration_bins"]) for _, model in models if "calibration_bins" in model.details
    ]:
        panel = functools.partial(_reliability, bins)
        alt = "Accuracy against confidence in bins; on the diagonal a model is calibrated."
        figures.append(Figure("reliability.png", [panel], title="Reliability", alt=alt, size=(4.4, 3.8)))
    for record, model in models:
        if "codes" in model.details:
            plane = functools.partial(_latent_plane, model.details["codes"])
            alt = "The codes of test images as 95 % ellipses in the plane, over the entropy of the decoder's answer."
            figures.append(
                Figure(
                    "latent_plane.png", draw=plane, title="Figure 2", suptitle=_title(record), alt=alt, size=(6.2, 5)
                )
            )
    return figures


def _title(record: Record) -> str:
    test, settings = record.models[0].values_at(split="test"), record.settings
    samples = f"{test['error_avg']:.2%} ({settings['num_eval_samples']} samples), {test['error_one']:.2%} (1)"
    return f"{settings['objective']} on {settings['dataset']}, beta {settings['beta']:g}: error {samples}"


def _reliability(models: Sequence[tuple[str, Any]], axes: "Axes", frame: "pd.DataFrame") -> None:
    del frame
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for place, name in enumerate(dict.fromkeys(name for name, _ in models)):
        for number, bins in enumerate(each for other, each in models if other == name):
            label = None if number else name
            axes.plot(bins["confidence"], bins["accuracy"], marker=".", color=f"C{place}", label=label)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize="small")


def _latent_plane(codes: Any, figure: "Canvas", frame: "pd.DataFrame") -> None:
    """The paper's Figure 2: 95 % ellipses of p(z|x), coloured by class, over the entropy of q(y|z)."""
    del frame
    import matplotlib
    from matplotlib.collections import EllipseCollection

    mean, scale, labels, extent = (np.array(codes[name]) for name in ("mean", "scale", "labels", "extent"))
    axes, colors = figure.subplots(), matplotlib.colormaps["tab10"]
    image = axes.imshow(
        codes["entropy_bits"], origin="lower", extent=tuple(extent), cmap="gray_r", aspect="auto", vmin=0, alpha=0.6
    )
    figure.colorbar(image, label="H(q(y|z)), bits")
    reach = 2 * np.sqrt(-2 * np.log(0.05))  # of the two-dimensional normal's 95 %
    widths, heights = reach * scale.T
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": colors(labels % 10), "linewidths": 0.7}
    style |= {"units": "xy", "offsets": mean, "offset_transform": axes.transData}
    axes.add_collection(EllipseCollection(widths, heights, np.zeros(len(mean)), **style))
    for label in np.unique(labels):
        axes.plot([], [], "o", markersize=4, color=colors(label % 10), label=str(label))
    figure.legend(title="class", fontsize="small", loc="outside left center", frameon=False)
    axes.set(xlabel="$z_1$", ylabel="$z_2$", xlim=tuple(extent[:2]), ylim=tuple(extent[2:]))
