"""The frame of records: a pandas table with a row for each number, for a notebook as for the reports; and its parts."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.records import Model, Record

if TYPE_CHECKING:  # half a second, which a run that makes no report goes without
    import pandas as pd

IDENTITY = ("experiment", "file", "model", "seed")
"""The first columns of a frame; the conditions follow, then `metric` and `value`, then the settings."""
_MODEL = ["file", "model", "seed"]


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
      >>> from experiments.core.records import Measurement
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
      >>> from experiments.core.records import Measurement
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
