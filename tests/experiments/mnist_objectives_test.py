"""The comparison of objectives: what it runs, what it chooses, and that it goes on where it stood."""

import dataclasses
import io
import pathlib

import pytest
from rich.console import Console

from experiments import mnist_vib
from experiments.core import drawing, frames, records, render
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import Preset, SettingError
from experiments.core.workdir import WorkdirError
from experiments.mnist_objectives import run as mnist_objectives
from experiments.mnist_objectives.report import report
from experiments.mnist_objectives.settings import CompareConfig
from ib_jax.objectives import BOTTLENECKS, RATE_OBJECTIVES

BEST = {"vib": 1e-2, "vub": 1e-3, "ceb": 4.5951, "consistent_ceb": 6.9068}
STORED = pathlib.Path(__file__).parent / "records" / "mnist_objectives.json"


@pytest.fixture
def runs(monkeypatch):
    """Stands in for training: records what it was asked, and is best at BEST."""
    asked = []

    def train(config, session):
        asked.append((config, session.command))
        strength = config.beta if config.objective in RATE_OBJECTIVES else config.rho
        good = strength == pytest.approx(BEST[config.objective], rel=1e-3)
        values = {"error_avg": 0.01 if good else 0.02, "error_one": 0.03, "error_mean": 0.01}
        values |= {"cross_entropy": 0.1 * strength, "rate_bits": 20.0 + config.seed}
        values |= {"information_zy_bits": 3.2, "calibration_error": 0.01}
        if config.objective not in RATE_OBJECTIVES:
            values["residual_bits"] = 17.0
        attack = {"attack": "pgd", "num_steps": 20, "norm": "linf", "targeted": False, "epsilon": 0.1}
        at = {"split": "test", **attack, "num_images": 1000}
        attacked = [Measurement(at, {"accuracy": 0.5})] if config.num_attack_images else []
        splits = [Measurement({"split": split}, values) for split in ("validation", "test")]
        settings = dataclasses.asdict(config)
        return Record("mnist_vib", session.command, settings, [Model(config.name, config.seed, splits + attacked)])

    monkeypatch.setattr(mnist_vib, "train", train)
    return asked


def compare(tmp_path, **settings):
    config = CompareConfig(**{"strengths": (1e-2, 1e-3), "num_seeds": 2, "workdir": str(tmp_path)} | settings)
    session = Session("mnist_objectives", console=Console(file=io.StringIO(), width=100))
    return mnist_objectives.run(config, session)


