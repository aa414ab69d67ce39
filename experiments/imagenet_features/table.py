"""Make the tables and the figure of the heads on frozen features from their records.

Run:      python -m experiments.imagenet_features.table [FOLDER]
Reads:    *.json of experiments/results/imagenet_features, or of FOLDER, each made by `experiments.imagenet_features`.
Leaves:   table.md and figure.png beside them.
"""

import functools
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.imagenet_features import settings as names
from experiments.imagenet_features.settings import BACKBONE, DETERMINISTIC

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "imagenet_features"
VAL, FGS, CW_L2 = "val % ↑", "FGS {:g} % ↓", "CW L2 ↑"
VUB_EPSILONS = (0.1, 0.5)
# Weingarten et al. 2024, Table 1: InceptionV3, five runs. Units of the distances and of epsilon are not given.
VUB_TABLE: Mapping[tuple[str, float | None], Sequence[str]] = {
    (BACKBONE, None): ("77.2", "68.9", "67.7", "788"),
    ("vib", 1e-3): ("73.7 ± 1", "59.5 ± 2", "63.9 ± 2", "3917 ± 291"),
    ("vib", 1e-2): ("72.8 ± 1", "53.5 ± 2", "62.0 ± 1", "3318 ± 293"),
    ("vib", 1e-1): ("72.1 ± 0.1", "58.4 ± 1", "62.0 ± 1", "3318 ± 293"),
    ("vub", 1e-3): ("75.5 ± 0.03", "62.8 ± 1", "66.4 ± 1", "2666 ± 140"),
    ("vub", 1e-2): ("75.0 ± 0.05", "57.6 ± 2", "64.3 ± 1", "1564 ± 218"),
    ("vub", 1e-1): ("74.8 ± 0.09", "57.9 ± 5", "64.8 ± 5", "3575 ± 456"),
}
# Alemi et al. 2017, Table 2: Inception ResNet V2; successful target, L2, L-inf. It says that VIB withstood 13 attacks,
# which makes 30 images of the 0.567.
VIB_TABLE: Mapping[tuple[str, float | None], Sequence[str]] = {
    (DETERMINISTIC, None): ("1.0", "6.45", "0.18"),
    (BACKBONE, None): ("1.0", "14.43", "0.44"),
    ("vib", 1e-2): ("0.567", "43.27", "0.92"),
}
ONE, MEAN = "one", "mean"
ATTACKS = {ONE: (names.FGSM_ONE, names.CW_ONE), MEAN: (names.FGSM, names.CW)}
OURS = {ONE: "ours, 1 sample", MEAN: "ours, averaged"}
TITLES = {
    names.CLEAN: "clean",
    names.FGSM_ONE: "FGSM, 1 sample",
    names.FGSM: "FGSM",
    names.PGD: "PGD",
    names.TRANSFER: "transfer",
    names.SQUARE: "Square",
    names.WORST: "worst of all",
}
Record = Mapping[str, Any]
Groups = Mapping[tuple[str, float | None], Sequence[Record]]


def read_records(folder: pathlib.Path) -> Groups:
    """The records by objective and beta, one for each seed: network, deterministic head, bottlenecks."""
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    order = (BACKBONE, DETERMINISTIC, *names.STOCHASTIC)
    found.sort(key=lambda record: (order.index(record["objective"]), record["beta"] or 0.0, record["seed"]))
    groups: dict[tuple[str, float | None], list[Record]] = {}
    for record in found:
        groups.setdefault((record["objective"], record["beta"]), []).append(record)
    return groups


def title(objective: str, beta: float | None, network: str = "") -> str:
    """What a model is called in tables."""
    name = {BACKBONE: network or "network", DETERMINISTIC: "deterministic"}.get(objective, objective.upper())
    return name if beta is None else f"{name}, beta = {beta:g}"


def attack_row(record: Record, attack: str, epsilon: float | None) -> Mapping[str, Any] | None:
    """What came out of an attack, None if it was not made."""
    rows = (row for row in record["attacks"] if (row["attack"], row["epsilon"]) == (attack, epsilon))
    return next(rows, None)


