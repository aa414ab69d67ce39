"""One rule of reuse, over every setting of every group; and where a record came from."""

import dataclasses
import json

import pytest

from experiments.core import groups, workdir
from experiments.core.settings import EVALUATION, NOTHING, TRAINING
from experiments.core.workdir import WorkdirError, check_reuse, check_workdir
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


def test_all_that_differ_are_listed_from_all_groups_and_what_is_missing_too():
    recorded = {"seed": 1, "num_epochs": 5}
    with pytest.raises(WorkdirError) as caught:
        check_reuse("there", recorded, groups.Seed(), groups.Epochs(num_epochs=6), groups.HiddenWidth())
    assert "--seed: 1 there, 0 now" in str(caught.value)
    assert "--num_epochs: 5 there, 6 now" in str(caught.value)
    assert "--hidden_width: None there, 1024 now" in str(caught.value)


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
