"""Records on disk, by one schema: what a run leaves, its settings and what was measured of each model."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.core.json_files import write_json

SCHEMA = 1


class RecordError(ValueError):
    """A record that cannot be read or written; the message names the file and says what to do."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Numbers that were measured at the same conditions.

    Attributes:
      at: the conditions, such as `split`, `attack`, `norm`, `epsilon`; plain scalars.
      values: by metric, such as `error_avg`, `accuracy`, `rate_bits`; shares and not per cent, nats unless the name
        says bits; None for what could not be measured.
    """

    at: Mapping[str, Any]
    values: Mapping[str, float | None]


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
      name: what it is called, the same for all seeds.
      seed: of parameters, data order and noise.
      measurements: what was measured of it.
      settings: its own, over those of the record.
      findings: what the checks for masked gradients have to say; each with `check` and `message`.
      details: histories, curves and arrays for figures.
    """

    name: str
    seed: int
    measurements: Sequence[Measurement] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    findings: Sequence[Mapping[str, Any]] = ()
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def values_at(self, **at: Any) -> Mapping[str, float | None]:
        """The numbers measured at exactly these conditions; none, if nothing was."""
        return next((each.values for each in self.measurements if dict(each.at) == at), {})


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run leaves.

    Attributes:
      experiment: the folder of its program.
      command: the command line.
      settings: every flag.
      models: one or many.
      details: sizes, times and curves that belong to no single model.
      departures: from the paper's settings, each with `name`, `ours` and `paper`.
      environment: versions, machine and commit.
      schema: of the file.
      file: its path below the folder that was loaded, without ".json"; not in the file.
    """

    experiment: str
    command: str
    settings: Mapping[str, Any]
    models: Sequence[Model]
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    departures: Sequence[Any] = ()
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    schema: int = SCHEMA
    file: str = ""


def write(path: str | os.PathLike[str], record: Record) -> None:
    """Writes a record, whole or not at all, by process 0; a number that is not finite becomes null.

    Raises:
      RecordError: something in it is not plain, or two of its models have the same name and seed.
    """
    _check(record, path)
    value = {"schema": record.schema, **vars(record)}
    del value["file"]
    try:
        write_json(path, value, compact=True)
    except TypeError as error:
        raise RecordError(f"{path} cannot be written: {error}") from None


def read(path: str | os.PathLike[str]) -> Record:
    """The record of a file.

    Raises:
      RecordError: there is none, it is damaged, or it has another schema.
    """
    path = pathlib.Path(path)
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path} is not there") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is no whole JSON ({error}); delete it and make it again") from None
    if not isinstance(value, dict) or "schema" not in value:
        raise RecordError(f"{path} is no record of schema {SCHEMA}; move it out of the folder, or make it again")
    if value["schema"] != SCHEMA:
        raise RecordError(f"{path} has schema {value['schema']}, and this version reads {SCHEMA}")
    try:
        models = [_model(model) for model in value.pop("models")]
        return Record(**value, models=models, file=path.stem)
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} does not follow schema {SCHEMA} ({error}); make it again") from None


def load(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Record]:
    """The records of a folder in the order of their names, with those of its folders if `recursive`.

    Raises:
      RecordError: the folder is not there, or one of its JSON files is no record.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise RecordError(f"there is no folder {folder}")
    paths = sorted(folder.glob("**/*.json" if recursive else "*.json"))
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    return [dataclasses.replace(read(path), file=name) for path, name in zip(paths, names, strict=True)]


def _check(record: Record, path: str | os.PathLike[str]) -> None:
    """Refuses conditions and values that are no plain scalars, and models that cannot be told apart."""
    seen = set()
    for model in record.models:
        if (model.name, model.seed) in seen:
            raise RecordError(f"{path}: two models are called {model.name!r} and have seed {model.seed}")
        seen.add((model.name, model.seed))
        for each in model.measurements:
            for name, value in (*each.at.items(), *each.values.items()):
                plain = value is None or isinstance(value, (int, float, np.number, *([str] if name in each.at else [])))
                if not plain:
                    raise RecordError(f"{path}: {model.name}: {name} must be a plain scalar, got {value!r}")


def _model(value: dict[str, Any]) -> Model:
    return Model(
        **value | {"measurements": [Measurement(each["at"], each["values"]) for each in value["measurements"]]}
    )
