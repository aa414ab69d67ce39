"""What is shown of the information curve: a table and Figure 1 of the paper, and the way through the plane."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.drawing import draw_panel
from experiments.core.frames import distinct, groups, per_model, per_seed, where
from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Claim, Claims, Column, Departures, Headline, Report, Row, Table, Text, attack_label
from experiments.information_curve.knee import Knee, find_knee, in_words
from experiments.mnist_vib import latent_planes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PAPER = (
    "Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Table 1, Figures 1 and 2; Tighter "
    "Bounds on the Information Bottleneck (arXiv 2402.07639): Figure 3"
)
ERRORS = {  # Alemi et al., Table 1 (K = 256), Figure 2 (K = 2): test error in per cent by K and beta
    "error_avg": {(256, 1e-3): 1.13, (2, 1e-3): 3.18, (2, 1e-1): 3.44, (2, 1.0): 33.82},
    "error_one": {(2, 1e-3): 3.24, (2, 1e-1): 4.32, (2, 1.0): 62.81},
}
COLORS = {"train": "C0", "test": "C1"}
KNEE = "C3"
NUM_CLASSES = 10
"""Of the data sets that are known by name."""
MASKED = (
    "Accuracy under attack is on the first test images, white-box, with gradients averaged over samples of z. It "
    "stands alone here, so read a high number as possibly masked gradients: the table of "
    "`experiments.mnist_robustness` puts transfer and black-box attacks beside it."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and figures of the records: one for each K, or one for each model."""
    settings = records[0].settings
    by_size: dict[int, list[Record]] = {size: [] for size in settings["latent_dims"]}
    for record in sorted(records, key=lambda record: record.file):
        by_size.setdefault(record.settings["latent_dim"], []).append(record)
    sizes = {size: own for size, own in by_size.items() if own}
    gone = {(r.file, m.name, m.seed): m.details["diverged_at"] for r in records for m in r.models}
    keys = frame[["file", "model", "seed"]].itertuples(index=False, name=None)
    sound = frame[[gone[key] < 0 for key in keys]]
    compared = (settings["objective"], settings["dataset"]) == ("vib", "mnist")
    theirs = ERRORS if compared else {}
    sections: list[Any] = [_table(size, own, frame, sound, theirs) for size, own in sizes.items()]
    knees = {size: knee for size in sizes if (knee := find_knee(where(sound, latent_dim=size)))}
    sections += [Text(in_words(knee, size, _label_bits(sizes[size]))) for size, knee in knees.items()]
    sections += nothing_to_gain(sound) if settings["objective"] == "vib" else []
    sections += [Text(MASKED)] if _smallest_radii(frame) else []
    sections += [_curve(sound, sizes, knees), *_codes(records, compared), *_plane(sizes)]
    sections += [Claims(found)] if compared and (found := claims(sound)) else []
    sections += [Departures(records)]
    headlines = []
    for (size, beta), paper in ERRORS["error_avg"].items():
        if compared and beta == 1e-3 and size in set(sound["latent_dim"]):
            errors = per_model(where(sound, latent_dim=size, beta=beta), "error_avg", split="test")
            headlines.append(Headline(f"test error at beta = {beta:g}, K = {size}", errors, paper, "%", 2))
    intro = "Averaged weights; mean and standard deviation over seeds; in square brackets the paper's."
    title = f"The information curve of {settings['objective']} on {settings['dataset']}"
    return Report(title, sound, sections, PAPER, intro, headlines)


def nothing_to_gain(frame: "pd.DataFrame") -> list[Text]:
    """Why an error at beta = 1 is not the bottleneck's: how far the loss is above that of codes that say nothing."""
    excess = []
    for (size,), part in groups(where(frame, beta=1.0), "latent_dim"):
        rate, known = (per_model(part, name, split="test").mean() for name in ("rate_bits", "information_zy_bits"))
        excess.append(f"{rate - known:.3f} bits with K = {size:g}")
    text = (
        "At beta = 1 the loss is H(Y) and the rate less the bound of I(Z;Y). Since I(Z;Y) <= I(X;Z) <= rate, no code "
        f"does better than one that says nothing; the loss is above that by at least {', '.join(excess)} (at least, "
        "since I(Z;Y) is of 12 samples). An error below chance tells there how far training had come, not what beta "
        "= 1 leaves."
    )
    return [Text(text)] if excess else []


