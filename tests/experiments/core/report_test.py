"""Reports: cells, tables, claims, findings, and their renderings, in which nothing is markup that should not be."""

import html.parser
import io
import re

import markdown_it
import pytest
from rich.console import Console

from experiments.core import render
from experiments.core.claims import Claim
from experiments.core.frames import frame, where
from experiments.core.plots import Figure, Line, Panel
from experiments.core.records import Measurement, Model, Record
from experiments.core.report import (
    Cell,
    Claims,
    Column,
    Departures,
    Findings,
    Grid,
    Headline,
    Report,
    Row,
    Table,
    Text,
    number,
)  # fmt: skip

ODD = "a|b <script>alert(1)</script> [x](y) *z* _u_ `v` $w$ \\ &amp; # ~~"


def records():
    made = []
    for objective, shift in (("vib", 0.0), ("ce", 0.5)):
        for seed in (0, 1):
            measurements = [
                Measurement({"split": "test"}, {"error": 0.01 + 0.02 * seed, "rate": None if shift else 5.0 + seed}),
                Measurement({"attack": "pgd", "epsilon": 0.1}, {"accuracy": 0.9 - shift}),
                Measurement({"attack": "pgd", "epsilon": 0.3}, {"accuracy": 0.4 - 0.1 * seed}),
            ]
            found = [{"check": "black_box", "message": f"seed {seed}"}] if shift or seed else []
            model = Model(objective, seed, measurements, {"objective": objective}, findings=found)
            departures = [{"name": "epochs", "ours": 5, "paper": [100, 200]}]
            made.append(Record("x", "c", {}, [model], departures=departures, file=f"{objective}{seed}"))
    return made


RECORDS = records()
FRAME = frame(RECORDS)
ROWS = [Row(name, frame=where(FRAME, objective=name)) for name in ("vib", "ce")]


def texts(grid):
    return [[cell.text for cell in row] for row in grid.cells]


@pytest.mark.parametrize(
    ("values", "options", "text"),
    [
        ([1.0, 3.0], {}, "2.0 ± 1.4"),
        ([2.0], {}, "2.0"),
        (2.0, {"digits": 3}, "2.000"),
        ([0.0128, 0.0133], {"unit": "%", "digits": 2, "spread": "range"}, "1.30 % (1.28 to 1.33)"),
        ([0.5], {"unit": "%", "spread": "range", "paper": 1.13}, "50.0 % [1.13]"),
        ([1.0, 3.0], {"spread": "none", "unit": "bits"}, "2.0 bits"),
        ([1.0, 3.0], {"unit": "%", "scale": 1.0}, "2.0 ± 1.4 %"),
        ([0.5, 0.5], {"scale": 100}, "50.0 ± 0.0"),
        ([1234.5], {"digits": ",.0f"}, "1,234"),
        ([0.00012345], {"digits": ".3g"}, "0.000123"),
        ([1.0], {"paper": "57 ± 2"}, "1.0 [57 ± 2]"),
        ([], {}, "-"),
        ([1.0, float("nan")], {}, "-"),
        ([1.0, None], {"paper": 3.0}, "- [3]"),
        ([1.0, None], {"missing": "skip"}, "1.0"),
        ([None], {"missing": "skip"}, "-"),
        ([float("inf")], {}, "-"),
        ([-0.04], {}, "-0.0"),
    ],
)
def test_a_cell_is_mean_spread_and_the_papers(values, options, text):
    assert number(values, **options).text == text


def test_an_unknown_spread_is_refused():
    with pytest.raises(ValueError, match="spread must be std, range or none, got 'iqr'"):
        number([1.0, 2.0], spread="iqr")


