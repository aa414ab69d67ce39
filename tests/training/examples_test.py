"""Functions of examples, mapped over members, against each member alone; and that against plain NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import attacks, evaluation, training

RNG = np.random.default_rng(1)
INPUTS, LABELS = RNG.uniform(size=(11, 2, 3)).astype(np.float32), RNG.integers(0, 4, 11).astype(np.int32)
NUM_MEMBERS, EPSILONS = 3, jnp.array([0.0, 0.1, 0.4])


def start(hyper):
    params = {"w": jax.random.normal(jax.random.key(hyper["seed"]), (6, 4))}
    return training.init_state(jax.random.key(hyper["seed"]), params, optax.sgd(0.1), 0.9)


def key_of(hyper):
    return jax.random.fold_in(jax.random.key(9), hyper["seed"])


def logits_fn(params, scale):
    def noisy(keys, inputs):
        noise = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys)
        return (inputs - 0.5).reshape(len(inputs), -1) @ params["w"] + scale * noise

    return noisy


def robust(params, scale, keys, batch):
    return evaluation.robust_correct(
        keys, logits_fn(params, scale), *batch, num_samples=2, epsilons=EPSILONS,
        make_attack=lambda epsilon: attacks.fgsm(epsilon, num_eot_samples=2),
    )  # fmt: skip


def outputs(params, scale, keys, batch):
    return {"logits": logits_fn(params, scale)(keys, batch[0]), "keys": jax.vmap(jax.random.key_data)(keys)}


@pytest.fixture(scope="module")
def population():
    return training.init_population(start, {"seed": np.arange(NUM_MEMBERS), "scale": [0.0, 0.1, 1.0]})


def of_members(fn, population, data, **options):
    mapped = training.map_members(
        lambda hyper, state, keys, batch: fn(state.params, hyper["scale"], keys, batch),
        key_fn=key_of, num_members=NUM_MEMBERS, **options,
    )  # fmt: skip
    return mapped(training.spread_members(NUM_MEMBERS).put(population), data)


def of_one(fn, population, index, data):
    hyper, params = jax.tree.map(lambda leaf: leaf[index], (population.hyperparams, population.members.params))
    return alone(fn)((params, hyper["scale"]), key_of(hyper), data)


@functools.cache
def alone(fn):
    return training.map_examples(lambda own, keys, batch: fn(*own, keys, batch), batch_size=3)


def test_examples_are_mapped_as_in_numpy(population):
    weights = population.members.params["w"][0].astype(np.float64)
    got = of_one(outputs, population, 0, (INPUTS, LABELS))
    np.testing.assert_allclose(got["logits"], (INPUTS - 0.5).reshape(11, 6) @ weights, rtol=1e-4, atol=1e-5)
    keys = [jax.random.key_data(jax.random.fold_in(key_of({"seed": 0}), index)) for index in range(11)]
    np.testing.assert_array_equal(got["keys"], keys)


@pytest.mark.parametrize(
    "options", [{"batch_size": 4}, {"batch_size": 100, "members_at_once": 1}, {"batch_size": 1, "members_at_once": 2}]
)
def test_members_are_mapped_like_each_alone(population, options):
    got = of_members(outputs, population, (INPUTS, LABELS), **options)
    assert got["logits"].shape == (NUM_MEMBERS, 11, 4)
    for index in range(NUM_MEMBERS):
        expected = of_one(outputs, population, index, (INPUTS, LABELS))
        np.testing.assert_allclose(got["logits"][index], expected["logits"], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(got["keys"][index], expected["keys"])


def test_robust_accuracy_of_all_members_at_all_radii_in_one_call(population):
    got = of_members(robust, population, (INPUTS, LABELS), batch_size=4)
    assert got.shape == (NUM_MEMBERS, 11, len(EPSILONS))
    assert got.dtype == bool
    for index in range(NUM_MEMBERS):
        np.testing.assert_array_equal(got[index], of_one(robust, population, index, (INPUTS, LABELS)))
    accuracy = got.mean((0, 1))
    assert accuracy[0] > accuracy[-1]


def test_no_examples_are_no_results(population):
    nothing = (INPUTS[:0], LABELS[:0])
    assert of_members(outputs, population, nothing, batch_size=4)["logits"].shape == (NUM_MEMBERS, 0, 4)
    assert of_one(outputs, population, 0, nothing)["logits"].shape == (0, 4)


def test_bad_arguments_are_refused(population):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        of_members(outputs, population, (INPUTS, LABELS), batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        training.map_examples(outputs, batch_size=0)
    with pytest.raises(ValueError, match=r"arrays of one length, got lengths \[3, 11\]"):
        of_members(outputs, population, (INPUTS, LABELS[:3]), batch_size=4)
