"""Adversarial texts with what was changed marked in them, on a terminal and as an HTML page of its own.

Insertions are bold and underlined, deletions struck through, substitutions both, the new word first, as in Table 3 of
the VUB paper. A word that was replaced is marked as a whole; one that differs in a single typing error, as
DeepWordBug makes them, is marked where its characters differ.
"""

import difflib
import html
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from ib_jax.attacks.text import TextResult

Kind = Literal["kept", "new", "gone"]
ELEMENTS: dict[Kind, str] = {"new": "ins", "gone": "del"}
STYLES: dict[Kind, str] = {"kept": "", "new": "bold underline green", "gone": "strike red"}
_STYLE = """
body { font: 16px/1.5 Georgia, serif; margin: 2em; color: #222; background: #fff; }
h1 { font-size: 1.3em; } p.legend { color: #555; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { border: 1px solid #ccc; padding: 0.6em 0.8em; vertical-align: top; text-align: left; }
thead th { background: #f4f4f4; }
.facts { font: 13px/1.4 sans-serif; color: #555; margin-bottom: 0.5em; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
ins { font-weight: bold; text-decoration: underline; color: #064; }
del { text-decoration: line-through; color: #a22; }
"""


class Mark(NamedTuple):
    """A piece of text, and whether it was kept, is new, or is gone."""

    kind: Kind
    text: str


class Attacked(NamedTuple):
    """What one attack did to one model: a column of the page.

    Attributes:
      model: its name.
      attack: its name.
      results: of each text.
      probabilities: of each text the model's answers before and after, float [C] each; None shows classes alone.
    """

    model: str
    attack: str
    results: Sequence[TextResult]
    probabilities: Sequence[tuple[np.ndarray, np.ndarray]] | None = None


def marks(original: str, perturbed: str) -> list[Mark]:
    """How one text became the other: without what is new it is the original, without what is gone the perturbed one.

    Args:
      original: any text.
      perturbed: any text.

    Returns:
      Marks in order, none of them empty, no two neighbours of one kind.

    Example:
      >>> [mark.text for mark in marks("a great film.", "a graet film.")]
      ['a gr', 'ae', 'ea', 't film.']
    """
    old, new = _pieces(original), _pieces(perturbed)
    found: list[Mark] = []
    for before, after in zip(old, new, strict=True) if len(old) == len(new) else _aligned(old, new):
        found += [Mark("kept", before)] if before == after else _substitution(before, after)
    return _joined(found)


def as_html(marked: Sequence[Mark]) -> str:
    """Marks as HTML, escaped."""
    parts = []
    for kind, text in marked:
        escaped = html.escape(text)
        parts.append(f"<{ELEMENTS[kind]}>{escaped}</{ELEMENTS[kind]}>" if kind in ELEMENTS else escaped)
    return "".join(parts)


def as_rich(marked: Sequence[Mark]) -> Text:
    """Marks for a terminal; the text's own brackets and control codes have no effect."""
    return Text.assemble(*((text.replace("\x1b", "\N{SYMBOL FOR ESCAPE}"), STYLES[kind]) for kind, text in marked))


