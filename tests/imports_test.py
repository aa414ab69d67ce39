"""The house: imports run one way, and `import ib_jax` stays light."""

import ast
import pathlib
import subprocess
import sys

import pytest

import ib_jax

PACKAGE = pathlib.Path(ib_jax.__file__).parent
MAY_IMPORT = {
    "types": set(),
    "files": set(),
    "paths": set(),
    "keys": {"types"},
    "loops": set(),
    "compiling": set(),
    "promotion": set(),
    "hub": {"files", "paths"},
    "strings": set(),
    "losses": {"types", "keys"},
    "bounds": {"types", "losses"},
    "attacks": {"types", "losses", "loops", "compiling", "promotion", "strings"},
    "evaluation": {"types", "files", "paths", "losses", "attacks"},
    "augment": {"types", "keys"},
    "data": {"types", "files", "paths", "hub", "strings"},
    "models": {"types", "files", "paths", "keys", "losses", "hub", "promotion"},
    "training": {"types", "files", "paths", "keys", "loops", "compiling", "promotion", "data"},
    "exact": {"types"},
    "objectives": {"types", "bounds", "models"},
    "estimators": {
        "types",
        "compiling",
        "losses",
        "bounds",
        "models",
        "objectives",
        "training",
        "attacks",
        "evaluation",
    },
    "corruptions": {"types", "keys"},
}
FILES = {"objectives", "types", "files", "paths", "keys", "loops", "compiling", "promotion", "hub", "strings"}
OWNERS = {"orbax": {"training/checkpoint.py"}, "matplotlib": set(), "experiments": set()}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py")
    for module in imports_of(path):
        package, *rest = module.split(".")
        assert package not in OWNERS or str(relative) in OWNERS[package], f"{relative} imports {module}"
        if package == "ib_jax" and room != "__init__" and rest and (PACKAGE / rest[0]).exists() | (rest[0] in FILES):
            assert rest[0] == room or rest[0] in MAY_IMPORT[room], f"{relative} imports {module}"


def test_only_parallel_knows_pmap():
    """It is in maintenance; the one file to change is `training/parallel.py`, whatever way it is spelled."""
    root = PACKAGE.parent
    users = {
        str(path.relative_to(root))
        for folder in ("ib_jax", "experiments")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if "pmap" in (getattr(node, "attr", ""), getattr(node, "id", ""), getattr(node, "name", ""))
    }
    assert users == {"ib_jax/training/parallel.py"}


def test_every_room_is_known():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | FILES == set(MAY_IMPORT)


def test_import_is_light_and_lazy():
    code = """
import sys, jax, jax.numpy
import ib_jax
from ib_jax import data
heavy = {"tensorflow", "tensorflow_datasets", "orbax", "matplotlib", "flax", "sklearn", "grain", "tokenizers", "nltk"}
heavy |= {"scipy.special", "scipy.stats", "scipy.sparse"}  # which `import scipy` loads when they are asked for
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert ib_jax.models.mlp_classifier and "flax" in sys.modules
try:
    ib_jax.no_such_room
except AttributeError as error:
    assert "no_such_room" in str(error)
else:
    raise SystemExit("no AttributeError")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
