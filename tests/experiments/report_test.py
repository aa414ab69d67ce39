"""Every experiment's tables are made from its committed records, by the command that is told."""

import dataclasses
import html.parser
from collections import Counter

import pandas as pd
import pytest

from experiments.core import frames, records, render
from experiments.core.records import RecordError
from experiments.report import __main__ as program
from experiments.report import find, site, statements


@pytest.mark.parametrize("name", find.names())
def test_the_committed_table_is_made_from_the_committed_records_and_the_overview_has_rows_of_them(name):
    folders = find.folders(name)
    assert folders
    for folder in folders:
        page = site.Page(name, folder)
        assert (folder / "table.md").read_text() == render.markdown(page.report)
        rows = site.overview(page)
        assert rows
        assert all(row["ours"].text for row in rows)
        table = (folder / "table.md").read_text()
        said = Counter(each.verdict for each in statements.of_report(name, folder, page.report))
        for verdict in ("confirmed", "weaker"):
            assert said[verdict] == table.count(f"| **{verdict}** |")
        assert sum(said[each] for each in statements.VERDICTS[2:]) == table.count("| **not found** |")


def test_all_committed_records_load_in_one_call_and_say_whose_they_are():
    loaded = records.load(find.RESULTS, recursive=True)
    assert [record.experiment for record in loaded] == [record.file.split("/")[0] for record in loaded]
    assert {record.experiment for record in loaded} == {name for name in find.names() if find.folders(name)}
    assert len(frames.frame(loaded)) > 20_000


@pytest.mark.standard
def test_figures_and_tables_are_written_beside_the_records_of_a_folder(tmp_path, capsys):
    record = find.RESULTS / "mnist_vib" / "digits" / "vib_seed0.json"
    (tmp_path / "vib_seed0.json").write_bytes(record.read_bytes())
    program.main(["mnist_vib", f"--folder={tmp_path}"])
    assert "VIB on digits" in capsys.readouterr().out
    made = {path.name for path in tmp_path.iterdir()} - {"vib_seed0.json"}
    assert made == {"table.md", "training.png", "robustness.png", "reliability.png", "latent_plane.png"}


def test_mistakes_are_answered(tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"report: mnist has no report; those that have: .*mnist_vib"):
        program.main(["mnist"])
    with pytest.raises(SystemExit, match=r"report: no record in .*: run python -m experiments.mnist_vib first"):
        program.main(["mnist_vib", f"--folder={tmp_path}"])
    with pytest.raises(SystemExit):
        program.main([f"--folder={tmp_path}"])
    assert "--folder is for one NAME" in capsys.readouterr().err
    with pytest.raises(RecordError, match="there is no folder"):
        find.make("mnist_vib", tmp_path / "none")


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.images = [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.images += [found.get("alt")] if tag == "img" else []


def test_the_site_needs_nothing_but_its_folder(tmp_path):
    program.main(["--site", str(tmp_path / "site"), "mnist_vib"])
    pages = {path.name: Page(path) for path in (tmp_path / "site").glob("*.html")}
    assert set(pages) == {"index.html", "mnist_vib.html", "mnist_vib-digits.html", "mnist_vib-held_out.html"}
    for page in pages.values():
        links = [link for link in page.links if link != "data:,"]
        assert links
        assert all((tmp_path / "site" / link).is_file() for link in links)  # so none is of the network
        assert all(page.images)
    assert len(pages["mnist_vib-digits.html"].images) == 4
    index = (tmp_path / "site" / "index.html").read_text()
    assert "Table 1, VIB, error (paper recipe)" in index
    assert "1.13 %" in index
    assert "Claims of the papers, by verdict" in index
    page = (tmp_path / "site" / "mnist_vib.html").read_text()
    for part in ("python -m experiments.mnist_vib --dataset=mnist", "AMD EPYC", "jax 0.10.1", "num_epochs"):
        assert part in page
    numbers = pd.read_csv(tmp_path / "site" / "numbers.csv", low_memory=False)
    assert len(numbers) == sum(len(find.make("mnist_vib", folder).frame) for folder in find.folders("mnist_vib"))


def test_an_experiment_without_headlines_has_a_row(tmp_path, monkeypatch):
    made = find.module("mnist_vib").report
    plain = lambda *args: dataclasses.replace(made(*args), headlines=(), title="<i>VIB</i>")
    monkeypatch.setattr(find.module("mnist_vib"), "report", plain)
    site.build(tmp_path, ["mnist_vib"])
    assert "&lt;i&gt;VIB&lt;/i&gt;" in (tmp_path / "index.html").read_text()
    assert "<i>VIB" not in "".join(path.read_text() for path in tmp_path.glob("*.html"))
