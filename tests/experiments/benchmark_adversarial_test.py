"""The adversarial suite: what a step is held against, and that the rows are what they are called."""

import dataclasses
import io

import jax
import pytest
from rich.console import Console

from experiments.benchmark import adversarial as benchmark_adversarial
from experiments.benchmark import run as benchmark
from experiments.benchmark.adversarial import PLAIN, WAYS, print_adversarial
from experiments.benchmark.jax_programs import random_dataset
from experiments.ib_adversarial_training.settings import AdversarialConfig

SECONDS = {"plain": 1.0, "fgsm": 3.0, "pgd-5": 6.0, "pgd-10": 11.0, "pgd-20": 20.5, "pgd-20, half": 10.0}


class Peak:
    def __init__(self, *args):
        self.measure = lambda: None

    def summary(self):
        return {"flops_per_second": 1e9, "rounds": [1e9], "min": 1e9, "max": 1e9, "median": 1e9}


@pytest.mark.parametrize("slower, met", [(1.0, True), (1.03, False)])
def test_a_step_against_pgd_20_is_held_against_21_plain_ones(monkeypatch, slower, met):
    def take_turns(console, rows, starts, *, repeats, each_round):
        assert set(rows) == set(starts) == set(WAYS)
        for name, row in rows.items():
            row |= {"seconds": [SECONDS[name] * (slower if name == "pgd-20" else 1)] * repeats, "compile_seconds": 1.0}

    monkeypatch.setattr(benchmark_adversarial, "take_turns", take_turns)
    monkeypatch.setattr(benchmark_adversarial, "MatrixPeak", Peak)
    config = benchmark.Config(suite="adversarial", repeats=3, steps=10)
    record = benchmark_adversarial.adversarial_suite(config, Console(quiet=True), ())
    assert record["rows"]["fgsm"]["over_plain"]["median"] == 3.0
    assert record["rows"][PLAIN]["step_ms"]["median"] == pytest.approx(100.0)
    (target,) = record["targets"].values()
    assert (target["target"], target["met"]) == (21, met)
    assert target["measured"] == pytest.approx(20.5 * slower)
    monkeypatch.setattr(benchmark_adversarial, "print_peak", lambda *args: None)
    out = io.StringIO()
    shown = Console(file=out, width=200)
    print_adversarial(shown, record | {"config": dataclasses.asdict(config), "load_average": {"start": 0.0}})
    assert "pgd-20, half" in out.getvalue()


@pytest.mark.parametrize("way", ["fgsm", "pgd-5"])
def test_the_steps_of_a_way_train_against_its_attack(way):
    config = AdversarialConfig(batch_size=4, scale_width=1 / 64, num_layers=1, latent_dim=2, adversary_fraction=1.0)
    recipe = benchmark_adversarial.recipe_of(dataclasses.replace(config, **WAYS[way]), random_dataset(4))
    program = str(
        jax.make_jaxpr(recipe.epoch(None, 1))(
            recipe.init(), benchmark_adversarial.training.Batch(*recipe.dataset.train)
        )
    )
    plain = benchmark_adversarial.recipe_of(config, random_dataset(4))
    without = str(
        jax.make_jaxpr(plain.epoch(None, 1))(plain.init(), benchmark_adversarial.training.Batch(*plain.dataset.train))
    )
    assert program.count("dot_general") > without.count("dot_general")
    assert ("length=5" in program) == (way == "pgd-5")
