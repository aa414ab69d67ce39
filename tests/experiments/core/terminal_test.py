"""What is printed is text as it is: no markup, no broken lines, in any locale and on any terminal."""

import io
import os
import subprocess
import sys

import pytest
from rich.table import Table

from experiments.core.terminal import Terminal

LINE = "x[/b]/[a]run/[bold]:smile: " + "long-name-" * 20


def printed(width=40, **options):
    stream = io.StringIO()
    console = Terminal(file=stream, width=width, **options)
    console.print(LINE)
    console.rule("[/b] seed 1")
    table = Table(title="[/b] of [x]")
    table.add_column("[/b]")
    table.add_row("[red]1 and more")
    console.print(table)
    return stream.getvalue()


@pytest.mark.parametrize("width", [5, 40, 200])
def test_a_line_is_printed_as_it_is_at_any_width(width):
    assert printed(width).splitlines()[0] == LINE


def test_titles_and_cells_hold_no_markup():
    text = printed(60)
    for part in ("[/b] seed 1", "[/b] of [x]", "[red]1"):
        assert part in text


CODE = r"""
import warnings
from experiments.core.terminal import RunWarning, Terminal, prepare
prepare()
Terminal().print("\u03b2 = 0.1 in \xfcn\xef/\u6f22\u5b57")
print("plain \u2264")
warnings.warn("the picture of \u03b2 failed", RunWarning)
"""


@pytest.mark.standard
@pytest.mark.parametrize(
    "settings", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"TERM": "dumb"}, {"COLUMNS": "0"}]
)
def test_any_locale_and_terminal_will_do(settings):
    run = subprocess.run([sys.executable, "-c", CODE], env=os.environ | settings, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr
    out, err = run.stdout.decode(), run.stderr.decode()
    if "LC_ALL" in settings:
        assert r"\u03b2 = 0.1 in \xfcn\xef/\u6f22\u5b57" in out
    else:
        assert "β = 0.1 in ünï/漢字" in out
    (warning,) = [line for line in err.splitlines() if "picture" in line]
    assert warning.startswith("Warning: the picture of ")