def render(groups: Groups) -> str:
    """The tables in Markdown."""
    lines = [*_preamble(groups), "", *_table1(groups), "", *_table2(groups), "", *_same_images(groups), ""]
    return "\n".join([*lines, *_findings(groups)]) + "\n"


def _first(groups: Groups) -> Record:
    return next(iter(groups.values()))[0]


def _preamble(groups: Groups) -> list[str]:
    record = _first(groups)
    settings, network, data = record["settings"], record["backbone"], record["data"]
    counts = " or ".join(map(str, sorted({len(group) for group in groups.values()})))
    lines = [
        f"{network['name']}, weights {network['weights']}, {network['image_size']} pixels, on {settings['dataset']}: "
        f"{data['train']['num_images']} training images, {data['evaluation']['num_images']} to evaluate on; heads of "
        f"{settings['num_epochs']} epochs on {network['num_features']} features. Mean and standard deviation over "
        f"seeds ({counts} of them).",
    ]
    if record["departures"]:
        lines += ["", "**Not the papers' setting:** " + "; ".join(record["departures"]) + "."]
    return lines


def _table1(groups: Groups) -> list[str]:
    first, settings = _first(groups), _first(groups)["settings"]
    units = sorted(set(settings["fgsm_epsilons"]) - set(VUB_EPSILONS))
    radii = [*VUB_EPSILONS, *units]
    lines = [
        f"Table 1 of the VUB paper. FGS: share of those of {first['num_images']} images that were answered rightly "
        "before and no longer are, in brackets the share of all; the paper does not say which is its. epsilon in "
        "[0, 1]; the paper's, if of normalised images as in its authors' code, would be some 0.0225 and 0.1125 here. "
        "CW: mean L2 in [0, 1] over successes; the paper's unit is not given, and cannot be this one. 1 sample: of z "
        f"in gradients and answers, as in the paper; averaged: {settings['num_eot_samples']} in gradients, "
        f"{settings['num_eval_samples']} in answers.",
        "",
        *_header("model", ["numbers", VAL, *(FGS.format(radius) for radius in radii), CW_L2]),
    ]
    for key, group in groups.items():
        name = title(*key, _first(groups)["backbone"]["name"])
        if key in VUB_TABLE:
            val, *fgs, distance = VUB_TABLE[key]
            lines.append(_line(name, ["paper", val, *fgs, *("" for _ in units), distance]))
        for kind in OURS if group[0]["objective"] in names.STOCHASTIC else [MEAN]:
            fgsm, cw = ATTACKS[kind]
            cells = [_spread(group, functools.partial(_accuracy, kind))]
            for radius in radii:
                shares = (_of(fgsm, radius, kind, part, 100) for part in ("success", "success_of_all"))
                among, of_all = (_spread(group, share) for share in shares)
                cells.append("-" if among == "-" else f"{among} ({of_all})")
            cells.append(_spread(group, _of(cw, None, kind, "mean_l2"), 2))
            lines.append(_line(name, [OURS[kind] if len(OURS) > 1 and key[0] in names.STOCHASTIC else "ours", *cells]))
    return lines


def _table2(groups: Groups) -> list[str]:
    settings, target = _first(groups)["settings"], _first(groups)["target_class"]
    columns: list[tuple[str, str, float, int]] = [
        ("successful target ↓", "success", 1, 3),
        ("L2 ↑", "mean_l2", 1, 2),
        ("L-inf ↑", "mean_linf", 1, 3),
        ("median L2, failures infinite ↑", "median_l2_all", 1, 2),
    ]
    lines = [
        f"Table 2 of the VIB paper: Carlini-Wagner L2 to class {target} on those of {settings['cw_share']:.3g} of the "
        f"images that are rightly answered and not of that class; {settings['cw_binary_steps']} rounds of "
        f"{settings['cw_steps']} steps, confidence 0. L2 and L-inf: means over successes, pixels in [0, 1] (the "
        "paper's unit is not given).",
        "",
        *_header("model", ["numbers", *(column for column, *_ in columns)]),
    ]
    for key, group in groups.items():
        name = title(*key, _first(groups)["backbone"]["name"])
        if key in VIB_TABLE:
            lines.append(_line(name, ["paper", *VIB_TABLE[key], "-"]))
        for kind in OURS if key[0] in names.STOCHASTIC else [MEAN]:
            attack = ATTACKS[kind][1]
            cells = [
                _spread(group, _of(attack, None, kind, part, factor), digits) for _, part, factor, digits in columns
            ]
            lines.append(_line(name, [OURS[kind] if key[0] in names.STOCHASTIC else "ours", *cells]))
    return lines


