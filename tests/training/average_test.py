"""The Polyak average against float64, however slowly it moves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import promotion
from ib_jax.training.average import debiased_average, move_average

DECAYS = [0.0, 0.5, 0.9, 0.999, 0.9999, 0.99999, 1 - 1e-7, 1 - 1e-8]
STEPS = 2000


def averages(values, decay):
    """The debiased average after each step, [T, ...], as training makes it: in one compiled loop."""

    def body(state, value):
        state = move_average(state, value, decay)
        return state, debiased_average(state, decay)

    return jax.jit(lambda values: jax.lax.scan(body, optax.ema(decay).init(values[0]), values)[1])(values)


def oracle(values, decay):
    """Weights (1 - d) d^(T-t), in float64 and divided by their sum."""
    total, weight, found = np.zeros(values.shape[1:]), 0.0, []
    for value in np.asarray(values, np.float64):
        total, weight = decay * total + value, decay * weight + 1.0
        found.append(total / weight)
    return np.stack(found)


@pytest.mark.parametrize("decay", DECAYS)
def test_it_is_exact_for_constants_and_for_what_changes(decay):
    rng = np.random.default_rng(0)
    values = np.stack(
        [
            np.full(STEPS, 0.7),
            np.full(STEPS, -1234.5),
            rng.normal(size=STEPS) + 3.0,
            np.linspace(1.0, 2.0, STEPS),
            np.where(np.arange(STEPS) < STEPS // 2, 1.0, 5.0),
        ],
        -1,
    ).astype(np.float32)
    np.testing.assert_allclose(averages(jnp.asarray(values), decay), oracle(values, decay), rtol=1e-5)


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_it_goes_on_from_a_state_of_optax(decay):
    """Checkpoints from before hold what `optax.ema` made, and are in the same structure."""
    values, plain = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32) + 2.0, optax.ema(decay)
    old = new = plain.init(jnp.zeros(3))
    for index, value in enumerate(values):
        with promotion.of_others():
            old = plain.update(jnp.asarray(value), old)[1]
        new = move_average(old if index == 20 else new, jnp.asarray(value), decay) if index != 20 else old
    assert jax.tree.structure(new) == jax.tree.structure(old)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), new) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), old
    )
    np.testing.assert_allclose(debiased_average(new, decay), oracle(values, decay)[-1], rtol=1e-4)
    np.testing.assert_allclose(new.ema, old.ema, rtol=1e-4)


def test_the_type_of_a_parameter_is_kept():
    for dtype in (jnp.bfloat16, jnp.float32):
        state = move_average(optax.ema(0.999).init(jnp.zeros(2, dtype)), jnp.full(2, 3.0, dtype), 0.999)
        assert state.ema.dtype == dtype
        np.testing.assert_allclose(debiased_average(state, 0.999).astype(jnp.float32), 3.0, rtol=1e-2)
