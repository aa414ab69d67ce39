"""Models with and without an adversary, trained, attacked and tabulated on a handful of images; what the rule says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.core import records
from experiments.core.app import Session
from experiments.core.attacks import measurements, suite_keys
from experiments.core.workdir import WorkdirError
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training import run as ib_adversarial_training
from experiments.ib_adversarial_training.attack import make_suite
from experiments.ib_adversarial_training.attack_settings import AttackSettings, plan
from experiments.ib_adversarial_training.recipe import load, recipe_of
from experiments.ib_adversarial_training.run import groups
from experiments.ib_adversarial_training.settings import PRESETS, AdversarialConfig, SweepSettings
from experiments.report import find
from ib_jax import AttackResult, data, training
from ib_jax.evaluation import AttackPrograms, AttackSuite

TINY = AdversarialConfig(
    num_train_images=64,
    num_epochs=2,
    batch_size=16,
    scale_width=1 / 32,
    num_layers=1,
    latent_dim=4,
    adversary_steps=2,
    num_eval_samples=2,
    eval_batch_size=512,
)
SWEEP = SweepSettings(betas=(1e-3,), adversaries="none,fgsm", num_seeds=2)
ATTACK = AttackSettings(
    num_attack_images=8,
    num_square_images=4,
    num_queries=4,
    num_cw_images=4,
    cw_steps=3,
    cw_binary_steps=2,
    pgd_steps=2,
    bim_steps=2,
    deepfool_steps=2,
    num_eot_samples=2,
    pgd_epsilons=(0.2, 0.3),
    honest_epsilons=(0.1, 0.3),
)


def noise(self, spec, params, key, inputs, labels, targets=None):
    """In place of the attacks, of which each takes seconds to compile."""
    rng = np.random.default_rng(len(inputs))
    moved = np.clip(inputs + (spec.epsilon or 0.5) * rng.choice([-1, 1], inputs.shape), 0, 1).astype(np.float32)
    return AttackResult(moved, np.zeros(len(inputs), bool))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("ib_adversarial_training")
    config = dataclasses.replace(TINY, workdir=str(workdir))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AttackPrograms, "attack", noise)
        results = ib_adversarial_training.run(
            config, SWEEP, ATTACK, Session(console=Console(quiet=True), command="python -m x")
        )
    return workdir, results


@pytest.mark.slow
def test_every_attack_of_the_plan_runs(tmp_path):
    config = dataclasses.replace(TINY, workdir=str(tmp_path))
    sweep = dataclasses.replace(SWEEP, num_seeds=1)
    results = ib_adversarial_training.run(config, sweep, ATTACK, Session(console=Console(quiet=True)))
    assert len(list(results.glob("*.json"))) == 4


@pytest.mark.parametrize("stochastic", [True, False])
def test_the_plan_names_every_attack_once_and_its_samples(stochastic):
    steps = plan(ATTACK, stochastic=stochastic)
    assert len(set(steps.values())) == len(steps)
    for spec, step in steps.items():
        assert spec.is_minimal == (step.attack in names.MINIMAL)
        assert spec.epsilon == step.epsilon
        averaged = step.attack in (names.CW_EOT, *names.BESIDE) and (stochastic or step.attack == names.TRANSFER)
        assert spec.num_eot_samples == (2 if averaged else 1), step


@pytest.mark.slow
def test_every_model_has_a_record_with_every_attack(folder):
    _, results = folder
    found = {record.file: record for record in records.load(results)}
    assert set(found) == {
        f"{kind}{against}_seed{seed}"
        for kind in ("cross_entropy", "vib_beta0.001")
        for against in ("", "_fgsm0.3")
        for seed in (0, 1)
    }
    record = found["vib_beta0.001_fgsm0.3_seed1"]
    (model,) = record.models
    assert (record.command, model.name, model.seed) == ("python -m x", "vib_beta0.001_fgsm0.3", 1)
    assert record.details == {"num_train_images": 64, "num_attacked": 8}
    assert not {"workdir", "data_dir"} & set(record.settings)
    assert {"name": "num_attack_images", "ours": 8, "paper": 10_000} in record.departures
    attacked = [each for each in model.measurements if "attack" in each.at and "together" not in each.at]
    conditions = [spec.conditions() for spec in plan(ATTACK, stochastic=True)]
    assert [each.at["attack"] for each in attacked] == ["clean", *(own["attack"] for own in conditions)]
    for own, each in zip(conditions, attacked[1:], strict=True):
        own = own | ({"source": "cross_entropy"} if "source" in own else {})
        assert own.items() <= each.at.items() | {("num_images", own.get("num_images"))}
    assert all(0 <= each.values["accuracy"] <= 1 and each.values["rate_bits"] > 0 for each in attacked)
    numbers = records.where(records.frame([record]), together=True)
    assert set(numbers["num_images"]) == {4}  # Square's
    assert [epsilon for (epsilon,), _ in records.groups(numbers, "epsilon")] == [0.1, 0.3]
    for _, part in records.groups(numbers, "epsilon"):
        assert part["value"].min() == part[part["attack"] == "worst"]["value"].item()


@pytest.mark.slow
def test_a_deterministic_model_has_no_rate_and_is_spared_averages(folder):
    model = records.read(folder[1] / "cross_entropy_seed0.json").models[0]
    attacked = [each for each in model.measurements if "attack" in each.at and "together" not in each.at]
    assert not any("rate_bits" in each.values for each in attacked)
    own = [each.at for each in attacked if "source" not in each.at]
    assert {at.get("num_eot_samples", 1) for at in own} == {1}
    pgd = [at["epsilon"] for at in own if at["attack"] == "pgd" and at["loss"] == "cross_entropy"]
    assert sorted(pgd) == [0.1, 0.2, 0.3]  # once each: with EOT it is the same


@pytest.mark.slow
def test_a_second_call_trains_and_attacks_nothing_and_gives_the_same_table(folder, monkeypatch):
    workdir, results = folder
    table = (results / "table.md").read_text()
    assert "IB + FGSM, beta 0.001" in table
    assert (results / "figure.png").stat().st_size > 10_000
    monkeypatch.setattr(training, "fit", None)
    monkeypatch.setattr(AttackSuite, "evaluate", None)
    config = dataclasses.replace(TINY, workdir=str(workdir))
    ib_adversarial_training.run(config, SWEEP, ATTACK, Session(console=Console(quiet=True)))
    assert (results / "table.md").read_text() == table


@pytest.mark.slow
def test_other_settings_are_refused_and_nothing_is_written(folder):
    workdir, _ = folder
    before = sorted(workdir.rglob("*"))
    config = dataclasses.replace(TINY, workdir=str(workdir), adversary_epsilon=0.2)
    with pytest.raises(WorkdirError, match=r"--adversary_epsilon: 0\.3 there, 0\.2 now"):
        ib_adversarial_training.run(config, SWEEP, ATTACK, Session(console=Console(quiet=True)))
    assert sorted(workdir.rglob("*")) == before


@pytest.mark.slow
def test_the_adversary_decides_what_is_trained():
    dataset = load(TINY)
    losses_of = {}
    for adversary in ("none", "fgsm", "bim", "pgd"):
        recipe = recipe_of(dataclasses.replace(TINY, adversary=adversary), dataset)
        state = recipe.init()
        batch = training.Batch(data.to_unit_interval(dataset.train.inputs[:16]), jnp.asarray(dataset.train.labels[:16]))
        _, metrics = jax.jit(recipe.step(None))(state, batch, jax.random.key(0))
        losses_of[adversary] = float(metrics["loss"])
    assert len(set(losses_of.values())) == 4


@pytest.mark.standard
def test_the_rate_on_attacked_images_is_the_mean_divergence_from_the_prior():
    recipe = recipe_of(TINY, load(TINY))
    params = recipe.model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    suite = make_suite(ATTACK, recipe, [names.FGSM])
    result = suite.evaluate(params, suite_keys(0), keep_images=True)
    row = measurements(result, in_bits=("rate",))[2]  # after the clean images and radius 0.1
    images = result.rows[1].images
    assert (row["at"]["attack"], row["at"]["epsilon"]) == ("fgsm", 0.3)
    mean, scale = map(np.asarray, recipe.model.encode(params, images))
    expected = (0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).sum(-1).mean() / np.log(2)
    assert row["values"]["rate_bits"] == pytest.approx(expected, rel=1e-5)


def test_groups_differ_in_beta_and_seed_alone():
    sweep = SweepSettings(betas=(0.1, 0.01), adversaries="none,fgsm,pgd", num_seeds=3)
    found = groups(TINY, sweep)
    kinds = [(group[0].objective, group[0].adversary, len(group)) for group in found]
    assert kinds == [
        ("cross_entropy", "none", 3),
        ("cross_entropy", "fgsm", 3),
        ("vib", "none", 6),
        ("vib", "fgsm", 6),
        ("vib", "pgd", 6),
    ]
    for group in found:
        assert len({dataclasses.replace(each, beta=1.0, seed=0) for each in group}) == 1


@pytest.mark.parametrize("name", ["quick", "small", "paper"])
@pytest.mark.parametrize("dataset", ["digits", "mnist", "cifar10"])
def test_presets_fit_the_settings(name, dataset):
    values, fields = PRESETS[name].on(dataset), set()
    for kind in (AdversarialConfig, SweepSettings, AttackSettings):
        own = {field.name for field in dataclasses.fields(kind)}
        kind(**{key: value for key, value in values.items() if key in own})
        fields |= own
    assert set(values) <= fields


@pytest.mark.parametrize(
    "kind, settings, message",
    [
        (AdversarialConfig, {"adversary_fraction": 1.5}, r"--adversary_fraction must be in \[0, 1\], got 1.5"),
        (AdversarialConfig, {"consistency": 1.0}, "--adversary must be pgd with --consistency, got none"),
        (AdversarialConfig, {"scale_width": 0.0}, "--scale_width must be positive, got 0"),
        (AdversarialConfig, {"num_epochs": 0}, "--num_epochs must be at least 1"),
        (SweepSettings, {"adversaries": "none,cw"}, "--adversaries must be of none, fgsm, bim, pgd, got cw"),
        (SweepSettings, {"betas": (0.0,)}, "--betas must each be positive"),
        (AttackSettings, {"honest_epsilons": ()}, "--honest_epsilons must not be empty"),
        (AttackSettings, {"pgd_steps": 0}, "--pgd_steps must be at least 1, got 0"),
    ],
)
def test_settings_that_will_not_do_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.standard
def test_consistency_trains_on_pairs():
    config = dataclasses.replace(TINY, adversary="pgd", consistency=2.0)
    dataset = load(config)
    recipe = recipe_of(config, dataset)
    batch = training.Batch(data.to_unit_interval(dataset.train.inputs[:16]), jnp.asarray(dataset.train.labels[:16]))
    state, metrics = jax.jit(recipe.step(None))(recipe.init(), batch, jax.random.key(0))
    assert float(metrics["loss"]) > float(metrics["distortion"] + config.beta * metrics["rate"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


@pytest.mark.slow
def test_a_table_shows_the_papers_numbers_for_its_data_set_alone(folder):
    table = (folder[1] / "table.md").read_text()
    assert "paper's" in table
    assert " [" not in table


def test_an_empty_folder_says_what_to_run(tmp_path):
    with pytest.raises(records.RecordError, match=r"run python -m experiments\.ib_adversarial_training first"):
        find.make("ib_adversarial_training", tmp_path)
