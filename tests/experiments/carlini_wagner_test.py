"""Every Carlini-Wagner of the experiments has the papers' c."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments
from experiments.attack_comparison import settings as attack_comparison_settings
from experiments.core.carlini_wagner import carlini_wagner
from experiments.ib_adversarial_training.attack import specs_of
from experiments.ib_adversarial_training.settings import AttackSettings

FOLDER = pathlib.Path(experiments.__file__).parent


def test_c_is_in_logits_per_squared_unit():
    """The best d has d^2 + c s (0.2 - 2 d) least, so d = c s, and 0.1 is what it takes: at c = 0.1 not with s = 1/2."""
    inputs, labels = jnp.array([[0.6]]), jnp.array([0])
    attack = carlini_wagner(num_steps=100, num_binary_steps=1, initial_const=0.1)
    found = []
    for scale in (0.5, 4.0):  # of the logits
        logits_fn = lambda keys, x: scale * jnp.concatenate([x, 1.0 - x], -1)  # noqa: B023
        found.append(bool(attack(jax.random.key(0), logits_fn, inputs, labels).success[0]))
    assert found == [False, True]


def test_nothing_else_makes_one():
    places = [path.name for path in FOLDER.rglob("*.py") if "attacks.carlini_wagner" in path.read_text()]
    assert places == ["carlini_wagner.py"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: next(
            spec.make() for spec in specs_of(AttackSettings(), stochastic=True) if spec.attack == "carlini_wagner"
        ),
        lambda: next(
            row.attack
            for row in attack_comparison_settings.comparisons(attack_comparison_settings.ComparisonConfig())
            if row.group == "cw"
        ),
    ],
)
def test_the_experiments_use_it(make):
    settings = make().settings
    assert settings.const_per == "nat"
    assert np.isfinite(settings.initial_const)
