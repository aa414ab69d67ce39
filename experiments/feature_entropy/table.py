"""Make the table and the figure of features' entropy and robustness from their records.

Run:      python -m experiments.feature_entropy.table [FOLDER]
Reads:    *.json of experiments/results/feature_entropy, or of FOLDER: one record for each data set.
Leaves:   table.md and figure.png beside them.
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from rich.console import Console
from rich.markdown import Markdown

from experiments.core.claims import CONFIRMED, NOT_FOUND, WEAKER, spread
from experiments.core.records import RecordError
from experiments.feature_entropy.measure import ESTIMATORS, GRIDS, JVHW, PLUG_IN
from experiments.feature_entropy.settings import ATTACKS

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "feature_entropy"
TITLES = {PLUG_IN: "plug-in", JVHW: "JVHW"}
RULE = (
    "*confirmed*: over all models of the attack (every ratio and seed) Spearman's correlation of the estimate with the "
    "robustness is negative with p < 0.05 (two-sided); *weaker*: negative; *not found*: neither. Pearson's stands "
    "beside. p takes the models for independent draws; those of a seed share their first parameters, and the one at "
    "ratio 0 stands in every attack's row."
)
Record = Mapping[str, Any]
Row = Mapping[str, Any]


class Relation(NamedTuple):
    """How two measured quantities go together over models; NaN where one of them does not vary, or of two models."""

    spearman: float
    spearman_p: float
    pearson: float
    pearson_p: float

    @property
    def verdict(self) -> str:
        """On the statement that one falls as the other rises; see `RULE`.

        Example:
          >>> relation([1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 4.0, 3.0, 2.0, 0.0]).verdict
          'confirmed'
          >>> relation([1.0, 2.0, 3.0, 4.0], [5.0, 2.0, 3.0, 1.0]).verdict
          'weaker'
          >>> relation([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).verdict
          'not found'
        """
        if not self.spearman < 0:
            return NOT_FOUND
        return CONFIRMED if self.spearman_p < 0.05 else WEAKER


def relation(first: Sequence[float], second: Sequence[float]) -> Relation:
    """Spearman's and Pearson's correlations with their two-sided p-values, by SciPy."""
    if len(first) < 3 or min(np.ptp(first), np.ptp(second)) == 0:
        return Relation(*[float("nan")] * 4)
    rank, line = scipy.stats.spearmanr(first, second), scipy.stats.pearsonr(first, second)
    return Relation(float(rank.statistic), float(rank.pvalue), float(line.statistic), float(line.pvalue))


def read(folder: pathlib.Path) -> list[Record]:
    """The records of a folder, MNIST before CIFAR-10."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda record: record["config"]["dataset"] == "cifar10")


def models(record: Record, attack: str) -> list[Row]:
    """The models trained against an attack, and those trained on clean images, by ratio and seed."""
    own = [row for row in record["models"] if attack in row["robustness"]]
    return sorted(own, key=lambda row: (row["ratio"], row["seed"]))


def trained_against(record: Record) -> list[str]:
    """The attacks that a record has models of."""
    return [attack for attack in ATTACKS if any(row["attack"] == attack for row in record["models"])]


def robustness(row: Row, attack: str) -> float:
    """In per cent."""
    return 100.0 * float(row["robustness"][attack]["robustness"])


def by_ratio(rows: Sequence[Row]) -> dict[float, list[Row]]:
    """The models of every ratio."""
    return {ratio: [row for row in rows if row["ratio"] == ratio] for ratio in sorted({r["ratio"] for r in rows})}


def entropy_table(record: Record) -> list[str]:
    """Robustness and the entropy on every grid, by attack and ratio."""
    heads = [f"{grid}, {TITLES[name]}" for grid in GRIDS for name in ESTIMATORS]
    lines = [f"| attack | ratio | robustness, % | {' | '.join(heads)} |", "|---" * (len(heads) + 3) + "|"]
    for attack in trained_against(record):
        for ratio, rows in by_ratio(models(record, attack)).items():
            cells = [spread([robustness(row, attack) for row in rows])]
            cells += [
                spread([row["entropy"][grid][name][0] for row in rows], "{:.2f}")
                for grid in GRIDS
                for name in ESTIMATORS
            ]
            lines.append(f"| {attack} | {ratio:g} | {' | '.join(cells)} |")
    return lines


def beside_table(record: Record) -> list[str]:
    """Accuracies, distances, and what the features look like."""
    heads = ["clean", "under the attack", "attack made on another model", "median L2", "PGD", "transfer", "Square"]
    heads += ["worst of them", "mean feature", "dead units", *(f"distinct/alone, {grid}" for grid in GRIDS)]
    lines = [f"| attack | ratio | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for attack in trained_against(record):
        for ratio, rows in by_ratio(models(record, attack)).items():
            stood = [row["robustness"][attack] for row in rows]
            cells = [
                spread([100 * one[name] for one in stood])
                for name in ("clean_accuracy", "attacked_accuracy", "frozen_accuracy")
            ]
            sizes = [float("nan") if one["median_l2"] is None else one["median_l2"] for one in stood]
            cells.append(spread(sizes, "{:.2f}"))
            cells += [
                spread([100 * one["beside"][name] for one in stood]) for name in ("pgd", "transfer", "square", "worst")
            ]
            cells += [spread([row["feature_mean"] for row in rows], "{:.3f}")]
            cells += [spread([float(row["dead_units"]) for row in rows])]
            for grid in GRIDS:
                shares = [
                    f"{np.mean([row['entropy'][grid][name] for row in rows]):.2f}"
                    for name in ("distinct_share", "single_share")
                ]
                cells.append("/".join(shares))
            lines.append(f"| {attack} | {ratio:g} | {' | '.join(cells)} |")
    return lines


def verdict_table(record: Record) -> list[str]:
    """The paper's statement for each attack, grid and estimator, and the same against the worst of what is beside."""
    lines = [
        "| attack | grid | estimator | models | Spearman | p | Pearson | p | verdict | "
        "Spearman with the worst of PGD, transfer and Square | p |",
        "|---" * 11 + "|",
    ]
    for attack in trained_against(record):
        rows = models(record, attack)
        worst = [row["robustness"][attack]["beside"]["worst"] for row in rows]
        for grid in GRIDS:
            for name in ESTIMATORS:
                bits = [row["entropy"][grid][name][0] for row in rows]
                found, other = relation(bits, [robustness(row, attack) for row in rows]), relation(bits, worst)
                numbers = " | ".join(f"{number:.3g}" for number in found)
                lines.append(
                    f"| {attack} | {grid} | {TITLES[name]} | {len(rows)} | {numbers} | **{found.verdict}** | "
                    f"{other.spearman:.3g} | {other.spearman_p:.3g} |"
                )
    return lines


def section(record: Record) -> list[str]:
    """All of one data set."""
    config, first = record["config"], record["models"][0]
    height, width, _ = record["image_shape"]
    entropy, beside = first["entropy"][GRIDS[0]], next(iter(first["robustness"].values()))
    return [
        f"## {config['dataset']}",
        "",
        f"{record['num_train_images']} training images of {height} x {width} pixels (averaged over squares of "
        f"{config['shrink']}), All-CNN at width {config['scale_width']:g}, {config['num_epochs']} epochs in batches of "
        f"{config['batch_size']}, {config['num_seeds']} seeds. After {config['warm_up']} epochs on clean images, and "
        f"every {config['refresh']} from then on, a ratio of the images, drawn afresh, is replaced by attacks on the "
        f"model as it stands: FGSM at {config['epsilon']:.3g}, DeepFool with at most {config['deepfool_steps']} steps, "
        f"CW with {config['cw_steps']} steps and c = {config['cw_const']:g}. Robustness is the accuracy under the same "
        f"attack on {beside['num_images']} test images: under FGSM as it is; under DeepFool and CW "
        f"an image stands if it is not fooled within L2 {config['l2_radius']:g}. Entropies in bits, from "
        f"{entropy['num_images']} test images (at most "
        f"{entropy['most_bits']:.2f} bits by the plug-in). "
        "Mean ± standard deviation over seeds.",
        "",
        *entropy_table(record),
        "",
        "### What the paper states: the estimated entropy decreases as the robustness increases",
        "",
        *verdict_table(record),
        "",
        RULE,
        "",
        f"### Beside: accuracies in %; PGD with {config['pgd_steps']} steps, transfer and Square at L-inf "
        f"{config['epsilon']:.3g} on {beside['num_beside']} images",
        "",
        *beside_table(record),
        "",
        "*under the attack* counts an image from however far it is fooled: DeepFool and CW have no radius. *attack "
        "made on another model* and *transfer* are images made by the attack, and by PGD, on a model trained on clean "
        "images with another seed, the same for all. *distinct*: symbols per image; *alone*: the share of images whose "
        "symbol no other has. Near 1 an estimate says how many images there were, and nothing else.",
        "",
    ]


def make(folder: pathlib.Path) -> str:
    """Writes table.md and figure.png from the records of a folder; the table."""
    from experiments.feature_entropy import figure as feature_entropy_figure  # matplotlib takes a second to import

    found = read(folder)
    if not found:
        raise RecordError(f"no record in {folder}: run experiments.feature_entropy first")
    lines = [
        "# Entropy of the last convolution's features, and robustness",
        "",
        "Grids, on which entropy depends as much as on the network: *shared range*: all units, one range for all "
        "models of a seed, that of the one trained on clean images; *own range*: every unit between its own 1st and "
        "99th percentile; *components*: the first principal components of the standardised units, likewise; *median*: "
        "the same above or below their medians. The last three do not see how large features are.",
        "",
        *(line for record in found for line in section(record)),
    ]
    table = "\n".join(lines)
    (folder / "table.md").write_text(table)
    feature_entropy_figure.draw(folder / "figure.png", found)
    return table


def main() -> None:
    """Makes the table of a folder."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    Console().print(Markdown(make(folder)))


if __name__ == "__main__":
    main()
