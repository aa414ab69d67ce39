"""The table of bad inputs: flags, folders of runs, and what lies in them."""

import pathlib
import shutil

import pytest
from absl import flags as absl_flags

from experiments.core import app, flags, records, runner, trained_model, workdir
from experiments.core.records import RecordError
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.workdir import WorkdirError
from experiments.information_curve.settings import CurveConfig
from experiments.mnist_vib import PRESETS, Config
from ib_jax import training
from ib_jax.files import DamagedFileError
from tests.bad_input import Case, refused, table
from tests.experiments.core import tiny

BUCKET = ("must be a folder or file of this machine", "gs://bucket/x", "mount the bucket")


def given(*arguments, classes=(Config,)):
    """A program's settings from a command line, DIR being the folder."""

    def parse(folder):
        values = absl_flags.FlagValues()
        flags.define(*classes, app.Machine, presets=PRESETS, flag_values=values)
        values(["program", *(argument.replace("DIR", str(folder)) for argument in arguments)])
        settings = flags.from_flags(*classes, app.Machine, presets=PRESETS, flag_values=values)
        workdir.check_paths(*settings)

    return parse


def setting(argument, *words, error=SettingError):
    return Case(argument, given(argument), error, words)


def unreadable(argument, *words):
    """What absl refuses before there are settings."""
    return setting(argument, *words, error=absl_flags.Error)


def curve(argument, *words, error=SettingError):
    return Case(argument, given(argument, classes=(CurveConfig, Config)), error, words)


def trains(**settings):
    return lambda folder: runner.train(tiny.recipe(**settings), folder / "run", Session("mnist_vib"))


