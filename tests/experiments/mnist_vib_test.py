"""The main job on the embedded digits, small, for every objective."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from experiments.core import records
from experiments.core.report import attack_label
from experiments.core.session import Session
from experiments.core.settings import BOTTLENECKS, SettingError
from experiments.core.workdir import WorkdirError
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import OBJECTIVES, PRESETS, Config
from ib_jax import training

SMALL = Config(
    num_epochs=2, epochs_per_eval=1, hidden_width=64, latent_dim=2, num_attack_images=20, attack_steps=2,
    num_eot_samples=2, attack_epsilons=(0.0, 0.2), attack_l2_epsilons=(1.0,),
)  # fmt: skip


def run(workdir, **settings):
    text = io.StringIO()
    config = dataclasses.replace(SMALL, workdir=str(workdir), **settings)
    return mnist_vib.run(config, Session(console=Console(file=text, width=100), command="a test")), text.getvalue()


def at(record, **conditions):
    return record.models[0].values_at(**conditions)


ATTACKED = ("vib", "consistent_ceb", "cross_entropy")  # a sampled code, a decoder by Bayes' rule, and no noise


@pytest.mark.standard
@pytest.mark.parametrize(
    "objective", ["vib", *(pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES if name != "vib")]
)
def test_every_objective_trains_and_is_drawn_and_each_kind_is_attacked(tmp_path, objective):
    attacked = {} if objective in ATTACKED else {"num_attack_images": 0}
    record, text = run(tmp_path, objective=objective, figures=objective == "vib", **attacked)
    stochastic = objective in BOTTLENECKS
    (model,), test = record.models, record.models[0].values_at(split="test")
    assert model.details["steps"] == 28
    assert ("rate_bits" in test) == stochastic
    assert ("residual_bits" in test) == (objective in ("ceb", "consistent_ceb"))
    if "residual_bits" in test:  # the marginal of ten classes costs at most their entropy
        assert -0.5 < test["rate_bits"] - test["residual_bits"] < np.log2(10) + 0.5
    epochs = {split: [model.values_at(split=split, epoch=epoch) for epoch in (1.0, 2.0)] for split in ("train", "test")}
    assert epochs["train"][1]["loss"] < epochs["train"][0]["loss"]
    np.testing.assert_allclose(epochs["test"][1]["error_avg"], test["error_avg"])
    numbers = records.frame([records.read(tmp_path / "results.json")])
    if objective in ATTACKED:
        attacks = [
            attack_label(at) for at in records.distinct(numbers, "attack", "num_steps", "norm", "targeted") if at
        ]
        assert attacks == ["clean", "FGSM", "PGD-2", "PGD-2 targeted", "PGD-2 L2"]
        clean = records.per_seed(numbers, "accuracy", attack="clean")
        assert records.per_seed(numbers, "accuracy", attack="fgsm", epsilon=0.0).equals(clean)
        assert ("PGD-2 L2" in text) == (objective == "vib")  # the report is shown where figures are drawn
    assert "error, 12 samples" in text
    assert "images/s" in text
    assert records.per_seed(numbers, "error_avg", split="test")[0] == test["error_avg"]
    assert record.environment["versions"]["jax"]
    assert not {"workdir", "data_dir"} & set(record.settings)
    bins = model.details["calibration_bins"]
    assert sum(bins["count"]) == 360
    gaps = np.abs(np.subtract(bins["accuracy"], bins["confidence"])) * bins["count"]
    np.testing.assert_allclose(gaps.sum() / 360, test["calibration_error"], rtol=1e-5)
    with np.load(tmp_path / "per_example.npz") as arrays:
        assert arrays["correct_avg"].shape == (360,)
        np.testing.assert_allclose(1 - arrays["correct_avg"].mean(), test["error_avg"])
    figures = {path.name for path in tmp_path.glob("*.png")}
    drawn = {"training.png", "robustness.png", "latent_plane.png", "reliability.png"}
    assert figures == (drawn if objective == "vib" else set())


@pytest.mark.standard
def test_evaluation_settings_may_change_in_a_workdir_and_training_settings_not(tmp_path):
    first, _ = run(tmp_path, figures=False)
    again, text = run(tmp_path, figures=False, num_attack_images=0)
    assert "Going on from step 28" in text
    assert at(again, split="test") == at(first, split="test")
    assert not any("attack" in each.at for each in again.models[0].measurements)
    with pytest.raises(WorkdirError, match=r"--learning_rate: 0\.001 there, 0\.1 now"):
        run(tmp_path, learning_rate=0.1)


@pytest.mark.standard
@pytest.mark.parametrize("schedule", ["linear_gamma", pytest.param("gated_rho", marks=pytest.mark.slow)])
def test_a_schedule_is_resumed_where_it_stood(tmp_path, schedule):
    settings = {"objective": "ceb", "schedule": schedule, "rho": 2.0, "anneal_epochs": 2.0, "num_attack_images": 0}
    whole, _ = run(tmp_path / "whole", figures=False, num_epochs=3, **settings)
    rho = [at(whole, split="train", epoch=epoch)["rho"] for epoch in (1.0, 2.0, 3.0)]
    assert rho[0] > rho[1] > rho[2]
    stopped = iter([False, True])

    class StopsAfterTwoEpochs(training.StopRequest):
        requested = property(lambda self: next(stopped), lambda self, value: None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "StopRequest", StopsAfterTwoEpochs)
        assert run(tmp_path / "parts", figures=False, num_epochs=3, **settings)[0] is None
    resumed, text = run(tmp_path / "parts", figures=False, num_epochs=3, **settings)
    assert "Going on from step 28" in text
    assert at(resumed, split="train", epoch=3.0) == at(whole, split="train", epoch=3.0)
    assert at(resumed, split="test") == at(whole, split="test")


@pytest.mark.standard
def test_held_out_images_choose_the_best_checkpoint(tmp_path):
    record, text = run(tmp_path, figures=False, num_validation=200, num_attack_images=0)
    assert "validation" in text
    steps = {row["step"]: row["epoch"] for row in records.read_jsonl(tmp_path / "metrics.jsonl")}
    errors = {step: at(record, split="validation", epoch=epoch)["error_avg"] for step, epoch in steps.items()}
    assert errors[record.models[0].details["best_step"]] == min(errors.values())


@pytest.mark.standard
def test_a_diverging_run_ends_with_a_message_and_no_results(tmp_path):
    with pytest.raises(training.NonFiniteLossError, match=r"the loss is (nan|inf) at step"):
        run(tmp_path, learning_rate=1e30, num_epochs=4)
    assert not (tmp_path / "results.json").exists()


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with pytest.raises(SettingError, match="batch_size must be between 1 and the 1437 training examples, got 5000"):
        run(tmp_path / "run", batch_size=5000)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attack_epsilons": (0.1, -1.0)}, r"--attack_epsilons must each be at least 0, got \(0.1, -1.0\)"),
        ({"label_smoothing": 1.5}, r"--label_smoothing must be in \[0, 1\], got 1.5"),
        ({"beta": 1.0, "schedule": "linear_rho"}, r"--beta must be in \(0, 1\) with --schedule=linear_rho, got 1.0"),
    ],
)
def test_bad_settings_are_refused_by_flag(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **settings)


def test_presets_are_valid_configurations():
    for name in PRESETS:
        for dataset in ("digits", "mnist"):
            Config(**PRESETS[name].on(dataset))
    paper = Config(**PRESETS["paper"].on("mnist"))
    assert (paper.num_epochs, paper.learning_rate, paper.batch_size, paper.latent_dim) == (200, 1e-4, 100, 256)
    assert (paper.decay_rate, paper.epochs_per_decay, paper.average_decay, paper.num_eval_samples) == (
        0.97,
        2,
        0.999,
        12,
    )


@pytest.mark.standard
def test_help_tells_the_papers_values():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.mnist_vib", "--help"], capture_output=True, text=True, timeout=120
    )
    for field in dataclasses.fields(Config):
        assert f"--{field.name} " in done.stdout
    assert "256 or 2" in done.stdout
    assert "--num_epochs=60 --learning_rate=0.0005" in done.stdout
