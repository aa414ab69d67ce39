"""The house of experiments: core knows none, they know each other by their fronts, and nothing circles."""

import ast
import dataclasses
import graphlib
import inspect
import pathlib
import re

import pytest

import experiments
from tests.experiments.core import declared

HOUSE = pathlib.Path(experiments.__file__).parent
FILES = sorted(path.relative_to(HOUSE) for path in HOUSE.rglob("*.py"))
TWICE = {"augment", "depth", "width"}
"""Settings that are another thing in each of two experiments: of a WRN and a ResNet, and of an MLP."""
COMMANDS = sorted(path.parent.name for path in HOUSE.glob("*/__main__.py"))


def module(path):
    """core/plots.py -> core.plots, mnist_vib/__init__.py -> mnist_vib."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path): path for path in FILES if path.name != "__init__.py" or len(path.parts) > 1}


def imports_of(source):
    """Every module that a file imports, with the names taken from it, wherever in the file; and whether at the top."""
    tree = ast.parse(source)
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, (), id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield node.module, tuple(alias.name for alias in node.names), id(node) in top


def targets(source):
    """The modules of the house that a file imports: `from experiments.core import keys` is core.keys."""
    for name, taken, _ in imports_of(source):
        first, _, rest = name.partition(".")
        if first == "experiments":
            inside = [f"{rest}.{each}".lstrip(".") for each in taken]
            yield from ([each if each in MODULES else rest for each in inside] or [rest])


@pytest.mark.parametrize("path", FILES, ids=str)
def test_core_knows_no_experiment_and_experiments_meet_at_their_fronts(path):
    room = path.parts[0]
    for target in targets((HOUSE / path).read_text()):
        owner, _, inside = target.partition(".")
        if room == "core":
            assert owner == "core", f"{path} imports {target}"
        elif owner not in ("core", room):
            assert not inside, f"{path} imports {target}, the inside of another experiment: have {owner} export it"


def test_nothing_circles():
    graph = {name: set(targets((HOUSE / path).read_text())) - {name} for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_file_carries_a_folder_in_its_name(path):
    beside = {other.stem for other in FILES if other.parent == path.parent} - {path.stem}
    for prefix in {path.parent.name, *beside} - {""}:
        assert not path.stem.startswith(f"{prefix}_"), f"{path} is named by the prefix {prefix}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_imports_matplotlib_before_it_draws(path):
    """It takes a second; `core/plots.py` draws, and functions that it hands axes to."""
    known = {name.split(".")[0] for name, _, top in imports_of((HOUSE / path).read_text()) if top}
    assert not known & {"matplotlib", "pandas", "jinja2"} or path.parts[0] == "report"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_is(name):
    """The docstring is what --help shows."""
    text = ast.get_docstring(ast.parse((HOUSE / name / "__main__.py").read_text())) or ""
    assert re.search(rf"python -m experiments\.{name}\b", text), f"{name} does not tell its command"
    if name not in ("benchmark", "report"):
        assert re.search("^Papers?:", text, re.MULTILINE), f"{name} does not name its paper"


@pytest.mark.parametrize("source, found", [
    ("from experiments.core import keys", ["core.keys"]),
    ("from experiments.core.keys import stream", ["core.keys"]),
    ("import experiments.core.keys", ["core.keys"]),
    ("def f():\n    from experiments.core import keys", ["core.keys"]),
    ("from experiments.mnist_vib import Config", ["mnist_vib"]),
    ("from experiments import mnist_vib", ["mnist_vib"]),
])  # fmt: skip
def test_imports_are_found(source, found):
    assert list(targets(source)) == found


def test_a_setting_is_declared_once():
    names = [
        field.name
        for group in declared.classes().values()
        for field in dataclasses.fields(group)
        if field.name in inspect.get_annotations(group)
    ]
    twice = {name for name in names if names.count(name) > 1}
    assert len(names) > 200
    assert twice <= TWICE
