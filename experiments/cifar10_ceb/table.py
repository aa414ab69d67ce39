"""Make the table and the figures of CEB on CIFAR-10 from their records.

Run:      python -m experiments.cifar10_ceb.table [FOLDER]
Reads:    *.json of experiments/results/cifar10_ceb, or of FOLDER, each made by `experiments.cifar10_ceb`.
Leaves:   table.md, figure1.png and figure2.png, and corruptions.png where there are corruptions, beside them.
"""

import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from scipy.stats import spearmanr

from experiments.core import image_attacks_config as names

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "cifar10_ceb"
KINDS = (
    names.CLEAN,
    names.PGD,
    names.TARGETED,
    names.MARGIN,
    names.LONG,
    names.EOT,
    names.TRANSFER,
    names.SQUARE,
    names.WORST,
)
PAPER = (
    "The paper (WRN-28-10, 1,500 epochs, AutoAugment): clean 94.4 % deterministic, 93.9 to 95.1 % for CEB, of which "
    "only the models with rho >= 1 trained; under L-inf PGD-20 at 8/255 deterministic 8 %, many CEB models above "
    "Madry's adversarially trained network; under L2 PGD deterministic 66 %, Madry's 45.7 %, CEB above 80 %; more "
    "robust as rho falls; mCE 61.2 at rho = 5 and 52.0 at rho = 0."
)
Record = Mapping[str, Any]
Groups = Mapping[str, Sequence[Record]]
Value = Callable[[Record], float | None]


def read_records(folder: pathlib.Path) -> Groups:
    """The records by model, one for each seed: cross-entropy, then the bottlenecks from weak to strong."""
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    found = [record for record in found if "attacks" in record]
    found.sort(
        key=lambda record: (record["rho"] is not None, record["objective"], -(record["rho"] or 0), record["seed"])
    )
    groups: dict[str, list[Record]] = {}
    for record in found:
        groups.setdefault(title(record), []).append(record)
    return groups


def title(record: Record) -> str:
    """What a model is called."""
    objective = {"cross_entropy": "cross-entropy", "consistent_ceb": "consistent CEB"}.get(
        record["objective"], record["objective"].upper()
    )
    return objective if record["rho"] is None else f"{objective}, rho = {record['rho']:g}"


def accuracy(record: Record, attack: str, norm: str, epsilon: float) -> float | None:
    """Accuracy under an attack on all of its images, in [0, 1]."""
    rows = [row for row in record["attacks"] if (row["attack"], row["norm"], row["epsilon"]) == (attack, norm, epsilon)]
    return rows[0]["accuracy"] if rows else None


def under(attack: str, norm: str, epsilon: float) -> Value:
    """From a record to the accuracy under an attack."""
    return lambda record: accuracy(record, attack, norm, epsilon)


def at_radius(kind: str) -> Value:
    """From a record to the accuracy under an attack on the images that all were tried on."""
    return lambda record: record["at_radius"]["accuracy"].get(kind)


def corruption(name: str) -> Value:
    """From a record to the error under a corruption, mean of five severities."""
    return lambda record: statistics.fmean(record["corruptions"]["errors"][name])


def radii(record: Record, norm: str) -> list[float]:
    """The radii of PGD in a norm."""
    return [row["epsilon"] for row in record["attacks"] if (row["attack"], row["norm"]) == (names.PGD, norm)]


