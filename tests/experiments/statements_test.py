"""The list of all claims: whose they are, what they show, and how what was not found is split."""

import dataclasses
import math
from collections import Counter

import pytest

from experiments.core.claims import Claim, verdicts
from experiments.core.frames import frame
from experiments.core.report import Claims, Headline, Report, Text
from experiments.report import find, statements

GROWS = Claim("it grows", [3.0, 4.0], [1.0, 1.0], paper=2.0, unit="points")
FALLS = Claim("it falls", [1.0, 1.0], [3.0, 4.0])
REPORT = Report(
    "title",
    frame([]),
    [Claims([GROWS], "first"), Text("words", "second"), Claims([FALLS], "")],
    paper="Alemi and others",
    headlines=[Headline("Table 1", 1.0, claim=Claim("alone", [1.0]))],
)


def test_each_claim_of_a_report_is_there_with_its_section_and_what_the_table_shows():
    made = statements.of_report("mnist_vib", find.RESULTS / "mnist_vib" / "digits", REPORT)
    assert made[0] == statements.Statement(
        "vib", "mnist_vib", "mnist_vib/digits", "first", "it grows", 2, "2.5 ± 0.7 points", "2.0 points", "confirmed"
    )
    assert [each.group for each in made] == ["first", "second", ""]
    assert [(each.text, each.theirs, each.verdict) for each in made[1:]] == [
        ("it falls", "-", "contradicted"), ("alone", "-", "confirmed"),
    ]  # fmt: skip
    assert statements.counts(made)["vib"] == Counter({"confirmed": 2, "contradicted": 1})
    assert sum(sum(found.values()) for found in statements.counts(made).values()) == len(made)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (Claim("one seed", [-1.0]), "not found"),
        (Claim("not with every seed", [-3.0, 1.0]), "not found"),
        (Claim("the same", [0.0, 0.0]), "not found"),
        (Claim("with every seed", [-3.0, -1.0]), "contradicted"),
        (Claim("by the test", [-0.8], p_value=0.01, n=20), "contradicted"),
        (Claim("not by the test", [-0.8], p_value=0.1, n=20), "not found"),
        (Claim("no test", [0.8], p_value=math.nan, n=2), "not tested"),
        (Claim("a number is missing", [math.nan, 1.0]), "not tested"),
        (Claim("nothing was measured", []), "not tested"),
    ],
)
def test_what_was_not_found_is_split(claim, verdict):
    (judged,) = verdicts([claim])
    assert judged.verdict == "not found"
    assert statements.split(judged) == verdict


def test_claims_of_no_known_paper_are_refused_and_a_report_may_say_whose_they_are():
    unknown = dataclasses.replace(REPORT, paper="Somebody")
    with pytest.raises(ValueError, match="mnist_vib has claims of a paper that is none of vib, ceb, vub"):
        statements.of_report("mnist_vib", find.RESULTS, unknown)
    assert {each.paper for each in statements.of_report("mnist_objectives", find.RESULTS, unknown)} == {"vub"}
    assert not statements.of_report("mnist_vib", find.RESULTS, dataclasses.replace(unknown, sections=[], headlines=[]))