def claims(frame: "pd.DataFrame") -> list[Claim]:
    """The VIB paper's statements on Figures 1 and 2, of those sizes and betas that there are."""

    def of(metric: str, size: int, beta: float, split: str = "test", scale: float = 100.0) -> Any:
        return scale * per_seed(where(frame, latent_dim=size, beta=beta), metric, split=split)

    error = functools.partial(Claim, unit="%", digits=2)
    least = {size: min(where(frame, latent_dim=size)["beta"], default=1.0) for size in (256, 2)}
    least = {size: beta if beta < 1e-3 else math.nan for size, beta in least.items()}  # else there is none to compare
    stated = [
        error(
            "K = 256: at the smallest beta the training error is lower than at beta = 1e-2, and so it overfits",
            of("error_avg", 256, 1e-2, "train"),
            of("error_avg", 256, least[256], "train"),
        ),
        error(
            "K = 256: the test error is lower at beta = 1e-3 than at the smallest beta",
            of("error_avg", 256, least[256]),
            of("error_avg", 256, 1e-3),
        ),
        Claim(
            "K = 256: at beta = 1e-2 about 10 bits are enough (at most 15)",
            15.0,
            of("rate_bits", 256, 1e-2, scale=1.0),
            paper=5.0,
            unit="bits",
        ),
        error(
            "K = 256: at beta = 1e-1 the mean of 12 samples errs less than one",
            of("error_one", 256, 1e-1),
            of("error_avg", 256, 1e-1),
        ),
        error(
            "K = 2: at beta = 1e-1 the mean of 12 samples errs less than one",
            of("error_one", 2, 1e-1),
            of("error_avg", 2, 1e-1),
            paper=ERRORS["error_one"][2, 1e-1] - ERRORS["error_avg"][2, 1e-1],
        ),
        error(
            "K = 2: at beta = 1e-3 one sample suffices (within 0.25 % of the mean of 12)",
            0.25,
            of("error_one", 2, 1e-3) - of("error_avg", 2, 1e-3),
        ),
        error(
            "K = 2: the codes of beta = 1 overlap until the classes cannot be told apart",
            of("error_avg", 2, 1.0),
            of("error_avg", 2, 1e-3),
            paper=ERRORS["error_avg"][2, 1.0] - ERRORS["error_avg"][2, 1e-3],
        ),
        error(
            "K = 2 errs more than K = 256 at beta = 1e-3",
            of("error_avg", 2, 1e-3),
            of("error_avg", 256, 1e-3),
            paper=2.05,
        ),
    ]
    return [claim for claim in stated if claim.count]


def _table(
    size: int,
    records: Sequence[Record],
    frame: "pd.DataFrame",
    sound: "pd.DataFrame",
    paper: Any,
) -> Table:
    settings, models = records[0].settings, [model for record in records for model in record.models]
    error = functools.partial(Column, unit="%", digits=2)
    columns = [
        error("test error, 12 samples", "error_avg", at={"split": "test"}, paper=paper.get("error_avg")),
        error("1 sample", "error_one", at={"split": "test"}, paper=paper.get("error_one")),
        error("train error, 12 samples", "error_avg", at={"split": "train"}),
        Column("I(X;Z) <=, bits", "rate_bits", at={"split": "test"}, digits=2),
        Column("I(Z;Y) >=, bits", "information_zy_bits", at={"split": "test"}, digits=3),
        *(
            Column(attack_label(at), "accuracy", at=at, unit="%")
            for at in _smallest_radii(where(frame, latent_dim=size))
        ),
    ]
    rows = []
    for (beta,), _ in sorted(groups(where(frame, latent_dim=size), "beta"), key=lambda group: group[0]):
        part = where(sound, latent_dim=size, beta=beta)
        label = f"{beta:g}" if len(part) else f"{beta:g}, diverged"
        rows.append(Row(label, frame=part, key=(size, beta)))
    seeds, devices = sorted({model.seed for model in models}), records[0].environment["devices"]
    seconds = sum(record.details["training_seconds"] for record in records)
    covariance = "full" if settings.get("encoder_scale") == "full" else "diagonal"
    notes = (
        f"{settings['objective']} on {settings['dataset']}, K = {size}, {covariance} covariance, "
        f"{settings['num_epochs']} epochs ({settings['preset']} recipe; the paper trains 200), "
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}: {len(models)} models in {seconds:,.0f} s on "
        f"{devices[0]} x {len(devices)}."
    )
    fallen = [
        f"beta = {model.settings['beta']:g}, seed {model.seed} diverged at step {model.details['diverged_at']}"
        for model in models
        if model.details["diverged_at"] >= 0
    ]
    notes += f" Left out: {'; '.join(fallen)}." if fallen else ""
    return Table(title=f"K = {size}", rows=rows, columns=columns, corner=("beta",), notes=notes)


