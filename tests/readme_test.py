"""What READMEs and pages promise: their examples run, links and commands exist, every experiment has its row."""

import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from experiments.report import find
from ib_jax import bounds

ROOT = pathlib.Path(__file__).parent.parent
README, EXPERIMENTS = ROOT / "README.md", ROOT / "experiments" / "README.md"
BOTH = pytest.mark.parametrize("readme", [README, EXPERIMENTS], ids=["root", "experiments"])
EXTEND = ROOT / "docs" / "develop" / "extend.md"  # its examples are files that the library has not got
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "```python\n" in page.read_text() and page != EXTEND]


def run_examples(readme):
    """What the examples define, run in order."""
    names = {}
    for example in re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL):
        exec(example, names)
    return names


def experiments_table():
    """The rows, as cells."""
    lines = EXPERIMENTS.read_text().partition("| paper item |")[2].partition("\n\n")[0].splitlines()[2:]
    return [line.strip("|").split("|") for line in lines if line]


@pytest.mark.standard
def test_the_examples_run_in_order():
    names = run_examples(README)
    for leaf in jax.tree.leaves(names["grads"]):
        assert jnp.isfinite(leaf).all()
        assert (leaf != 0).any()
    assert names["adversarial"].inputs.shape == (8, 4)
    honest = names["honest"]
    assert 0 <= honest.worst_accuracy <= honest.clean_accuracy
    assert "worst" in honest.table()


def test_the_readme_is_read_in_minutes():
    assert len(README.read_text().splitlines()) <= 130


@pytest.mark.standard
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT / "docs").with_suffix("").as_posix())
def test_the_examples_of_a_page_run_in_order(page, monkeypatch):
    monkeypatch.chdir(ROOT)  # of records they name the folder
    names = run_examples(page)
    if "objectives" in names:
        assert set(names["objectives"]) == set(names["grads"]) == set(bounds.__all__)
        for leaf in jax.tree.leaves(names["grads"]):
            assert jnp.isfinite(leaf).all()


@pytest.mark.standard
def test_the_records_are_one_table():
    names = run_examples(EXPERIMENTS)
    with_records = {name for name in find.names() if find.folders(name)}
    assert set(names["frame"]["experiment"]) == with_records
    assert len(names["worst"])
    assert not names["worst"]["value"].isna().any()


@BOTH
def test_links_and_modules_exist(readme):
    text = readme.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (readme.parent / target).exists(), target
    for module in set(re.findall(r"python -m ([\w.]+)", text)) - {"experiments.", "experiments.NAME"}:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for name in re.findall(r"python -m experiments\.report (\w+)", text):
        assert name in (*find.names(), "NAME"), name


def test_every_experiment_has_a_row():
    commands = [re.match(r" `(\w+)", row[1]) for row in experiments_table()]
    assert {command[1] for command in commands if command} == {*find.commands(), "report"}


def test_every_folder_of_records_has_a_link():
    links = [link for row in experiments_table() for link in re.findall(r"\((.+?)\)", row[-1])]
    linked = {link.removesuffix("/table.md") for link in links}
    folders = {folder for name in find.names() for folder in find.folders(name)}
    assert {folder.relative_to(EXPERIMENTS.parent).as_posix() for folder in folders} <= linked


def test_the_experiments_fit_on_a_page():
    assert len(EXPERIMENTS.read_text().splitlines()) <= 120
