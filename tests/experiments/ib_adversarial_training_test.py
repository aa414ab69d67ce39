"""A handful of images: models with and without an adversary, trained, recorded, found again and refused."""

import dataclasses

import numpy as np
import pytest
from absl import flags as absl_flags
from rich.console import Console

from experiments.core import drawing, flags, frames, records
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import WorkdirError
from experiments.ib_adversarial_training import load, recipe_of
from experiments.ib_adversarial_training import run as ib_run
from experiments.ib_adversarial_training.run import groups, run, source_of, specs_of
from experiments.ib_adversarial_training.settings import PRESETS, AdversarialConfig, AttackSettings, SweepSettings
from ib_jax import AttackResult, data
from ib_jax.evaluation import AttackPrograms, AttackSpec, AttackSuite

CLASSES = (AdversarialConfig, SweepSettings, AttackSettings)
TINY = AdversarialConfig(
    num_train_images=64, num_epochs=2, batch_size=16, scale_width=1 / 32, num_layers=1, latent_dim=4, num_eval_samples=2
)
SWEEP = SweepSettings(betas=(1e-3,), adversaries="none")
ATTACK = AttackSettings(
    num_attack_images=8, num_square_images=4, num_queries=4, num_cw_images=4, cw_steps=3, cw_binary_steps=2,
    pgd_steps=2, bim_steps=2, deepfool_steps=2, num_eot_samples=2,
    fgsm_epsilons=(0.1, 0.3), pgd_epsilons=(0.3,), honest_epsilons=(0.3,),
)  # fmt: skip
SESSION = Session("ib_adversarial_training", "python -m x", Console(quiet=True))


def noise(self, spec, params, key, inputs, labels, targets=None):
    """In place of the attacks, of which each takes seconds to compile."""
    rng = np.random.default_rng(len(inputs))
    moved = np.clip(inputs + (spec.epsilon or 0.5) * rng.choice([-1, 1], inputs.shape), 0, 1).astype(np.float32)
    return AttackResult(moved, np.zeros(len(inputs), bool))


def parse(*arguments):
    values = absl_flags.FlagValues()
    flags.define(*CLASSES, presets=PRESETS, flag_values=values)
    values(["program", *arguments])
    return flags.from_flags(*CLASSES, presets=PRESETS, flag_values=values)


class _Standing:
    settings = None

    def __init__(self, exists):
        self.exists = lambda: exists


def untrained(recipe, group, *args, **settings):
    """In place of training, which is tested with core: models as they begin."""
    summary = {"train": {"error_avg": 0.5}, "test": {"error_avg": 0.5}}
    return [
        TrainedModel(own, lambda own=own: recipe.init({"seed": own.seed}).params, summary, [], 1.0) for own in group
    ]


@pytest.mark.slow
def test_the_smallest_case_is_trained_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(AttackPrograms, "attack", noise)
    monkeypatch.setattr(AttackSuite, "_model_findings", lambda *args: [])
    results = run(dataclasses.replace(TINY, num_epochs=1, workdir=str(tmp_path)), SWEEP, ATTACK, SESSION)
    assert {path.suffix for path in results.iterdir()} == {".json", ".md", ".png"}
    for record in records.load(results):
        for split in ("train", "test"):
            values = record.models[0].values_at(split=split)
            assert 0 < values["error_avg"] < 1
            assert ("rate_bits" in values) == (record.settings["objective"] == "vib")


@pytest.mark.standard
def test_models_are_recorded_found_again_and_refused_with_other_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(AttackPrograms, "attack", noise)
    monkeypatch.setattr(AttackSuite, "_model_findings", lambda *args: [])
    monkeypatch.setattr(drawing, "draw", lambda *args: None)
    monkeypatch.setattr(ib_run, "train_population", untrained)
    config = dataclasses.replace(TINY, workdir=str(tmp_path))
    results = run(config, SWEEP, ATTACK, SESSION)
    made = {record.file: record for record in records.load(results)}
    assert set(made) == {"cross_entropy_seed0", "vib_beta0.001_seed0"}
    record = made["vib_beta0.001_seed0"]
    model = record.models[0]
    assert (record.command, model.name, model.seed) == ("python -m x", "vib_beta0.001", 0)
    assert record.details == {"num_train_images": 64, "num_attacked": 8}
    assert not {"workdir", "data_dir"} & set(record.settings)
    assert {"name": "num_attack_images", "ours": 8, "paper": 10_000} in record.departures
    attacked = [each for each in model.measurements if "attack" in each.at and "together" not in each.at]
    wanted = [spec.conditions() for spec in specs_of(ATTACK, stochastic=True)]
    for own, each in zip(wanted, attacked[1:], strict=True):  # after the clean images
        own |= {"source": "cross_entropy"} if "source" in own else {}
        assert own.items() <= each.at.items()
    assert all(0 <= each.values["accuracy"] <= 1 and each.values["rate_bits"] > 0 for each in attacked)
    part = frames.where(frames.frame([record]), together=True, epsilon=0.3)
    assert set(part["num_images"]) == {4}  # Square's
    assert part["value"].min() == part[part["attack"] == "worst"]["value"].item()
    assert not any("rate_bits" in each.values for each in made["cross_entropy_seed0"].models[0].measurements)
    # The rate on attacked images is the mean divergence from the prior.
    recipe, fgsm = recipe_of(TINY, load(TINY)), attacked[2]
    assert (fgsm.at["attack"], fgsm.at["epsilon"]) == ("fgsm", 0.3)
    inputs = np.asarray(data.to_unit_interval(recipe.dataset.test.inputs[:8]))
    moved = noise(None, AttackSpec("fgsm", 0.3), None, None, inputs, None).inputs
    mean, scale = map(np.asarray, recipe.model.encode(recipe.init({"seed": 0}).params, moved))
    expected = (0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).sum(-1).mean() / np.log(2)
    assert fgsm.values["rate_bits"] == pytest.approx(expected, rel=1e-5)

    table, before = (results / "table.md").read_text(), sorted(tmp_path.rglob("*"))
    assert ("IB, beta 0.001" in table, " [" in table) == (True, False)  # the paper's numbers are for other data
    monkeypatch.setattr(AttackPrograms, "attack", None)  # nothing is attacked again
    monkeypatch.setattr(Session, "publish", lambda *args: None)
    monkeypatch.setattr(ib_run, "train_population", None)  # nor trained, if only to be refused
    assert run(config, SWEEP, ATTACK, SESSION) == results
    for now, message in [
        ({"pgd_steps": 3}, "--pgd_steps: 2 there, 3 now"),
        ({"fgsm_epsilons": (0.1,)}, r"--fgsm_epsilons: \[0.1, 0.3\] there, \[0.1\] now"),
    ]:
        with pytest.raises(WorkdirError, match=message):
            run(config, SWEEP, dataclasses.replace(ATTACK, **now), SESSION)
    with pytest.raises(WorkdirError, match="--num_eval_samples: 2 there, 3 now"):
        run(dataclasses.replace(config, num_eval_samples=3), SWEEP, ATTACK, SESSION)
    assert sorted(tmp_path.rglob("*")) == before


