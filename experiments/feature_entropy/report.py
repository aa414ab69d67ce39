"""What is shown of the records of `experiments.feature_entropy`: entropies on every grid beside the robustness."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.claims import Claim, correlate
from experiments.core.frames import groups, per_model, where
from experiments.core.plots import Figure, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Claims, Column, Departures, Headline, Report, Row, Table, Text
from experiments.core.tables import ATTACKS
from experiments.feature_entropy.measure import GRIDS, OWN, SHARED

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): section 6, Figure 4"
ESTIMATORS = {"plug_in": "plug-in", "jvhw": "JVHW"}
TRAINED = ["fgsm", "deepfool", "carlini_wagner"]
"""The attacks that models are trained against."""
FOLDERS = ("", "renewed_every_second", "width1")
GRIDS_TEXT = (
    "Grids, on which entropy depends as much as on the network: shared range: all units (of a wide network means of "
    "neighbours), one range for all models of a seed, that of the one trained on clean images; own range: every unit "
    "between its own 1st and 99th percentile; components: the first principal components of the standardised units, "
    "likewise; median: the same above or below their medians. The last three do not see how large features are."
)
POINTS = (
    "A test is of Spearman's correlation of the estimate with the robustness over all models of an attack, every ratio "
    "and seed; Pearson's stands beside, and Spearman's with the accuracy under the worst of PGD, transfer and Square. "
    "p takes the models for independent draws; those of a seed share their first parameters, and the one at ratio 0 "
    "stands in every attack's row."
)
ATTACK_NOTE = (
    "Fooled when renewed: how many of the new attacked images fooled the network when they were last renewed; near all "
    "of them, and it has learned old attacks alone. "
    "Under the attack counts an image from however far it is fooled: DeepFool and CW have no radius. Attack made on "
    "another model and transfer are images made by the attack, and by PGD, on a model trained on clean images with "
    "another seed, the same for all. Distinct: symbols per image; alone: the share of images whose symbol no other "
    "has. Near 1 an estimate says how many images there were, and nothing else."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables of every data set, MNIST before CIFAR-10, and one figure."""
    records = sorted(records, key=lambda record: record.settings["dataset"] == "cifar10")
    parts = [(record, where(frame, file=record.file)) for record in records]
    sections: list[Any] = [section for record, part in parts for section in _sections(part, record)]
    claims = [claim for section in sections if isinstance(section, Claims) for claim in section.claims]
    figure = _figure([(record.settings["dataset"], part) for record, part in parts])
    headlines = [
        Headline(f"Figure 4: {claim.text}", claim.ours.split(";")[0], "falls", claim=claim)
        for claim in claims
        if f"{SHARED}, {ESTIMATORS['plug_in']}" in claim.text
    ]
    title = "Entropy of the last convolution's features, and robustness"
    return Report(title, frame, [figure, *sections, Departures(records)], PAPER, GRIDS_TEXT, headlines)


def models_of(frame: "pd.DataFrame", attack: str) -> "pd.DataFrame":
    """The numbers of the models trained against an attack and of those trained on clean images, but for other attacks
    that some are trained against."""
    others = [other for other in TRAINED if other != attack]
    own = where(frame, against=["none", attack])
    return own[~own["attack"].isin(others)]


def trained_against(frame: "pd.DataFrame") -> list[str]:
    """The attacks that there are models of."""
    return [attack for attack in TRAINED if len(where(frame, against=attack))]


def _sections(frame: "pd.DataFrame", record: Record) -> Iterator[Any]:
    dataset, epsilon = record.settings["dataset"], record.settings["epsilon"]
    count = where(frame, attack="worst")["num_images"].iloc[0]
    rows = [
        Row((ATTACKS[attack], f"{ratio:g}"), frame=part)
        for attack in trained_against(frame)
        for (ratio,), part in sorted(groups(models_of(frame, attack), "ratio"), key=lambda group: group[0])
    ]
    corner = ("attack", "ratio")
    robustness = Column("robustness, %", "robustness", scale=100)
    entropies = [
        Column(f"{grid}, {title}", "entropy_bits", at={"grid": grid, "estimator": name}, digits=2)
        for grid in GRIDS
        for name, title in ESTIMATORS.items()
    ]
    yield Text(_about(frame, record), dataset)
    yield Table(rows=rows, columns=[robustness, *entropies], corner=corner)
    yield Claims(list(_claims(frame)), f"{dataset}: the estimated entropy decreases as the robustness increases")
    yield Text(POINTS)
    title = (
        f"{dataset}: accuracies in %; PGD with {record.settings['pgd_steps']} steps, transfer and Square at L-inf "
        f"{epsilon:.3g} on {count:g} images"
    )
    renewed = Column("fooled when renewed", functools.partial(_fooled, record), scale=100)
    columns = [renewed, *_every_attack(frame)]
    yield Table(title=title, rows=rows, columns=columns, corner=corner, notes=ATTACK_NOTE)


def _fooled(record: Record, part: "pd.DataFrame") -> list[float]:
    """The share of new attacks that fooled each model when its attacked images were renewed for the last time."""
    known = {
        (model.name, model.seed): [row["fooled"] for row in model.details.get("history", ()) if "fooled" in row]
        for model in record.models
    }
    models = part[["model", "seed"]].drop_duplicates().itertuples(index=False, name=None)
    return [rows[-1] for key in models if (rows := known[key])]