def test_a_table_has_a_number_of_each_rows_models_at_each_columns_conditions():
    columns = [
        Column("error, %", "error", at={"split": "test"}, scale=100, paper={"vib": 1.5}),
        Column("rate", "rate", at={"split": "test"}, frame=where(FRAME, objective="vib"), digits=2),
        *(Column(f"PGD {e}", "accuracy", at={"attack": "pgd", "epsilon": e}, unit="%") for e in (0.1, 0.3, 0.5)),
        Column("seeds", lambda part: ", ".join(map(str, part.seed.unique()))),
        Column("double", lambda part: 2.0),
    ]
    grid = Table(title="t", rows=ROWS, columns=columns, corner=("objective",)).grid(FRAME)
    assert list(grid.columns) == ["objective", "error, %", "rate", "PGD 0.1", "PGD 0.3", "PGD 0.5", "seeds", "double"]
    assert texts(grid) == [
        ["vib", "2.0 ± 1.4 [1.5]", "5.50 ± 0.71", "90.0 ± 0.0 %", "35.0 ± 7.1 %", "-", "0, 1", "2.0"],
        ["ce", "2.0 ± 1.4", "-", "40.0 ± 0.0 %", "35.0 ± 7.1 %", "-", "0, 1", "2.0"],
    ]


def test_a_table_may_have_numbers_as_rows_and_models_as_columns():
    rows = [
        Row(("error", "%"), "error", at={"split": "test"}, scale=100, paper={"vib": 1.5}),
        Row(("rate", "bits"), "rate"),
    ]
    columns = [Column(row.label, frame=row.frame) for row in ROWS]
    grid = Table(rows=rows, columns=columns, corner=("number", "unit")).grid(FRAME)
    assert texts(grid) == [["error", "%", "2.0 ± 1.4 [1.5]", "2.0 ± 1.4"], ["rate", "bits", "5.5 ± 0.7", "-"]]


def test_mistakes_in_a_table_are_refused():
    with pytest.raises(ValueError, match="neither row 'vib' nor column 'x' has a metric"):
        Table(rows=ROWS[:1], columns=[Column("x")]).grid(FRAME)
    with pytest.raises(ValueError, match=r"accuracy at .* was measured 2 times"):
        Table(rows=ROWS[:1], columns=[Column("x", "accuracy", at={"attack": "pgd"})]).grid(FRAME)
    with pytest.raises(ValueError, match="every row must have 2 cells"):
        Grid(["a", "b"], [["1"]])


def report(*sections, **options):
    return Report("A title", FRAME, sections, **options)


def test_claims_have_n_the_papers_difference_and_one_correction_for_all_of_a_report():
    first = Claims(
        [Claim("a above b", [3.0, 5.0], [1.0, 1.0], 4.0), Claim("r", [0.6], p_value=0.03, n=28, ours="r = 0.6")]
    )
    second = Claims([Claim("s", [0.6], p_value=0.2)], "Others")
    one, other = report(first, second).blocks
    assert list(one.columns) == ["statement", "n", "difference, ours", "paper", "p (Holm)", "verdict"]
    assert texts(one)[0] == ["a above b", "2", "3.0 ± 1.4", "4.0", "-", "confirmed"]
    assert texts(one)[1] == ["r", "28", "r = 0.6", "-", "0.060", "weaker"]
    assert texts(other)[0][-2:] == ["0.200", "not found"]
    (alone,) = report(first).blocks
    assert texts(alone)[1][-2:] == ["0.030", "confirmed"]
    assert "half of the paper's difference" in alone.notes


def test_a_headlines_claim_is_of_the_same_family():
    claim = Claim("r", [0.6], p_value=0.03)
    made = report(Claims([claim]), headlines=[Headline("Figure 1", 0.6, claim=claim), Headline("Figure 2", 1.0)])
    assert made.verdict_of(claim).p_value == 0.03
    other = report(Claims([claim]), headlines=[Headline("Figure 1", 0.6, claim=Claim("s", [1.0], p_value=0.5))])
    assert other.verdict_of(claim).p_value == 0.06


