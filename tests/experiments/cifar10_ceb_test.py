"""CEB on images end to end, tiny: alone and as a population, attacked, in table and figures; and what is refused."""

import dataclasses
import json
import types

import numpy as np
import pytest
from rich.console import Console

from experiments.cifar10_ceb import run as cifar10_ceb
from experiments.cifar10_ceb import table as cifar10_ceb_table
from experiments.cifar10_ceb.settings import PRESETS, Cifar10Config, SweepSettings
from experiments.cifar10_ceb.settings import scaled as scaled_by_flags
from experiments.core import image_attacks_config as names
from experiments.core.image_attacks_config import AttackSettings
from ib_jax import data, training

QUIET = Console(quiet=True)
RNG = np.random.default_rng(0)


def split(count):
    labels = RNG.integers(0, 3, count).astype(np.int32)
    images = RNG.integers(0, 100, (count, 8, 8, 3)) + 50 * labels[:, None, None, None]
    return data.Split(images.astype(np.uint8), labels)


DATASET = data.Dataset("cifar10", split(24), None, split(10), 3)
TINY = Cifar10Config(
    **PRESETS["small"].values
    | {"width": 1, "num_epochs": 2, "batch_size": 8, "steps_per_call": 0, "augment": "flip_crop"},
    num_eval_samples=2,
    eval_batch_size=10,
)
ATTACK = AttackSettings(
    linf_epsilons=(8.0,),
    l2_epsilons=(64.0, 128.0),
    pgd_steps=2,
    num_eot_samples=2,
    num_attack_images=4,
    num_square_images=4,
    num_queries=3,
    attack_batch_size=4,
    num_corrupted_images=0,
)


@pytest.fixture(autouse=True)
def tiny_images(monkeypatch):
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: DATASET)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Cross-entropy and CEB at two rhos: the second pair as a population."""
    folder = tmp_path_factory.mktemp("ceb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *args, **kwargs: DATASET)
        config = dataclasses.replace(TINY, workdir=str(folder))
        results = cifar10_ceb.run(config, SweepSettings(rhos=(2.0, 5.0)), ATTACK, QUIET, command="python -m x")
    return folder, results


@pytest.mark.slow
def test_every_model_has_a_record_of_every_attack(finished):
    _, results = finished
    found = {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}
    assert set(found) == {"cross_entropy_seed0", "ceb_rho2_seed0", "ceb_rho5_seed0"}
    for name, record in found.items():
        kinds = {row["attack"] for row in record["attacks"]}
        wanted = {names.PGD, names.TARGETED, names.MARGIN, names.LONG, names.TRANSFER, names.SQUARE, names.WHOLE_RANGE}
        assert kinds == wanted | ({names.EOT} if name.startswith("ceb") else set())
        at_radius = record["at_radius"]["accuracy"]
        assert at_radius[names.WORST] <= min(at_radius.values())
        assert record["source"] == ("ceb_rho2" if name.startswith("cross") else "cross_entropy")
        assert str(results.parent) not in json.dumps(record)  # nothing of this machine
    assert {path.name for path in results.iterdir()} >= {"table.md", "figure1.png", "figure2.png"}


@pytest.mark.slow
def test_what_is_done_is_not_done_again(finished, monkeypatch):
    folder, results = finished
    before = {path: path.read_bytes() for path in results.glob("*.json")}
    config = dataclasses.replace(TINY, workdir=str(folder))
    monkeypatch.setattr(training, "fit", lambda *args, **kwargs: pytest.fail("trained again"))
    assert cifar10_ceb.run(config, SweepSettings(rhos=(2.0, 5.0)), ATTACK, QUIET) == results
    assert {path: path.read_bytes() for path in results.glob("*.json")} == before
    other = dataclasses.replace(config, learning_rate=0.01)
    with pytest.raises(ValueError, match=r"--learning_rate: 0\.001 there, 0\.01 now"):
        cifar10_ceb.run(other, SweepSettings(rhos=(2.0, 5.0)), ATTACK, QUIET)


def record(objective, rho, accuracies, seed=0):
    rows = [
        {"attack": names.PGD, "norm": norm, "epsilon": epsilon, "accuracy": value, "num_images": 9, "seconds": 1.0}
        for norm, epsilon, value in zip(("linf", "l2", "l2"), (8.0, 64.0, 128.0), accuracies, strict=True)
    ]
    config = dataclasses.asdict(TINY) | {"dataset": "cifar10"}
    return {
        "objective": objective,
        "rho": rho,
        "seed": seed,
        "name": f"{objective}_{rho}",
        "num_images": 9,
        "clean_accuracy": 0.8,
        "command": "python -m experiments.cifar10_ceb",
        "settings": dataclasses.asdict(ATTACK),
        "attacks": rows,
        "at_radius": {"epsilon": 8.0, "num_images": 9, "accuracy": {names.CLEAN: 0.8, names.WORST: accuracies[0]}},
        "findings": [],
        "training": {
            "config": config,
            "test": {"error_mean": 0.25},
            "environment": {"commit": "0123456789"},
            "training_seconds": 60.0,
        },
    }


def test_the_table_says_whether_the_trend_is_that_of_the_paper(tmp_path):
    models = [("cross_entropy", None, (0.1, 0.2, 0.1))]
    models += [("ceb", rho, (0.7 - rho / 10, 0.5, 0.1 + rho / 10)) for rho in (1.0, 3.0, 5.0)]
    for objective, rho, accuracies in models:
        for seed, change in [(0, 0.0), (1, 0.02)]:
            found = record(objective, rho, tuple(value + change for value in accuracies), seed)
            (tmp_path / f"{objective}{rho}{seed}.json").write_text(json.dumps(found))
    text = cifar10_ceb_table.make(tmp_path)
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("| CEB, rho = 3"))
    assert row.startswith("| CEB, rho = 3 | 75.0 ± 0.0 | 41.0 ± 1.4 |")  # mean and deviation over two seeds
    assert "accuracy under PGD L-inf 8: rank correlation with falling rho +0.9" in text
    assert any("PGD L-inf 8" in line and "as in the paper" in line for line in lines)
    assert any("PGD L2 128" in line and "against the paper" in line for line in lines)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cifar10Config(scale_epochs=0.0), "--scale_epochs must be positive, got 0"),
        (lambda: Cifar10Config(num_epochs=0), "--num_epochs must be at least 1"),
        (lambda: SweepSettings(rhos=(1.0, 1.0)), "--rhos must differ"),
        (lambda: AttackSettings(radius=5.0), "--radius must be one of --linf_epsilons"),
        (lambda: AttackSettings(l2_epsilons=(2.0, 1.0)), "--l2_epsilons must increase"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_scales_shrink_epochs_and_width():
    given = types.SimpleNamespace(scale_epochs=0.01, scale_width=0.2)
    scaled = scaled_by_flags(PRESETS["paper"].on("cifar10"), given)
    assert (scaled["num_epochs"], scaled["width"], scaled["depth"]) == (15, 2, 28)
