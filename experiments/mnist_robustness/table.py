"""Make the table and the figures of the attacks on VIB from their records.

Run:      python -m experiments.mnist_robustness.table [FOLDER]
Reads:    *.json of experiments/results/mnist_robustness, or of FOLDER, each made by `experiments.mnist_robustness`.
Leaves:   table.md, figure3.png, figure3_eot.png, figure5.png, figure6.png and figure_honest.png beside them.
"""

import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from experiments.mnist_robustness import settings as names
from experiments.mnist_robustness.settings import DETERMINISTIC, DROPOUT, PGD_STEPS

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "mnist_robustness"
TITLES = {
    names.CLEAN: "clean",
    names.FGSM_ONE: "FGSM, 1 sample",
    names.FGSM: "FGSM",
    names.PGD: f"PGD-{PGD_STEPS}",
    names.PGD_MARGIN: f"PGD-{PGD_STEPS}, margin",
    names.PGD_LONG: f"PGD-{2 * PGD_STEPS}",
    names.TRANSFER: "transfer",
    names.SQUARE: "Square",
    names.WORST: "worst of all",
}
BASELINES = {DETERMINISTIC: "deterministic", DROPOUT: "dropout"}
PAPER_FGSM = {DETERMINISTIC: {0.35: "about 5 %", 0.5: "about 1 %"}, DROPOUT: {0.35: "about 16 %", 0.5: "about 5 %"}}
Record = Mapping[str, Any]
Groups = Mapping[str, Sequence[Record]]


def read_records(folder: pathlib.Path) -> Groups:
    """The records by model, one for each seed: the baselines, then VIB by beta."""
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    order = {DETERMINISTIC: 0, DROPOUT: 1}
    found.sort(key=lambda record: (order.get(record["objective"], 2), record["beta"] or 0.0, record["seed"]))
    groups: dict[str, list[Record]] = {}
    for record in found:
        groups.setdefault(BASELINES.get(record["objective"]) or f"VIB, beta = {record['beta']:g}", []).append(record)
    return groups


def accuracy(record: Record, attack: str, epsilon: float) -> float | None:
    """Accuracy on the images that all attacks were tried on, in [0, 1]; None for what was not tried."""
    return next(row["accuracy"].get(attack) for row in record["same_images"] if row["epsilon"] == epsilon)


def attack_row(record: Record, attack: str, epsilon: float | None = None) -> Mapping[str, Any]:
    """What came out of an attack on all of its images."""
    return next(row for row in record["attacks"] if (row["attack"], row["epsilon"]) == (attack, epsilon))


def render(groups: Groups) -> str:
    """The tables in Markdown."""
    first = next(iter(groups.values()))[0]
    settings, sizes = first["settings"], first["same_images"][0]["num_images"]
    counts = " or ".join(str(count) for count in sorted({len(group) for group in groups.values()}))
    lines = [
        f"Test images of {settings['dataset']}; models of {first['training']['num_epochs']} epochs, K = "
        f"{first['training']['latent_dim']}; mean and standard deviation over seeds ({counts} of them). "
        f"An answer is that of the mean softmax over {settings['num_eval_samples']} fresh samples of z; gradients and "
        f"queries are means over {settings['num_eot_samples']}, unless a column says 1 sample.",
        "",
        f"Accuracy in % under attacks in an L-inf ball, inputs in [0, 1], the first {sizes} test images. The last "
        "column counts an image if it stands under every attack; only it says something of robustness. Transfer is "
        f"PGD-{PGD_STEPS} on the deterministic network of another seed, Square has {settings['num_queries']} queries.",
    ]
    for row in first["same_images"]:
        epsilon, columns = row["epsilon"], [name for name in TITLES if name in row["accuracy"]]
        lines += ["", *_header(f"radius {epsilon:g}", [TITLES[name] for name in columns])]
        for name, group in groups.items():
            cells = [spread([accuracy(record, column, epsilon) for record in group], 100) for column in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_minimal_table(groups), "", *_claims(groups), "", *_findings(groups)]) + "\n"