def test_findings_count_the_seeds_that_a_check_has_something_to_say_of():
    (grid,) = report(Findings(RECORDS, [*ROWS, Row("none", frame=FRAME.iloc[:0])], messages=True)).blocks
    assert texts(grid) == [
        ["vib", "black_box", "1 of 2", "1", "seed 1"],
        ["ce", "black_box", "2 of 2", "2", "seed 0"],
        ["none", "none", "", "", ""],
    ]


def test_departures_are_listed_once():
    (grid,) = report(Departures(RECORDS)).blocks
    assert texts(grid) == [["epochs", "5", "100 or 200"]]
    assert report(Departures([])).blocks[0].notes == "None."


def everything(text):
    figure = Figure("f.png", [Panel(lines=[Line(text, "accuracy")], x="epsilon")], title=text, alt=text)
    grid = Grid([text, "b"], [[text, Cell(text, 1.0, True)], [None, 2.5]], title=text, notes=text)
    return Report(text, FRAME, [Text(text, text), grid, figure], paper=text, intro=text)


def test_markdown_shows_every_text_as_it_is():
    text = ODD.replace("`v`", "v")
    tokens = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(render.markdown(everything(text)))
    inline = [token for token in tokens if token.type == "inline"]
    kinds = {child.type for token in inline for child in token.children}
    assert kinds == {"text", "image", "strong_open", "strong_close"}
    shown = ["".join(child.content for child in token.children) for token in inline]
    assert shown.count(text) == 10
    (image,) = inline[-1].children
    assert "".join(child.content for child in image.children) == text
    assert not any(token.type.startswith("html") for token in tokens)


@pytest.mark.parametrize("text", ["# a", "- a", "1. a", "+ a", "> a", "12) a", "<!-- a", "---", "2.5 is a number"])
def test_a_paragraph_is_no_list_or_heading(text):
    tokens = markdown_it.MarkdownIt().parse(render.markdown(report(Text(text))))
    assert [token.type for token in tokens if token.nesting >= 0][2:] == ["paragraph_open", "inline"]
    assert "".join(child.content for child in tokens[-2].children) == text


def test_code_between_backticks_is_code():
    assert "of `check_model|x` and" in render.markdown(report(Text("of `check_model|x` and")))
    assert "<code>a&lt;b</code> and &lt;" in render.html_block(Text("`a<b` and <"))


class Texts(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.attributes = set(), [], []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [value for _, value in attributes]

    def handle_data(self, text):
        self.texts.append(text)


def test_html_shows_every_text_as_it_is():
    text, parser = ODD.replace("`v`", "v") + ' " onerror=x', Texts()
    parser.feed("".join(map(render.html_block, everything(text).blocks)))
    assert "script" not in parser.tags
    assert parser.texts.count(text) >= 8
    assert text in parser.attributes
    assert not any(value and value.startswith("onerror") for value in parser.attributes)


def test_the_terminal_shows_markup_as_text_and_turns_wide_tables_over():
    stream = io.StringIO()
    columns = [f"column {index}" for index in range(12)]
    made = report(Text("[bold]x[/bold]"), Grid(columns, [[f"[red]{index}" for index in range(12)]], title="[i]"))
    render.show(made, Console(file=stream, width=60))
    shown = stream.getvalue()
    assert "[bold]x[/bold]" in shown
    assert "[i]" in shown
    assert re.search(r"column 11 +\[red\]11", shown)


def test_a_report_is_written_beside_its_records(tmp_path):
    lines = [Line(name, "accuracy", at={"attack": "pgd"}, frame=where(FRAME, objective=name)) for name in ("vib", "ce")]
    figure = Figure("curve.png", [Panel(lines=lines, x="epsilon")], alt="Accuracy")
    paths = render.write(report(Table(rows=ROWS, columns=[Column("r", "rate")]), figure), tmp_path / "deep")
    assert [path.name for path in paths] == ["table.md", "curve.png"]
    assert "![Accuracy](curve.png)" in paths[0].read_text()
    assert paths[1].stat().st_size > 5000