def _same_images(groups: Groups) -> list[str]:
    record = _first(groups)
    same, settings = record["same_images"], record["settings"]
    lines = [
        f"Accuracy in % (averaged answers) on the same {same['num_images']} images in an L-inf ball of radius "
        f"{same['epsilon']:g}. Only the last column says something of robustness: an image counts if it stands under "
        f"every attack. PGD has {settings['pgd_steps']} steps, transfer is PGD on the deterministic head of another "
        f"seed, Square has {settings['num_queries']} queries.",
        "",
        *_header("model", list(TITLES.values())),
    ]
    for key, group in groups.items():
        cells = [_spread(group, functools.partial(_same_accuracy, attack)) for attack in TITLES]
        lines.append(_line(title(*key, record["backbone"]["name"]), cells))
    return lines


def _findings(groups: Groups) -> list[str]:
    lines = ["Warnings of the attacks about their searches, and of PGD against the other attacks on these images:", ""]
    for key, group in groups.items():
        found: dict[str, list[str]] = {}  # of the first seed with such a finding; several attacks may have one
        for record in reversed(group):
            own: dict[str, list[str]] = {}
            for finding in record["findings"]:
                own.setdefault(finding["check"], []).append(finding["message"])
            found |= own
        lines += [f"- {title(*key)}, `{check}`: {message}" for check, those in found.items() for message in those]
    return lines if len(lines) > 2 else [lines[0] + " none."]


def _of(attack: str, radius: float | None, kind: str, part: str, factor: float = 1) -> Callable[[Record], float | None]:
    def value(record: Record) -> float | None:
        row = attack_row(record, attack, radius)
        return None if row is None else _times(row[kind].get(part), factor)

    return value


def _accuracy(kind: str, record: Record) -> float:
    return 100 * (1 - record["test"]["error_one" if kind == ONE else "error_avg"])


def _same_accuracy(attack: str, record: Record) -> float | None:
    return _times(record["same_images"]["accuracy"].get(attack), 100)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _spread(group: Sequence[Record], value: Callable[[Record], float | None], digits: int = 1) -> str:
    """Mean and standard deviation over seeds; a dash where a value is missing."""
    known = [number for record in group if (number := value(record)) is not None]
    if len(known) < len(group):
        return "-"
    mean = f"{statistics.fmean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.{digits}f}"


def _line(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | " + " | ".join(cells) + " |"


def _header(corner: str, columns: Sequence[str]) -> list[str]:
    return [_line(corner, columns), "|---|" + "---|" * len(columns)]


def make(folder: pathlib.Path, *, figures: bool = True) -> str:
    """Writes the table and the figure of a folder of records; returns the table."""
    groups = read_records(folder)
    table = render(groups)
    (folder / "table.md").write_text(table)
    if figures:
        from experiments.imagenet_features import (
            figure as imagenet_features_figure,  # matplotlib takes a second to import
        )

        imagenet_features_figure.draw(folder / "figure.png", groups)
    return table


def main() -> None:
    """Makes and prints them."""
    folder = pathlib.Path(sys.argv[1]) if sys.argv[1:] else RESULTS
    if not list(folder.glob("*.json")):
        sys.exit(f"imagenet_features_table: no records in {folder}; python -m experiments.imagenet_features makes them")
    Console().print(Markdown(make(folder)))


if __name__ == "__main__":
    main()
