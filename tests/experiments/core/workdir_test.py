"""One rule of reuse, over every setting of every group; and where a record came from."""

import dataclasses
import json
import subprocess

import jax
import jax.numpy as jnp
import optax
import pytest

from experiments.core import groups, workdir
from experiments.core.settings import EVALUATION, NOTHING, TRAINING, SettingError
from experiments.core.workdir import WorkdirError, check_reuse, check_workdir
from ib_jax import training
from tests.experiments.core import declared

GROUPS = declared.classes()


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return [*value, 0.75]
    return value + 1 if isinstance(value, int | float) else f"{value} another"


@pytest.mark.parametrize("stage", [TRAINING, EVALUATION])
@pytest.mark.parametrize("name", GROUPS)
def test_a_setting_that_decides_may_not_change_and_another_may(name, stage):
    settings = GROUPS[name]()
    same = json.loads(json.dumps(dataclasses.asdict(settings)))
    check_reuse("there", same, settings, stage=stage)
    for field in dataclasses.fields(settings):
        recorded = same | {field.name: another(same[field.name])}
        decides = field.metadata["decides"]
        if decides == TRAINING or (decides == EVALUATION and stage == EVALUATION):
            with pytest.raises(WorkdirError, match=rf"there was made with other settings:\n  --{field.name}: "):
                check_reuse("there", recorded, settings, stage=stage)
            check_reuse("there", recorded, settings, stage=stage, without=[field.name])
        else:
            assert decides in (NOTHING, EVALUATION)
            check_reuse("there", recorded, settings, stage=stage)


def test_all_that_differ_are_listed_from_all_groups_and_what_is_missing_had_its_default():
    recorded = {"seed": 1, "num_epochs": 5}
    with pytest.raises(WorkdirError) as caught:
        check_reuse("there", recorded, groups.Seed(), groups.Epochs(num_epochs=6), groups.HiddenWidth(hidden_width=9))
    assert "--seed: 1 there, 0 now" in str(caught.value)
    assert "--num_epochs: 5 there, 6 now" in str(caught.value)
    assert "--hidden_width: 1024 there, 9 now" in str(caught.value)
    check_reuse("there", {"seed": 0}, groups.Seed(), groups.HiddenWidth())  # as before there was such a setting


def test_infinity_is_null_in_a_record():
    check_reuse("there", {"rho": None}, groups.Rho(rho=float("inf")))


def test_a_folder_stands_for_its_config(tmp_path):
    check_workdir(tmp_path / "new", groups.Seed())
    workdir.write_config(tmp_path, groups.Seed(seed=3), groups.PgdSteps(pgd_steps=7))
    assert json.loads((tmp_path / "config.json").read_text()) == {"seed": 3, "pgd_steps": 7}
    check_workdir(tmp_path, groups.Seed(seed=3), groups.PgdSteps(pgd_steps=8))
    with pytest.raises(WorkdirError, match="--pgd_steps: 7 there, 8 now"):
        check_workdir(tmp_path, groups.Seed(seed=3), groups.PgdSteps(pgd_steps=8), stage=EVALUATION)
    with pytest.raises(WorkdirError, match="--seed: 3 there, 0 now"):
        check_workdir(tmp_path, groups.Seed())


def save(folder, **settings):
    state = training.init_state(jax.random.key(0), {"w": jnp.ones(2)}, optax.sgd(0.1), 0.9)
    with training.Checkpoints(folder / "checkpoints", **settings) as checkpoints:
        checkpoints.save(state, score=1.0)


def test_without_a_config_its_checkpoints_say_what_a_folder_stands_for(tmp_path):
    save(tmp_path, settings={"seed": 3})
    check_workdir(tmp_path, groups.Seed(seed=3))
    with pytest.raises(WorkdirError, match="--seed: 3 there, 0 now"):
        check_workdir(tmp_path, groups.Seed())
    workdir.write_config(tmp_path, groups.Seed())
    with pytest.raises(WorkdirError, match="--seed: 3 there, 0 now"):  # a config.json of another folder
        check_workdir(tmp_path, groups.Seed())


