"""Make the tables and the figure of IB with adversarial training from their records.

Run:      python -m experiments.ib_adversarial_training.table [FOLDER]
Reads:    *.json of experiments/results/ib_adversarial_training/mnist, or of FOLDER.
Leaves:   table.md and figure.png beside them.
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import claims as verdicts
from experiments.core.claims import Claim, spread
from experiments.core.records import RecordError
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training import paper

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "ib_adversarial_training" / "mnist"
RADIUS = 0.3
COLUMN_OF = {"fgsm": paper.FGSM, "bim": paper.BIM, "pgd": paper.PGD}
TITLES = {"vib": "IB", "cross_entropy": "CE"}
BESIDE = (names.CLEAN, names.PGD_EOT, names.MARGIN_EOT, names.TRANSFER, names.SQUARE, names.WORST)
Record = Mapping[str, Any]
Groups = Mapping[tuple[str, float, str], Sequence[Record]]
"""Records of all seeds by objective, beta (0 for cross-entropy) and adversary."""


def read(folder: pathlib.Path) -> Groups:
    """The records of a folder."""
    groups: dict[tuple[str, float, str], list[Record]] = {}
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    for record in sorted(found, key=lambda record: record["config"]["seed"]):
        config = record["config"]
        beta = config["beta"] if config["objective"] == "vib" else 0.0
        groups.setdefault((config["objective"], beta, config["adversary"]), []).append(record)
    return groups


def value(record: Record, attack: str, epsilon: float | None, name: str = "accuracy") -> float:
    """A number of an attack's row: accuracies in per cent, rates in bits; NaN if there is none."""
    factor = 100.0 if name == "accuracy" else 1.0
    if attack == names.CLEAN:
        return factor * record[f"clean_{name}"] if record[f"clean_{name}"] is not None else float("nan")
    rows = [row for row in record["attacks"] if (row["attack"], row["epsilon"]) == (attack, epsilon)]
    return factor * rows[0][name] if rows and rows[0].get(name) is not None else float("nan")


def beside(record: Record, attack: str, epsilon: float) -> float:
    """Accuracy in per cent on the images that all attacks of a radius were tried on; plain PGD is EOT without noise."""
    found = next(row["accuracy"] for row in record["honest"] if row["epsilon"] == epsilon)
    fallback = {names.PGD_EOT: names.PGD}.get(attack, attack)
    return 100.0 * found.get(attack, found.get(fallback, float("nan")))


def title(key: tuple[str, float, str]) -> str:
    """What a group is called."""
    objective, beta, adversary = key
    strength = f", beta {beta:g}" if beta else ""
    against = "" if adversary == "none" else f" + {adversary.upper()}"
    return f"{TITLES.get(objective, objective)}{against}{strength}"


def order(groups: Groups) -> list[tuple[str, float, str]]:
    """Bottlenecks first, from the largest beta; clean training first."""
    adversaries = ["none", *COLUMN_OF]
    return sorted(groups, key=lambda key: (key[0] != "vib", -key[1], adversaries.index(key[2])))


def first_table(groups: Groups, dataset: str) -> list[str]:
    """I(X';T') and accuracy under attack of VIB, trained against the attack of the column or on clean images."""
    betas = sorted({beta for _, beta, _ in groups if beta}, reverse=True)
    lines = ["|  | beta | trained on | FGSM | BIM | PGD |", "|---|---|---|---|---|---|"]
    for label, name, published in [
        ("I(X';T') <=, bits", "rate_bits", paper.INFORMATION),
        ("accuracy, %", "accuracy", paper.ACCURACY),
    ]:
        for beta in betas:
            for against in (False, True):
                cells = []
                for adversary, attack in COLUMN_OF.items():
                    records = groups.get(("vib", beta, adversary if against else "none"), [])
                    own = spread([value(record, attack, RADIUS, name) for record in records])
                    theirs = published.get((beta, against), {}).get(attack) if dataset == "mnist" else None
                    cells.append(own + (f" ({theirs:g})" if theirs is not None else ""))
                what = "clean and attacked images" if against else "clean images"
                lines.append(f"| {label} | {beta:g} | {what} | {' | '.join(cells)} |")
    return lines


