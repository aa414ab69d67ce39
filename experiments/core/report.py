"""Reports: declared as sections over the frame of an experiment's records; `core/render.py` writes them.

An experiment's `report.py` has `report(frame, records) -> Report`. A cell of a `Table` is a number of the models of its
row, at the conditions of its column: mean over the models, spread, and in square brackets the paper's.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core import claims as rule
from experiments.core.claims import Claim, Verdict
from experiments.core.plots import Figure
from experiments.core.records import Record
from experiments.core.tables import DASH, Cell, Column, Grid, Row, Table, as_cell, attack_label, number, values_of

if TYPE_CHECKING:
    import pandas as pd


__all__ = [
    "Cell",
    "Claims",
    "Column",
    "Departures",
    "Figure",
    "Findings",
    "Grid",
    "Headline",
    "Report",
    "Row",
    "Table",
    "Text",
    "attack_label",
    "number",
    "values_of",
]

NO_CHECK = "none"


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph, plain but for `code` between backticks; with a title the beginning of a section."""

    text: str
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Claims:
    """The paper's statements, each with the verdict of the one rule."""

    claims: Sequence[Claim]
    title: str = "What the paper states"


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the checks for masked gradients have to say, and of how many seeds, for each row of models."""

    records: Sequence[Record]
    rows: Sequence[Row]
    title: str = "Signs of masked gradients"
    messages: bool = False


@dataclasses.dataclass(frozen=True)
class Departures:
    """Where our settings are not the paper's, as the records say."""

    records: Sequence[Record]
    title: str = "Departures from the paper"


class Headline(NamedTuple):
    """What the overview of all experiments shows of one.

    Attributes:
      item: of the paper, such as "Table 1, error".
      ours: a number, or one for each seed; or words.
      paper: the paper's number or words.
      unit: as of `Row`.
      digits: as of `Row`.
      claim: the statement it stands for, whose verdict is shown.
    """

    item: str
    ours: Any
    paper: Any = None
    unit: str = ""
    digits: int | str = 1
    claim: Claim | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """All that is shown of an experiment's records.

    Attributes:
      title: of the page.
      frame: of the records, from which tables and figures are made.
      sections: Text, Table, Grid, Claims, Findings, Departures and Figure, in order.
      paper: authors, title, year, and which tables and figures.
      intro: the first paragraph: sizes and settings.
      headlines: for the overview.
    """

    title: str
    frame: "pd.DataFrame"
    sections: Sequence[Any]
    paper: str = ""
    intro: str = ""
    headlines: Sequence[Headline] = ()

    @functools.cached_property
    def verdicts(self) -> Sequence[Verdict]:
        """Of all claims, those of headlines last: one family for Holm's correction."""
        claims = [claim for section in self.sections if isinstance(section, Claims) for claim in section.claims]
        claims += [each.claim for each in self.headlines if each.claim and all(each.claim is not c for c in claims)]
        return rule.verdicts(claims)

    def verdict_of(self, claim: Claim) -> Verdict:
        """Of one of its claims."""
        return next(verdict for verdict in self.verdicts if verdict.claim is claim)

    @functools.cached_property
    def blocks(self) -> "list[Text | Grid | Figure]":
        """The sections as paragraphs, tables of cells and figures, which is what is rendered."""
        found: list[Any] = [Text(self.intro)] if self.intro else []
        for section in self.sections:
            if isinstance(section, Table):
                found.append(section.grid(self.frame))
            elif isinstance(section, Claims):
                found.append(claims_grid([self.verdict_of(claim) for claim in section.claims], section.title))
            elif isinstance(section, Findings):
                found.append(_findings(section))
            elif isinstance(section, Departures):
                found.append(_departures(section))
            else:
                found.append(section)
        return found


def claims_grid(judged: Sequence[Verdict], title: str = "") -> Grid:
    """The table of statements: n, ours, the paper's, p where there are tests, verdict; the rule below."""
    tests = any(each.p_value is not None for each in judged)
    rows = []
    for each in judged:
        (claim, verdict, p_value), (ours, theirs) = each, claim_cells(each)
        p = [DASH if p_value is None or math.isnan(p_value) else "< 0.001" if p_value < 1e-3 else f"{p_value:.3f}"]
        rows.append(
            [claim.text, Cell(str(claim.count), claim.count), ours, theirs, *p * tests, Cell(verdict, bold=True)]
        )
    columns = ["statement", "n", "difference, ours", "paper", *["p (Holm)"] * tests, "verdict"]
    return Grid(columns, rows, title, rule.RULE)


def claim_cells(judged: Verdict) -> tuple[Cell | str, Cell | str]:
    """What is shown of a claim: our difference with its spread, and the paper's."""
    claim = judged.claim
    as_ours = functools.partial(number, scale=1.0, unit=claim.unit, digits=claim.digits)
    return claim.ours or as_ours(claim.differences), DASH if claim.paper is None else as_ours(claim.paper)


def _findings(section: Findings) -> Grid:
    models = {(record.file, model.name, model.seed): model for record in section.records for model in record.models}
    rows: list[list[str]] = []
    for row in section.rows:
        assert row.frame is not None
        keys = row.frame[["file", "model", "seed"]].drop_duplicates().itertuples(index=False, name=None)
        own = [models[key] for key in keys]
        checks = sorted({finding["check"] for model in own for finding in model.findings})
        for check in checks or [NO_CHECK]:
            by_model = [[each["message"] for each in model.findings if each["check"] == check] for model in own]
            said = [message for messages in by_model for message in messages]
            count = f"{sum(map(bool, by_model))} of {len(own)}" if checks else ""
            cells = [", ".join(row.texts), check, count]
            rows.append(cells + ([str(len(said) or ""), said[0] if said else ""] if section.messages else []))
    more = ["warnings", "the first says"] if section.messages else []
    return Grid(["model", "check", "seeds", *more], rows, section.title)


def _departures(section: Departures) -> Grid:
    ours: dict[str, dict[str, None]] = {}
    paper: dict[str, str] = {}
    for each in (each for record in section.records for each in record.departures):
        ours.setdefault(each["name"], {})[_words(each["ours"])] = None
        paper.setdefault(each["name"], _words(each["paper"]))
    rows = [[name, ", ".join(own), paper[name]] for name, own in ours.items()]
    return Grid(["setting", "ours", "paper"], rows, section.title, "" if rows else "None.")


def _words(value: Any) -> str:
    return " or ".join(map(_words, value)) if isinstance(value, (list, tuple)) else as_cell(value).text