@pytest.mark.parametrize("written", [b"", b'{"seed": 3', b"[]", bytes(20)])
def test_a_damaged_config_is_as_good_as_none(tmp_path, written):
    save(tmp_path, settings={"seed": 3})
    (tmp_path / "config.json").write_bytes(written)
    with pytest.warns(training.CheckpointWarning, match=r"config.json is damaged .*; it is not used"):
        check_workdir(tmp_path, groups.Seed(seed=3))
    with pytest.warns(training.CheckpointWarning), pytest.raises(WorkdirError, match="--seed: 3 there, 0 now"):
        check_workdir(tmp_path, groups.Seed())


def test_checkpoints_of_unknown_settings_are_refused(tmp_path):
    save(tmp_path)
    with pytest.raises(WorkdirError, match=r"has checkpoints but no config\.json that says how"):
        check_workdir(tmp_path, groups.Seed())


def test_what_will_be_written_is_looked_at_first(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    workdir.check_paths(groups.Workdir(workdir=f"{tmp_path}/a/b"), groups.Output(output=f"{tmp_path}/file"))
    for settings in (groups.Workdir(workdir=f"{tmp_path}/file"), groups.Results(results=f"{tmp_path}/file/x")):
        with pytest.raises(SettingError, match=r"--\w+ must be a folder, and .*/file is none; got"):
            workdir.check_paths(settings)
    with pytest.raises(SettingError, match="--output must be a file, and is a folder"):
        workdir.check_paths(groups.Output(output=str(tmp_path)))
    monkeypatch.setattr(workdir.os, "access", lambda path, mode: str(path) != str(tmp_path))
    with pytest.raises(SettingError, match=f"--workdir cannot be written to: {tmp_path} belongs to others or is read"):
        workdir.check_paths(groups.Workdir(workdir=f"{tmp_path}/new/run"))


def test_home_is_resolved_in_every_path_and_a_bucket_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert groups.Workdir(workdir="~/runs/x").workdir == "/home/me/runs/x"
    assert groups.Workdir(workdir="runs/~x [1]").workdir == "runs/~x [1]"
    for cls in (groups.Workdir, groups.Results, groups.Output, groups.DataDir):
        (name,) = cls.__dataclass_fields__
        with pytest.raises(SettingError, match=f"--{name} must be a folder or file of this machine, got 'gs://x/y'"):
            cls(**{name: "gs://x/y"})


def test_the_commit_is_that_of_this_code_alone(tmp_path, monkeypatch):
    """In the folder of somebody's own project, as where that project's environment lies in it."""
    code = tmp_path / ".venv/lib/experiments/core"
    code.mkdir(parents=True)
    monkeypatch.setattr(workdir, "__file__", str(code / "workdir.py"))
    assert workdir._commit() == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run([*git[:3], "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    assert workdir._commit() == "unknown"
    ours = tmp_path / "clone/experiments/core"
    ours.mkdir(parents=True)
    monkeypatch.setattr(workdir, "__file__", str(ours / "workdir.py"))
    git[2] = str(tmp_path / "clone")
    subprocess.run([*git[:3], "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "ours"], check=True)
    assert len(workdir._commit()) == 40


def test_a_new_folder_is_named_by_time_and_purpose():
    first, second = workdir.new_workdir("mnist"), workdir.new_workdir("mnist")
    assert first.startswith("workdirs/20")
    assert "-mnist-" in first
    assert first != second  # in the same second


def test_the_environment_names_versions_machine_and_commit():
    environment = workdir.environment()
    assert environment["versions"]["jax"]
    assert environment["devices"]
    assert environment["machine"]["cores"] >= 1
    assert environment["commit"]


@pytest.mark.parametrize(
    ("argument", "recorded"),
    [
        ("--a=b c", "'--a=b c'"),
        ("--workdir=/home/me/runs/one", "--workdir=one"),
        ("--workdirs=/home/me/one,/home/me/two", "--workdirs=one,two"),
        ("--encoder=sentence-transformers/MiniLM", "--encoder=sentence-transformers/MiniLM"),
        ("--results=results/mine", "--results=results/mine"),
    ],
)
def test_the_command_line_is_quoted_and_without_local_paths(argument, recorded):
    assert workdir.command("experiments.x", [argument]) == f"python -m experiments.x {recorded}"
