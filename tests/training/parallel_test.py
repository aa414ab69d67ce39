import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import training

DATA = {"x": np.arange(7.0, dtype=np.float32)[:, None], "y": np.arange(7, dtype=np.float32)}


def noisy(params, keys, batch):
    noise = jax.vmap(lambda key: jax.random.normal(key))(keys)
    return {"sum": params * batch["x"][:, 0] + batch["y"], "noise": noise}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_every_example_is_mapped_once_whatever_the_batch_size(batch_size):
    got = training.map_examples(noisy, batch_size=batch_size)(2.0, jax.random.key(0), DATA)
    np.testing.assert_array_equal(got["sum"], 3 * np.arange(7))
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(7)]
    np.testing.assert_allclose(got["noise"], [jax.random.normal(key) for key in keys], rtol=1e-6)


def test_an_empty_data_set():
    empty = {name: array[:0] for name, array in DATA.items()}
    got = training.map_examples(noisy, batch_size=3)(2.0, jax.random.key(0), empty)
    assert got["sum"].shape == (0,)


@pytest.mark.parametrize("params", [None, {}, {"weight": 1.0, "bias": 0.0}])
def test_parameters_of_any_number_of_arrays(params):
    got = training.map_examples(lambda params, keys, batch: batch, batch_size=3)(params, jax.random.key(0), DATA)
    jax.tree.map(np.testing.assert_array_equal, got, DATA)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        training.map_examples(noisy, batch_size=0)
    with pytest.raises(ValueError, match=r"arrays of one length, got lengths \[3, 7\]"):
        training.map_examples(noisy, batch_size=2)(2.0, jax.random.key(0), {"x": DATA["x"], "y": DATA["y"][:3]})


def test_replicate_and_back():
    tree = {"a": jnp.arange(3.0), "key": jax.random.key(4)}
    back = training.unreplicate(training.replicate(tree))
    np.testing.assert_array_equal(back["a"], tree["a"])
    np.testing.assert_array_equal(jax.random.key_data(back["key"]), jax.random.key_data(tree["key"]))


def test_some_devices():
    first = jax.local_devices()[:1]
    placed = training.replicate(jnp.arange(3.0), first)
    assert placed.shape == (1, 3)
    assert placed.devices() == set(first)
    double = training.shard_epoch(lambda state, data: (state * data, {"sum": jax.lax.psum(data, "devices")}), first)
    state, metrics = double(placed, training.replicate(jnp.float32(2.0), first))
    np.testing.assert_array_equal(training.unreplicate(state), [0, 2, 4])
    assert training.unreplicate(metrics["sum"]) == 2
