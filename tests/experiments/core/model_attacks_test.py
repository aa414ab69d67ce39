"""An experiment's models under attack, on a linear model: whose keys, whose images, and which rows a record has."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.core import attacks
from experiments.core.attacks import SOURCE, AttackedModel, ModelAttacks
from experiments.core.keys import stream
from experiments.core.trained_model import TrainedModel
from ib_jax import attacks as library
from ib_jax import evaluation, losses
from ib_jax.evaluation import AttackSpec, AttackSuite

RNG = np.random.default_rng(0)
INPUTS = RNG.uniform(0.2, 0.8, (20, 3)).astype(np.float32)
LABELS = INPUTS.argmax(-1)
SPECS = [
    AttackSpec("pgd", 0.1, num_steps=2),
    AttackSpec("pgd", 0.1, num_steps=2, source=SOURCE),
    AttackSpec("fgsm", 0.1, targeted=True, num_images=8),
    AttackSpec("deepfool", num_steps=3),
]
LOADED = []


def apply_fn(weight, keys, inputs):
    return inputs @ weight


def model(name, seed, scale=1.0, structure="linear"):
    def load():
        LOADED.append((name, seed))
        return scale * jnp.eye(3) + 0.3 * jax.random.normal(jax.random.key(seed), (3, 3))

    return AttackedModel(name, seed, structure, False, load)


def make_suite(of):
    targets = attacks.random_targets(LABELS, 3)
    return AttackSuite(
        SPECS, apply_fn, INPUTS, LABELS, targets=targets, num_eval_samples=1,
        measures={"rate": lambda weight, images: images.sum(-1)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def attacked():
    models = [model("plain", 0), model("vib", 0), model("vib", 1)]
    lab = ModelAttacks(make_suite, lambda own: models[0] if own.name == "vib" else models[1])
    return models, lab, [lab.attack(own) for own in models]


def test_each_model_is_loaded_once_and_models_of_one_structure_share_a_suite(attacked):
    models, lab, _ = attacked
    assert sorted(LOADED) == [("plain", 0), ("vib", 0), ("vib", 1)]
    assert len({id(lab.suite(own)) for own in models}) == 1
    assert lab.work(models[:1]) == 20 * 2 + 20 * 1 + 8 * 1 + 20 * 3 * 2.5
    assert AttackSpec("pgd", 0.1, num_steps=2, num_eot_samples=12).passes == 2  # z is drawn after the encoder's pass


def test_noise_is_that_of_the_models_streams_and_images_are_made_by_the_sources(attacked):
    models, lab, results = attacked
    keys = losses.per_example_keys(stream(1, "attack"), 20)
    run = library.Runner(library.pgd(0.1, num_steps=2), apply_fn)
    own = run(lab.params(models[2]), keys, jnp.asarray(INPUTS), jnp.asarray(LABELS)).inputs
    answers = np.asarray(own @ lab.params(models[2])).argmax(-1)
    np.testing.assert_array_equal(results[2].rows[0].answers, answers)
    made = run(lab.params(models[0]), stream(0, "attack"), jnp.asarray(INPUTS), jnp.asarray(LABELS)).inputs
    answers = np.asarray(made @ lab.params(models[2])).argmax(-1)
    np.testing.assert_array_equal(results[2].rows[1].answers, answers)


def test_rows_name_the_source_and_what_was_measured(attacked):
    *_, results = attacked
    rows = attacks.measurements(results[2], source="plain", radii=[("linf", 0.1)], in_bits=["rate"])
    clean, pgd, transfer, targeted, deepfool = rows[:5]
    assert clean["at"] == {"split": "test", "attack": "clean", "num_images": 20}
    assert clean["values"]["rate_bits"] == pytest.approx(float(INPUTS.sum(-1).mean() / np.log(2)))
    assert pgd["at"]["attack"] == transfer["at"]["attack"] == "pgd"
    assert ("source" in pgd["at"], transfer["at"]["source"]) == (False, "plain")
    assert (targeted["at"]["targeted"], targeted["at"]["num_images"]) == (True, 8)
    assert deepfool["values"]["median_l2"] == results[2].rows[3].median_distance
    together = {row["at"]["attack"]: row for row in rows[5:] if "source" not in row["at"]}
    assert set(together) == {"clean", "pgd", "fgsm", "worst"}
    assert all(row["at"]["together"] and row["at"]["num_images"] == 8 for row in rows[5:])
    stands = np.all([row.stands[:8] for row in results[2].rows[:3]], axis=0)
    assert together["worst"]["values"]["accuracy"] == stands.mean()
    every = [value for row in rows for value in row["at"].values()]
    assert all(isinstance(value, str | bool | int | float) for value in every)


def test_targets_are_never_the_label_and_the_same_for_every_model():
    targets = attacks.random_targets(LABELS, 3)
    assert (targets != LABELS).all()
    np.testing.assert_array_equal(targets, attacks.random_targets(jnp.asarray(LABELS), 3))


def test_findings_are_plain():
    found = evaluation.Finding("search", "a message", {"share": 0.5})
    result = evaluation.SuiteResult(None, None, {}, [], [found], 0.0)
    assert attacks.findings(result) == [{"check": "search", "message": "a message", "evidence": {"share": 0.5}}]


def test_trained_models_are_attacked_in_turn_with_images_of_their_sources():
    def trained(name, seed):
        settings = types.SimpleNamespace(name=name, seed=seed, stochastic=False)
        return TrainedModel(settings, lambda: jnp.eye(3), {}, [], 0.0)

    models = [trained("plain", 0), trained("vib", 0), trained("vib", 1)]
    suite = AttackSuite(SPECS[:2], apply_fn, INPUTS, LABELS, num_eval_samples=1)
    sources = {"vib": models[0].settings, "plain": models[1].settings}
    made = attacks.attack_trained(
        models, lambda own: suite, lambda own: sources[own.name], Console(quiet=True), waiting=models[:2]
    )
    assert [(own, len(result.rows), source) for own, result, source in made] == [
        (models[0], 2, "vib"), (models[1], 2, "plain"),
    ]  # fmt: skip


def test_attacked_images_are_exported_if_wanted(attacked, tmp_path):
    models, _, results = attacked
    lab = ModelAttacks(make_suite, lambda own: models[0], str(tmp_path))
    found = lab.attack(models[1])
    manifest = json.loads((tmp_path / "vib" / "seed0" / "manifest.json").read_bytes())
    assert [row["accuracy"] for row in manifest["attacks"]] == [row.accuracy for row in found.rows]
    assert [row.accuracy for row in found.rows] == [
        row.accuracy for row in results[1].rows
    ]  # the same with images kept
