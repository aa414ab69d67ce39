"""One way to train: resumed bit for bit, refused before anything is written, and opened again as it was."""

import functools
import json
import shutil
import types

import jax
import numpy as np
import pytest

from experiments.core import json_files, records, runner, trained_model
from experiments.core.session import Session
from experiments.core.workdir import WorkdirError
from ib_jax import training
from ib_jax.training import metrics_log
from tests.experiments.core import tiny

SESSION = Session("mnist_vib", "python -m experiments.mnist_vib")


def train(workdir, **settings):
    return runner.train(tiny.recipe(**settings), workdir, SESSION)


def rows(workdir):
    volatile = ("seconds", "images_per_second")
    found = metrics_log.read(workdir / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in volatile} for row in found]


def assert_same(mine, theirs):
    jax.tree.map(np.testing.assert_array_equal, mine, theirs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(workdir)


def test_a_workdir_says_all_of_the_model(whole):
    workdir, trained = whole
    assert [row["step"] for row in trained.history] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in trained.evaluations] == [4, 8, 12]
    assert {"validation", "test"} <= trained.evaluations[0].keys()
    assert "train" not in trained.summary
    record = trained_model.read_results(workdir)
    (model,) = record.models
    sizes = {"steps": 12, "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(trained.params))}
    assert sizes.items() <= model.details.items()
    assert (record.experiment, record.command) == (SESSION.experiment, SESSION.command)
    assert model.values_at(split="test") == trained.summary["test"]
    epochs = [each.at["epoch"] for each in model.measurements if each.at["split"] == "test" and "epoch" in each.at]
    assert epochs == [1.0, 2.0, 3.0]
    config = json.loads((workdir / "config.json").read_text())
    assert record.settings == {name: value for name, value in config.items() if name not in ("workdir", "data_dir")}
    errors = {row["step"]: row["validation"]["error_avg"] for row in trained.evaluations}
    assert errors[model.details["best_step"]] == min(errors.values())


def test_a_stopped_run_ends_as_an_uninterrupted_one(whole, tmp_path, monkeypatch):
    workdir, trained = whole
    with monkeypatch.context() as patch:
        tiny.stop_after(patch, 3)  # within the second epoch
        assert train(tmp_path) is None
    assert not trained_model.is_finished(tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [2, 4, 6]
    metrics_log.append(tmp_path / "metrics.jsonl", {"step": 8})  # logged, but after the checkpoint
    resumed = train(tmp_path)
    assert rows(tmp_path) == rows(workdir)
    assert resumed.summary == trained.summary
    assert_same(resumed.params, trained.params)


@pytest.mark.standard
@pytest.mark.parametrize("schedule", ["linear_gamma", pytest.param("gated_rho", marks=pytest.mark.slow)])
def test_a_schedule_is_resumed_where_it_stood(tmp_path, monkeypatch, schedule):
    recipe = tiny.recipe(objective="ceb", schedule=schedule, rho=2.0, anneal_epochs=3.0)
    nothing = types.SimpleNamespace(during_training=lambda _: {"test": {"error_avg": 0.0}}, at_end=lambda _: {})
    run = functools.partial(runner.train, recipe, session=SESSION, evaluator=nothing)
    trained = run(tmp_path / "whole")
    rho = [row["train"]["rho"] for row in trained.history]
    assert rho == sorted(set(rho), reverse=True)
    with monkeypatch.context() as patch:
        tiny.stop_after(patch, 3)
        assert run(tmp_path / "parts") is None
    resumed = run(tmp_path / "parts")
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert_same(resumed.params, trained.params)


@pytest.mark.not_under("debug_nans", reason="JAX ends the run before")
def test_a_diverging_run_ends_with_a_message_and_no_results(tmp_path):
    with pytest.raises(training.NonFiniteLossError, match=r"the loss is (nan|inf) at step"):
        train(tmp_path, learning_rate=1e30)
    assert not trained_model.is_finished(tmp_path)


def test_what_is_finished_is_opened_and_not_trained_again(whole, monkeypatch):
    workdir, trained = whole
    monkeypatch.setattr(training, "fit", lambda *args, **settings: pytest.fail("trained again"))
    opened = train(workdir)
    assert (opened.summary, opened.seconds) == (trained.summary, trained.seconds)
    assert (opened.settings, list(opened.history)) == (trained.settings, list(trained.history))
    assert_same(opened.params, trained.params)
    before = {path: path.read_bytes() for path in workdir.glob("*.json*")}
    with pytest.raises(WorkdirError, match=r"--beta: 0\.001 there, 0\.1 now"):
        train(workdir, beta=0.1, seed=3)
    assert {path: path.read_bytes() for path in workdir.glob("*.json*")} == before


@pytest.mark.standard
def test_what_is_finished_may_be_evaluated_again_with_other_settings_of_evaluation(whole, tmp_path, monkeypatch):
    workdir, trained = whole
    shutil.copytree(workdir, tmp_path / "copy")
    monkeypatch.setattr(tiny.recipe().__class__, "run_from", lambda recipe, state: None)  # there is no step to take
    again = runner.train(tiny.recipe(num_eval_samples=3), tmp_path / "copy", SESSION, again=True)
    assert_same(again.params, trained.params)
    assert again.summary["test"]["error_mean"] == trained.summary["test"]["error_mean"]
    assert again.record.settings["num_eval_samples"] == 3


def test_a_workdir_is_opened_without_its_recipe(whole, monkeypatch):
    workdir, trained = whole
    loads = []
    monkeypatch.setattr("experiments.mnist_vib.load", lambda config: loads.append(config) or tiny.DATASET)
    trained_model._dataset.cache_clear()
    opened = trained_model.open_model(workdir)
    assert_same(opened.params, trained.params)
    assert opened.settings.workdir == str(workdir)
    assert opened.settings.learning_rate == 1e-2
    assert_same(trained_model.open_recipe(workdir).dataset.test, tiny.TEST)
    assert len(loads) == 1


def test_what_is_no_finished_model_is_refused(whole, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not trained to its end"):
        trained_model.open_model(tmp_path)
    for name, message in [
        ("exact_ib", "made by 'exact_ib', which leaves no model"),
        ("nothing", "made by 'nothing', which leaves no model"),
        ("mnist_vib", "settings that mnist_vib does not know: gamma"),
    ]:
        records.write(tmp_path / "results.json", records.Record(name, "", {}, []))
        json_files.write_json(tmp_path / "config.json", {"gamma": 1})
        with pytest.raises(ValueError, match=message):
            trained_model.open_recipe(tmp_path)
    with pytest.raises(FileNotFoundError, match="the folder checkpoints/ is missing"):
        trained_model.restore_params(tiny.recipe(), tmp_path)


@pytest.mark.parametrize("settings", [{"batch_size": 41}, {"steps_per_call": 3}])
def test_sizes_that_do_not_fit_leave_nothing_behind(tmp_path, settings):
    with pytest.raises(ValueError, match="must"):
        train(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.standard
@pytest.mark.parametrize("pipeline", ["resident", "grain"])
def test_both_ways_to_read_images_take_the_same_steps(tmp_path, monkeypatch, pipeline, digits_parameters):
    from experiments.core.recipe import Recipe, load_dataset

    config = tiny.CONFIG.__class__(
        latent_dim=2, hidden_width=8, num_epochs=1, steps_per_call=7, num_eval_samples=1, input_pipeline=pipeline
    )
    recipe = Recipe(config, load_dataset(config))
    with monkeypatch.context() as patch:
        tiny.stop_after(patch, 1)
        assert runner.train(recipe, tmp_path, SESSION) is None
    found = runner.train(recipe, tmp_path, SESSION)
    digits_parameters.append(found.params)
    for mine, theirs in zip(jax.tree.leaves(found.params), jax.tree.leaves(digits_parameters[0]), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def digits_parameters():
    """Of the runs so far."""
    return []
