"""The table of `experiments.imdb_vub` from its records: ours beside the paper's Table 2, and its claims as found."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.imdb_vub import summary
from experiments.imdb_vub.paper import PAPER
from experiments.imdb_vub.settings import IMDB

ORDER = ("cross_entropy", "vib", "vub", "ceb")
NAMES = {"cross_entropy": "vanilla", "deep_word_bug": "DeepWordBug", "pwws": "PWWS"}


def read(results: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The records in a folder, by objective."""
    paths = {name: results / f"{name}.json" for name in ORDER}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def render(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of all records."""
    first = next(iter(found.values()))
    attacks, members = list(first["members"][0]["attacks"]), {name: record["members"] for name, record in found.items()}
    num_seeds = len({one["seed"] for one in first["members"]})
    settings = first["settings"]
    encoder, dataset = first["origin"]["encoder"]["name"], first["origin"]["data"]["test"]["dataset"]
    rows = [(name, *item) for name in ORDER if name in members for item in summary.groups(members[name]).items()]
    compared = PAPER if dataset == IMDB else {}
    lines = [
        f"# Bottleneck heads on frozen features of {encoder}, {dataset}",
        "",
        f"{num_seeds} seeds, mean ± deviation in %. In brackets the paper's numbers (Table 2)."
        if compared
        else f"{num_seeds} seeds, mean ± deviation in %.",
        "",
        "| objective | beta | accuracy, 1 sample | mean of samples | rate, bits |",
        "|---|---|---|---|---|",
        *(_line(_clean(name, beta, group, compared)) for name, beta, group in rows),
    ]
    for attack in attacks:
        lines += [
            "",
            f"## {NAMES[attack]}",
            "",
            f"{first['num_attacked']} test texts. Success: share of those classified correctly before that the attack "
            f"brings down, judged on the mean of {settings['num_judge_samples']} fresh samples of z, or on one. "
            f"A search sees the mean of {settings['num_score_samples']} and, but on vanilla, goes on until the wrong "
            f"class leads by {settings['margin']:g}, which takes more words. Transfer: texts made on a vanilla head.",
            "",
            "| objective | beta | success | on one sample | transfer | words changed | queries |",
            "|---|---|---|---|---|---|---|",
            *(_line(_attacked(*row, attack, compared)) for row in rows if attack in row[2][0]["attacks"]),
        ]
    if first["departures"]:
        lines += ["", "Differs from the paper: " + "; ".join(first["departures"]) + "."]
    if "vib" in members and "vub" in members and attacks:
        lines += ["", *_claims(members, attacks)]
    return "\n".join(lines) + "\n"


def make(results: pathlib.Path, *, figures: bool = True) -> str:
    """Writes table.md and the figures into the folder of the records; the table."""
    found = read(results)
    table = render(found)
    (results / "table.md").write_text(table)
    if figures:
        from experiments.imdb_vub import figures as imdb_vub_figures  # matplotlib takes a second to import

        imdb_vub_figures.information_plane(results / "figure3.png", found)
        if next(iter(found.values()))["members"][0]["attacks"]:
            imdb_vub_figures.robustness(results / "robustness.png", found)
    return table


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _names(name: str, beta: float | None) -> list[str]:
    return [NAMES.get(name, name.upper()), "-" if beta is None else f"{beta:g}"]


def _clean(name: str, beta: float | None, group: Sequence[Mapping[str, Any]], paper: Mapping[Any, Any]) -> list[str]:
    cells = [*_names(name, beta), _spread([summary.accuracy(one) for one in group]) + _paper(paper, name, beta, "test")]
    rates = [one["test"].get("rate_bits") for one in group]
    return [*cells, _spread([summary.accuracy(one, answer="avg") for one in group]), _spread(rates)]


def _attacked(
    name: str, beta: float | None, group: Sequence[Mapping[str, Any]], attack: str, paper: Mapping[Any, Any]
) -> list[str]:
    own = [one["attacks"][attack] for one in group]
    cells = [*_names(name, beta), _spread([one["success_rate"] for one in own]) + _paper(paper, name, beta, attack)]
    cells += [_spread([one["success_rate_one_sample"] for one in own])]
    cells += [_spread([one["transfer"]["success_rate"] for one in own])]
    return [*cells, _spread([one["words_changed"] for one in own]), _mean([one["mean_queries"] for one in own])]


def _claims(members: Mapping[str, Sequence[Mapping[str, Any]]], attacks: Sequence[str]) -> list[str]:
    chosen = {name: summary.best(members[name]) for name in ("vib", "vub")}
    betas = {name: group[0]["beta"] for name, group in chosen.items()}
    lines = [
        "## The paper's claims",
        "",
        f"VUB against VIB, each at the beta that is best on held-out training texts (VIB {betas['vib']:g}, VUB "
        f"{betas['vub']:g}), by the Wilcoxon rank-sum test. Claimed: a higher accuracy, a lower success of attacks. "
        "Words changed are ours to compare: more of them is more robust.",
        "",
        "| what | VIB, % | VUB, % | p | VUB the better |",
        "|---|---|---|---|---|",
    ]
    both = [name for name in attacks if all(name in one["attacks"] for b in chosen.values() for one in b)]
    for row in summary.compare(members["vib"], members["vub"], both):
        lines.append(f"| {row['what']} | {row['vib']:.1f} | {row['vub']:.1f} | {row['p']:.3f} | {row['found']} |")
    vanilla = float(np.mean([summary.accuracy(one) for one in members["cross_entropy"]]))
    lines.append("")
    for name in (name for name in ORDER[1:] if name in members):
        means = {b: np.mean([summary.accuracy(one) for one in g]) for b, g in summary.groups(members[name]).items()}
        reached = [beta for beta, mean in means.items() if beta and mean >= vanilla - 0.1]
        what = f"from beta = {max(reached):g} down" if reached else "at no beta tried"
        lines.append(f"- {name.upper()} has vanilla's accuracy ({vanilla:.1f} %, less 0.1) with one sample {what}.")
    return lines


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and np.isfinite(value)]
    if not known:
        return "-"
    deviation = f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else ""
    return f"{np.mean(known):.1f}{deviation}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):,.0f}" if known else "-"


def _paper(paper: Mapping[Any, Any], name: str, beta: float | None, what: str) -> str:
    if (name, beta) not in paper:
        return ""
    mean, deviation = paper[name, beta][what]
    return f" ({mean:g} ± {deviation:g})" if deviation else f" ({mean:g})"
