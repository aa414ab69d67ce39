"""Adversarial texts as an HTML page that needs nothing else, with what was changed marked in them.

Insertions are bold and underlined, deletions struck through, substitutions both, the new word first, as in Table 3 of
the VUB paper. A word that was replaced is marked as a whole; one that differs in a single typing error, as
DeepWordBug makes them, is marked where its characters differ.
"""

import difflib
import html
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ib_jax.attacks.text import TextResult

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ font: 16px/1.5 Georgia, serif; margin: 2em; color: #222; background: #fff; }}
h1 {{ font-size: 1.3em; }} p.legend {{ color: #555; }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed; }}
th, td {{ border: 1px solid #ccc; padding: 0.6em 0.8em; vertical-align: top; text-align: left; }}
thead th {{ background: #f4f4f4; }}
.facts {{ font: 13px/1.4 sans-serif; color: #555; margin-bottom: 0.5em; }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
ins {{ font-weight: bold; text-decoration: underline; color: #064; }}
del {{ text-decoration: line-through; color: #a22; }}
</style></head><body>
<h1>{title}</h1>
<p class="legend"><ins>inserted</ins>, <del>removed</del>.</p>
"""


class Edit(NamedTuple):
    """A piece of text, and whether it was kept, inserted or deleted."""

    kind: Literal["kept", "ins", "del"]
    text: str


class AttackedTexts(NamedTuple):
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

    def first(self, count: int) -> "AttackedTexts":
        """The same of the first texts."""
        probabilities = None if self.probabilities is None else self.probabilities[:count]
        return self._replace(results=self.results[:count], probabilities=probabilities)


def edits(original: str, perturbed: str) -> list[Edit]:
    """How one text became the other: edits in order, none of them empty, no two neighbours of one kind.

    All but the insertions joined are the original, all but the deletions the perturbed text.

    Example:
      >>> [edit.text for edit in edits("a great film.", "a graet film.")]
      ['a gr', 'ae', 'ea', 't film.']
    """
    old, new = _pieces(original), _pieces(perturbed)
    merged: list[Edit] = []
    for before, after in zip(old, new, strict=True) if len(old) == len(new) else _aligned(old, new):
        for edit in [Edit("kept", before)] if before == after else _substitution(before, after):
            if merged and merged[-1].kind == edit.kind:
                merged[-1] = Edit(edit.kind, merged[-1].text + edit.text)
            elif edit.text:
                merged.append(edit)
    return merged


def as_html(marked: Sequence[Edit]) -> str:
    """Edits as HTML, escaped."""
    escaped = [(kind, html.escape(text)) for kind, text in marked]
    return "".join(text if kind == "kept" else f"<{kind}>{text}</{kind}>" for kind, text in escaped)


def page(columns: Sequence[AttackedTexts], class_names: Sequence[str], *, title: str) -> str:
    """An HTML page with a row for each text and a column for each attack on a model, all on the same texts."""
    head = "".join(f"<th>{html.escape(column.model)}<br>{html.escape(column.attack)}</th>" for column in columns)
    rows = zip(*(_cells(column, class_names) for column in columns), strict=True)
    body = [f"<tr>{''.join(cells)}</tr>" for cells in rows]
    table = [f"<table><thead><tr>{head}</tr></thead><tbody>", *body, "</tbody></table>"]
    none = [] if body else ["<p>No texts.</p>"]
    return "\n".join([_HEAD.format(title=html.escape(title)), *table, *none, "</body></html>", ""])


def write_page(
    path: str | os.PathLike[str], columns: Sequence[AttackedTexts], class_names: Sequence[str], *, title: str
) -> None:
    """Writes `page` to a file; half a character, which Python's strings may hold, becomes a character reference."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(page(columns, class_names, title=title).encode("utf-8", "xmlcharrefreplace"))


def _cells(column: AttackedTexts, class_names: Sequence[str]) -> Iterator[str]:
    nothing: Sequence[Any] = [None] * len(column.results)
    for result, own in zip(column.results, column.probabilities or nothing, strict=True):
        facts, text = _facts(result, own, class_names), as_html(edits(result.original, result.perturbed))
        yield f'<td><div class="facts">{html.escape(facts)}</div><div class="text" dir="auto">{text}</div></td>'


def _facts(result: TextResult, probabilities: Any, class_names: Sequence[str]) -> str:
    """The line above a text: its label, the answers before and after, queries, words changed, how it ended."""
    classes = [result.prediction_before, result.prediction_after]
    answers = [class_names[index] for index in classes]
    if probabilities is not None:
        sure = [float(own[index]) for own, index in zip(probabilities, classes, strict=True)]
        answers = [f"{name} {share:.1%}" for name, share in zip(answers, sure, strict=True)]
    facts = [f"true class {class_names[result.label]}"]
    if result.skipped:
        return " | ".join([*facts, f"answer {answers[0]}", "skipped, not attacked"])
    facts += [f"answer {answers[0]} → {answers[1]}", "success" if result.success else "held"]
    facts.append(f"{result.num_queries} {'query' if result.num_queries == 1 else 'queries'}")
    words = "word" if result.num_words == 1 else "words"
    return " | ".join([*facts, f"{len(result.changed)} of {result.num_words} {words} changed"])


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


def _substitution(old: str, new: str) -> list[Edit]:
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    if not _typing_error(old[head : len(old) - tail], new[head : len(new) - tail]):
        while head and old[head - 1].isalnum():
            head -= 1
        while tail and old[-tail].isalnum():
            tail -= 1
    end = len(old) - tail
    changed = [Edit("ins", new[head : len(new) - tail]), Edit("del", old[head:end])]
    return [Edit("kept", old[:head]), *changed, Edit("kept", old[end:])]


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, pair in pairs if len(set(pair)) > 1), min(len(one), len(other)))


def _typing_error(gone: str, new: str) -> bool:
    """Whether one character was inserted, deleted or substituted, or two have changed places."""
    return max(len(gone), len(new)) <= 1 or (len(gone) == 2 and gone == new[::-1])
