import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax.data import Split, to_unit_interval
from ib_jax.data.dataset import hold_out


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_uint8_is_divided_by_255(wrap):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    scaled = wrap(to_unit_interval)(values)
    assert scaled.dtype == jnp.float32
    np.testing.assert_allclose(scaled, values / 255.0, rtol=2e-7)
    assert float(scaled.min()) == 0.0
    assert float(scaled.max()) == 1.0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_floating_inputs_pass_through_unchanged(dtype):
    values = jnp.array([0.0, 0.3, 1.0], dtype)
    result = to_unit_interval(values)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, values)


@pytest.mark.parametrize("dtype", [np.int32, np.bool_])
def test_inputs_of_unknown_scale_are_refused(dtype):
    with pytest.raises(TypeError, match="inputs has dtype"):
        to_unit_interval(np.ones(3, dtype))


def _numbered(size: int) -> Split:
    return Split(np.arange(size, dtype=np.uint8), np.arange(size, dtype=np.int32))


def test_held_out_images_are_disjoint_and_complete_and_keep_their_labels():
    train, validation = hold_out(_numbered(50), 20, seed=3)
    assert validation is not None
    assert len(validation.labels) == 20
    assert sorted([*train.inputs, *validation.inputs]) == list(range(50))
    for split in (train, validation):
        np.testing.assert_array_equal(split.inputs, split.labels)


def test_held_out_images_end_the_seeded_permutation():
    _, validation = hold_out(_numbered(50), 20, seed=3)
    assert validation is not None
    np.testing.assert_array_equal(validation.labels, np.random.default_rng(3).permutation(50)[-20:])


def test_the_seed_decides():
    first, again, other = (hold_out(_numbered(50), 20, seed=seed)[0].labels for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_held_out_leaves_the_split_alone():
    split = _numbered(5)
    train, validation = hold_out(split, 0, seed=0)
    assert train is split
    assert validation is None


@pytest.mark.parametrize("num_validation", [-1, 5, 6])
def test_a_bad_number_is_refused_by_name_value_and_range(num_validation):
    with pytest.raises(ValueError, match=rf"num_validation is {num_validation}; expected 0 <= num_validation < 5"):
        hold_out(_numbered(5), num_validation, seed=0)
