"""What the tests' own plugins count, order and say, from made-up durations."""

import json
import pathlib

from tests import durations, tiers

SECONDS = {"tests/a/b_test.py::test_x[1]": 6.0, "tests/a/b_test.py::test_y": 1.0, "tests/a/deep/c_test.py::test_z": 0.5}
TIERS = dict.fromkeys(SECONDS, "fast")


def test_files_and_folders_are_summed_the_largest_first():
    files = durations.totals(SECONDS, durations.file_of)
    assert list(files.items()) == [("tests/a/b_test.py", 7.0), ("tests/a/deep/c_test.py", 0.5)]
    assert durations.totals(files, durations.folder_of) == {"tests/a": 7.5}
    assert durations.folder_of("ib_jax/loops.py") == "ib_jax"


def test_growth_is_seen_beside_what_was_kept_and_what_is_too_long_is_named():
    kept = {"tests/a/b_test.py": 2.0, "tests/of_another_tier_test.py": 90.0}
    said = list(durations.lines(SECONDS, TIERS, kept))
    assert said[0] == "     6.0  tests/a/b_test.py::test_x[1]"
    assert "     7.5  tests/a (kept: 2.0)" in said
    assert "     7.5  in 3 fast tests" in said
    assert said[-1] == "     6.0  is too long for a fast test: tests/a/b_test.py::test_x[1]"


def test_what_did_not_run_keeps_its_durations_and_what_is_gone_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(durations, "KEPT", tmp_path / "durations.json")
    durations.keep({"tests/imports_test.py::test_a": 2.0, "tests/readme_test.py::test_b": 3.0})
    durations.keep({"tests/imports_test.py::test_a": 1.25, "tests/no_such_test.py::test_c": 9.0})
    kept = json.loads((tmp_path / "durations.json").read_text())
    assert kept == {
        "files": {"tests/imports_test.py": 1.2, "tests/readme_test.py": 3.0},
        "folders": {"tests": 4.2},
    }


def test_the_slowest_mark_decides_the_tier(request):
    class Item:
        def __init__(self, *marks):
            self.marks = marks

        def get_closest_marker(self, name):
            return name if name in self.marks else None

    assert [tiers.tier_of(Item(*marks)) for marks in [(), ("standard",), ("standard", "slow"), ("manual", "slow")]] == [
        "fast", "standard", "slow", "manual",
    ]  # fmt: skip


def test_the_kept_durations_are_of_files_that_are_there():
    assert all(pathlib.Path(name).exists() for name in durations.kept_files())