def file_at(name, call, text=""):
    """Writes a file first."""

    def write(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return call(folder)

    return write


FLAGS = (
    setting("--seed=-1", "--seed must be in [0, 2.14748e+09]", "got -1"),
    setting("--seed=99999999999", "--seed", "got 99999999999"),
    unreadable("--seed=1.5", "seed", "1.5", "int()"),
    unreadable("--beta=abc", "beta", "abc", "float"),
    setting("--beta=-1", "--beta must be at least 0", "got -1"),
    setting("--beta=nan", "--beta must be at least 0", "nan"),
    setting("--beta=1e400", "--beta must be finite", "inf"),
    setting("--hidden_width=0", "--hidden_width must be at least 1", "got 0"),
    unreadable("--latent_dim=2.5", "latent_dim", "2.5"),
    setting("--latent_dim=0", "--latent_dim must be at least 1", "got 0"),
    setting("--num_epochs=0", "--num_epochs must be at least 1", "got 0"),
    setting("--learning_rate=0", "--learning_rate must be positive", "got 0"),
    setting("--average_decay=1", "--average_decay must be in [0, 1)", "got 1"),
    setting("--num_eval_samples=0", "--num_eval_samples must be at least 1", "got 0"),
    setting("--eval_batch_size=0", "--eval_batch_size must be at least 1", "got 0"),
    setting("--attack_steps=0", "--attack_steps must be at least 1", "got 0"),
    setting("--attack_epsilons=0.1,-0.2", "--attack_epsilons", "-0.2"),
    unreadable("--attack_epsilons=0.1,x", "attack_epsilons", "0.1,x", "numbers with commas"),
    unreadable("--objective=vip", "objective", "vip", "vib"),
    unreadable("--preset=papr", "preset", "papr", "paper"),
    setting("--dataset=mnits", "--dataset must be one of digits, mnist", "a .npz file, a folder", "got 'mnits'"),
    setting("--dataset=gs://bucket/x.npz", "--dataset", *BUCKET),
    unreadable("--precision=float16", "precision", "float16", "bfloat16"),
    unreadable("--sead=1", "sead", "Did you mean: seed"),
    setting("--nofigures=maybe", "nofigures", "does not take an argument", error=ValueError),
    curve("--num_seeds=0", "--num_seeds must be at least 1", "got 0"),
    curve("--betas=1,2,b", "betas", "1,2,b", "numbers with commas", error=absl_flags.Error),
    setting("--workdir=gs://bucket/x", "--workdir", *BUCKET),
    setting("--data_dir=gs://bucket/x", "--data_dir", *BUCKET),
    setting("--compilation_cache=gs://bucket/x", "--compilation_cache", *BUCKET),
    curve("--results=gs://bucket/x", "--results", *BUCKET),
    setting("--workdir=~nobody-by-that-name/x", "--workdir is '~nobody-by-that-name/x'", "give the whole path"),
)
PLACES = (
    Case(
        "the workdir is a file",
        file_at("file", given("--workdir=DIR/file")),
        SettingError,
        ("--workdir must be a folder, and DIR/file is none",),
    ),
    Case(
        "a file above the results",
        file_at("file", given("--results=DIR/file/x/y", classes=(CurveConfig, Config))),
        SettingError,
        ("--results must be a folder, and DIR/file is none", "got DIR/file/x/y"),
    ),
    Case(
        "settings of another run",
        lambda folder: (workdir.write_config(folder, tiny.CONFIG), workdir.check_workdir(folder, Config(seed=5))),
        WorkdirError,
        ("DIR was made with other settings", "--seed: 0 there, 5 now", "or another folder"),
        lines=20,
    ),
    Case(
        "no model that is trained to its end",
        lambda folder: trained_model.open_model(folder / "nothing"),
        FileNotFoundError,
        ("DIR/nothing has no results.json", "--workdir=DIR/nothing, goes on"),
    ),
    Case(
        "more microbatches than fit",
        trains(num_microbatches=3),
        SettingError,
        ("--num_microbatches must divide the 10 examples", "got 3"),
    ),
    Case("a batch of more than all", trains(batch_size=41), SettingError, ("batch_size", "40", "got 41")),
    Case("steps that no epoch has", trains(steps_per_call=3), SettingError, ("3", "4 steps of an epoch")),
    Case("an empty record", file_at("a.json", lambda folder: records.load(folder)), RecordError, ("DIR/a.json",)),
    Case(
        "a record cut off",
        file_at("a.json", lambda folder: records.load(folder), '{"schema": 1, "models": ['),
        RecordError,
        ("DIR/a.json", "delete it and make it again"),
    ),
    Case(
        "a record of tomorrow",
        file_at("a.json", lambda folder: records.load(folder), '{"schema": 99}'),
        RecordError,
        ("DIR/a.json has schema 99", "reads 1"),
    ),
    Case(
        "a list instead of a record",
        file_at("a.json", lambda folder: records.load(folder), "[]"),
        RecordError,
        ("DIR/a.json is no record",),
    ),
    Case("no records", lambda folder: records.load(folder / "x"), RecordError, ("there is no folder DIR/x",)),
)


@table(*FLAGS, *PLACES)
def test_a_bad_input_is_refused_in_one_line(case, tmp_path):
    refused(case, tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    trains()(folder)
    return folder / "run"


def restore(folder, state):
    with training.Checkpoints(folder, read_only=True) as checkpoints:
        checkpoints.restore(state)


DAMAGES = (
    Case(
        "no config.json, and other settings",
        lambda folder: ((folder / "run/config.json").unlink(), trains(beta=0.5, seed=7)(folder)),
        WorkdirError,
        ("DIR/run was made with other settings", "--beta: 0.001 there, 0.5 now", "--seed: 0 there, 7 now"),
        lines=20,
    ),
    Case(
        "an empty config.json, and a model that is opened",
        lambda folder: ((folder / "run/config.json").write_bytes(b""), trained_model.read_config(folder / "run")),
        DamagedFileError,
        ("DIR/run/config.json is damaged (empty)",),
    ),
    Case(
        "an empty results.json",
        lambda folder: ((folder / "run/results.json").write_bytes(b""), trains()(folder)),
        RecordError,
        ("DIR/run/results.json", "delete it and make it again"),
    ),
    Case(
        "no checkpoint",
        lambda folder: (shutil.rmtree(folder / "run/checkpoints"), trains()(folder).params),
        FileNotFoundError,
        ("DIR/run has no checkpoint",),
    ),
    Case(
        "the checkpoint of another network",
        lambda folder: restore(folder / "run/checkpoints", tiny.recipe(hidden_width=9).init()),
        ValueError,
        ("the checkpoint of step 12 in DIR/run/checkpoints does not fit", "float32[9, 8] in the checkpoint"),
        lines=5,
    ),
)


@pytest.mark.standard
@table(*DAMAGES)
def test_a_run_that_was_damaged_is_refused_in_one_line(case, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    refused(case, pathlib.Path(tmp_path))
