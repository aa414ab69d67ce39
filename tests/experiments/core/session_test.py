"""A finished run is never ended by its own table or picture."""

import pytest

from experiments.core import drawing, records, render
from experiments.core.records import RecordError
from experiments.core.session import Session
from experiments.core.terminal import RunWarning
from ib_jax.files import read_json
from tests.experiments.core import tiny

SESSION = Session("mnist_vib")


@pytest.mark.parametrize("error", [KeyError("x"), OSError(28, "No space left on device", "a.png"), RecordError("b")])
def test_a_report_that_fails_is_a_warning_which_says_how_to_make_it(tmp_path, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(render, "write_report", fail)
    message = rf"the records are written, but the report of them failed \({type(error).__name__}: .*\). It can be made "
    message += rf"later, by python -m experiments.report mnist_vib --folder={tmp_path}"
    with pytest.warns(RunWarning, match=message):
        SESSION.publish(tmp_path, [])


def test_a_damaged_record_beside_ours_ends_nothing(tmp_path):
    (tmp_path / "another.json").write_bytes(b"{")
    with pytest.warns(RunWarning, match=r"RecordError: .*another.json"):
        SESSION.publish(tmp_path)


def test_a_picture_that_fails_leaves_the_older_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure as Canvas

    from experiments.core.plots import Figure

    path = tmp_path / "figure.png"
    path.write_bytes(b"older")

    def fail(self, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Canvas, "savefig", fail)
    with pytest.raises(OSError, match="No space"):
        drawing.draw(Figure(file="figure.png"), None, path)
    assert path.read_bytes() == b"older"
    assert [each.name for each in tmp_path.iterdir()] == ["figure.png"]


def test_a_record_that_cannot_be_written_leaves_the_older_one(tmp_path, monkeypatch):
    record = SESSION.record([], tiny.CONFIG)
    records.write(tmp_path / "a.json", record)
    before = read_json(tmp_path / "a.json")
    monkeypatch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        records.write(tmp_path / "a.json", record)
    assert read_json(tmp_path / "a.json") == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