def test_it_tunes_on_held_out_images_and_reports_seeds_at_the_best_strength(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(drawing, "draw", lambda *args: None)
    results = compare(tmp_path)
    made = records.load(results, recursive=True)
    assert {record.experiment for record in made} == {"mnist_objectives"}
    tuning, seeds = runs[:8], runs[8:]
    assert all(config.num_validation == 239 and config.num_attack_images == 0 for config, _ in tuning)
    assert all(config.num_validation == 0 and config.num_attack_images == 1000 for config, _ in seeds)
    assert [(config.objective, config.seed) for config, _ in seeds] == [(o, s) for o in BOTTLENECKS for s in (0, 1)]
    for config, command in seeds:
        strength = config.beta if config.objective in RATE_OBJECTIVES else config.rho
        assert strength == pytest.approx(BEST[config.objective], rel=1e-3)
        assert f"--objective={config.objective}" in command
    budgets = {(c.num_epochs, c.learning_rate, c.hidden_width, c.latent_dim, c.encoder_scale) for c, _ in runs}
    assert len(budgets) == 1  # the same network and length for all
    table = (results / "table.md").read_text()
    assert "|  | vib, beta = 0.01 | vub, beta = 0.001 | ceb, rho = 4.6 | consistent_ceb, rho = 6.91 |" in table
    assert "| error, 12 samples, % | 1.00 ± 0.00 |" in table
    assert "| I(X;Z) <= rate, bits | 20.5 ± 0.7 |" in table
    assert "| I(X;Z\\|Y) <= residual, bits | - | - | 17.0 ± 0.0 | 17.0 ± 0.0 |" in table
    assert "| accuracy, PGD-20, 0.1, % | 50.0 ± 0.0 |" in table
    assert "| vib | beta = 0.01 | **1.00 %** | 0.0010 |" in table
    assert "| consistent_ceb | rho = 4.6 | 2.00 % | 0.4595 |" in table


def test_runs_with_a_record_are_not_run_again_and_other_settings_are_refused(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(render, "write_report", lambda *args: None)
    results = compare(tmp_path)
    (results / "seeds" / "ceb_seed1.json").unlink()
    del runs[:]
    compare(tmp_path)
    assert [(config.objective, config.seed) for config, _ in runs] == [("ceb", 1)]
    with pytest.raises(WorkdirError, match=r"vib_beta0.01.json was made with other settings:\n.*epochs"):
        compare(tmp_path, num_epochs=3)


def test_of_equal_errors_the_lower_cross_entropy_is_chosen():
    def trial(error, cross_entropy):
        values = Measurement({"split": "validation"}, {"error_avg": error, "cross_entropy": cross_entropy})
        return Record("mnist_objectives", "", {"objective": "vub", "beta": 0.1, "rho": 3.0}, [Model("m", 0, [values])])

    trials = [trial(0.1, 0.3), trial(0.1, 0.2), trial(0.2, 0.1)]
    assert mnist_objectives.best_records(trials) == [trials[1]]


@pytest.mark.slow
def test_a_small_comparison_from_end_to_end(tmp_path, monkeypatch):
    small = {"num_epochs": 1, "hidden_width": 8, "attack_steps": 1, "num_eot_samples": 1, "attack_epsilons": ()}
    monkeypatch.setitem(mnist_vib.PRESETS, "compare", Preset("small", small | {"attack_l2_epsilons": (0.5,)}))
    results = compare(tmp_path, objectives="vib", strengths=(1e-3, 1e-2), num_seeds=1)
    (tuned, _), (final,) = (records.load(results / name) for name in ("tuning", "seeds"))
    assert tuned.experiment == final.experiment == "mnist_objectives"
    assert (tuned.settings["num_validation"], final.settings["num_validation"]) == (239, 0)
    assert not any("attack" in each.at for each in tuned.models[0].measurements)
    assert frames.per_seed(frames.frame([final]), "accuracy", attack="pgd", norm="l2")[0] <= 1.0


def test_the_report_of_stored_records(tmp_path):
    stored, made = records.read(STORED), []
    for objective in ("ceb", "vib"):
        for beta, rho in ((1e-2, 4.5951), (1e-3, 6.9068)):
            own = {**stored.settings, "objective": objective, "beta": beta, "rho": rho, "num_validation": 100}
            values = stored.models[0].values_at(split="test")
            model = Model("m", 0, [Measurement({"split": "validation"}, {**values, "error_avg": beta})])
            made.append(Record("mnist_objectives", "", own, [model], file=f"tuning/{objective}_beta{beta:g}"))
        own = {**stored.settings, "objective": objective}
        made.append(dataclasses.replace(stored, settings=own, file=f"seeds/{objective}_seed0"))
    render.write(report(frames.frame(made), made), tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "|  | vib, beta = 0.001 | ceb, rho = 6.91 |" in table
    assert "| accuracy, FGSM, 0.1, % | 63.5 | 63.5 |" in table
    assert "| vib | beta = 0.001 | **0.10 %** |" in table
    assert "| ceb | rho = 6.91 | **0.10 %** |" in table
    assert "| num_epochs | 20 | 200 |" in table
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_every_objective_has_its_own_strengths_and_one_without_a_choice_is_not_tuned():
    config = CompareConfig(objectives="cross_entropy,dropout,vib", strengths=(1e-3,), dropout_rates=(0.2, 0.4))
    tuning = mnist_objectives.tuning_runs(config)
    assert {name: own["dropout_rate"] for name, own in tuning.items()} == {
        "tuning/dropout_dropout0.2": 0.2,
        "tuning/dropout_dropout0.4": 0.4,
    }
    trials = [
        Record("", "", own, [Model("m", 0, [Measurement({"split": "validation"}, values)])])
        for own, error in zip(tuning.values(), (0.2, 0.1), strict=True)
        for values in [{"error_avg": error, "cross_entropy": 0.1}]
    ]
    short = mnist_objectives.tuning_runs(dataclasses.replace(config, tuning_epochs=7))["tuning/dropout_dropout0.2"]
    tuned, _ = mnist_vib.one_of_many(
        dataclasses.replace(config, num_epochs=9), "x", Session("mnist_objectives"), **short
    )
    assert (tuned.num_epochs, tuned.epochs_per_eval) == (7, 7)
    own = mnist_objectives.seed_runs(dataclasses.replace(config, num_seeds=1), trials)
    assert own["seeds/dropout_seed0"]["dropout_rate"] == 0.4
    assert own["seeds/vib_seed0"]["beta"] == 1e-3
    assert own["seeds/cross_entropy_seed0"].keys() == {"objective", "num_attack_images", "seed"}
    with pytest.raises(SettingError, match=r"--objectives must be of vib, .*, got svm"):
        CompareConfig(objectives="svm")
