"""The information curve on the digits, small: every member is the model that `mnist_vib` trains alone."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from experiments.core import flags
from experiments.core.app import Session
from experiments.core.workdir import WorkdirError
from experiments.information_curve import run as information_curve
from experiments.information_curve.settings import CurveConfig, member_settings
from experiments.information_curve.table import render, spread
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import Config
from ib_jax import losses, training

SMALL = Config(
    num_epochs=2, epochs_per_eval=1, hidden_width=32, num_attack_images=0, attack_steps=2, num_eot_samples=2,
    attack_epsilons=(), attack_l2_epsilons=(0.0, 1.0), learning_rate=3e-3,
)  # fmt: skip
CURVE = CurveConfig(betas=(1e-3, 1.0, 1e38), num_seeds=2, latent_dims=(4, 2))  # the last ones diverge


def run(workdir, curve=CURVE, **settings):
    text = io.StringIO()
    config = dataclasses.replace(SMALL, workdir=str(workdir), **settings)
    return information_curve.run(
        curve, config, Session(console=Console(file=text, width=150), command="a test")
    ), text.getvalue()


def train_alone(workdir, **settings):
    config = dataclasses.replace(SMALL, workdir=str(workdir), figures=False, **settings)
    return mnist_vib.run(config, Session(console=Console(file=io.StringIO())))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curve")
    return folder, *run(folder)


@pytest.mark.slow
def test_every_member_is_the_model_trained_alone(whole, tmp_path):
    _, found, _ = whole
    assert [record["config"]["latent_dim"] for record in found] == [4, 2]
    members = found[0]["members"]
    pairs = [(beta, seed) for beta in (1e-3, 1.0, 1e38) for seed in (0, 1)]
    assert [(member["beta"], member["seed"]) for member in members] == pairs
    alone = train_alone(tmp_path, latent_dim=4, seed=1)
    member = members[1]
    for split in ("train", "test"):
        for name, value in alone[split].items():
            np.testing.assert_allclose(member[split][name], value, rtol=1e-3, atol=3e-3, err_msg=name)
    trained = {name: [row["train"][name] for row in alone["history"]] for name in alone["history"][0]["train"]}
    for name, values in trained.items():
        np.testing.assert_allclose(member["history"][name], values, rtol=1e-3, err_msg=name)
    assert members[2]["test"]["rate_bits"] < members[0]["test"]["rate_bits"]


@pytest.mark.slow
def test_every_member_is_attacked_as_alone(tmp_path):
    curve = CurveConfig(betas=(1e-3, 1.0), latent_dims=(2,))
    found, _ = run(tmp_path / "curve", curve, num_attack_images=20)
    (row,) = train_alone(tmp_path / "alone", latent_dim=2, num_attack_images=20)["robustness"]["rows"]
    own = found[0]["members"][0]["robustness"]["rows"]
    assert (own[0]["attack"], own[0]["epsilons"]) == (row["attack"], row["epsilons"])
    np.testing.assert_allclose(own[0]["accuracy"], row["accuracy"], atol=0.051)  # an image of 20
    assert "PGD-2 L2, 1" in render(found)


@pytest.mark.slow
def test_records_table_and_figures_are_left_and_say_what_was_done(whole):
    folder, found, text = whole
    results = folder / "results"
    for latent_dim in (4, 2):
        record = json.loads((results / f"K{latent_dim}.json").read_text())
        assert record["num_members"] == len(record["members"]) == 6
        assert record["steps"] == 28
        assert "in one program" in record["plan"]
        assert record["environment"]["versions"]["jax"]
        assert "workdir" not in record["config"]
    assert {path.name for path in results.iterdir()} == {
        "K4.json", "K2.json", "table.md", "figure1.png", "information_plane.png",
    }  # fmt: skip
    table = (results / "table.md").read_text()
    assert table == render(found)
    errors = [100 * member["test"]["error_avg"] for member in found[0]["members"][:2]]
    assert f"{np.mean(errors):.2f} % ± {np.std(errors, ddof=1):.2f}" in table
    assert "6 members on 1 device, 6 on each, in one program" in text.replace("\n", " ")


@pytest.mark.slow
def test_a_member_that_diverges_is_reported_and_the_others_are_there(whole):
    _, found, text = whole
    assert [member["diverged_at"] for member in found[1]["members"]] == [-1, -1, -1, -1, 1, 1]
    assert "K = 2, beta = 1e+38, seed 0 diverged at step 1;" in text
    assert "| 1e+38 | diverged" in render(found)
    assert found[1]["members"][4]["history"]["loss"] == [None, None]
    assert np.isfinite(found[1]["members"][3]["history"]["loss"]).all()


@pytest.mark.slow
def test_a_stopped_curve_of_several_programs_goes_on_to_the_same_end(whole, tmp_path, monkeypatch):
    _, found, _ = whole
    plan, curve = training.plan_programs, dataclasses.replace(CURVE, latent_dims=(4,))

    def two_programs(num_members, footprint, *, free_bytes, num_devices):
        room = int((footprint.shared + 3.5 * footprint.member) / 0.9)
        return plan(num_members, footprint, free_bytes=room, num_devices=num_devices)

    monkeypatch.setattr(training, "plan_programs", two_programs)
    stopped = iter([True])

    class StopsAfterOneEpoch(training.StopRequest):
        requested = property(lambda self: next(stopped), lambda self, value: None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "StopRequest", StopsAfterOneEpoch)
        assert run(tmp_path, curve)[0] is None
    monkeypatch.undo()  # what was begun keeps its programs
    resumed, text = run(tmp_path, curve)
    assert "Going on from step 14" in text
    assert "program 1 of 2: members 0 to 2" in text
    assert "program 2 of 2: members 3 to 5" in text
    for own, other in zip(resumed[0]["members"], found[0]["members"], strict=True):
        assert (own["beta"], own["seed"], own["diverged_at"]) == (other["beta"], other["seed"], other["diverged_at"])
        expected, got = (np.array(member["history"]["loss"], float) for member in (other, own))
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    with pytest.raises(WorkdirError, match=r"--betas: \[0.001, 1.0, 1e\+38\] there, \[0.1\] now"):
        run(tmp_path, dataclasses.replace(curve, betas=(0.1,)))
    with pytest.raises(WorkdirError, match=r"--learning_rate: 0.003 there, 0.1 now"):
        run(tmp_path, curve, learning_rate=0.1)


def test_strengths_become_each_objectives_own():
    members = member_settings(CurveConfig(betas=(0.1, 0.5)), Config(objective="ceb", seed=3))
    np.testing.assert_allclose(losses.rho_to_beta(members["rho"]), [0.1, 0.5], rtol=1e-6)
    assert members["seed"].tolist() == [3, 3]
    members = member_settings(CurveConfig(betas=(0.1,)), Config(objective="label_smoothing"))
    assert members["label_smoothing"].tolist() == [0.1]
    with pytest.raises(ValueError, match="--objective must have a strength to draw a curve over, got dropout"):
        information_curve.check(CURVE, Config(objective="dropout"))
    with pytest.raises(ValueError, match=r"--betas must be in \(0, 1\) for ceb"):
        information_curve.check(CURVE, Config(objective="ceb"))
    with pytest.raises(ValueError, match=r"--betas must be in \(0, 1\) with --schedule=linear_rho"):
        information_curve.check(CURVE, Config(schedule="linear_rho"))
    with pytest.raises(ValueError, match="--betas must be at most 1 for label_smoothing"):
        information_curve.check(CURVE, Config(objective="label_smoothing"))
    with pytest.raises(ValueError, match="--input_pipeline must be resident"):
        information_curve.check(CURVE, Config(input_pipeline="grain"))


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "plane"), [("ceb", True), ("label_smoothing", False)])
def test_other_objectives_are_trained_and_drawn(tmp_path, objective, plane):
    curve = CurveConfig(betas=(1e-3, 0.1), latent_dims=(2,))
    found, _ = run(tmp_path, curve, objective=objective, num_epochs=1)
    assert (tmp_path / "results" / "figure1.png").exists()
    assert (tmp_path / "results" / "information_plane.png").exists() == plane
    first, second = found[0]["members"]
    assert first["history"]["loss"] != second["history"]["loss"]
    assert ("residual_bits" in first["test"]) == plane
    assert ("| - |" in render(found)) == (not plane)  # no rate


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3..1", (1e-3, 1e-2, 1e-1, 1.0)),
        ("1e-4..1:3", (1e-4, 1e-2, 1.0)),
        ("0.5,1e-2..1e-1", (0.5, 1e-2, 1e-1)),
        ("1e-9..1", tuple(float(f"1e{power}") for power in range(-9, 1))),
    ],
)
def test_ranges_of_numbers(text, values):
    assert flags._NumberListParser().parse(text) == values


@pytest.mark.parametrize("text", ["1..0.1", "1e-3..", "a..b", "0..1", "1..10:1"])
def test_ranges_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="must be numbers with commas between"):
        flags._NumberListParser().parse(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": ()}, "--betas must not be empty"),
        ({"betas": (0.1, 0.1)}, "--betas must differ"),
        ({"num_seeds": 0}, "--num_seeds must be at least 1, got 0"),
        ({"latent_dims": (2, 2)}, "--latent_dims must differ"),
        ({"members_at_once": -2}, "--members_at_once must be at least -1, got -2"),
        ({"memory_gib": -1.0}, "--memory_gib must be at least 0"),
    ],
)
def test_bad_settings_are_refused_by_flag(settings, message):
    with pytest.raises(ValueError, match=message):
        CurveConfig(**settings)


def test_spread():
    assert spread([1.0, 3.0], "{:.1f} %") == "2.0 % ± 1.4"
    assert spread([], "{:.1f}") == "diverged"
