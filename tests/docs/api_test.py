"""The reference under docs/api has an entry for every public name, exactly one, and for nothing else."""

import collections
import importlib
import inspect
import pathlib
import re
import types

import pytest

API = pathlib.Path(__file__).parents[2] / "docs" / "api"
PACKAGES = [
    "ib_jax",
    "ib_jax.attacks",
    "ib_jax.attacks.text",
    "ib_jax.augment",
    "ib_jax.augment.operations",
    "ib_jax.bounds",
    "ib_jax.corruptions",
    "ib_jax.data",
    "ib_jax.estimators",
    "ib_jax.evaluation",
    "ib_jax.exact",
    "ib_jax.losses",
    "ib_jax.models",
    "ib_jax.training",
]
MODULES = ["ib_jax.compiling", "ib_jax.hub", "ib_jax.keys", "ib_jax.loops", "ib_jax.objectives"]  # without __all__
CONTRACTS = "ib_jax.types"  # its classes are those of ib_jax


def entries(text: str) -> list[str]:
    """The names that a page's autodoc directives document, in full."""
    found, module = [], ""
    for directive, name in re.findall(r"^\.\. (currentmodule|automodule|auto\w+):: *(\S+)", text, re.MULTILINE):
        if directive in {"currentmodule", "automodule"}:
            module = name
        else:
            found.append(f"{module}.{name}")
    return found


def tables(text: str) -> list[str]:
    """The names in a page's `autosummary` tables, in their order."""
    blocks = re.findall(r"^\.\. autosummary::\n(?:   :.*\n)*\n((?:   \S+\n)+)", text + "\n", re.MULTILINE)
    return [name for block in blocks for name in block.split()]


def public_names() -> list[str]:
    """What is to be documented; a class or function that two packages export counts for the first of them."""
    names, seen = [], set()
    for module in map(importlib.import_module, PACKAGES + MODULES):
        own = [n for n, o in vars(module).items() if getattr(o, "__module__", "") == module.__name__ or n.isupper()]
        for name in getattr(module, "__all__", [n for n in own if not n.startswith("_") and n != "TYPE_CHECKING"]):
            thing = getattr(module, name)
            if isinstance(thing, types.ModuleType) or id(thing) in seen:
                continue
            if inspect.isclass(thing) or inspect.isroutine(thing):
                seen.add(id(thing))
            names.append(f"{module.__name__}.{name}")
    return names


PAGES = {page.stem: page.read_text(encoding="utf-8") for page in sorted(API.glob("*.rst"))}
ENTRIES = [entry for text in PAGES.values() for entry in entries(text)]


def test_every_public_name_has_an_entry():
    assert sorted(set(public_names()) - set(ENTRIES)) == []


def test_every_submodule_that_is_exported_is_looked_at():
    exported = {
        f"{package}.{name}"
        for package in PACKAGES
        for name in importlib.import_module(package).__all__
        if isinstance(getattr(importlib.import_module(package), name), types.ModuleType)
    }
    assert exported <= {*PACKAGES, *MODULES}


def test_nothing_has_two_entries():
    assert [name for name, times in collections.Counter(ENTRIES).items() if times > 1] == []


@pytest.mark.parametrize("entry", sorted(set(ENTRIES) - set(public_names())))
def test_other_entries_are_contracts(entry):
    module, name = entry.rsplit(".", 1)
    assert module == CONTRACTS
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("page", PAGES)
def test_tables_list_the_entries_of_their_page(page):
    assert tables(PAGES[page]) == [entry.rsplit(".", 1)[1] for entry in entries(PAGES[page])]
