"""What becomes of a run: its result, a stop, a user's error in one line, any other error with its traceback."""

import dataclasses
import subprocess
import sys
import textwrap

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


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyError("x"), FileNotFoundError(2, "No such file", "x")])
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
import dataclasses
from experiments.core import app, groups
from experiments.core.settings import Preset, SettingError, setting

@dataclasses.dataclass(frozen=True)
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


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))

    def start(*arguments):
        command = [sys.executable, "-c", "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0])", str(path)]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)

    return start


@pytest.mark.standard
def test_a_program_from_the_command_line(program):
    done = program("--preset=paper", "--seed=3")
    assert (done.returncode, done.stdout.split()) == (
        0, ["3", "mnist", "tried", "python", "-m", "experiments.tried", "--preset=paper", "--seed=3"],
    )  # fmt: skip
    fault = program("--seed=1")
    assert fault.returncode == 1
    assert "Traceback" in fault.stderr
    assert "ValueError: a fault of ours" in fault.stderr
    assert program("--seed=2").returncode == 143


@pytest.mark.standard
def test_help_and_mistakes(program):
    text = program("--help").stdout
    assert text.startswith("Tries how a program ends.")
    for part in ("\nRun", "\nData", "\nMachine", "--preset=paper: P.", "--coordinator_address"):
        assert part in text
    wrong = program("digits")
    assert (wrong.returncode, "Settings are flags: --name=value" in wrong.stderr) == (1, True)
    assert "Did you mean: seed" in program("--sead=1").stderr
    assert program("--sead=1").returncode == 1
