"""The attacks on VIB: what a record says, that runs go on where they stood, and the report from records."""

import dataclasses
import io
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.core import drawing, frames, pictures, records, render, runner
from experiments.core.attacks import AttackedModel, ModelAttacks
from experiments.core.records import Measurement
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.workdir import CHECKPOINTS, WorkdirError, write_config
from experiments.mnist_robustness import attack
from experiments.mnist_robustness import run as mnist_robustness
from experiments.mnist_robustness import zeros as zeros_of
from experiments.mnist_robustness.report import report
from experiments.mnist_robustness.settings import PRESETS, RobustnessConfig, Trial, trials
from ib_jax import AttackResult, DiagGaussian, attacks, data, evaluation, losses, training
from ib_jax.models import Classifier

STORED = pathlib.Path(__file__).parent / "records" / "mnist_robustness.json"
TINY = {
    "betas": (1e-2,), "num_seeds": 1, "num_epochs": 2, "fgsm_epsilons": (0.35,), "pgd_epsilons": (0.1, 0.3),
    "num_fgsm_images": 16, "num_attack_images": 12, "num_square_images": 10, "num_cw_images": 8, "num_queries": 3,
    "cw_steps": 4, "cw_binary_steps": 2, "num_eot_samples": 2, "num_cw_eot_samples": 2, "num_eval_samples": 3,
}  # fmt: skip
NAMES = ["cross_entropy_seed0", "dropout_seed0", "vib_beta0.01_seed0"]
FIGURES = {"figure3.png", "figure3_eot.png", "figure4.png", "figure5.png", "figure6.png", "figure_honest.png"}


