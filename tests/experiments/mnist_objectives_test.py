"""The comparison of objectives: what it runs, what it chooses, and that it goes on where it stood."""

import io
import json

import pytest
from rich.console import Console

from experiments.core.app import Session
from experiments.core.records import Measurement, Model, Record
from experiments.core.settings import BOTTLENECKS, RATE_OBJECTIVES
from experiments.core.workdir import WorkdirError
from experiments.mnist_objectives import run as mnist_objectives
from experiments.mnist_objectives import table as mnist_objectives_table
from experiments.mnist_objectives.settings import CompareConfig

BEST = {"vib": 1e-2, "vub": 1e-3, "ceb": 4.5951, "consistent_ceb": 6.9068}


@pytest.fixture
def runs(monkeypatch):
    """Stands in for training: records what it was asked, and is best at BEST."""
    asked = []

    def run(config, session):
        command = session.command
        asked.append((config, command))
        strength = config.beta if config.objective in RATE_OBJECTIVES else config.rho
        good = strength == pytest.approx(BEST[config.objective], rel=1e-3)
        summary = {
            "error_avg": 0.01 if good else 0.02,
            "error_one": 0.03,
            "error_mean": 0.01,
            "cross_entropy": 0.1 * strength,
        }
        summary |= {"rate_bits": 20.0 + config.seed, "information_zy_bits": 3.2, "calibration_error": 0.01}
        if config.objective not in RATE_OBJECTIVES:
            summary["residual_bits"] = 17.0
        attack = {"attack": "pgd", "norm": "linf", "num_steps": 20, "targeted": False, "num_images": 1000}
        attack["epsilon"] = 0.1
        measured = [Measurement({"split": split}, summary) for split in ("validation", "test")]
        measured.append(Measurement(attack, {"accuracy": 0.5}))
        settings = json.loads(json.dumps({name: getattr(config, name) for name in config.__dataclass_fields__}))
        return Record("mnist_vib", command, settings, [Model(config.name, config.seed, measured)])

    monkeypatch.setattr(mnist_objectives.mnist_vib, "run", run)
    return asked


def compare(tmp_path, **settings):
    config = CompareConfig(strengths=(1e-2, 1e-3), num_seeds=2, workdir=str(tmp_path), **settings)
    return mnist_objectives.run(config, Session(console=Console(file=io.StringIO(), width=100)))


def test_it_tunes_on_held_out_images_and_reports_seeds_at_the_best_strength(tmp_path, runs):
    results = compare(tmp_path)
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
    assert "| | vib, beta = 0.01 | vub, beta = 0.001 | ceb, rho = 4.6 | consistent_ceb, rho = 6.91 |" in table
    assert "| error, 12 samples, % | 1.00 ± 0.00 |" in table
    assert "| I(X;Z) <= rate, bits | 20.5 ± 0.7 |" in table
    assert "| I(X;Z\\|Y) <= residual, bits | - | - | 17.0 ± 0.0 | 17.0 ± 0.0 |" in table
    assert "| beta = 0.01 or rho = 4.6 | **1.00** | 2.00 | **1.00** | 2.00 |" in table
    assert (results / "figure.png").stat().st_size > 1000


def test_runs_with_a_record_are_not_run_again_and_other_settings_are_refused(tmp_path, runs):
    results = compare(tmp_path)
    (results / "seeds" / "ceb_seed1.json").unlink()
    del runs[:]
    compare(tmp_path)
    assert [(config.objective, config.seed) for config, _ in runs] == [("ceb", 1)]
    with pytest.raises(WorkdirError, match=r"vib_beta0.01.json was made with other settings:\n.*epochs"):
        compare(tmp_path, num_epochs=3)


def test_the_committed_table_is_made_from_the_committed_records():
    folder = mnist_objectives_table.RESULTS
    tuning, seeds = (mnist_objectives_table.read_records(folder / name) for name in ("tuning", "seeds"))
    assert len(tuning) == 16
    assert len(seeds) == 12
    assert (folder / "table.md").read_text() == mnist_objectives_table.render(tuning, seeds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strengths": (0.1, 1.0)}, r"--strengths must each be in \(0, 1\), got \(0.1, 1.0\)"),
        ({"strengths": ()}, r"--strengths must not be empty"),
        ({"num_seeds": 0}, "--num_seeds must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CompareConfig(**settings)
