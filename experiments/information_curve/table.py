"""The table of the information curve, from its records: a row for each strength, mean and deviation over its seeds."""

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Member = Mapping[str, Any]

PAPER = {  # Alemi et al. 2017, Table 1 (K = 256), Figure 2 (K = 2): test error in percent with 12 samples, and with 1
    (256, 1e-3): (1.13, None),
    (2, 1e-3): (3.18, 3.24),
    (2, 1e-1): (3.44, 4.32),
    (2, 1.0): (33.82, 62.81),
}
COLUMNS: list[tuple[str, str, str, float, str]] = [
    ("test error, 12 samples", "test", "error_avg", 100, "{:.2f} %"),
    ("1 sample", "test", "error_one", 100, "{:.2f} %"),
    ("train error, 12 samples", "train", "error_avg", 100, "{:.2f} %"),
    ("I(X;Z) <=, bits", "test", "rate_bits", 1, "{:.2f}"),
    ("I(Z;Y) >=, bits", "test", "information_zy_bits", 1, "{:.3f}"),
]


def by_strength(record: Record) -> Iterator[tuple[float, list[Member]]]:
    """Each strength with its sound members; from the least on."""
    members = sorted(record["members"], key=lambda member: member["beta"])
    for beta, group in itertools.groupby(members, key=lambda member: member["beta"]):
        yield beta, [member for member in group if member["diverged_at"] < 0]


def spread(values: Sequence[float], form: str) -> str:
    """Mean and standard deviation, of one value the value."""
    if not values:
        return "diverged"
    mean = form.format(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ± {form.format(statistics.stdev(values)).removesuffix(' %')}"


def render(records: Sequence[Record]) -> str:
    """The table in Markdown, with the paper's numbers where it prints them."""
    lines = []
    for record in records:
        config, environment = record["config"], record["environment"]
        seeds = sorted({member["seed"] for member in record["members"]})
        lines += [
            f"{config['objective']} on {config['dataset']}, K = {config['latent_dim']}, {config['num_epochs']} epochs "
            f"({config['preset']} recipe; the paper trains 200), seed{'s' * (len(seeds) > 1)} "
            f"{', '.join(map(str, seeds))}: "
            f"{record['num_members']} models in {record['training_seconds']:,.0f} s on {environment['devices'][0]} x "
            f"{len(environment['devices'])}. Averaged weights; mean and standard deviation over seeds.",
            "",
        ]
        attacks = _attack_columns(record)
        names = [name for name, *_ in COLUMNS]
        compared = (config["objective"], config["dataset"]) == ("vib", "mnist")
        names[2:2] = ["the paper's, 12 samples and 1"] if compared else []
        lines.append("| beta | " + " | ".join([*names, *(name for name, _ in attacks)]) + " |")
        lines.append("|---" * (1 + len(names) + len(attacks)) + "|")
        for beta, group in by_strength(record):
            cells = [_cell(group, *column[1:]) for column in COLUMNS]
            cells[2:2] = [_paper(config["latent_dim"], beta)] if compared else []
            cells += [spread([100 * value(member) for member in group], "{:.1f} %") for _, value in attacks]
            lines.append(f"| {beta:g} | " + " | ".join(cells) + " |")
        lines.append("")
    if any(_attack_columns(record) for record in records):
        lines += [
            "Accuracy under attack is on the first test images, white-box, with gradients averaged over samples of z. "
            "It stands alone here, so read a high number as possibly masked gradients: the table of "
            "`experiments.mnist_robustness` puts transfer and black-box attacks beside it.",
            "",
        ]
    return "\n".join(lines)


def _cell(group: Sequence[Member], split: str, name: str, factor: float, form: str) -> str:
    if group and name not in group[0][split]:
        return "-"
    return spread([factor * member[split][name] for member in group], form)


def _paper(latent_dim: int, beta: float) -> str:
    values = PAPER.get((latent_dim, beta), ())
    return ", ".join(f"{value:.2f} %" for value in values if value is not None) or "-"


def _attack_columns(record: Record) -> list[tuple[str, Callable[[Member], float]]]:
    """Of each attack the smallest radius: at larger ones hardly an image stands, whatever beta is."""
    rows = record["members"][0].get("robustness", {"rows": []})["rows"]
    columns = []
    for index, row in enumerate(rows):
        radii = [(radius, place) for place, radius in enumerate(row["epsilons"])]
        radius, place = min((each for each in radii if each[0] > 0), default=radii[0])
        columns.append((f"{row['attack']}, {radius:g}", _accuracy(index, place)))
    return columns


def _accuracy(index: int, place: int) -> Callable[[Member], float]:
    return lambda member: member["robustness"]["rows"][index]["accuracy"][place]
