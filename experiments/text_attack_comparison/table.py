"""Make the table of the comparison of attacks on texts from its records.

Run:      python -m experiments.text_attack_comparison.table
Reads:    experiments/results/text_attack_comparison/*.json, made by `experiments.text_attack_comparison`.
Leaves:   table.md beside them.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.text_attack_comparison.comparison import SPEED_UP

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "text_attack_comparison"
NAMES = {
    "naive": "naive search",
    "lean": "TextAttack",
    "own": "TextAttack, own wrapper",
    "lean_avx512": "TextAttack, AVX-512",
    "own_avx512": "TextAttack, own wrapper, AVX-512",
}
Record = Mapping[str, Any]


def read_records(folder: pathlib.Path) -> list[Record]:
    """All records of a folder, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def make(folder: pathlib.Path) -> str:
    """Writes table.md beside a folder's records, and returns it."""
    table = render(read_records(folder))
    (folder / "table.md").write_text(table)
    return table


def render(records: Sequence[Record]) -> str:
    """Two tables for each record: what every attack achieved, and ours beside each of the others."""
    lines = [
        "DeepWordBug and PWWS of this library beside TextAttack's and beside a naive search: same texts, model, stop "
        "words and WordNet, all results judged by the JAX model. Words are pieces between white space. TextAttack runs "
        "its recipes unchanged with batches of 32 and its cache, its model in PyTorch behind a wrapper that pads a "
        "batch to its longest text, or behind its own HuggingFaceModelWrapper, which pads every text to the model's "
        "limit. The naive search asks one question at a time of the JAX model, compiled, and keeps nothing. Targets, "
        "beside TextAttack: success rate and words changed within sampling error (5 %, in pairs), and at least "
        f"{SPEED_UP} times fewer seconds.",
    ]
    for record in records:
        lines += ["", *_heading(record), "", *_achieved(record), "", *_beside(record), "", *_notes(record)]
    return "\n".join(lines) + "\n"


def _heading(record: Record) -> list[str]:
    config, model = record["config"], record["model"]
    cut = f", cut to {config['num_words']} words" if config["num_words"] else ""
    info: Record = next(iter(record["peers"].values()), {})
    versions = ", ".join(f"{name} {info[name]}" for name in ("textattack", "transformers", "torch") if name in info)
    machine = record["environment"]["machine"]
    return [
        f"**{config['dataset']}**, first {record['num_texts']} test texts{cut}, {record['clean_accuracy']:.1%} of them "
        f"classified right; {model['encoder']}, {model['layers']} layers of {model['width']}, frozen, mean of tokens, "
        f"linear head fitted on {model['num_train']} texts; {versions or 'no TextAttack'}; "
        f"{machine['cpu']}, {machine['cores']} cores",
    ]


def _achieved(record: Record) -> Iterator[str]:
    yield "| attack | by | texts | success rate | words changed | queries | seconds | queries/s |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in record["rows"]:
        if row["status"] != "measured":
            yield f"| {row['name']} | ib_jax | - | {row['status']} | - | - | - | - |"
            continue
        for name, side in [("ib_jax", row["ours"]), *((NAMES[key], value) for key, value in row["others"].items())]:
            if side.get("status", "measured") != "measured":
                yield f"| {row['name']} | {name} | - | {side['status']} | - | - | - | - |"
                continue
            cells = [row["name"], name, str(side["num_texts"])]
            cells += [f"{side['num_successes']}/{side['num_attacked']} = {_share(side['success_rate'])}"]
            cells += [_share(side["words_changed"]), _number(side["mean_queries"])]
            cells += [_number(side["seconds"]), _number(side["queries_per_second"])]
            yield "| " + " | ".join(cells) + " |"


def _beside(record: Record) -> Iterator[str]:
    yield "| attack | ours beside | success, points | p | words changed, points | p | identical | times faster |"
    yield "|---|---|---|---|---|---|---|---|"
    for row, name, side in _others(record):
        beside, judged = side["beside"], name != NAMES["naive"]
        cells = [row["name"], name]
        for part in ("success", "words_changed"):
            difference, met = beside[part], beside["met"][part] or not judged
            cells += [_points(difference), _verdict(_p(difference["p_value"]), met)]
        cells += [f"{beside['identical']} of {beside['num_texts']}"]
        cells += [_verdict(_number(beside["times_faster"]), beside["met"]["times_faster"] or not judged)]
        yield "| " + " | ".join(cells) + " |"


def _notes(record: Record) -> list[str]:
    met = [
        each for _, name, side in _others(record) if name != NAMES["naive"] for each in side["beside"]["met"].values()
    ]
    lines = [f"Targets met: {sum(met)} of {len(met)}."]
    for row in record["rows"]:
        if row["status"] == "measured":
            ours = row["ours"]
            lines.append(
                f"{row['name']}: with compiling {_number(ours['seconds_with_compiling'])} seconds; "
                f"{ours['num_computed']} texts went through the model."
            )
            if not ours["repeats"]:
                lines.append(f"{row['name']}: **the second run gave other results than the first.**")
    for row, name, side in _others(record):
        if "model_seconds" in side:
            lines.append(
                f"{row['name']}, {name}: {_number(side['model_seconds'])} of its seconds in the model, "
                f"{side['num_scored']} texts; its probabilities of the originals within {side['models_apart']:.1e}."
            )
        if side["disagreements"]:
            lines.append(f"{row['name']}, {name}: the judge disagrees with its verdict on {side['disagreements']}.")
    return ["  \n".join(lines)]


def _others(record: Record) -> Iterator[tuple[Record, str, Record]]:
    for row in record["rows"]:
        for key, side in row.get("others", {}).items():
            if side["status"] == "measured":
                yield row, NAMES[key], side


def _verdict(cell: str, met: bool) -> str:
    return cell if met else f"{cell} **missed**"


def _points(difference: Record) -> str:
    if difference["difference"] is None:
        return "-"
    error = difference["standard_error"]
    return f"{100 * difference['difference']:+.1f}" + ("" if error is None else f" (se {100 * error:.1f})")


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """Writes and prints the table."""
    Console().print(Markdown(make(RESULTS)))


if __name__ == "__main__":
    main()
