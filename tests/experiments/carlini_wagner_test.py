"""Every Carlini-Wagner of the experiments has the papers' c, which is in nats; the library's default is not."""

import pathlib
import re

import pytest

import experiments
from experiments.attack_comparison.settings import ComparisonConfig, comparisons
from experiments.ib_adversarial_training.run import specs_of
from experiments.ib_adversarial_training.settings import AttackSettings

MAKES_ONE = re.compile(r'AttackSpec[(,]\s*"carlini_wagner"|attacks\.carlini_wagner\(')


def test_whoever_makes_one_says_what_c_is():
    texts = {path.parent.name: path.read_text() for path in pathlib.Path(experiments.__file__).parent.rglob("*.py")
             if MAKES_ONE.search(path.read_text())}  # fmt: skip
    assert {"attack_comparison", "ib_adversarial_training", "imagenet_features", "mnist_robustness"} <= set(texts)
    assert [name for name, text in texts.items() if not re.search(r"""const_per("|'|=)""", text)] == []


@pytest.mark.parametrize("stochastic", [True, False])
def test_those_of_a_suite(stochastic):
    found = [spec for spec in specs_of(AttackSettings(), stochastic=stochastic) if spec.attack == "carlini_wagner"]
    assert [(spec.make().settings.const_per, spec.options["initial_const"]) for spec in found] == [("nat", 0.1)] * (
        2 + stochastic
    )


def test_those_that_are_compared():
    attack = next(row.attack for row in comparisons(ComparisonConfig()) if row.group == "cw")
    assert attack.settings.const_per == "nat"
