"""Records on disk, by one schema, and the frame of their numbers. Written whole or not at all, by process 0.

A record is what one run leaves: the settings, and of each model what was measured, at which conditions.
`frame(load(folder))` is a table with a row for each number, for a notebook as for the reports.
"""

import dataclasses
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ib_jax import training

if TYPE_CHECKING:  # half a second, which a run that makes no report goes without
    import pandas as pd

SCHEMA = 1
IDENTITY = ("experiment", "file", "model", "seed")
"""The first columns of a frame; the conditions follow, then `metric` and `value`, then the settings."""
_MODEL = ["file", "model", "seed"]


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


def frame(records: Sequence[Record]) -> "pd.DataFrame":
    """A row for each number: experiment, file, model, seed, conditions, metric, value, settings.

    What a measurement or a model does not have is missing (NaN). Lists of settings are tuples. A setting with the name
    of a condition is in the column `setting.NAME`.
    """
    import pandas as pd

    models = [(record, model) for record in records for model in record.models]
    measured = [(index, each) for index, (_, model) in enumerate(models) for each in model.measurements]
    numbers = [
        (place, index, metric, math.nan if value is None else value)
        for place, (index, each) in enumerate(measured)
        for metric, value in each.values.items()
    ]
    places, indices, metrics, values = map(list, zip(*numbers, strict=True)) if numbers else ([], [], [], [])
    whose = [(record.experiment, record.file, model.name, model.seed) for record, model in models]
    identity = _columns(pd, [dict(zip(IDENTITY, each, strict=True)) for each in whose]).reindex(columns=list(IDENTITY))
    conditions = _columns(pd, [each.at for _, each in measured])
    settings = _columns(pd, [{**record.settings, **model.settings} for record, model in models])
    settings = settings.drop(columns=[name for name in ("seed", *IDENTITY[:3]) if name in settings])
    settings = settings.rename(columns={name: f"setting.{name}" for name in (*conditions, "metric", "value")})
    parts = [
        identity.take(indices),
        conditions.take(places),
        pd.DataFrame({"metric": pd.Series(metrics, dtype=object), "value": pd.Series(values, dtype=float)}),
        settings.take(indices),
    ]
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def conditions_of(numbers: "pd.DataFrame") -> list[str]:
    """The names of a frame's conditions."""
    columns = list(numbers.columns)
    return columns[len(IDENTITY) : columns.index("metric")]


def where(numbers: "pd.DataFrame", **conditions: Any) -> "pd.DataFrame":
    """The rows in which every column has the value asked for: one of a list's values; missing, for None.

    Example:
      >>> numbers = frame([Record("x", "", {}, [Model("m", 0, [Measurement({"split": "test"}, {"error": 0.5})])])])
      >>> where(numbers, split="test", epoch=None).value.tolist(), len(where(numbers, split=["train"]))
      ([0.5], 0)
    """
    return numbers[_fits(numbers, conditions)]


def without_diverged(numbers: "pd.DataFrame", records: Sequence[Record]) -> "pd.DataFrame":
    """The rows of the models whose training did not diverge, by their `diverged_at`."""
    gone = {(each.file, own.name, own.seed) for each in records for own in each.models if diverged(own)}
    return numbers[[key not in gone for key in numbers[_MODEL].itertuples(index=False, name=None)]]


def diverged(model: Model) -> bool:
    """Whether the loss of a member of a population was not finite any more."""
    return bool(model.details["diverged_at"] >= 0)


def distinct(numbers: "pd.DataFrame", *names: str) -> list[dict[str, Any]]:
    """The combinations of values that occur in columns, in order of appearance, without what is missing.

    Example:
      >>> distinct(frame([Record("x", "", {}, [Model("m", 0, [Measurement({"split": "test"}, {"e": 1})])])]), "split")
      [{'split': 'test'}]
    """
    return _known(numbers[[name for name in names if name in numbers]].drop_duplicates())


def groups(numbers: "pd.DataFrame", *by: str) -> Iterator[tuple[tuple[Any, ...], "pd.DataFrame"]]:
    """Parts of a frame with the same values in columns: those values (None for missing) and the part, as they come."""
    for key, part in numbers.groupby(list(by), sort=False, dropna=False):
        yield tuple(None if _missing(value) else value for value in key), part


def per_model(numbers: "pd.DataFrame", metric: str, /, **at: Any) -> "pd.Series[float]":
    """A number of each model, NaN where it could not be measured; by file, model and seed.

    Of several measurements that fit, the one counts to which the others only add conditions: the last of a training
    and not those of its epochs.

    Args:
      numbers: a frame.
      metric: the name of the number.
      **at: conditions, as of `where`.

    Returns:
      A series; models without such a measurement are not in it.

    Raises:
      ValueError: the conditions do not say which of several measurements of a model is meant.
    """
    import pandas as pd

    keys, values = values_by_model(numbers, metric, at)
    return pd.Series(values, pd.MultiIndex.from_tuples(keys, names=_MODEL) if keys else None, float, name="value")