def _every_attack(frame: "pd.DataFrame") -> Iterator[Column]:
    accuracy = functools.partial(Column, metric="accuracy", scale=100)
    own, made_on_others = where(frame, attack=TRAINED, source=None), frame[frame["source"].notna()]
    yield accuracy("clean", at={"attack": "clean", "together": None})
    yield accuracy("under the attack", frame=own)
    yield accuracy("attack made on another model", frame=where(made_on_others, attack=TRAINED))
    yield Column("median L2", "median_l2", digits=2)
    yield accuracy("PGD", at={"attack": "pgd", "source": None})
    yield accuracy("transfer", frame=where(made_on_others, attack="pgd"))
    yield accuracy("Square", at={"attack": "square"})
    yield accuracy("worst of them", at={"attack": "worst"})
    yield Column("mean feature", "feature_mean", digits=3)
    yield Column("dead units", "dead_units")
    for grid in GRIDS:
        yield Column(f"distinct/alone, {grid}", functools.partial(_shares, grid))


def _shares(grid: str, frame: "pd.DataFrame") -> str:
    means = (per_model(frame, name, grid=grid).mean() for name in ("distinct_share", "single_share"))
    return "/".join(f"{mean:.2f}" for mean in means)


def _claims(frame: "pd.DataFrame") -> Iterator[Claim]:
    """The paper's statement for each attack, grid and estimator."""
    for attack in trained_against(frame):
        own = models_of(frame, attack)
        robust, worst = per_model(own, "robustness"), per_model(own, "accuracy", attack="worst")
        for grid in GRIDS:
            for name, title in ESTIMATORS.items():
                bits = per_model(own, "entropy_bits", grid=grid, estimator=name)
                spearman, pearson = correlate(bits, robust, rank=True), correlate(bits, robust)
                kinds = {"Spearman": spearman, "Pearson": pearson, "with the worst": correlate(bits, worst, rank=True)}
                ours = "; ".join(f"{kind} {r:.3g} (p {p:.3g})" for kind, (r, p) in kinds.items())
                text = f"{ATTACKS[attack]}, {grid}, {title}"
                yield Claim(text, [-spearman.coefficient], p_value=spearman.p_value, n=len(bits), ours=ours)


def _about(frame: "pd.DataFrame", record: Record) -> str:
    own, details = record.settings, record.details
    height, width, _ = details["image_shape"]
    attacked, entropy = where(frame, metric="robustness"), where(frame, metric="most_bits", grid=SHARED)
    return (
        f"{details['num_train_images']} training images of {height} x {width} pixels (averaged over squares of "
        f"{own['shrink']}), All-CNN at width {own['scale_width']:g}, {own['num_epochs']} epochs in batches of "
        f"{own['batch_size']}, {own['num_seeds']} seeds. After {own['warm_up']} epochs on clean images, and every "
        f"{own['refresh']} from then on, a ratio of the images, drawn afresh, is replaced by attacks on the model as "
        f"it stands: FGSM at {own['epsilon']:.3g}, DeepFool with at most {own['deepfool_steps']} steps, CW with "
        f"{own['cw_steps']} steps and c = {own['cw_const']:g}. Robustness is the accuracy under the same attack on "
        f"{attacked['num_images'].iloc[0]:g} test images: under FGSM as it is; under DeepFool and CW an image stands "
        f"if it is not fooled within L2 {own['l2_radius']:g}. Entropies in bits, from "
        f"{entropy['num_images'].iloc[0]:g} test images (at most {entropy['value'].iloc[0]:.2f} bits by the plug-in). "
        "Mean ± standard deviation over seeds."
    )


def _figure(parts: Sequence[tuple[str, "pd.DataFrame"]]) -> Figure:
    """Entropy (blue, left axis) and robustness (red, right axis) against the ratio of attacked training images."""
    styles: dict[str, dict[str, Any]] = {
        "plug_in": {"style": "-", "marker": "o"},
        "jvhw": {"style": "--", "marker": "s"},
    }
    panel = functools.partial(
        Panel,
        x="ratio",
        xlabel="ratio of attacked training images",
        ylabel="entropy, bits",
        twin_label="robustness, %",
        legend=False,
    )
    panels = []
    for dataset, frame in parts:
        for grid, attack in itertools.product((SHARED, OWN), trained_against(frame)):
            line = functools.partial(Line, frame=models_of(frame, attack), spread="seeds")
            lines = [line("robustness", "robustness", scale=100, color="C3", marker="^", twin=True)]
            for name, title in ESTIMATORS.items():
                at = {"grid": grid, "estimator": name}
                lines.append(line(f"entropy, {title}", "entropy_bits", at=at, color="C0", **styles[name]))
            panels.append(panel(lines=lines, title=f"{dataset}, {ATTACKS[attack]}; grid: {grid}"))
    columns = max(len(trained_against(frame)) for _, frame in parts)
    alt = "Entropy of features, and robustness, against the ratio of attacked training images: a column an attack."
    size = (4.4 * columns, 3.1 * len(panels) / columns + 0.5)
    return Figure("figure.png", panels, title="Figure 4", alt=alt, columns=columns, size=size, legend=3)
