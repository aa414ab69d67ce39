"""Which axes of an example are rows, columns and channels, for Square."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks

RNG = np.random.default_rng(0)
WEIGHT = jnp.asarray(RNG.normal(size=(8 * 8 * 3, 5)) / 8, jnp.float32)
INPUTS = jnp.asarray(np.clip(0.5 + 0.15 * RNG.normal(size=(16, 8, 8, 3)), 0, 1), jnp.float32)
KEY = jax.random.key(0)


def last(keys, inputs):
    return (inputs.reshape(inputs.shape[0], -1) - 0.5) @ WEIGHT


def first(keys, inputs):
    """The same model for [C, H, W]."""
    return last(keys, jnp.moveaxis(inputs, -3, -1))


LABELS = last(None, INPUTS).argmax(-1)
CHANNEL_FIRST = jnp.moveaxis(INPUTS, -1, -3)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_channels_may_come_first(norm):
    """The same draws at the same pixels: the result is the same image, transposed."""
    settings = {"norm": norm, "num_queries": 30}
    expected = jax.jit(lambda: attacks.square(0.02, **settings)(KEY, last, INPUTS, LABELS))()
    attack = attacks.square(0.02, channel_axis=-3, **settings)
    found = jax.jit(lambda: attack(KEY, first, CHANNEL_FIRST, LABELS))()
    np.testing.assert_allclose(jnp.moveaxis(found.inputs, -3, -1), expected.inputs, atol=1e-6)
    np.testing.assert_array_equal(found.success, expected.success)
    flat = attacks.square(0.02, image_shape=(3, 8, 8), channel_axis=-3, **settings)
    flattened = lambda keys, x: first(keys, x.reshape(-1, 3, 8, 8))
    same = jax.jit(lambda: flat(KEY, flattened, CHANNEL_FIRST.reshape(16, -1), LABELS))()
    np.testing.assert_array_equal(same.inputs.reshape(found.inputs.shape), found.inputs)


def test_what_looks_channel_first_is_refused_by_name():
    attack = attacks.square(0.02, num_queries=2)
    with pytest.raises(ValueError, match=r"inputs of shape \(3, 8, 8\) look channel-first: give channel_axis=-3"):
        attack(KEY, first, CHANNEL_FIRST, LABELS)
    with pytest.raises(ValueError, match="look channel-first"):
        attacks.autoattack(0.1, num_targets=3)(KEY, first, CHANNEL_FIRST, LABELS)
    rows = attacks.square(0.02, num_queries=2, channel_axis=-1)  # three rows of pixels in eight channels, as was said
    assert jax.eval_shape(lambda: rows(KEY, first, CHANNEL_FIRST, LABELS)).inputs.shape == CHANNEL_FIRST.shape
    assert jax.eval_shape(lambda: attack(KEY, last, INPUTS, LABELS)).inputs.shape == INPUTS.shape
    with pytest.raises(ValueError, match=r"image_shape must be the shape .* scrambles the pixels; channel_axis=-3"):
        attacks.square(0.02, image_shape=(8, 8, 3))(KEY, first, CHANNEL_FIRST, LABELS)
    with pytest.raises(ValueError, match=r"channel_axis must be -1 for \[H, W, C\] or -3 for \[C, H, W\], got 1"):
        attacks.square(0.02, channel_axis=1)
