"""What is shown of the records of `experiments.text_attack_comparison`: what each attack achieved, and at what cost."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import distinct, per_model, where
from experiments.core.records import Record
from experiments.core.report import Cell, Column, Headline, Report, Row, Table, Text
from experiments.text_attack_comparison.settings import ATTACKS

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
"""A difference is beyond sampling error if chance alone gives one at least as large less often than this."""
SPEED_UP = 10
"""How many times fewer seconds are aimed at."""
TITLES = {(attack.name, attack.scoring or None): attack.title for attack in ATTACKS}
LIBRARIES = {
    ("ib_jax", None): "ib_jax",
    ("naive", None): "naive search",
    ("textattack", "lean"): "TextAttack",
    ("textattack", "own"): "TextAttack, own wrapper",
    ("textattack", "lean_avx512"): "TextAttack, AVX-512",
    ("textattack", "own_avx512"): "TextAttack, own wrapper, AVX-512",
}
INTRO = (
    "DeepWordBug and PWWS of this library beside TextAttack's and beside a naive search: same texts, model, stop words "
    "and WordNet, all results judged by the JAX model. Words are pieces between white space. TextAttack runs its "
    "recipes unchanged with batches of 32 and its cache, its model in PyTorch behind a wrapper that pads a batch to "
    "its longest text, or behind its own HuggingFaceModelWrapper, which pads every text to the model's limit. The "
    "naive search asks one question at a time of the JAX model, compiled, and keeps nothing. Targets, beside "
    "TextAttack: success rate and words changed within sampling error (5 %, in pairs), and at least "
    f"{SPEED_UP} times fewer seconds."
)


def _value(part: "pd.DataFrame | None", metric: str) -> float:
    assert part is not None
    return next(iter(per_model(part, metric)), math.nan)


def _significant(label: str, metric: str) -> Column:
    """Three digits, and no fraction of a large number."""

    def cell(part: "pd.DataFrame") -> Cell | None:
        value = _value(part, metric)
        return None if value != value else Cell(f"{value:,.0f}" if value >= 100 else f"{value:.3g}", value)

    return Column(label, cell)


def _difference(label: str, metric: str) -> list[Column]:
    return [
        Column(f"{label}, points", f"{metric}_difference", scale=100, digits="+.1f"),
        Column("se", f"{metric}_standard_error", scale=100),
        Column("p", f"{metric}_p_value", digits=".2g"),
    ]


def _missed(part: "pd.DataFrame | None") -> list[str]:
    """Which targets are missed; beside the naive search there are none."""
    if part is None or set(part["library"]) != {"textattack"}:
        return []
    names = {"success rate": "success_p_value", "words changed": "words_changed_p_value"}
    missed = [name for name, metric in names.items() if _value(part, metric) < LEVEL]
    return missed + ["seconds"] * (not _value(part, "times_faster") >= SPEED_UP)


def _repeats(part: "pd.DataFrame") -> Cell | None:
    return {1.0: Cell("the same"), 0.0: Cell("other results", bold=True)}.get(_value(part, "repeats"))


_TEXTS = Column("texts", lambda part: part["num_texts"].max(), digits=0)
ACHIEVED = [
    _TEXTS,
    Column("attacked", "num_attacked", digits=0),
    Column("successes", "num_successes", digits=0),
    Column("success rate", "success_rate", unit="%"),
    Column("words changed", "words_changed", unit="%"),
    _significant("queries", "mean_queries"),
    _significant("seconds", "seconds"),
    _significant("queries/s", "queries_per_second"),
]
"""What an attack achieved."""
COMPARED = [
    *_difference("success", "success"),
    *_difference("words changed", "words_changed"),
    _TEXTS,
    Column("identical", "identical", digits=0),
    _significant("times faster", "times_faster"),
    Column("targets missed", lambda part: Cell(", ".join(_missed(part)) or "none", bold=bool(_missed(part)))),
]
"""Ours less theirs."""
COST = [
    _significant("seconds with compiling", "seconds_with_compiling"),
    _significant("seconds in the model", "model_seconds"),
    Column("texts through the model", "num_scored", digits=0),
    Column("probabilities apart", "models_apart", digits=".1e"),
    Column("own verdict differs", "disagreements", digits=0),
    Column("second run", _repeats),
]
"""What the model was asked, and whether the two are one."""


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables of a folder of records."""
    sections: list[Any] = []
    headlines: list[Headline] = []
    for record in records:
        rows = _rows(where(frame, file=record.file))
        sections += _sections(rows, record)
        for (attack, by), part in ((row.label, row.frame) for row in rows):
            if by == LIBRARIES["textattack", "lean"]:
                item = f"{record.settings['dataset']}, {attack}: times faster than TextAttack"
                headlines.append(Headline(item, _value(part, "times_faster"), SPEED_UP))
    return Report("Attacks on text, ours and TextAttack's", frame, sections, intro=INTRO, headlines=headlines)


def _rows(frame: "pd.DataFrame") -> list[Row]:
    """A row for each attack and library."""
    rows = []
    for at in distinct(frame[frame["attack"] != "clean"], "attack", "scoring", "library", "way"):
        own = {"scoring": None, "way": None} | at
        label = (TITLES[at["attack"], own["scoring"]], LIBRARIES[at["library"], own["way"]])
        rows.append(Row(label, frame=where(frame, **own), key=at["library"]))
    return rows


def _sections(rows: Sequence[Row], record: Record) -> list[Text | Table]:
    settings, (model,), machine = record.settings, record.models, record.environment["machine"]
    process: dict[str, Any] = next(iter(record.details["processes"].values()), {})
    versions = [f"{name} {process[name]}" for name in ("textattack", "transformers", "torch") if name in process]
    cut, details = f", cut to {settings['num_words']} words" if settings["num_words"] else "", model.details
    clean = model.values_at(attack="clean", num_texts=details["num_test_texts"])["accuracy"]
    others = [row for row in rows if row.key != "ib_jax"]
    missed = [_missed(row.frame) for row in others if row.key == "textattack"]
    not_measured = []
    for each in record.details["not_measured"]:
        title, library = TITLES[each["attack"], each.get("scoring")], LIBRARIES[each["library"], each.get("way")]
        not_measured.append(f"{title}, {library}: {each['reason']}")
    return [
        Text(
            f"First {details['num_test_texts']} test texts{cut}, {clean:.1%} of them classified right; {model.name}, "
            f"{details['num_layers']} layers of {details['width']}, frozen, mean of tokens, linear head fitted on "
            f"{settings['num_train']} texts; {', '.join(versions) or 'no TextAttack'}; {machine['cpu']}, "
            f"{machine['cores']} cores.",
            title=settings["dataset"],
        ),
        Table(rows=rows, columns=ACHIEVED, corner=("attack", "by")),
        Table(rows=others, columns=COMPARED, corner=("attack", "ours beside")),
        Text(f"Targets met: {sum(3 - len(each) for each in missed)} of {3 * len(missed)}."),
        Table(rows=[row for row in rows if row.key != "naive"], columns=COST, corner=("attack", "by")),
        *map(Text, not_measured),
    ]
