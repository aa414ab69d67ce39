"""Every Carlini-Wagner of the experiments has the papers' c, which is in nats; the library's default is not."""

import pathlib

import pytest

import experiments
from experiments.attack_comparison.settings import ComparisonConfig, comparisons
from experiments.ib_adversarial_training.model import specs_of
from experiments.ib_adversarial_training.settings import AttackSettings

FOLDER = pathlib.Path(experiments.__file__).parent


def test_nothing_else_makes_one():
    places = [path.name for path in FOLDER.rglob("*.py") if "attacks.carlini_wagner" in path.read_text()]
    assert places == ["carlini_wagner.py"]


@pytest.mark.parametrize("stochastic", [True, False])
def test_those_of_a_suite(stochastic):
    found = [spec for spec in specs_of(AttackSettings(), stochastic=stochastic) if spec.attack == "carlini_wagner"]
    assert [(spec.make().settings.const_per, spec.options["initial_const"]) for spec in found] == [("nat", 0.1)] * 2


def test_those_that_are_compared():
    attack = next(row.attack for row in comparisons(ComparisonConfig()) if row.group == "cw")
    assert attack.settings.const_per == "nat"
