"""Every claim of every report as one list: what a paper states, what we found, and the verdict."""

import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from experiments.core import claims as rule
from experiments.core.claims import Verdict
from experiments.core.report import Claims, Report, claim_cells
from experiments.core.tables import as_cell
from experiments.report import find

CONTRADICTED, NOT_TESTED = "contradicted", "not tested"
VERDICTS = (rule.CONFIRMED, rule.WEAKER, rule.NOT_FOUND, CONTRADICTED, NOT_TESTED)
PAPERS = {
    "vib": "Alemi",
    "ceb": "Fischer",
    "vub": "Weingarten",
    "information_theoretic": "Improving Adversarial Robustness",
}
"""The four papers, and how what a report says of its paper begins."""
OURS = "ours"
"""In place of a paper: predictions of our own, written before the runs."""


class Statement(NamedTuple):
    """A claim with its verdict, as text.

    Attributes:
      paper: one of `PAPERS`, or `OURS`; `CLAIMS_OF` of the experiment's report.py, or else the first that it names.
      experiment: its name.
      folder: of the records, below results/.
      group: the title of its section.
      text: the statement.
      n: seeds, or points behind the test.
      ours: our value with its spread.
      theirs: the paper's.
      verdict: one of `VERDICTS`: what the report says, with "not found" split in three, see `split`.
    """

    paper: str
    experiment: str
    folder: str
    group: str
    text: str
    n: int
    ours: str
    theirs: str
    verdict: str


def statements(names: Sequence[str] = ()) -> list[Statement]:
    """All claims of some experiments, by default of all that have a report."""
    folders = ((name, folder) for name in names or find.names() for folder in find.folders(name))
    return [each for name, folder in folders for each in of_report(name, folder, find.make(name, folder))]


def of_report(name: str, folder: pathlib.Path, report: Report) -> list[Statement]:
    """The claims of one report, in its order."""
    paper = paper_of(name, report) if report.verdicts else ""
    below = folder.relative_to(find.RESULTS).as_posix() if folder.is_relative_to(find.RESULTS) else str(folder)
    made = []
    for group, judged in _by_section(report):
        ours, theirs = (as_cell(cell).text for cell in claim_cells(judged))
        claim = judged.claim
        made.append(Statement(paper, name, below, group, claim.text, claim.count, ours, theirs, split(judged)))
    return made


def paper_of(name: str, report: Report) -> str:
    """Whose claims those of a report are.

    Raises:
      ValueError: the report names none of the four papers first, and report.py has no `CLAIMS_OF`.
    """
    said: str | None = getattr(find.module(name), "CLAIMS_OF", None)
    found = [said] if said else [paper for paper, start in PAPERS.items() if report.paper.startswith(start)]
    if not found or found[0] not in (*PAPERS, OURS):
        raise ValueError(f"{name} has claims of a paper that is none of {', '.join(PAPERS)}; set CLAIMS_OF")
    return found[0]


def split(judged: Verdict) -> str:
    """The verdict; of what was not found, what was contradicted and what could not be tested.

    Contradicted: with every seed, of two or more, it is the other way round; or, where there is a test, on average and
    with p < 0.05 after the correction. Not tested: there are too few points for the test, or numbers are missing.

    Example:
      >>> from experiments.core.claims import Claim, verdicts
      >>> made = verdicts([Claim("it grows", [1.0, each], [2.0, 1.0]) for each in (0.5, 1.0)])
      >>> [split(each) for each in made]
      ['contradicted', 'not found']
    """
    if judged.verdict != rule.NOT_FOUND:
        return judged.verdict
    differences = judged.claim.differences
    if not differences.size or np.isnan(differences).any() or (judged.p_value is not None and np.isnan(judged.p_value)):
        return NOT_TESTED
    if judged.p_value is not None:
        other = differences.mean() < 0 and judged.p_value < rule.SIGNIFICANT
    else:
        other = differences.size > 1 and (differences < 0).all()
    return CONTRADICTED if other else rule.NOT_FOUND


def counts(made: Iterable[Statement]) -> dict[str, Counter[str]]:
    """How many of each verdict, by paper, in the order of `PAPERS`; `OURS` last."""
    found: dict[str, Counter[str]] = {paper: Counter() for paper in (*PAPERS, OURS)}
    for each in made:
        found[each.paper][each.verdict] += 1
    return found


def _by_section(report: Report) -> Iterator[tuple[str, Verdict]]:
    """The verdicts with the title that they stand under; claims of headlines alone come last, without one."""
    title, left = "", list(report.verdicts)
    for section in report.sections:
        title = getattr(section, "title", "") or title
        for claim in section.claims if isinstance(section, Claims) else ():
            judged = report.verdict_of(claim)
            left = [each for each in left if each is not judged]
            yield title, judged
    yield from (("", judged) for judged in left)
