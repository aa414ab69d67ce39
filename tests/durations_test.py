"""What the tests' own plugins count, order and say, from made-up durations."""

import json
import pathlib

from tests import durations, tiers

SECONDS = {"tests/a/b_test.py::test_x[1]": 6.0, "tests/a/b_test.py::test_y": 1.0, "tests/a/deep/c_test.py::test_z": 0.5}
TIERS = dict.fromkeys(SECONDS, "fast")


def test_files_and_folders_are_summed_the_largest_first():
    files = durations.totals(SECONDS.items(), durations.file_of)
    assert list(files.items()) == [("tests/a/b_test.py", 7.0), ("tests/a/deep/c_test.py", 0.5)]
    assert durations.totals(files.items(), durations.folder_of) == {"tests/a": 7.5}
    assert durations.folder_of("ib_jax/loops.py") == "ib_jax"


def test_growth_is_seen_beside_what_was_kept_of_the_same_tier_and_what_is_too_long_is_named():
    kept = {
        "fast": {"tests/a/b_test.py": 2.0, "tests/not_run_test.py": 70.0},
        "slow": {"tests/a/b_test.py": 90.0},
    }
    said = list(durations.lines(SECONDS, TIERS, kept))
    assert said[0] == "     6.0  tests/a/b_test.py::test_x[1]"
    assert "     7.5  tests/a (kept: 2.0)" in said
    assert "     7.5  in 3 fast tests" in said
    assert said[-1] == "     6.0  is too long for a fast test: tests/a/b_test.py::test_x[1]"


def test_what_did_not_run_keeps_its_durations_and_what_is_gone_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(durations, "KEPT", tmp_path / "durations.json")
    first = {"tests/imports_test.py::test_a": 2.0, "tests/readme_test.py::test_b": 3.0}
    durations.keep(first, dict.fromkeys(first, "fast"))
    then = {"tests/imports_test.py::test_a": 1.25, "tests/readme_test.py::test_c": 7.0, "tests/gone_test.py::d": 9.0}
    durations.keep(then, dict(zip(then, ("fast", "slow", "fast"), strict=True)))
    kept = json.loads((tmp_path / "durations.json").read_text())
    assert kept["tiers"] == {
        "fast": {"tests/imports_test.py": 1.2, "tests/readme_test.py": 3.0},
        "slow": {"tests/readme_test.py": 7.0},
    }
    assert kept["folders"] == {"fast": {"tests": 4.2}, "slow": {"tests": 7.0}}


class Item:
    """A test, of which its marks and its name are asked."""

    def __init__(self, *marks, nodeid="tests/a_test.py::test"):
        self.marks, self.nodeid = marks, nodeid

    def get_closest_marker(self, name):
        return name if name in self.marks else None


def test_the_slowest_mark_decides_the_tier():
    found = [tiers.tier_of(Item(*marks)) for marks in [(), ("standard",), ("standard", "slow"), ("manual", "slow")]]
    assert found == ["fast", "standard", "slow", "manual"]


def test_the_longest_files_start_first_by_their_tests_that_are_run(tmp_path, monkeypatch):
    monkeypatch.setattr(durations, "KEPT", tmp_path / "durations.json")
    kept = {"fast": {"tests/a_test.py": 1.0, "tests/b_test.py": 2.0}, "slow": {"tests/a_test.py": 50.0}}
    durations.KEPT.write_text(json.dumps({"tiers": kept}))
    items = [Item(nodeid=f"tests/{name}_test.py::test_{index}") for name in "anb" for index in (0, 1)]
    durations.pytest_collection_modifyitems(items)
    order = [f"tests/{name}_test.py::test_{index}" for name in "ban" for index in (0, 1)]
    assert [item.nodeid for item in items] == order


def test_the_kept_durations_are_of_files_that_are_there():
    kept = durations.read_kept()
    assert kept
    assert all(pathlib.Path(name).exists() for files in kept.values() for name in files)
