"""The check of a site's links: what it finds, and what it leaves alone."""

import pytest

from tests import links


@pytest.fixture
def site(tmp_path):
    def write(**pages):
        for name, text in pages.items():
            (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_links_that_lead_somewhere_are_fine(site, capsys):
    folder = site(
        a='<a href="b.html#there">b</a> <a href="#own">here</a><p id="own"> <a href="https://example.org/x.html">x</a>',
        b='<h1 id="there">B</h1><a href="mailto:a@example.org">a</a> <a href="a.html">a</a> <a href="">b</a>',
    )
    assert links.main(str(folder)) == 0
    assert "lead somewhere" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ('<a href="c.html">c</a>', "a.html: c.html is not there"),
        ('<img src="_images/c.png">', "a.html: _images/c.png is not there"),
        ('<a href="b.html#elsewhere">b</a>', "a.html: b.html#elsewhere has no such place"),
        ('<a href="#elsewhere">here</a>', "a.html: #elsewhere has no such place"),
        ('<a href="../outside.html">out</a>', "a.html: ../outside.html is not there"),
    ],
)
def test_a_link_that_leads_nowhere_is_told(site, page, message, capsys):
    folder = site(a=page, b='<h1 id="there">B</h1>')
    (folder.parent / "outside.html").touch()
    assert links.main(str(folder)) == 1
    assert capsys.readouterr().out.strip() == message


def test_a_site_without_pages_is_no_success(tmp_path, capsys):
    assert links.main(str(tmp_path)) == 1
    assert "build the site first" in capsys.readouterr().out
