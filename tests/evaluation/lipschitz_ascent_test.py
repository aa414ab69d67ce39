"""Lower bounds on Lipschitz constants: what they reach, and that they never exceed it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import evaluation

KEY = jax.random.key(0)


def test_of_a_linear_map_it_is_the_norm():
    matrix = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    fn = lambda x: jnp.split(x.reshape(-1, 12) @ matrix, [2], -1)  # a pytree of two outputs, together
    got = evaluation.lipschitz_ascent(KEY, fn, jnp.zeros((2, 3, 4)), num_steps=80)
    np.testing.assert_allclose(got, [np.linalg.norm(matrix, 2)] * 2, rtol=1e-4)
    assert (got <= np.linalg.norm(matrix, 2) * (1 + 1e-5)).all()


def test_it_climbs_to_the_steepest_place():
    # sin(3 x) + y is steepest where cos(3 x) = 1, sqrt(10); the start is where it is 0.97, 1 / sqrt(2) and 0.
    fn = lambda x: jnp.sin(3 * x[:, :1]) + x[:, 1:]
    starts = jnp.array([[0.08, 0.0], [np.pi / 12, 0.0], [np.pi / 6, 0.0]], jnp.float32)
    still = evaluation.lipschitz_ascent(KEY, fn, starts, radii=(0.01, 0.01), step_size=0.0)
    np.testing.assert_allclose(still**2, 1 + 9 * np.cos(3 * starts[:, 0]) ** 2, rtol=0.05)
    moved = evaluation.lipschitz_ascent(KEY, fn, starts, num_steps=200)
    np.testing.assert_allclose(moved, np.sqrt(10), rtol=2e-3)
    assert (moved <= np.sqrt(10) * (1 + 1e-5)).all()


def test_a_kink_does_not_deceive_it():
    # 2 x - (relu(x) - relu(-x)) is x, but automatic differentiation says 2 at zero.
    fn = lambda x: 2 * x - (jax.nn.relu(x) - jax.nn.relu(-x))
    assert jax.grad(lambda x: fn(x).sum())(jnp.zeros(1)).item() == 2.0
    assert evaluation.lipschitz_ascent(KEY, fn, jnp.zeros((3, 1)), num_steps=20).max() <= 1 + 1e-5


def test_an_example_does_not_depend_on_its_neighbours_and_a_constant_has_zero():
    matrix = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    fn = lambda x: jnp.where(x[:, :1] > 50.0, 0.0, jnp.tanh(x @ matrix))
    starts = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3)), jnp.float32)
    first = evaluation.lipschitz_ascent(KEY, fn, starts, num_steps=10)
    second = evaluation.lipschitz_ascent(KEY, fn, starts.at[1].set(100.0), num_steps=10)
    assert first[0] == second[0]
    assert second[1] == 0.0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"radii": (1.0, 0.0)}, r"radii must be positive, got \(1.0, 0.0\)"),
        ({"step_size": -1.0}, "step_size must be at least 0, got -1.0"),
    ],
)
def test_arguments_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        evaluation.lipschitz_ascent(KEY, lambda x: x, jnp.zeros((1, 1)), **change)