def _smallest_radii(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Of each attack the smallest radius: at larger ones hardly an image stands, whatever beta is."""
    attacked = frame[frame["epsilon"].notna()] if "epsilon" in frame else frame.iloc[:0]
    found = []
    for at in distinct(attacked, "attack", "norm", "num_steps", "targeted") if len(attacked) else []:
        radii = sorted(where(attacked, **at)["epsilon"].unique())
        found.append(at | {"epsilon": next((radius for radius in radii if radius > 0), radii[0])})
    return found


def _label_bits(records: Sequence[Record]) -> float:
    """The most that a code can tell of the label: of classes that are equally frequent."""
    return math.log2(records[0].details.get("data", {}).get("num_classes", NUM_CLASSES))


def _curve(frame: "pd.DataFrame", sizes: Mapping[int, Sequence[Record]], knees: Mapping[int, Knee]) -> Figure:
    """The paper's Figure 1: error against beta for each K; of the first K I(Z;Y) against I(X;Z), and that on beta."""
    first_size = next(iter(sizes))
    first, settings = where(frame, latent_dim=first_size), sizes[first_size][0].settings
    relevance, rate = (
        [Line(split, metric, at={"split": split}, frame=first, over="beta", color=c) for split, c in COLORS.items()]
        for metric in ("information_zy_bits", "rate_bits")
    )
    titles = {size: _trained(size, own) for size, own in sizes.items()}
    information = functools.partial(Panel, title=titles[first_size])
    bound = "I(X;Z) upper bound, bits"
    plane = information(
        lines=relevance,
        x="rate_bits",
        levels=[Level(_label_bits(sizes[first_size]))],
        xlabel=bound,
        ylabel="I(Z;Y) lower bound, bits",
        xscale="symlog",
        xlim=(0, None),
    )
    rates = information(lines=rate, x="beta", ylabel=bound, xscale="log", yscale="symlog", ylim=(0, None))
    panels: list[Any] = [functools.partial(_errors, size, title, knees.get(size)) for size, title in titles.items()]
    panels += (
        [functools.partial(_in_plane, plane, knees.get(first_size)), rates]
        if "rate_bits" in set(first["metric"])
        else []
    )
    title = f"{settings['objective']} on {settings['dataset']}"
    alt = "Test and training error against beta for each K; I(Z;Y) against I(X;Z); I(X;Z) against beta."
    size = (9.5, 3.6 * -(-len(panels) // 2))
    return Figure("figure1.png", panels, title="Figure 1", suptitle=title, alt=alt, columns=2, size=size)


def _trained(latent_dim: int, records: Sequence[Record]) -> str:
    """How large, how long and how often."""
    seeds = len({model.seed for record in records for model in record.models})
    return f"K = {latent_dim}, {records[0].settings['num_epochs']} epochs, {seeds} seed{'s' * (seeds > 1)}"


def _in_plane(panel: Panel, knee: Knee | None, axes: "Axes", frame: "pd.DataFrame") -> None:
    draw_panel(axes, panel, frame)
    if knee is not None:
        label = rf"knee, $\beta$ = {knee.beta:g}"
        axes.plot([knee.rate_bits], [knee.label_bits], "*", color=KNEE, markersize=13, zorder=3, label=label)
        axes.legend(loc="lower right", fontsize="small")


def _errors(latent_dim: int, title: str, knee: Knee | None, axes: "Axes", frame: "pd.DataFrame") -> None:
    lines = [
        Line(f"{split}, {label}", metric, at={"split": split}, scale=100, color=color, style=dashes)
        for split, color in COLORS.items()
        for metric, label, dashes in (("error_one", "1 sample", "--"), ("error_avg", "12 samples", "-"))
    ]
    scales: dict[str, Any] = {"xscale": "log", "yscale": "symlog"}
    panel = Panel(lines=lines, title=title, x="beta", ylabel="error, %", ylim=(0, 100), **scales)
    draw_panel(axes, panel, where(frame, latent_dim=latent_dim))
    if knee is not None and knee.beta > 0:
        axes.axvline(knee.beta, color=KNEE, linestyle="--", linewidth=0.8, zorder=0)
    axes.set_yticks([0, 1, 2, 5, 10, 50, 90], ["0", "1", "2", "5", "10", "50", "90"])


def _codes(records: Sequence[Record], compared: bool) -> list[Figure]:
    """The paper's Figure 2, of the models whose codes are kept, with its errors in square brackets."""
    drawn = {}
    for record in records:
        for model in record.models:
            if "codes" in model.details:
                beta, test = model.settings["beta"], model.values_at(split="test")
                found = [f"{test[name]:.2%}" for name in ERRORS]
                theirs = [ERRORS[name].get((2, beta)) if compared else None for name in ERRORS]
                texts = [
                    own + ("" if paper is None else f" [{paper:g}]") for own, paper in zip(found, theirs, strict=True)
                ]
                drawn[beta] = f"beta = {beta:g}: error {texts[0]}, 1 sample {texts[1]}", model.details["codes"]
    return [latent_planes([drawn[beta] for beta in sorted(drawn)], "figure2.png")] if drawn else []


def _plane(sizes: Mapping[int, Sequence[Record]]) -> list[Figure]:
    """The VUB paper's Figure 3; a deterministic network has no such figure."""
    models = {size: [model for record in records for model in record.models] for size, records in sizes.items()}
    history = next(iter(models.values()))[0].details["history"]
    name = next((name for name in ("rate", "residual") if name in history), None)
    if name is None:
        return []
    rows = {f"K = {size}": [model for model in own if model.details["diverged_at"] < 0] for size, own in models.items()}
    columns = max(len({model.settings["beta"] for model in row}) for row in rows.values())
    alt = "1 / cross-entropy against the rate in each epoch of training, a panel for each beta, a row for each K."
    draw = functools.partial(_draw_plane, rows, columns, name)
    size = (2.2 * columns + 1, 2.3 * len(rows) + 0.5)
    return [Figure("information_plane.png", draw=draw, title="Through training", alt=alt, size=size)]


def _draw_plane(rows: Mapping[str, Any], columns: int, name: str, figure: "Canvas", _: "pd.DataFrame") -> None:
    """Rate against 1 / cross-entropy, which stands for I(Z;Y), means of each epoch."""
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey="row")
    points, bits = None, 1 / np.log(2.0)
    for line, (label, models) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(f"{label}\n1 / CE, 1/bits")
        betas = sorted({model.settings["beta"] for model in models})
        for axes in line[len(betas) :]:
            axes.set_visible(False)
        for model in models:
            axes, history = line[betas.index(model.settings["beta"])], model.details["history"]
            x, y = bits * np.array(history[name], float), 1 / (bits * np.array(history["distortion"], float))
            axes.plot(x, y, color="0.85", linewidth=0.7, zorder=1)
            points = axes.scatter(x, y, c=history["epoch"], s=9, cmap="viridis", zorder=2)
            axes.set_title(rf"$\beta$ = {model.settings['beta']:g}", fontsize="medium")
            axes.tick_params(labelsize="small")
            axes.set(xscale="log", yscale="log")
    quantity = "I(X;Z)" if name == "rate" else "I(X;Z|Y)"
    figure.supxlabel(f"{quantity} upper bound on training batches, bits")
    if points is not None:
        figure.colorbar(points, ax=grid, label="epoch", shrink=0.8)
