"""The main job on the embedded digits, small, for every objective."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from experiments import mnist_vib
from experiments.core import drawing, flags, frames, records
from experiments.core.recipe import Recipe
from experiments.core.report import attack_label
from experiments.core.session import Session
from experiments.core.settings import recorded
from experiments.mnist_objectives.settings import CompareConfig
from experiments.mnist_vib import __main__ as program
from experiments.mnist_vib.report import changes
from experiments.mnist_vib.settings import OBJECTIVES, PRESETS, Config
from ib_jax.objectives import BOTTLENECKS
from tests.experiments.core import tiny

SMALL = Config(
    num_epochs=2, epochs_per_eval=1, hidden_width=16, latent_dim=2, num_attack_images=20, attack_steps=1,
    num_eval_samples=3, num_eot_samples=2, attack_epsilons=(), attack_l2_epsilons=(0.0, 1.0),
)  # fmt: skip
ALL_ATTACKS = {"attack_epsilons": (0.0, 0.2)}
ATTACKED = ("vib", "consistent_ceb", "cross_entropy")  # a sampled code, a decoder by Bayes' rule, and no noise


def run(workdir, **settings):
    text = io.StringIO()
    config = dataclasses.replace(SMALL, workdir=str(workdir), **settings)
    session = Session("mnist_vib", "a test", Console(file=text, width=100))
    return mnist_vib.train(config, session), text.getvalue()


def labels(numbers):
    """Of the attacks in a frame."""
    return [attack_label(at) for at in frames.distinct(numbers, "attack", "num_steps", "norm", "targeted") if at]


@pytest.mark.standard
def test_a_run_leaves_a_record_and_what_the_figures_are_drawn_from(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(drawing, "draw", lambda figure, frame, path: drawn.append(path.name))  # report_test draws them
    record, text = run(tmp_path)
    (model,), test = record.models, record.models[0].values_at(split="test")
    numbers = frames.frame([records.read(tmp_path / "results.json")])
    assert frames.per_seed(numbers, "error_avg", split="test")[0] == test["error_avg"]
    assert labels(numbers) == ["clean", "PGD-1 L2"]
    clean = frames.per_seed(numbers, "accuracy", attack="clean")
    assert frames.per_seed(numbers, "accuracy", attack="pgd", epsilon=0.0).equals(clean)
    assert all(part in text for part in ("PGD-1 L2", "error, 3 samples", "images/s"))
    assert record.environment["versions"]["jax"]
    assert not {"workdir", "data_dir"} & set(record.settings)
    bins = model.details["calibration_bins"]
    assert sum(bins["count"]) == 360
    gaps = np.abs(np.subtract(bins["accuracy"], bins["confidence"])) * bins["count"]
    np.testing.assert_allclose(gaps.sum() / 360, test["calibration_error"], rtol=1e-5)
    with np.load(tmp_path / "per_example.npz") as arrays:
        assert arrays["correct_avg"].shape == (360,)
        np.testing.assert_allclose(1 - arrays["correct_avg"].mean(), test["error_avg"])
    assert set(drawn) == {"training.png", "robustness.png", "latent_plane.png", "reliability.png"}


def test_a_row_says_in_what_it_differs_from_its_preset():
    tuned = Config(**PRESETS["tuned"].on("mnist"), preset="tuned", objective="vib", beta=1e-2)
    assert changes(recorded(tuned)) == ""
    own = dataclasses.replace(tuned, decay="cosine", num_validation=10_000, figures=False, dropout_rate=0.1)
    assert changes(recorded(own)) == "decay cosine, num validation 10000"  # no objective but dropout has a rate
    assert changes(recorded(dataclasses.replace(own, objective="dropout"))).split(", ")[1] == "dropout rate 0.1"
    old = {name: value for name, value in recorded(tuned).items() if name != "decay"}  # of before there was a choice
    assert changes(old) == ""


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_and_each_kind_is_attacked(tmp_path, objective):
    attacked = ALL_ATTACKS if objective in ATTACKED else {"num_attack_images": 0}
    record, _ = run(tmp_path, objective=objective, figures=False, **attacked)
    (model,), test = record.models, record.models[0].values_at(split="test")
    assert model.details["steps"] == 28
    assert ("rate_bits" in test) == (objective in BOTTLENECKS)
    assert ("residual_bits" in test) == (objective in ("ceb", "consistent_ceb"))
    if "residual_bits" in test:  # the marginal of ten classes costs at most their entropy
        assert -0.5 < test["rate_bits"] - test["residual_bits"] < np.log2(10) + 0.5
    epochs = {split: [model.values_at(split=split, epoch=epoch) for epoch in (1.0, 2.0)] for split in ("train", "test")}
    assert epochs["train"][1]["loss"] < epochs["train"][0]["loss"]
    np.testing.assert_allclose(epochs["test"][1]["error_avg"], test["error_avg"])
    if objective in ATTACKED:
        numbers = frames.frame([record])
        assert labels(numbers) == ["clean", "FGSM", "PGD-1", "PGD-1 targeted", "PGD-1 L2"]
        clean = frames.per_seed(numbers, "accuracy", attack="clean")
        assert frames.per_seed(numbers, "accuracy", attack="fgsm", epsilon=0.0).equals(clean)
    assert not list(tmp_path.glob("*.png"))


def test_attacks_are_those_with_a_radius():
    config = dataclasses.replace(SMALL, **ALL_ATTACKS)
    evaluator = mnist_vib.AttackEvaluator(Recipe(config, tiny.DATASET))
    assert [(attack_label(each.at), each.epsilons) for each in evaluator.attacks] == [
        ("FGSM EOT", (0.0, 0.2)),
        ("PGD-1 EOT", (0.0, 0.2)),
        ("PGD-1 EOT targeted", (0.0, 0.2)),
        ("PGD-1 EOT L2", (0.0, 1.0)),
    ]
    assert {each.at["num_images"] for each in evaluator.attacks} == {13}  # all that there are
    quiet = mnist_vib.AttackEvaluator(Recipe(dataclasses.replace(config, objective="dropout"), tiny.DATASET))
    assert {each.at["num_eot_samples"] for each in quiet.attacks} == {1}
    assert [each.make(0.5).settings.norm for each in evaluator.attacks] == ["linf", "linf", "linf", "l2"]


def test_one_of_many_is_the_recipes_but_for_its_own_settings():
    sweep = CompareConfig(preset="compare", dataset="mnist", workdir="w", num_epochs=3)
    session = Session("mnist_objectives", "all")
    config, its_session = mnist_vib.one_of_many(sweep, "a", session, objective="ceb", rho=2.0, seed=1)
    recipe = Config(**PRESETS["compare"].on("mnist") | {"num_epochs": 3}, preset="compare", workdir="w/a")
    own = {"objective": "ceb", "rho": 2.0, "seed": 1, "epochs_per_eval": 3, "figures": False}
    assert config == dataclasses.replace(recipe, **own)
    assert its_session.experiment == "mnist_vib"
    command = its_session.command.split()
    assert command[:5] == ["python", "-m", "experiments.mnist_vib", "--preset=compare", "--nofigures"]
    assert {"--dataset=mnist", "--objective=ceb", "--rho=2.0", "--seed=1", "--num_epochs=3"} <= set(command)
    config, _ = mnist_vib.one_of_many(CompareConfig(preset="quick"), "a", session)
    assert (config.dataset, config.num_epochs, config.epochs_per_eval) == ("digits", 300, 300)


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
    decays = (paper.decay_rate, paper.epochs_per_decay, paper.average_decay)
    assert (*decays, paper.num_eval_samples) == (0.97, 2, 0.999, 12)


def test_help_tells_the_papers_values():
    text = io.StringIO()
    flags.print_help(Config, doc=program.__doc__, console=Console(file=text, width=100), presets=PRESETS)
    for field in dataclasses.fields(Config):
        assert f"--{field.name} " in text.getvalue()
    assert "256 or 2" in text.getvalue()
    assert "--num_epochs=60 --learning_rate=0.0005" in text.getvalue()