def _minimal_table(groups: Groups) -> list[str]:
    settings = next(iter(groups.values()))[0]["settings"]
    count = attack_row(next(iter(groups.values()))[0], names.CW)["num_images"]
    targets = "every other class" if settings["cw_targets"] == "all" else "one other class at random"
    # Older records counted images that were wrong from the start as successes.
    every = [attack_row(record, names.CW) for group in groups.values() for record in group]
    among = " to images that were right before" if all("num_right" in row for row in every) else ""
    columns: dict[str, Callable[[Record], float | None]] = {
        "untargeted, 1 sample: success": lambda record: attack_row(record, names.CW_ONE)["success"],
        "untargeted: success": lambda record: attack_row(record, names.CW)["success"],
        "median L2": lambda record: attack_row(record, names.CW)["median_l2"],
        "targeted, 1 sample: success": lambda record: attack_row(record, names.CW_ONE_TARGETED)["success"],
        "targeted: success": lambda record: attack_row(record, names.CW_TARGETED)["success"],
        "accuracy": lambda record: attack_row(record, names.CW_TARGETED)["accuracy"],
        "median L2, targeted": lambda record: attack_row(record, names.CW_TARGETED)["median_l2"],
    }
    lines = [
        f"Carlini-Wagner L2 on the first {count} test images, confidence 0, {settings['cw_binary_steps']} rounds of "
        f"{settings['cw_steps']} steps, {settings['num_cw_eot_samples']} samples of z in each gradient or 1; targets: "
        f"{targets}. Success in % of fresh answers{among}; the median counts a failure as infinitely far.",
        "",
        *_header("", list(columns)),
    ]
    for name, group in groups.items():
        cells = [
            spread([value(record) for record in group], *((1, 2) if "L2" in key else (100, 1)))
            for key, value in columns.items()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _claims(groups: Groups) -> list[str]:
    lines = [
        "The paper's claims beside these numbers, FGSM on "
        f"{next(iter(groups.values()))[0]['attacks'][0]['num_images']} images. It does not say in which units epsilon "
        "is: ours are those of [0, 1], and half of each epsilon is what it would be if the paper's were those of its "
        "notebook, [-1, 1].",
        "",
        *_header("", ["paper", "ours", "ours at half the epsilon"]),
    ]
    by_objective = {group[0]["objective"]: group for group in groups.values()}
    for objective, claims in PAPER_FGSM.items():
        group, name = by_objective.get(objective, []), BASELINES[objective]
        for epsilon, claim in claims.items():
            ours = [spread([_fgsm(record, radius) for record in group], 100) for radius in (epsilon, epsilon / 2)]
            lines.append(f"| accuracy under FGSM, epsilon {epsilon:g}, {name}, % | {claim} | {' | '.join(ours)} |")
        found = [
            [attack_row(record, attack)["accuracy"] for record in group] for attack in (names.CW, names.CW_TARGETED)
        ]
        ours = [spread(values, 100) for values in found]
        lines.append(f"| accuracy under CW, untargeted and targeted, {name}, % | 0 | {' and '.join(ours)} | |")
    betas, ratios = relative_accuracy(groups, DETERMINISTIC)
    for attack, note in ((names.FGSM_ONE, "1 sample"), (names.FGSM, "EOT")):
        cells = []
        for epsilon in (0.35, 0.175):
            values = ratios.get((attack, epsilon), np.full((len(betas), 1), np.nan)).mean(-1)
            cells.append(", ".join("-" if np.isnan(value) else f"{value:.2f}" for value in values))
        over = ", ".join(f"{beta:g}" for beta in betas)
        lines.append(
            f"| VIB / deterministic under FGSM, {note}, epsilon 0.35, beta = {over} | grows | {' | '.join(cells)} |"
        )
    return lines


def relative_accuracy(groups: Groups, baseline: str) -> tuple[list[float], dict[tuple[str, float], np.ndarray]]:
    """The betas, and by attack and radius the accuracy of VIB under FGSM over a baseline's of the same seed, [B, S].

    NaN where the baseline has no right answer, or no run with that seed.
    """
    bases = {record["seed"]: record for group in groups.values() for record in group if record["objective"] == baseline}
    vibs = [group for group in groups.values() if group[0]["objective"] == "vib"]
    seeds = sorted({record["seed"] for group in vibs for record in group})
    radii = sorted({row["epsilon"] for group in vibs for row in group[0]["attacks"] if row["attack"] == names.FGSM})

    def ratio(group: Sequence[Record], seed: int, attack: str, epsilon: float) -> float:
        ours = next((_fgsm(record, epsilon, attack) for record in group if record["seed"] == seed), None)
        base = _fgsm(bases[seed], epsilon, attack) if seed in bases else None
        return ours / base if ours is not None and base else np.nan

    return [group[0]["beta"] for group in vibs], {
        (attack, epsilon): np.array([[ratio(group, seed, attack, epsilon) for seed in seeds] for group in vibs])
        for attack in (names.FGSM_ONE, names.FGSM)
        for epsilon in radii
    }


def _fgsm(record: Record, epsilon: float, attack: str = names.FGSM_ONE) -> float | None:
    rows = {row["epsilon"]: row["accuracy"] for row in record["attacks"] if row["attack"] == attack}
    return rows.get(epsilon)


def _findings(groups: Groups) -> list[str]:
    lines = [
        "Warnings of `evaluation.check_model` and `evaluation.check_results`, PGD against the other attacks:",
        "",
    ]
    for name, group in groups.items():
        found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        for record in group:
            for finding in record["findings"]:
                found.setdefault(finding["check"], []).append((record["seed"], finding))
        for check, reports in found.items():
            where = ", ".join(
                f"seed {seed}" + ("" if finding["epsilon"] is None else f" at {finding['epsilon']:g}")
                for seed, finding in reports
            )
            lines.append(f"- {name}, `{check}` ({where}); the first: {reports[0][1]['message']}")
        if not found:
            lines.append(f"- {name}: none.")
    return lines


def spread(values: Sequence[float | None], factor: float, digits: int = 1) -> str:
    """Mean and standard deviation over seeds; a dash where a value is missing or infinite."""
    known = [factor * value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return "-"
    mean = f"{statistics.fmean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.{digits}f}"


def _header(corner: str, columns: Sequence[str]) -> list[str]:
    return [f"| {corner} | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]


def make(folder: pathlib.Path) -> str:
    """Writes the table and the figures of a folder of records; returns the table."""
    from experiments.mnist_robustness import figures as robustness_figures  # matplotlib takes a second to import

    groups = read_records(folder)
    table = render(groups)
    (folder / "table.md").write_text(table)
    robustness_figures.draw_all(folder, groups)
    return table


def main() -> None:
    """Makes and prints them."""
    folder = pathlib.Path(sys.argv[1]) if sys.argv[1:] else RESULTS
    if not list(folder.glob("*.json")):
        sys.exit(f"mnist_robustness_table: no records in {folder}; python -m experiments.mnist_robustness makes them")
    Console().print(Markdown(make(folder)))


if __name__ == "__main__":
    main()
