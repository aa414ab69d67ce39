"""What becomes of a run: its result, a stop, a user's error in one line, any other error with its traceback."""

import dataclasses
import pathlib
import subprocess
import sys

import pytest

from experiments.core import app, groups
from experiments.core.records import RecordError
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.workdir import WorkdirError
from ib_jax import data, training

SESSION = Session("mine")


def ends(outcome):
    def run(settings, session):
        assert (settings, session) == (groups.Seed(), SESSION)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return app.call(run, groups.Seed(), session=SESSION)


def test_a_result_is_success_and_a_stop_is_143():
    assert ends({"a": 1}) == 0
    assert ends(0) == 0  # a result, if an odd one
    assert ends(None) == app.STOPPED == 143


@pytest.mark.parametrize(
    "error",
    [
        SettingError("--seed must be odd"),
        WorkdirError("there was made with others"),
        RecordError("broken"),
        data.DatasetUnavailableError("not there"),
        training.NonFiniteLossError("the loss is nan"),
        FileNotFoundError("no record in x; run y first"),
    ],
)
def test_a_user_s_error_is_one_line(error):
    assert ends(error) == f"mine: {error}"


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyError("x"), ImportError("no torch")])
def test_any_other_error_is_raised(error):
    with pytest.raises(type(error)):
        ends(error)


def test_a_program_may_name_errors_of_its_own():
    def run(settings, session):
        raise ImportError("no torch")

    assert app.call(run, groups.Seed(), session=SESSION, errors=(ImportError,)) == "mine: no torch"
    with pytest.raises(ImportError):
        app.call(run, groups.Seed(), session=SESSION)


def test_a_session_is_quiet_by_itself():
    assert Session().console.quiet
    assert dataclasses.replace(SESSION, command="x").command == "x"


PROGRAM = '''
"""Tries how a program ends.

Run:  so
"""
from experiments.core import app, groups
from experiments.core.settings import Preset

class Config(groups.Recipe, groups.Dataset, groups.Seed):
    pass

def run(config, session):
    print(config.seed, config.dataset, session.experiment, session.command)
    if config.seed == 1:
        raise ValueError("a fault of ours")
    return None if config.seed == 2 else config

run.__module__ = "experiments.tried.run"
app.main(run, Config, doc=__doc__, presets={"quick": Preset("Q."), "paper": Preset("P.", {"dataset": "mnist"})})
'''
STARTS = """
import os, runpy, sys
from experiments.core import app  # once, for all that follow
path, *lines = sys.argv[1:]
for number, line in enumerate(lines):
    child = os.fork()
    if not child:
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{path}.{number}.{name}", os.O_CREAT | os.O_WRONLY), stream)
        sys.argv = [path, *line.split()]
        runpy.run_path(path)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status)
"""
"""Starts a program with several lines of flags, importing JAX once."""


@pytest.mark.standard
def test_a_program_from_the_command_line(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.strip())
    lines = ["--preset=paper --seed=3", "--seed=1", "--seed=2", "--help", "digits", "--sead=1"]
    starts = subprocess.run(
        [sys.executable, "-c", STARTS, str(path), *lines], capture_output=True, text=True, timeout=120, check=True
    )
    statuses = [int(status) for status in starts.stdout.split()]
    assert statuses == [0, 1, app.STOPPED, 0, 1, 1]
    said, faults = (
        [pathlib.Path(f"{path}.{n}.{name}").read_text(encoding="utf-8") for n in range(6)] for name in ("out", "err")
    )
    assert said[0].strip() == "3 mnist tried python -m experiments.tried --preset=paper --seed=3"
    assert "Traceback" in faults[1]
    assert "ValueError: a fault of ours" in faults[1]
    assert said[3].startswith("Tries how a program ends.")
    for part in ("\nRun", "\nData", "\nMachine", "--preset=paper: P.", "--coordinator_address"):
        assert part in said[3]
    assert "Settings are flags: --name=value" in faults[4]
    assert "Did you mean: seed" in faults[5]
