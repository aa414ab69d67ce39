"""Populations: the values before training, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import training


def test_the_values_before_training():
    start = lambda hyper: training.init_state(
        jax.random.key(hyper["seed"]), hyper["beta"].astype(jnp.float32) * jnp.ones(2, jnp.float32), optax.sgd(0.1), 0.9
    )
    population = training.init_population(start, {"seed": [0, 7], "beta": [0, 1], "rho": [1, 2.5], "rate": [1.0, 2.0]})
    dtypes = {name: values.dtype.name for name, values in population.hyperparams.items()}
    assert dtypes == {"seed": "int32", "beta": "int32", "rho": "float32", "rate": "float32"}
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(population))
    np.testing.assert_array_equal(population.members.params, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(population.members.key, [jax.random.key_data(jax.random.key(s)) for s in (0, 7)])
    assert (population.diverged_at.tolist(), int(population.step)) == ([-1, -1], 0)


@pytest.mark.parametrize(
    "hyperparams, message",
    [
        ({}, "lists of one length of at least 1, got lengths {}"),
        ({"beta": []}, "of at least 1, got lengths {'beta': 0}"),
        ({"beta": [1.0], "seed": [0, 1]}, "of one length of at least 1, got lengths {'beta': 1, 'seed': 2}"),
        ({"beta": 1.0}, "must be lists"),
        ({"beta": [[1.0]]}, "must be lists"),
        ({"beta": [1.0, np.nan]}, r"hyperparams\['beta'\] must be numbers, got \[1.0, nan\]"),
    ],
)
def test_bad_populations_are_refused(hyperparams, message):
    with pytest.raises(ValueError, match=message):
        training.init_population(lambda hyper: None, hyperparams)


def test_members_at_once_is_not_negative():
    with pytest.raises(ValueError, match="members_at_once must be at least 0, got -1"):
        training.make_sweep(lambda *args: None, members_at_once=-1)