def second_table(groups: Groups, dataset: str) -> list[str]:
    """Accuracy of both objectives, each with and without FGSM in training, under the paper's attacks."""
    heads = [attack if radius is None else f"{attack} {radius:g}" for attack, radius in paper.COLUMNS]
    lines = [f"|  | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    betas = [beta for _, beta, _ in groups if beta]
    beta = 1e-3 if 1e-3 in betas else min(betas, default=0.0)
    published = paper.OBJECTIVES.get(dataset, {})
    for adversary in ("none", "fgsm"):
        for key in [("vib", beta, adversary), ("cross_entropy", 0.0, adversary)]:
            theirs = published.get((key[0], adversary), (None,) * len(paper.COLUMNS))
            cells = [
                spread([value(record, *column) for record in groups.get(key, [])])
                + (f" ({number:g})" if number else "")
                for column, number in zip(paper.COLUMNS, theirs, strict=True)
            ]
            lines.append(f"| {title(key)} | {' | '.join(cells)} |")
    return lines


def beside_table(groups: Groups) -> list[str]:
    """What stands beside: EOT, a margin loss, transfer and Square, and what stands under all of them."""
    radii = [row["epsilon"] for row in next(iter(groups.values()))[0]["honest"]]
    lines = [f"| radius |  | {' | '.join(BESIDE)} | DeepFool L2 | CW EOT L2 |", "|---" * (len(BESIDE) + 4) + "|"]
    for radius in radii:
        for key in order(groups):
            cells = [spread([beside(record, attack, radius) for record in groups[key]]) for attack in BESIDE]
            for attack in (names.DEEPFOOL, names.CW_EOT):
                sizes = [value(record, attack, None, "median_l2") for record in groups[key]]
                cells.append(spread(sizes, "{:.2f}") if radius == radii[0] else "")
            lines.append(f"| {radius:.3g} | {title(key)} | {' | '.join(cells)} |")
    return lines


def claims(groups: Groups, dataset: str) -> list[Claim]:
    """The paper's statements about these tables, as differences."""
    found: list[Claim] = []

    def add(text: str, larger: Any, smaller: Any, number: Any, paper_difference: float | None = None) -> None:
        if larger in groups and smaller in groups:
            pairs = list(zip(groups[larger], groups[smaller], strict=True))
            found.append(Claim(text, [number(a) for a, _ in pairs], [number(b) for _, b in pairs], paper_difference))

    for beta in sorted({beta for _, beta, _ in groups if beta}, reverse=True):
        for adversary, attack in COLUMN_OF.items():
            plain, against = ("vib", beta, "none"), ("vib", beta, adversary)
            published = [
                _difference(table.get((beta, False)), table.get((beta, True)), attack) if dataset == "mnist" else None
                for table in (paper.INFORMATION, paper.ACCURACY)
            ]
            add(
                f"I(X';T') is larger without training against {attack}, beta {beta:g} (bits)",
                plain,
                against,
                lambda record, attack=attack: value(record, attack, RADIUS, "rate_bits"),
                published[0],
            )
            add(
                f"accuracy under {attack} is larger with it, beta {beta:g} (points)",
                against,
                plain,
                lambda record, attack=attack: value(record, attack, RADIUS),
                None if published[1] is None else -published[1],
            )
    beta = 1e-3
    rows = paper.OBJECTIVES.get(dataset, {})
    for adversary in ("none", "fgsm"):
        own, other = rows.get(("vib", adversary)), rows.get(("cross_entropy", adversary))
        how = "" if adversary == "none" else ", both trained against FGSM"
        for index, (attack, radius) in enumerate(paper.COLUMNS[1:], 1):
            label = attack if radius is None else f"{attack} {radius:g}"
            add(
                f"IB of beta {beta:g} above CE under {label}, one sample{how} (points)",
                ("vib", beta, adversary),
                ("cross_entropy", 0.0, adversary),
                lambda record, attack=attack, radius=radius: value(record, attack, radius),
                own[index] - other[index] if own and other else None,
            )
        for radius in [row["epsilon"] for row in next(iter(groups.values()))[0]["honest"]]:
            for strength in sorted({beta for _, beta, _ in groups if beta}):
                add(
                    f"IB of beta {strength:g} above CE under the worst of all attacks at {radius:.3g}{how} (points)",
                    ("vib", strength, adversary),
                    ("cross_entropy", 0.0, adversary),
                    lambda record, radius=radius: beside(record, names.WORST, radius),
                )
    return found


def _difference(first: Mapping[str, float] | None, second: Mapping[str, float] | None, attack: str) -> float | None:
    return first[attack] - second[attack] if first and second else None


def make(folder: pathlib.Path) -> str:
    """Writes table.md and figure.png from the records of a folder; the table."""
    from experiments.ib_adversarial_training import (
        figure as ib_adversarial_training_figure,  # matplotlib takes a second to import
    )

    groups = read(folder)
    if not groups:
        raise RecordError(f"no record in {folder}: run experiments.ib_adversarial_training first")
    first = next(iter(groups.values()))[0]
    config, settings = first["config"], first["settings"]
    num_seeds = max(map(len, groups.values()))
    lines = [
        f"# IB and adversarial training on {config['dataset']}",
        "",
        f"{num_seeds} seeds, {config['num_epochs']} epochs of {first['num_train_images']} images in "
        f"batches of {config['batch_size']}, network {config['network']}, N = {config['num_layers']}, K = "
        f"{config['latent_dim']}; in training {config['adversary_fraction']:.0%} of a batch is attacked at "
        f"{config['adversary_epsilon']:g} (BIM and PGD with {config['adversary_steps']} steps). The first "
        f"{first['num_images']} test images are attacked, {settings['num_square_images']} by Square "
        f"({settings['num_queries']} queries), {settings['num_cw_images']} by CW EOT; an answer is the mean of "
        f"{config['num_eval_samples']} samples. Mean ± standard deviation over seeds; in brackets the paper's.",
        "",
        f"## Table 1: I(X';T') and accuracy at radius {RADIUS:g}, attacks with one sample of z",
        "",
        *first_table(groups, config["dataset"]),
        "",
        "I(X';T') is the mean rate on the attacked images under the one prior N(0, I): an upper bound, in bits. The "
        "paper gives no unit.",
        "",
        f"## Table {3 if config['dataset'] == 'cifar10' else 2}: accuracy in %, attacks with one sample of z",
        "",
        *second_table(groups, config["dataset"]),
        "",
        "DeepFool and CW have no radius: an accuracy under them says how often the search failed, and the distances "
        "below how far it went. One sample of z in each gradient makes both fail often. Where a model trained against "
        "FGSM is more accurate under it than on clean images, the attack has told it the label (label leaking).",
        "",
        f"## Beside: gradients averaged over {settings['num_eot_samples']} samples, transfer, black box; accuracy in %",
        "",
        *beside_table(groups),
        "",
        "Transfer is from cross-entropy trained on clean images, and to that from another seed (or VIB, if there is "
        "one seed). Distances are medians over all images, a failure counted as infinitely far (-).",
        "",
        "## What the paper states",
        "",
        *verdicts.render(claims(groups, config["dataset"])),
        "",
        "## Signs of masked gradients",
        "",
        *findings(groups),
        "",
    ]
    table = "\n".join(lines)
    (folder / "table.md").write_text(table)
    ib_adversarial_training_figure.draw(folder / "figure.png", groups)
    return table


def findings(groups: Groups) -> list[str]:
    """How many models of each kind a check has something to say of."""
    lines = []
    for key in order(groups):
        checks: dict[str, int] = {}
        for record in groups[key]:
            for name in {finding["check"] for finding in record["findings"]}:
                checks[name] = checks.get(name, 0) + 1
        said = ", ".join(f"{name} ({count} of {len(groups[key])} seeds)" for name, count in sorted(checks.items()))
        lines.append(f"* {title(key)}: {said or 'none'}")
    return lines


def main() -> None:
    """Makes the tables of a folder."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    Console().print(Markdown(make(folder)))


if __name__ == "__main__":
    main()
