"""Members of a population against the same models trained alone, by the settings alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.core.recipe import Recipe
from experiments.mnist_vib.settings import Config
from ib_jax import data, training

SETTINGS = Config(latent_dim=3, hidden_width=8, batch_size=10, steps_per_call=4, num_epochs=5, learning_rate=1e-2)
RNG = np.random.default_rng(0)
INPUTS, LABELS = RNG.uniform(size=(40, 3, 3, 1)).astype(np.float32), RNG.integers(0, 4, 40).astype(np.int32)
SPLIT = data.Split(INPUTS, LABELS)
DATASET = data.Dataset("random", SPLIT, None, SPLIT, 4)
BATCH = training.Batch(INPUTS, LABELS)


def train_alone(config):
    recipe = Recipe(config, DATASET)
    state, epoch, traces = jax.jit(recipe.init)(), jax.jit(recipe.epoch(None, 1)), []
    for _ in range(config.num_epochs):
        state, metrics = epoch(state, BATCH)
        traces.append(metrics)
    return state, jax.tree.map(lambda *parts: np.concatenate(parts), *traces)


def start_together(config, hyperparams):
    return training.init_population(Recipe(config, DATASET).init, hyperparams)


def train_together(config, population, members_at_once=None):
    sweep, traces = jax.jit(Recipe(config, DATASET).run_population(members_at_once)), []
    for _ in range(config.num_epochs):
        population, metrics = sweep(population, BATCH)
        traces.append(metrics)
    return population, jax.tree.map(lambda *parts: np.concatenate(parts, -1), *traces)


def assert_member_is(index, together, alone):
    (population, metrics), (state, traces) = together, alone
    state = state._replace(key=jax.random.key_data(state.key))
    for got, expected in zip(jax.tree.leaves(population.members), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(got[index], expected, rtol=1e-4, atol=1e-6)
    assert set(metrics) == set(traces)
    for name, trace in traces.items():
        assert trace.shape == (20,)
        np.testing.assert_allclose(metrics[name][index], trace, rtol=1e-4, atol=1e-6, err_msg=name)


# A value of its own for everything, so that one that is not heeded, or another member's, shows. Some are whole numbers.
VIB = {
    "beta": [1e-3, 0.5, 0.02], "learning_rate": [1e-2, 3e-3, 3e-2], "weight_decay": [0, 5, 2], "seed": [0, 3, 1],
}  # fmt: skip
OTHERS = [
    ({"objective": "ceb"}, {"rho": [8, 1], "seed": [1, 2]}),
    ({"objective": "ceb", "schedule": "linear_gamma"}, {"rho": [8.0, 0.5]}),
    ({"objective": "ceb", "schedule": "gated_rho"}, {"rho": [8.0, 0.5]}),
    ({"objective": "label_smoothing"}, {"label_smoothing": [0, 1]}),
    ({"objective": "confidence_penalty"}, {"confidence_penalty": [0.0, 2.0]}),
]


@pytest.fixture(scope="module")
def start():
    return start_together(SETTINGS, VIB)


@pytest.fixture(scope="module")
def trained(start):
    return train_together(SETTINGS, start)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_member_is_the_model_trained_alone(trained, index):
    own = {name: values[index] for name, values in VIB.items()}
    assert_member_is(index, trained, train_alone(dataclasses.replace(SETTINGS, **own)))


@pytest.mark.parametrize("settings, hyperparams", OTHERS, ids=[" ".join(settings.values()) for settings, _ in OTHERS])
def test_so_it_is_for_every_strength_and_schedule(settings, hyperparams):
    config = dataclasses.replace(SETTINGS, **settings)
    together = train_together(config, start_together(config, hyperparams))
    own = {name: values[-1] for name, values in hyperparams.items()}
    assert_member_is(1, together, train_alone(dataclasses.replace(config, **own)))
    losses = together[1]["loss"]
    assert np.abs(losses[0] - losses[1]).max() > 1e-2  # it matters


@pytest.mark.parametrize("members_at_once", [1, 2])  # of three members
def test_turns_change_nothing(start, trained, members_at_once):
    got = train_together(SETTINGS, start, members_at_once)
    for leaf, expected in zip(jax.tree.leaves(got), jax.tree.leaves(trained), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-4, atol=1e-6)


def test_the_values_before_training():
    start = lambda hyper: training.init_state(
        jax.random.key(hyper["seed"]), hyper["beta"] * jnp.ones(2), optax.sgd(0.1), 0.9
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
