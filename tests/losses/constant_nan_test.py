"""NaN logits that the compiler knows, of which XLA's exp may make any number: no answer, as of any other NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import losses

INPUTS = jnp.asarray(np.random.default_rng(0).uniform(size=(20, 5)), jnp.float32)
MISSING = np.asarray(INPUTS[:, 0] > 0.5)


def logits_fn(keys, inputs):
    return jnp.where(inputs[:, :1] > 0.5, jnp.nan, inputs[:, :3])


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
@pytest.mark.parametrize("num_samples", [1, 2, 12])
@pytest.mark.parametrize("predict", [
    losses.sampled_probabilities,
    lambda *args: losses.pooled_logits(losses.sampled_logits(*args)),
    lambda *args: losses.mean_probabilities(losses.sampled_logits(*args)),
], ids=["sampled_probabilities", "pooled_logits", "mean_probabilities"])  # fmt: skip
def test_a_constant_nan_is_no_answer(predict, num_samples):
    keys = losses.per_example_keys(jax.random.key(0), len(INPUTS))
    answer = jax.jit(lambda inputs: predict(keys, logits_fn, inputs, num_samples))
    for _ in range(5):  # what it makes differs from call to call
        found = np.asarray(answer(INPUTS))
        np.testing.assert_array_equal(np.isnan(found).all(-1), MISSING)
        assert not np.isnan(found[~MISSING]).any()