def run(workdir, **settings):
    config = RobustnessConfig(workdir=str(workdir), **TINY | settings)
    return mnist_robustness.run(config, Session("mnist_robustness", console=Console(file=io.StringIO(), width=100)))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished comparison. Most of its time is compiling, so only one of the deterministic models is trained."""
    path = tmp_path_factory.mktemp("robustness")
    train, before = runner.train, jax.config.read("jax_disable_most_optimizations")

    def copy_or_train(recipe, folder, session, **settings):
        if recipe.config.objective != "vib" and (path / NAMES[0]).exists():
            own, its = pathlib.Path(folder), path / NAMES[0]
            shutil.copytree(its, own, ignore=shutil.ignore_patterns(CHECKPOINTS))
            write_config(own, recipe.config)
            with (
                training.Checkpoints(its / CHECKPOINTS, read_only=True) as trained,
                training.Checkpoints(own / CHECKPOINTS, settings=dataclasses.asdict(recipe.config)) as copied,
            ):
                copied.save(trained.restore(recipe.init()), score=0.0)
        return train(recipe, folder, session, **settings)

    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "train", copy_or_train)
        run(path)
    jax.config.update("jax_disable_most_optimizations", before)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_record_sums_up_its_answers(workdir, name):
    record = records.read(workdir / "results" / f"{name}.json")
    with np.load(workdir / "per_example" / f"{name}.npz") as file:
        arrays = dict(file)
    (model,), labels, right = record.models, arrays["labels"], arrays["right"]
    assert model.details["source"] == "cross_entropy_seed1"
    assert model.settings["num_epochs"] == 2
    assert (model.settings["objective"], model.settings["beta"]) == (
        ("vib" in name and ("vib", 1e-2)) or (name[:-6], None)
    )
    specs = attack.plan(RobustnessConfig(**TINY), stochastic="vib" in name)
    for spec in specs:
        at = spec.conditions() | ({"source": "cross_entropy"} if spec.source else {})
        answers = arrays[spec.label]
        values = model.values_at(split="test", **at | {"num_images": len(answers)})
        assert values["accuracy"] == pytest.approx(
            (answers == labels[: len(answers)])[right[: len(answers)]].sum() / len(answers)
        )
    together = [each for each in model.measurements if each.at.get("together")]
    for epsilon in (0.1, 0.3):
        shares = {each.at["attack"]: each.values["accuracy"] for each in together if each.at["epsilon"] == epsilon}
        assert shares["worst"] <= min(shares.values())
        assert {each.at["num_images"] for each in together} == {10}
    targeted = [each for each in model.measurements if each.at.get("targeted")]
    assert len(targeted) == (2 if "vib" in name else 1)
    for each in targeted:
        assert each.values["num_right"] == right[:8].sum() > 0
    zeros = model.details["zeros"]
    assert zeros["shape"] == [10, 8, 8]
    assert pictures.unpack(zeros["originals"], zeros["shape"]).max() <= 1.0
    assert [len(each["answers"]) for each in zeros["attacks"]] == [10] * len(targeted)


@pytest.mark.slow
def test_what_has_a_record_is_not_trained_or_attacked_again(workdir, monkeypatch):
    assert {path.name for path in (workdir / "results").iterdir()} >= FIGURES

    def refuse(*args, **kwargs):
        raise AssertionError("again")

    monkeypatch.setattr(runner, "fit", refuse)
    monkeypatch.setattr(attack.Measurer, "measure", refuse)
    monkeypatch.setattr(render, "write_report", lambda *args: None)
    assert run(workdir) == workdir / "results"
    # Without its record a model is attacked again, but not trained.
    with pytest.raises(AssertionError, match="again"):
        run(workdir, results=str(workdir / "elsewhere"))
    with pytest.raises(WorkdirError, match=r"cross_entropy_seed0.json was made with other settings"):
        run(workdir, num_queries=4)


def test_the_report_of_stored_records(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "DPI", 40)
    stored = records.read(STORED)
    images = np.linspace(0, 1, 2 * 4 * 4).reshape(2, 4, 4)
    attacked = {"pixels": pictures.pack(images), "answers": [1, 7], "l2": [0.5, 0.0]}
    zeros = {"shape": [2, 4, 4], "originals": pictures.pack(images / 2), "attacks": [attacked]}
    message = {"check": "black_box", "message": "square wins"}
    made = []
    for seed in (0, 1):
        own = [
            dataclasses.replace(model, seed=seed, details={"zeros": None if seed else zeros}) for model in stored.models
        ]
        own[1] = dataclasses.replace(own[1], findings=[message] * (1 + seed))
        made.append(dataclasses.replace(stored, models=own, file=f"seed{seed}"))
    paths = render.write(report(frames.frame(made), made), tmp_path)
    assert {path.name for path in paths} == FIGURES | {"table.md"}
    assert all((tmp_path / name).stat().st_size > 1000 for name in FIGURES)
    table = (tmp_path / "table.md").read_text()
    assert "| radius 0.1 | clean | FGSM, 1 sample | FGSM | PGD-20 | PGD-20, margin | PGD-40 | transfer |" in table
    assert "| deterministic | 98.5 ± 0.0 | 61.5 ± 0.0 | 61.5 ± 0.0 | 48.5 ± 0.0 |" in table
    assert table.count("| VIB, beta = 0.1 |") == 3  # one radius, Carlini-Wagner, warnings
    assert "| accuracy under FGSM, epsilon 0.35, deterministic, % | about 5 % |" in table
    assert "| VIB, beta = 0.1 | black_box | 2 of 2 | 3 | square wins |" in table
    assert "| deterministic | none |" in table


def test_the_models_and_their_settings():
    config = RobustnessConfig(betas=(1e-8, 0.1), num_seeds=2, workdir="w", dropout_rate=0.3)
    assert [trial.name for trial in trials(config)] == [
        "cross_entropy_seed0", "cross_entropy_seed1", "dropout_seed0", "dropout_seed1",
        "vib_beta1e-08_seed0", "vib_beta1e-08_seed1", "vib_beta0.1_seed0", "vib_beta0.1_seed1",
    ]  # fmt: skip
    assert [Trial("vib", 0.1, seed).source.seed for seed in range(3)] == [1, 0, 0]
    settings = Trial("vib", 1e-8, 1).settings(config)
    assert settings == {"objective": "vib", "beta": 1e-8, "seed": 1, "num_attack_images": 0}
    settings = Trial("dropout", None, 0).settings(config)
    assert settings == {"objective": "dropout", "dropout_rate": 0.3, "seed": 0, "num_attack_images": 0}


def test_a_deterministic_model_is_spared_what_would_change_nothing():
    noisy, quiet = (attack.plan(RobustnessConfig(), stochastic=stochastic) for stochastic in (True, False))
    assert {spec.num_eot_samples for spec in noisy} == {1, 10, 12}
    assert {spec.num_eot_samples for spec in quiet} == {1}
    theirs, ours = (spec for spec in noisy if spec.attack == "carlini_wagner")
    assert (theirs.options["confidence"], theirs.options["expectation_of"]) == (0.0, "probabilities")
    assert not {"confidence", "expectation_of"} & set(ours.options)  # the library's: a lead, and losses
    others = [spec for spec in noisy if spec != theirs]
    assert {re.sub(", 1[02] samples", "", spec.label) for spec in others} == {spec.label for spec in quiet}
    with pytest.raises(SettingError, match=r"--radius must be one of --pgd_epsilons, \(0.1, 0.2, 0.3\), got 0.15"):
        RobustnessConfig(radius=0.15)


@pytest.mark.parametrize("cw_targets", ["random", "all"])
def test_what_was_wrong_stands_nowhere_but_in_the_papers_number_under_a_targeted_attack(monkeypatch, cw_targets):
    count, num_classes, wrong = 4, 3, 2
    labels = np.array([2, 1, 0, 1], np.int32)
    moved = (0.25 + 0.25 * np.eye(num_classes)[labels]).astype(np.float32)[:, None, None]  # images are their logits
    images = moved.copy()
    images[wrong] = images[wrong, :, :, ::-1]  # answered 2, and right in `moved`

    def encode(params, inputs):
        flat = inputs.reshape(len(inputs), -1)
        return DiagGaussian(flat, jnp.full_like(flat, 1e-3))

    def every_attack(params, keys, inputs, labels, *args, **settings):
        answers = np.asarray(labels)
        made = (0.25 + 0.25 * np.eye(num_classes)[answers]).astype(np.float32)[:, None, None]
        return AttackResult(made, np.zeros(len(inputs), bool))

    monkeypatch.setattr(attacks, "Runner", lambda *args, **settings: every_attack)
    model = Classifier(None, encode, None, lambda params, codes: codes, lambda params: losses.standard_normal(3))
    config = RobustnessConfig(cw_targets=cw_targets, fgsm_epsilons=(0.35,), pgd_epsilons=(0.1,))
    test = data.Split(images, labels)
    suite = lambda own: attack.make_suite(config, model, test, stochastic=True)
    source = AttackedModel("cross_entropy", 1, True, True, lambda: jnp.zeros(()))
    measurer = attack.Measurer(
        config, ModelAttacks(suite, lambda own: source), data.Dataset("four", None, None, test, num_classes)
    )
    monkeypatch.setattr(evaluation.AttackSuite, "_model_findings", lambda *args: [])
    found = measurer.measure(
        AttackedModel("vib", 0, True, True, lambda: jnp.zeros(())), "cross_entropy", lambda *args: None
    )
    targeted = [row for row in found.measurements if row.at.get("targeted")]
    others = [row for row in found.measurements if row not in targeted]
    assert {row.values["accuracy"] for row in targeted} == {1.0}
    assert {row.values["accuracy"] for row in others} == {(count - 1) / count}
    assert len(targeted) == 2
    assert len(others) == 22
    times = 1 if cw_targets == "random" else num_classes - 1
    assert {row.at["num_images"] for row in targeted} == {count * times}
    assert {row.values["num_right"] for row in targeted} == {(count - 1) * times}
    for row in [*targeted, *(row for row in others if row.at["attack"] == "carlini_wagner")]:
        assert (row.values["success"], row.values["median_l2"]) == (0.0, np.inf)


def test_summaries():
    # The last was wrong before: at a distance of 0 it would make the attack look stronger.
    before = np.array([True, True, True, True, False])
    success = np.array([True, True, True, False, True])
    row = attack.minimal_values(np.array([1.0, 2.0, 9.0, 0.0, 0.0]), success, before)
    assert row == {"num_right": 4, "success": 0.75, "mean_l2": 4.0, "median_l2": 5.5}
    half = attack.minimal_values(np.array([1.0, 2.0]), np.array([True, False]), before[:2])
    assert half["median_l2"] == np.inf
    nothing = attack.minimal_values(np.zeros(1), np.ones(1, bool), np.zeros(1, bool))
    assert nothing.pop("num_right") == 0
    assert np.isnan(list(nothing.values())).all()
    images = np.linspace(0.0, 1.0, 2 * 3 * 4).reshape(2, 3, 4)
    np.testing.assert_allclose(pictures.unpack(pictures.pack(images), (2, 3, 4)), images, atol=0.5 / 255 + 1e-9)


@pytest.mark.parametrize("preset", ["quick", "compare"])
def test_the_digits_are_a_small_case_and_mnist_is_not(preset):
    small, large = (RobustnessConfig(**PRESETS[preset].on(dataset), preset=preset) for dataset in ("digits", "mnist"))
    assert (len(trials(small)), len(trials(large))) == (4, 20)
    assert (small.num_cw_images, large.num_cw_images) == (20, RobustnessConfig.num_cw_images)


def test_with_a_lead_the_papers_way_stands_beside_it(tmp_path):
    """In records made since searches ask for one; of a deterministic model there is one way."""
    stored, made = records.read(STORED), []
    for model in stored.models:
        rows = [each for each in model.measurements if each.at.get("attack") != "carlini_wagner"]
        for targeted in (False, True):
            at = {"split": "test", "attack": "carlini_wagner", "norm": "l2", "targeted": targeted, "num_images": 9}
            values = {"accuracy": 0.1, "success": 0.9, "median_l2": 1.5, "mean_l2": 1.4, "num_right": 9}
            many = {"num_eot_samples": 12 if model.name.startswith("vib") else 1}
            rows.append(Measurement(at | many, values))
            if model.name.startswith("vib"):
                theirs = {"num_eot_samples": 12, "confidence": 0.0, "expectation_of": "probabilities"}
                rows.append(Measurement(at | theirs, values | {"success": 0.2}))
        made.append(dataclasses.replace(model, measurements=rows, details={"zeros": None}))
    one = dataclasses.replace(stored, models=made, file="seed0")
    render.write(report(frames.frame([one]), [one]), tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "untargeted, 12 samples' mean softmax, confidence 0: success | untargeted, with a lead: success |" in table
    assert "| VIB, beta = 0.1 | 20.0 | 90.0 | 1.50 | 20.0 | 90.0 | 10.0 | 1.50 |" in table
    assert "| deterministic | 90.0 | 90.0 | 1.50 |" in table


def test_the_sizes_of_perturbations_are_those_of_the_successes():
    originals, images = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    images[0, 0], images[1, 0, 0], images[2] = (1.0, 0.2), 0.6, 1.0  # the last is no success
    attack = {"pixels": pictures.pack(images), "answers": [1, 1, 0], "l2": [0, 0, 0]}
    sizes = zeros_of.norms({"shape": [3, 2, 2], "originals": pictures.pack(originals), "attacks": [attack]})
    np.testing.assert_allclose(
        list(sizes.values()), [1.5, (np.hypot(1, 0.2) + 0.6) / 2, 0.8], rtol=1e-6
    )  # L0, L2, L-inf: 2 and 1 pixels
