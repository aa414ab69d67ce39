"""The experiments that have a report, and the folders of their committed records."""

import importlib
import pathlib
from collections.abc import Sequence
from types import ModuleType

from experiments.core import frames, records
from experiments.core.records import Record
from experiments.core.report import Report

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "results"


def names() -> list[str]:
    """The folders with a `report.py`, which is what makes them experiments with a report."""
    return sorted(path.parent.name for path in ROOT.glob("*/report.py") if path.parent.name != "core")


def commands() -> list[str]:
    """All experiments: the folders with a `__main__.py`, but this one."""
    return sorted(path.parent.name for path in ROOT.glob("*/__main__.py") if path.parent.name != "report")


def module(name: str) -> ModuleType:
    """The `report.py` of an experiment.

    Raises:
      RecordError: there is none.
    """
    if name not in names():
        raise records.RecordError(f"{name} has no report; those that have: {', '.join(names())}")
    return importlib.import_module(f"experiments.{name}.report")


def folders(name: str) -> list[pathlib.Path]:
    """The folders of committed records, each with a report of its own.

    These are `FOLDERS` of the experiment's report.py, below its folder of results; or else that folder, if it has
    records, or those in it that have.
    """
    root, own = RESULTS / name, getattr(module(name), "FOLDERS", None)
    if own is not None:
        return [root / folder for folder in own if (root / folder).is_dir()]
    if list(root.glob("*.json")):
        return [root]
    return sorted({path.parent for path in root.glob("*/*.json")})


def load(name: str, folder: pathlib.Path) -> list[Record]:
    """The records of a folder; with those of its folders, if report.py says `RECURSIVE = True`.

    Raises:
      RecordError: there is none, or one cannot be read.
    """
    loaded = records.load(folder, recursive=getattr(module(name), "RECURSIVE", False))
    if not loaded:
        raise records.RecordError(f"no record in {folder}: run python -m experiments.{name} first")
    return loaded


def make(name: str, folder: pathlib.Path, loaded: Sequence[Record] = ()) -> Report:
    """The report of a folder of records, which are loaded if they are not yet; raises as `load`."""
    loaded = loaded or load(name, folder)
    report: Report = module(name).report(frames.frame(loaded), loaded)
    return report
