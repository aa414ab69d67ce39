"""Marked adversarial texts: what stands where, that nothing is lost, and that a text cannot act on the page."""

import html.parser
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imdb_vub.page import AttackedTexts, as_html, edits, page, write_page
from ib_jax.attacks import text

CLASSES = ("negative", "positive")


def result(original: str, perturbed: str, **changes) -> text.TextResult:
    words = text.split(original).words
    fields = {"label": 1, "prediction_before": 1, "prediction_after": 0, "success": True, "skipped": False}
    fields |= {"num_queries": 7, "num_words": len(words), "changed": (0,), "replacements": ("x",)}
    return text.TextResult(original, perturbed, **fields | changes)


class Reader(html.parser.HTMLParser):
    """Elements, and of each marked text what it was and what it became, as a browser would read them."""

    def __init__(self, content: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.texts: list[list[str]] = []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if ("class", "text") in attrs:
            self.texts.append(["", ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or "td" not in self.open or not self.texts:
            return
        if "ins" not in self.open:
            self.texts[-1][0] += data
        if "del" not in self.open:
            self.texts[-1][1] += data


@pytest.mark.parametrize(
    ("original", "perturbed", "expected"),
    [
        ("a great film", "a great film", "a great film"),
        ("a great film.", "a graet film.", "a gr<ins>ae</ins><del>ea</del>t film."),
        ("a great film.", "a gnreat film.", "a g<ins>n</ins>reat film."),
        ("a great film.", "a grat film.", "a gr<del>e</del>at film."),
        ("a great film.", "a grXat film.", "a gr<ins>X</ins><del>e</del>at film."),
        ("are dumbfounding, given", "are astounding, given", "are <ins>astounding</ins><del>dumbfounding</del>, given"),
        ("an interest.", "an internal.", "an <ins>internal</ins><del>interest</del>."),
        ("one two three", "uno dos three", "<ins>uno</ins><del>one</del> <ins>dos</ins><del>two</del> three"),
        ("good, bad", "good, very bad", "good,<ins> very</ins> bad"),
        ("a  b\n c", "a  \n c", "a  <del>b</del>\n c"),
        ("", "new", "<ins>new</ins>"),
        ("gone", "", "<del>gone</del>"),
        ("", "", ""),
        ("tea", "eat", "<ins>eat</ins><del>tea</del>"),
    ],
)
def test_what_is_marked(original: str, perturbed: str, expected: str) -> None:
    assert as_html(edits(original, perturbed)) == expected


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab <&\n,é😀", max_size=25), st.text(alphabet="ab <&\n,é😀", max_size=25))
def test_nothing_is_lost(original: str, perturbed: str) -> None:
    found = edits(original, perturbed)
    assert "".join(edit.text for edit in found if edit.kind != "ins") == original
    assert "".join(edit.text for edit in found if edit.kind != "del") == perturbed
    assert all(edit.text for edit in found)
    assert all(one.kind != other.kind for one, other in itertools.pairwise(found))
    if original == perturbed:
        assert {edit.kind for edit in found} <= {"kept"}


def test_an_attacks_result_is_marked_in_its_changed_words_alone() -> None:
    original = "The acting , costumes , music and sound are all great , given the great sets ."
    words = text.split(original)
    last = max(at for at, word in enumerate(words.words) if word == "great")
    perturbed = str(words.replace(1, "cting").replace(last, "Outstanding"))
    found = edits(original, perturbed)
    assert [edit.text for edit in found if edit.kind == "del"] == ["a", "great"]
    assert [edit.text for edit in found if edit.kind == "ins"] == ["Outstanding"]


def test_long_texts_are_quick() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in rng.zipf(1.3, 10_000) % 5000]
    changed = [word if at % 40 else "new" for at, word in enumerate(words)]
    found = edits(" ".join(words), " ".join(changed))
    assert "".join(edit.text for edit in found if edit.kind != "del") == " ".join(changed)


def test_texts_cannot_act_on_the_page() -> None:
    evil = '<script>alert("1")</script> </div></td> & <img src=x onerror=y>'
    column = AttackedTexts("<b>m</b>", "a&b", [result(evil, evil.replace("alert", "<svg/onload=z>"))])
    content = page([column], ("<i>no</i>", "yes"), title="</title><script>")
    read = Reader(content)
    assert not {"script", "img", "svg", "b", "i"} & set(read.elements)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in ("src", "href")]
    assert read.texts == [[evil, evil.replace("alert", "<svg/onload=z>")]]
    assert not read.open
    assert "http://" not in content
    assert "https://" not in content


def test_the_page_is_a_row_a_text_and_a_column_an_attack() -> None:
    results = [result("a fine film", "a fnie film"), result("dull", "dull", success=False, skipped=True)]
    probabilities = [(np.array([0.2, 0.8]), np.array([0.7, 0.3]))] * 2
    columns = [AttackedTexts("VIB", "DeepWordBug", results, probabilities), AttackedTexts("vanilla", "PWWS", results)]
    content = page(columns, CLASSES, title="Reviews")
    read = Reader(content)
    assert (read.elements.count("tr"), read.elements.count("th"), read.elements.count("td")) == (3, 2, 4)
    assert "answer positive 80.0% → negative 70.0% | success | 7 queries | 1 of 3 words changed" in content
    assert "answer positive → negative | success" in content
    assert content.count("skipped, not attacked") == 2


@pytest.mark.parametrize("columns", [[], [AttackedTexts("m", "a", [])]])
def test_no_results(columns) -> None:
    assert "No texts." in page(columns, CLASSES, title="none")


def test_the_file(tmp_path) -> None:
    path = tmp_path / "new" / "page.html"
    write_page(path, [AttackedTexts("m", "a", [result("naïve 😀 \ud800", "nave 😀 \ud800")])], CLASSES, title="t")
    assert "na<del>ï</del>ve 😀 &#55296;" in path.read_text("utf-8")