def cell(values: Sequence[float | None]) -> str:
    """Mean in per cent, with the standard deviation over seeds."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.1f}{spread}"


def make(folder: pathlib.Path) -> str:
    """Writes table.md and the figures into the folder; the text of the table."""
    groups = read_records(folder)
    if not groups:
        raise FileNotFoundError(f"no record in {folder}; run python -m experiments.cifar10_ceb first")
    text = _text(groups)
    (folder / "table.md").write_text(text)
    from experiments.cifar10_ceb import figures as cifar10_figures  # matplotlib takes a second to import

    cifar10_figures.draw_all(folder, groups)
    return text


def _text(groups: Groups) -> str:
    first = next(iter(groups.values()))[0]
    config, settings, radius = first["training"]["config"], first["settings"], first["settings"]["radius"]
    seeds = max(len(group) for group in groups.values())
    network = f"WRN-{config['depth']}-{config['width']}, norm {config['norm']}, augmentation {config['augment']}"
    lines = [
        f"# CEB on {config['dataset']}\n",
        f"{network}, {config['num_epochs']} epochs, {seeds} seed{'s' if seeds > 1 else ''}. Accuracy in per cent on "
        f"the first {first['num_images']} test images (clean: all of them), at the mean code as in the paper; EOT is "
        f"against the sampled model. PGD takes {settings['pgd_steps']} steps of {settings['pgd_path']:.3g} epsilon / "
        "n; radii in levels of 255.\n",
        PAPER + "\n",
    ]
    linf, l2 = (radii(first, norm) for norm in ("linf", "l2"))
    columns: list[tuple[str, Value]] = [("clean", lambda record: 1 - record["training"]["test"]["error_mean"])]
    for attack, norm, which in [
        (names.PGD, "linf", linf),
        (names.TARGETED, "linf", linf[-2:]),
        (names.PGD, "l2", l2),
        (names.TARGETED, "l2", l2[-2:]),
    ]:
        for epsilon in which:
            label = f"{attack} {'L-inf' if norm == 'linf' else 'L2'} {epsilon:g}"
            columns.append((label, under(attack, norm, epsilon)))
    lines += ["## White box\n", *_table(groups, columns), ""]
    count = first["at_radius"]["num_images"]
    lines += [
        f"## Every attack at L-inf {radius:g}, on the same {count} images\n",
        "A white-box number above that of transfer or Square is no robustness; *worst of all* counts an image only if "
        "it stands under each.\n",
        *_table(groups, [(kind, at_radius(kind)) for kind in KINDS]),
        "",
    ]
    lines += _corruptions(groups)
    lines += ["## The trend\n", *(f"* {sentence}" for sentence in trends(groups)), ""]
    lines += ["## What the checks found\n", *_findings(groups), ""]
    commits = sorted({record["training"]["environment"]["commit"][:9] for group in groups.values() for record in group})
    seconds = sum(record["training"]["training_seconds"] for group in groups.values() for record in group)
    lines.append(f"Trained at commit {', '.join(commits)}, {seconds / 60:.0f} minutes in all; `{first['command']}`.")
    return "\n".join(lines) + "\n"


def _table(groups: Groups, columns: Sequence[tuple[str, Value]]) -> list[str]:
    head = ["model", *(name for name, _ in columns)]
    rows = [
        [name, *(cell([value(record) for record in group]) for _, value in columns)] for name, group in groups.items()
    ]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _corruptions(groups: Groups) -> list[str]:
    if not all("corruptions" in record for group in groups.values() for record in group):
        return []
    first = next(iter(groups.values()))[0]["corruptions"]
    columns: list[tuple[str, Value]] = [("average of the 15", lambda record: record["corruptions"]["average_error"])]
    columns += [(name.replace("_", " "), corruption(name)) for name in first["errors"]]
    return [
        "## Common corruptions\n",
        f"Error in per cent on the first {first['num_images']} test images, corrupted here with the constants for "
        f"{first['constants']} (frost is made up), mean of five severities. The last four are not of the 15.\n",
        *_table(groups, columns),
        "",
    ]


def trends(groups: Groups) -> list[str]:
    """Whether robustness rises as rho falls, as the paper says, in sentences made from the records."""
    bottlenecks = [record for group in groups.values() for record in group if record["rho"] is not None]
    strengths = [-record["rho"] for record in bottlenecks]
    if len(set(strengths)) < 3:
        return ["Too few values of rho to speak of a trend."]
    first, found = bottlenecks[0], []
    measures: list[tuple[str, Value, int]] = [
        (f"accuracy under {names.PGD} L-inf {e:g}", under(names.PGD, "linf", e), 1) for e in radii(first, "linf")
    ]
    measures += [(f"accuracy under {names.PGD} L2 {e:g}", under(names.PGD, "l2", e), 1) for e in radii(first, "l2")]
    radius = first["settings"]["radius"]
    measures.append(
        (
            f"the share that stands under every attack at {radius:g}",
            lambda r: r["at_radius"]["accuracy"][names.WORST],
            1,
        )
    )
    if "corruptions" in first:
        measures.append(("the average corruption error", lambda r: r["corruptions"]["average_error"], -1))
    for what, value, sign in measures:
        values = [value(record) for record in bottlenecks]
        if len(set(values)) < 2:
            found.append(f"{what}: the same at every rho.")
            continue
        rank = float(spearmanr(strengths, values).statistic)
        agrees = sign * rank
        verdict = "as in the paper" if agrees > 0.7 else "against the paper" if agrees < -0.7 else "no clear trend"
        found.append(f"{what}: rank correlation with falling rho {rank:+.2f} ({verdict}).")
    return found


def _findings(groups: Groups) -> list[str]:
    lines = [
        f"* {name}, seed {record['seed']}: {finding['check']}: {finding['message']}"
        for name, group in groups.items()
        for record in group
        for finding in record["findings"]
    ]
    return lines or ["Nothing that looks like masked gradients."]


def main(arguments: Sequence[str]) -> None:
    """Makes everything anew from the records."""
    folder = pathlib.Path(arguments[0]) if arguments else RESULTS
    try:
        Console().print(Markdown(make(folder)))
    except FileNotFoundError as error:
        sys.exit(f"cifar10_ceb_table: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
