"""The schema: what is written is read again, and what is no record is refused by name."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core import records
from experiments.core.records import Measurement, Model, Record, RecordError

MODEL = Model(
    "vib",
    3,
    [Measurement({"split": "test", "epsilon": 0.1}, {"accuracy": 0.5, "median_l2": None})],
    findings=[{"check": "c", "message": "m"}],
)
RECORD = Record("x", "python -m experiments.x --a=1", {"beta": 0.1, "radii": [0.1, 0.2]}, [MODEL], departures=[])


def test_a_record_is_read_as_it_was_written(tmp_path):
    records.write(tmp_path / "deep" / "a.json", RECORD)
    assert records.read(tmp_path / "deep" / "a.json") == dataclasses.replace(RECORD, file="a")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_arrays_become_lists_and_what_is_not_finite_null(tmp_path):
    values = {"rate": np.float32(0.5), "size": float("inf"), "error": float("nan"), "count": np.int64(3)}
    model = Model("m", 0, [Measurement({}, values)], details={"curve": jnp.ones(2), "pair": (1, float("nan"))})
    records.write(tmp_path / "a.json", dataclasses.replace(RECORD, models=[model]))
    (read,) = records.read(tmp_path / "a.json").models
    assert read.values_at() == {"rate": 0.5, "size": None, "error": None, "count": 3}
    assert read.details == {"curve": [1.0, 1.0], "pair": [1, None]}


def test_values_at_asks_for_exactly_these_conditions():
    assert MODEL.values_at(split="test", epsilon=0.1)["accuracy"] == 0.5
    assert MODEL.values_at(split="test") == {}


@dataclasses.dataclass(frozen=True)
class Departure:
    name: str
    ours: int
    paper: int


def test_departures_are_written_by_name(tmp_path):
    records.write(tmp_path / "a.json", dataclasses.replace(RECORD, departures=[Departure("num_epochs", 5, 200)]))
    assert records.read(tmp_path / "a.json").departures == [{"name": "num_epochs", "ours": 5, "paper": 200}]


def test_a_list_of_numbers_stands_on_one_line_and_text_is_as_it_was(tmp_path):
    details = {"curve": [1.0, -2.5, 1e-9], "text": "[\n 1,\n 2\n]", "empty": [], "words": ["a"]}
    records.write(tmp_path / "a.json", dataclasses.replace(RECORD, details=details))
    text = (tmp_path / "a.json").read_text()
    assert "[1.0, -2.5, 1e-09]" in text
    assert '"at": {"split": "test", "epsilon": 0.1}' in text
    assert records.read(tmp_path / "a.json").details == details


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model("m", 0, [Measurement({"radii": [1]}, {})]), r"a.json: m: radii must be a plain scalar, got \[1\]"),
        (Model("m", 0, [Measurement({}, {"error": "high"})]), "error must be a plain scalar, got 'high'"),
        (Model("m", 0, details={"what": {1, 2}}), "a.json cannot be written"),
    ],
)
def test_what_is_not_plain_is_refused(tmp_path, model, message):
    with pytest.raises(RecordError, match=message):
        records.write(tmp_path / "a.json", dataclasses.replace(RECORD, models=[model]))
    assert not (tmp_path / "a.json").exists()


def test_models_that_cannot_be_told_apart_are_refused(tmp_path):
    with pytest.raises(RecordError, match="two models are called 'vib' and have seed 3"):
        records.write(tmp_path / "a.json", dataclasses.replace(RECORD, models=[MODEL, MODEL]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema": 1, "models": [', "no whole JSON"),
        (b"\x00" * 100, "no whole JSON"),
        (b"\xff\xfe\xfd", "no whole JSON"),
        (b"", "no whole JSON"),
        (b"[]", "no record of schema 1"),
        (b'{"experiment": "x"}', "no record of schema 1"),
        (b'{"schema": 2}', "has schema 2, and this version reads 1"),
        (b'{"schema": 1, "models": []}', "does not follow schema 1"),
        (b'{"schema": 1}', "does not follow schema 1"),
        (b'{"schema": 1, "models": [3]}', "does not follow schema 1"),
    ],
)
def test_what_is_no_record_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "odd.json").write_bytes(content)
    with pytest.raises(RecordError, match=rf"odd\.json.*{message}"):
        records.load(tmp_path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(RecordError, match=r"b\.json is not there"):
        records.read(tmp_path / "b.json")
    with pytest.raises(RecordError, match="there is no folder"):
        records.load(tmp_path / "b")


def test_records_come_in_order_of_their_names(tmp_path):
    for name in ("b", "a", "deep/c"):
        records.write(tmp_path / f"{name}.json", RECORD)
    assert [record.file for record in records.load(tmp_path)] == ["a", "b"]
    assert [record.file for record in records.load(tmp_path, recursive=True)] == ["a", "b", "deep/c"]
