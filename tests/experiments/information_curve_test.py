"""The information curve on the digits, small: every member is the model that `mnist_vib` trains alone."""

import dataclasses
import io
import pathlib

import numpy as np
import pytest
from rich.console import Console

from experiments import mnist_vib
from experiments.core import drawing, frames, records, render
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.workdir import WorkdirError
from experiments.information_curve import run as information_curve
from experiments.information_curve.knee import Knee, find_knee, in_words
from experiments.information_curve.report import nothing_to_gain, report
from experiments.information_curve.settings import CurveConfig, member_settings
from experiments.mnist_vib import Config
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
        curve, config, Session("information_curve", "a test", Console(file=text, width=150))
    ), text.getvalue()


def train_alone(workdir, **settings):
    config = dataclasses.replace(SMALL, workdir=str(workdir), figures=False, **settings)
    return mnist_vib.train(config, Session("mnist_vib", console=Console(file=io.StringIO()))).models[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curve")
    return folder, *run(folder)


@pytest.mark.slow
def test_every_member_is_the_model_trained_alone(whole, tmp_path):
    _, found, _ = whole
    assert [record.settings["latent_dim"] for record in found] == [4, 2]
    members = found[0].models
    pairs = [(beta, seed) for beta in (1e-3, 1.0, 1e38) for seed in (0, 1)]
    assert [(member.settings["beta"], member.seed) for member in members] == pairs
    alone = train_alone(tmp_path, latent_dim=4, seed=1)
    member, history = members[1], members[1].details["history"]
    for split in ("train", "test"):
        for name, value in alone.values_at(split=split).items():
            own = member.values_at(split=split)[name]
            np.testing.assert_allclose(own, value, rtol=1e-3, atol=3e-3, err_msg=name)
    trained = [alone.values_at(split="train", epoch=epoch) for epoch in (1.0, 2.0)]
    for name in trained[0]:
        np.testing.assert_allclose(history[name], [row[name] for row in trained], rtol=1e-3, err_msg=name)
    assert members[2].values_at(split="test")["rate_bits"] < members[0].values_at(split="test")["rate_bits"]


@pytest.mark.slow
def test_every_member_is_attacked_as_alone(tmp_path):
    curve = CurveConfig(betas=(1e-3, 1.0), latent_dims=(2,))
    (record,), _ = run(tmp_path / "curve", curve, num_attack_images=20)
    alone = train_alone(tmp_path / "alone", latent_dim=2, encoder_scale="full", num_attack_images=20)
    attacked = [each for each in alone.measurements if "attack" in each.at]
    assert [each.at["attack"] for each in attacked] == ["clean", "pgd", "pgd"]  # two radii
    for each in attacked:
        own = record.models[0].values_at(**each.at)["accuracy"]
        np.testing.assert_allclose(own, each.values["accuracy"], atol=0.051)  # an image of 20
    assert "PGD-2 L2, 1" in (tmp_path / "curve" / "results" / "table.md").read_text()  # not the radius 0


@pytest.mark.slow
def test_records_table_and_figures_are_left_and_say_what_was_done(whole):
    folder, _, text = whole
    results = folder / "results"
    found = records.load(results)
    assert [record.file for record in found] == ["K2", "K4"]
    for record in found:
        assert len(record.models) == 6
        assert record.details["steps"] == 28
        assert "in one program" in record.details["plan"]
        assert record.environment["versions"]["jax"]
        assert "workdir" not in record.settings
    assert {path.name for path in results.iterdir()} == {
        "K4.json", "K2.json", "table.md", "figure1.png", "figure2.png", "information_plane.png",
    }  # fmt: skip
    table = (results / "table.md").read_text()
    assert table.index("## K = 4") < table.index("## K = 2")
    errors = [100 * model.values_at(split="test")["error_avg"] for model in found[1].models[:2]]
    assert f"{np.mean(errors):.2f} ± {np.std(errors, ddof=1):.2f} %" in table
    assert "6 members on 1 device, 6 on each, in one program" in text.replace("\n", " ")


@pytest.mark.slow
def test_a_member_that_diverges_is_reported_and_the_others_are_there(whole):
    folder, found, _ = whole
    members = found[1].models
    assert [member.details["diverged_at"] for member in members] == [-1, -1, -1, -1, 1, 1]
    table = (folder / "results" / "table.md").read_text()
    assert "beta = 1e+38, seed 0 diverged at step 1;" in table
    assert "| 1e+38, diverged | - |" in table
    assert members[4].details["history"]["loss"] == [None, None]
    assert np.isfinite(members[3].details["history"]["loss"]).all()


def test_at_beta_1_the_loss_is_told_against_that_of_codes_that_say_nothing():
    values = [Measurement({"split": "test"}, {"rate_bits": 0.5, "information_zy_bits": bits}) for bits in (0.375, 0.1)]
    models = [Model(f"m{beta}", 0, [each], {"beta": beta}) for beta, each in zip((1.0, 0.1), values, strict=True)]
    frame = frames.frame([Record("x", "", {"latent_dim": 2}, models)])
    (text,) = nothing_to_gain(frame)
    assert "by at least 0.125 bits with K = 2 (" in text.text
    assert nothing_to_gain(frames.where(frame, beta=0.1)) == []


def curve_frame(*rows):
    """(beta, seed, rate, I(Z;Y), error) of each model."""
    names = ("rate_bits", "information_zy_bits", "error_avg")
    models = [
        Model(
            f"beta{beta:g}",
            seed,
            [Measurement({"split": "test"}, dict(zip(names, numbers, strict=True)))],
            {"beta": beta},
        )
        for beta, seed, *numbers in rows
    ]
    return frames.frame([Record("x", "", {}, models)])


def test_the_knee_is_the_strongest_bottleneck_that_tells_as_much_of_the_label():
    rows = [(1e-3, 0, 40.0, 3.0, 0.02), (1e-2, 0, 10.0, 2.98, 0.02), (1e-1, 0, 4.0, 2.5, 0.1), (1.0, 0, 0.0, 0.0, 0.9)]
    knee = find_knee(curve_frame(*rows))
    assert knee == Knee(1e-2, 10.0, 2.98, 0.02, 3.0, 40.0, (1e-1, 2.5))  # 0.02 is less than a hundredth of 3
    text = in_words(knee, 2, 3.32)
    assert "the knee is at beta = 0.01" in text
    assert "at beta = 0.1 2.50 bits are left" in text
    noisy = find_knee(curve_frame(*rows[1:], (1e-3, 0, 40.0, 3.6, 0.02), (1e-3, 1, 40.0, 2.4, 0.02)))
    assert noisy.beta == 1e-1  # one standard error of 3.0 is 0.6
    open_end = find_knee(curve_frame(*rows[:2]))
    assert "may lie at a larger beta" in in_words(open_end, 2, 3.32)
    assert find_knee(curve_frame(rows[0])) is None


def test_the_report_of_a_stored_record(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "DPI", 40)
    found = [records.read(pathlib.Path(__file__).parent / "records" / "information_curve.json")]
    made = report(frames.frame(found), found)
    render.write(made, tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "| 0.001 | 3.49 % [3.18] | 3.56 % [3.24] | 0.43 % | 175.44 | 2.933 | 18.4 % | 4.7 % |" in table
    assert "| 1, diverged | \\- [33.82] |" in table
    assert "Left out: beta = 1, seed 0 diverged at step 7." in table
    assert [(each.item, each.paper) for each in made.headlines] == [("test error at beta = 0.001, K = 2", 3.18)]
    for name in ("figure1.png", "information_plane.png"):
        assert (tmp_path / name).stat().st_size > 1000


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
    for own, other in zip(resumed[0].models, found[0].models, strict=True):
        assert (own.name, own.seed, own.details["diverged_at"]) == (
            other.name,
            other.seed,
            other.details["diverged_at"],
        )
        expected, got = (np.array(member.details["history"]["loss"], float) for member in (other, own))
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
    (record,), _ = run(tmp_path, curve, objective=objective, num_epochs=1)
    assert (tmp_path / "results" / "figure1.png").exists()
    assert (tmp_path / "results" / "information_plane.png").exists() == plane
    first, second = record.models
    assert first.details["history"]["loss"] != second.details["history"]["loss"]
    assert ("residual_bits" in first.values_at(split="test")) == plane
    assert ("% | - |" in (tmp_path / "results" / "table.md").read_text()) == (not plane)  # no rate


@pytest.mark.slow
def test_models_trained_alone_have_a_record_each_and_a_later_run_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    curve = CurveConfig(betas=(1e-3, 1.0), num_seeds=2, latent_dims=(2,), alone=True)
    found, _ = run(tmp_path, curve)
    assert [record.file for record in found] == [
        "K2_vib_beta0.001_seed0", "K2_vib_beta1_seed0", "K2_vib_beta0.001_seed1", "K2_vib_beta1_seed1",
    ]  # fmt: skip
    first, last = found[0], found[-1]
    assert first.settings["encoder_scale"] == "full"
    assert len(first.models[0].details["codes"]["cholesky"]) == 360
    assert np.abs(np.array(first.models[0].details["codes"]["cholesky"])[:, 1]).max() > 0  # tilted
    assert "codes" not in last.models[0].details  # of the first seed alone
    assert not {"beta", "encoder_scale"} & {each["name"] for each in first.departures}
    table = (tmp_path / "results" / "table.md").read_text()
    assert "K = 2, full covariance" in table
    assert "figure2.png" in table
    (tmp_path / "results" / "K2_vib_beta1_seed0.json").unlink()
    trained = []
    real = information_curve.runner.train
    monkeypatch.setattr(
        information_curve.runner, "train", lambda *args, **own: trained.append(own["title"]) or real(*args, **own)
    )
    again, _ = run(tmp_path, curve)
    assert trained == ["K2_vib_beta1_seed0"]
    assert again[1].models[0].values_at(split="test") == found[1].models[0].values_at(split="test")
    with pytest.raises(WorkdirError, match=r"--encoder_scale: full there, learned now"):
        run(tmp_path, dataclasses.replace(curve, full_covariance=False))