def values_by_model(
    numbers: "pd.DataFrame", metric: str, at: Mapping[str, Any]
) -> tuple[list[tuple[Any, ...]], np.ndarray]:
    """As `per_model`: file, model and seed of each, and the numbers."""
    rows = np.flatnonzero(_fits(numbers, {**at, "metric": metric}))
    keys = list(zip(*(numbers[name].to_numpy()[rows].tolist() for name in _MODEL), strict=True))
    if len(set(keys)) < len(keys):
        of_model: dict[tuple[Any, ...], list[int]] = {}
        for key, row in zip(keys, rows, strict=True):
            of_model.setdefault(key, []).append(int(row))
        keys = list(of_model)
        rows = np.array([own[_plainest(numbers.iloc[own], metric, at)] for own in of_model.values()])
    return keys, numbers["value"].to_numpy()[rows]


def per_seed(numbers: "pd.DataFrame", metric: str, /, **at: Any) -> "pd.Series[float]":
    """As `per_model`, by seed in ascending order.

    Raises:
      ValueError: as of `per_model`, and for several models of a seed.
    """
    import pandas as pd

    keys, values = values_by_model(numbers, metric, at)
    found = pd.Series(values, [seed for _, _, seed in keys], float, name="value").sort_index()
    if found.index.has_duplicates:
        raise ValueError(f"{metric} at {at} is of several models with the same seed: choose one of them")
    return found


def write_json(path: str | os.PathLike[str], value: Any, *, compact: bool = False) -> None:
    """Writes JSON whole or not at all, by process 0; a number that is not finite becomes null.

    Args:
      path: of the file.
      value: mappings, sequences, arrays, dataclasses and scalars.
      compact: lists of numbers, and mappings of scalars alone, stand on one line.
    """
    if not training.is_main():
        return
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    text = json.dumps(plain(value), indent=1, allow_nan=False)
    if compact:  # a line break is never inside a string of JSON, and a brace or bracket in one is left alone
        text = re.sub(r"([\[{])\n\s*([^][{}]*?)\n\s*([\]}])", _on_one_line, text)
    temporary.write_text(text + "\n")
    temporary.replace(path)


def _on_one_line(found: re.Match[str]) -> str:
    return found[1] + re.sub(r"\n\s*", " ", found[2]) + found[3]


def append_jsonl(path: str | os.PathLike[str], value: Any) -> None:
    """Appends one line of JSON."""
    if not training.is_main():
        return
    with open(path, "a") as file:
        file.write(json.dumps(plain(value), allow_nan=False) + "\n")


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file; a last line cut off by a kill is left out; empty for no file."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def rewind_jsonl(path: str | os.PathLike[str], step: int) -> list[dict[str, Any]]:
    """Drops what was logged after `step`, which a resumed run logs again; returns what is left."""
    rows = [row for row in read_jsonl(path) if row["step"] <= step]
    if not training.is_main():
        return rows
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
    temporary.replace(path)
    return rows


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


def _columns(pd: Any, rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """A column for each name that any of the rows has; lists become tuples, so that rows can be grouped by them."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [_hashable(row.get(name)) for row in rows] for name in names}
    return pd.DataFrame({name: _column(pd, values) for name, values in columns.items()}, index=range(len(rows)))


def _column(pd: Any, values: Sequence[Any]) -> "pd.Series[Any]":
    """Words as Python's objects, which compare several times faster than pandas' strings."""
    words = any(isinstance(value, (str, tuple)) for value in values)
    return pd.Series(values, dtype=object if words or all(value is None for value in values) else None)


def _fits(numbers: "pd.DataFrame", conditions: Mapping[str, Any]) -> np.ndarray:
    """Which rows have the values asked for, bool [rows]."""
    fits = np.ones(len(numbers), bool)
    for name, value in conditions.items():
        if name not in numbers:
            fits &= value is None
            continue
        column = numbers[name]
        if value is None:
            fits &= column.isna().to_numpy()
        elif isinstance(value, (list, set, frozenset, range, np.ndarray)):
            fits &= column.isin(list(value)).to_numpy()
        elif isinstance(value, tuple):
            fits &= np.array([each == value for each in column], bool)
        else:
            fits &= (column == value).to_numpy(bool)
    return fits


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    return json.dumps(value) if isinstance(value, Mapping) else value


def _plainest(part: "pd.DataFrame", metric: str, at: Mapping[str, Any]) -> int:
    """The place of the row whose conditions all rows have."""
    names = conditions_of(part)
    rows = _known(part[names])
    for place, own in enumerate(rows):
        if all(own.items() <= row.items() for row in rows) and rows.count(own) == 1:
            return place
    differ = {name: list(dict.fromkeys(row.get(name) for row in rows)) for name in names}
    listed = ", ".join(f"{name}: {' or '.join(map(str, seen))}" for name, seen in differ.items() if len(seen) > 1)
    raise ValueError(
        f"{metric} at {dict(at)} was measured {len(rows)} times of {part['model'].iloc[0]}; say which of {listed}"
    )


def _known(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows by column, without what is missing."""
    return [{str(name): value for name, value in row.items() if not _missing(value)} for row in rows.to_dict("records")]


def _missing(value: Any) -> bool:
    return value is None or value != value


def plain(value: Any) -> Any:
    """As JSON has it: mappings, lists and scalars; a number that is not finite is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, jax.Array)):
        return plain(np.asarray(value).tolist())
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