def test_only_what_has_no_record_is_trained_and_what_its_images_are_made_on(tmp_path, monkeypatch):
    recorded, trained = [], []
    monkeypatch.setattr(ib_run, "_path", lambda results, sweep, member: _Standing(member in recorded))
    monkeypatch.setattr(records, "read", lambda path: path)
    monkeypatch.setattr(ib_run, "check_reuse", lambda *args, **settings: None)
    monkeypatch.setattr(ib_run, "train_groups", lambda groups, *args, **settings: trained.extend(groups))
    config, sweep = dataclasses.replace(TINY, workdir=str(tmp_path)), dataclasses.replace(SWEEP, adversaries="none,pgd")
    plain, plain_pgd, vib, vib_pgd = groups(config, sweep)
    recorded += vib + plain + plain_pgd
    assert run(config, sweep, ATTACK, SESSION) is None
    assert trained == [plain, vib_pgd]


def test_a_deterministic_model_is_spared_averages_but_sees_images_made_on_a_stochastic_one():
    specs = specs_of(ATTACK, stochastic=False)
    assert all(spec.num_eot_samples == (2 if spec.source else 1) for spec in specs)
    kinds = [(spec.attack, spec.epsilon, spec.loss, spec.source) for spec in specs]
    assert len(set(kinds)) == len(kinds) - 1  # Carlini-Wagner with one c, and with a search for it
    assert ("pgd", 0.3, "cross_entropy", "") in kinds  # once: with EOT it is the same


def test_groups_differ_in_beta_and_seed_alone_and_images_are_made_on_another_model():
    found = groups(TINY, SweepSettings(betas=(0.1, 0.01), adversaries="none,fgsm,pgd", num_seeds=3))
    assert [each.seed for each in groups(dataclasses.replace(TINY, seed=3), SWEEP)[0]] == [3]
    kinds = [(group[0].objective, group[0].adversary, len(group)) for group in found]
    assert kinds[:2] == [("cross_entropy", "none", 3), ("cross_entropy", "fgsm", 3)]
    assert kinds[2:] == [("vib", "none", 6), ("vib", "fgsm", 6), ("vib", "pgd", 6)]
    for group in found:
        assert len({dataclasses.replace(each, beta=1.0, seed=0) for each in group}) == 1
    every = [config for group in found for config in group]
    assert [source_of(config, every) for config in found[2][:3]] == found[0]
    assert [source_of(config, every).seed for config in found[0]] == [1, 0, 0]
    assert source_of(found[0][0], [config for config in every if config.seed == 0]).objective == "vib"


def test_flags_and_presets_give_settings():
    config, sweep, attack = parse("--preset=paper")
    assert (config.dataset, config.num_epochs, sweep.num_seeds, attack.num_queries) == ("mnist", 100, 3, 5000)
    config, sweep, attack = parse("--preset=small", "--dataset=cifar10", "--honest_epsilons=0.2", "--pgd_steps=5")
    assert (config.network, sweep.against, attack.cw_steps) == ("cnn_mlp", ("none", "fgsm"), 50)
    assert (attack.honest_epsilons, attack.pgd_steps) == ((0.2,), 5)


@pytest.mark.parametrize("argument, message", [
    ("--adversary_fraction=1.5", r"--adversary_fraction must be in \[0, 1\], got 1.5"),
    ("--consistency=1", "--adversary must be pgd with --consistency, got none"),
    ("--adversaries=fgsm,bim,none", "--adversaries must have none among the first two, got fgsm,bim,none"),
    ("--honest_epsilons=0.1,0.1", r"--honest_epsilons must differ, got \(0.1, 0.1\)"),
])  # fmt: skip
def test_settings_that_will_not_do_are_refused(argument, message):
    with pytest.raises(SettingError, match=message):
        parse(argument)
