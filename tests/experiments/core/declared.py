"""All classes of settings that there are: core's groups, and what experiments make of them."""

import importlib
import pathlib
from collections.abc import Iterator

import experiments
from experiments.core import app, heads, image_settings
from experiments.core.settings import Settings

_OF_CORE = (app, heads, image_settings)


def _below(group: type[Settings]) -> Iterator[type[Settings]]:
    for each in group.__subclasses__():
        yield each
        yield from _below(each)


def classes() -> dict[str, type[Settings]]:
    """By module and name, such as "core.groups.Seed"."""
    for path in pathlib.Path(experiments.__file__).parent.glob("*/settings.py"):
        importlib.import_module(f"experiments.{path.parent.name}.settings")
    named = {f"{group.__module__}.{group.__name__}": group for group in _below(Settings)}
    return {name.removeprefix("experiments."): named[name] for name in sorted(named) if name.startswith("experiments.")}