def page(columns: Sequence[Attacked], class_names: Sequence[str], *, title: str) -> str:
    """An HTML page that needs nothing else: a row for each text, a column for each attack on a model.

    Args:
      columns: all on the same texts.
      class_names: of the model's classes.
      title: of the page.

    Returns:
      The page.

    Raises:
      ValueError: the columns are not of the same texts, or a column has another number of probabilities than texts.
    """
    rows = _rows(columns)
    heads = [f"<th>{html.escape(column.model)}<br>{html.escape(column.attack)}</th>" for column in columns]
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        '<p class="legend"><ins>inserted</ins>, <del>removed</del>.</p>',
        f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>",
    ]
    for row in range(rows):
        cells = []
        for column in columns:
            result = column.results[row]
            text = as_html(marks(result.original, result.perturbed))
            said = html.escape(facts(column, row, class_names))
            cells.append(f'<td><div class="facts">{said}</div><div class="text" dir="auto">{text}</div></td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table>", "<p>No texts.</p>" if not rows else "", "</body></html>", ""])


def write_page(
    path: str | os.PathLike[str], columns: Sequence[Attacked], class_names: Sequence[str], *, title: str
) -> None:
    """Writes `page` to a file; half a character, which Python's strings may hold, becomes a replacement character."""
    content = page(columns, class_names, title=title).encode("utf-8", "xmlcharrefreplace")
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def print_texts(console: Console, columns: Sequence[Attacked], class_names: Sequence[str]) -> None:
    """Prints each text under each attack, with what was changed marked.

    Raises:
      ValueError: as `page`.
    """
    rows = _rows(columns)
    for row in range(rows):
        for column in columns:
            result = column.results[row]
            console.print(Rule(Text(f"{column.model}, {column.attack}"), align="left"))
            console.print(facts(column, row, class_names), style="dim", markup=False, highlight=False)
            console.print(as_rich(marks(result.original, result.perturbed)), highlight=False)
    if not rows:
        console.print("No texts.")


def facts(column: Attacked, row: int, class_names: Sequence[str]) -> str:
    """The line above a text: its label, the answers before and after, queries, words changed, how it ended."""
    result = column.results[row]
    answers = [class_names[result.prediction_before], class_names[result.prediction_after]]
    if column.probabilities is not None:
        classes = (result.prediction_before, result.prediction_after)
        shown = zip(answers, classes, column.probabilities[row], strict=True)
        answers = [f"{name} {float(each[index]):.1%}" for name, index, each in shown]
    if result.skipped:
        return f"true class {class_names[result.label]} | answer {answers[0]} | skipped, not attacked"
    changed, queries = len(result.changed), result.num_queries
    return " | ".join(
        [
            f"true class {class_names[result.label]}",
            f"answer {answers[0]} → {answers[1]}",
            "success" if result.success else "held",
            f"{queries} {'query' if queries == 1 else 'queries'}",
            f"{changed} of {result.num_words} {'word' if result.num_words == 1 else 'words'} changed",
        ]
    )


def _rows(columns: Sequence[Attacked]) -> int:
    texts = [[result.original for result in column.results] for column in columns]
    for column, each in zip(columns, texts, strict=True):
        if each != texts[0]:
            raise ValueError(f"columns must be of the same texts; those of {column.model}, {column.attack} are others")
        if column.probabilities is not None and len(column.probabilities) != len(each):
            raise ValueError(
                f"probabilities of {column.model}, {column.attack} must be of {len(each)} texts, "
                f"got {len(column.probabilities)}"
            )
    return len(texts[0]) if texts else 0


def _pieces(text: str) -> list[str]:
    """A text cut before each white space that follows something else."""
    starts = [at for at in range(1, len(text)) if text[at].isspace() and not text[at - 1].isspace()]
    return [text[low:high] for low, high in zip([0, *starts], [*starts, len(text)], strict=True) if low < high]


def _aligned(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of what became what. Slow for long texts; those that were changed word by word pair by themselves."""
    for _, low, high, new_low, new_high in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if high - low == new_high - new_low:
            yield from zip(old[low:high], new[new_low:new_high], strict=True)
        else:
            yield "".join(old[low:high]), "".join(new[new_low:new_high])


def _substitution(old: str, new: str) -> list[Mark]:
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    if not _typing_error(old[head : len(old) - tail], new[head : len(new) - tail]):
        while head and old[head - 1].isalnum():
            head -= 1
        while tail and old[-tail].isalnum():
            tail -= 1
    end = len(old) - tail
    middle = [Mark("new", new[head : len(new) - tail]), Mark("gone", old[head:end])]
    return [Mark("kept", old[:head]), *middle, Mark("kept", old[end:])]


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), min(len(one), len(other))
    )


def _typing_error(gone: str, new: str) -> bool:
    """Whether one character was inserted, deleted or substituted, or two have changed places."""
    return max(len(gone), len(new)) <= 1 or (len(gone) == 2 and gone == new[::-1])


def _joined(found: Sequence[Mark]) -> list[Mark]:
    joined: list[Mark] = []
    for mark in found:
        if joined and joined[-1].kind == mark.kind:
            joined[-1] = Mark(mark.kind, joined[-1].text + mark.text)
        elif mark.text:
            joined.append(mark)
    return joined
