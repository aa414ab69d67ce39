"""FGSM and PGD against answers that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses

RNG = np.random.default_rng(0)
WEIGHT, BIAS = RNG.normal(size=(6, 2)).astype(np.float32), np.array([0.1, -0.2], np.float32)
INPUTS = RNG.uniform(0.3, 0.7, size=(5, 6)).astype(np.float32)
KEY = jax.random.key(0)


def linear(keys, inputs):
    return inputs @ WEIGHT + BIAS[None]


LABELS = np.asarray(linear(None, INPUTS).argmax(-1))
# In a two-class linear model the worst perturbation is known: along the difference of the weights.
SLOPE = (WEIGHT[:, 1] - WEIGHT[:, 0]) * np.where(LABELS == 0, 1, -1)[:, None]
FAR = (-100.0, 100.0)


@pytest.mark.parametrize("make", [attacks.fgsm, attacks.pgd])
@pytest.mark.parametrize("epsilon", [0.01, 0.2])
def test_linf_on_a_linear_model_finds_the_worst_case(make, epsilon):
    result = make(epsilon, bounds=FAR)(KEY, linear, jnp.asarray(INPUTS), jnp.asarray(LABELS))
    np.testing.assert_allclose(result.inputs, INPUTS + epsilon * np.sign(SLOPE), atol=1e-5)


@pytest.mark.parametrize("epsilon", [0.01, 0.2])
def test_l2_on_a_linear_model_finds_the_worst_case(epsilon):
    worst = INPUTS + epsilon * SLOPE / np.linalg.norm(SLOPE, axis=-1, keepdims=True)
    many_steps = attacks.pgd(epsilon, norm="l2", num_steps=100, step_size=0.1 * epsilon, bounds=FAR)
    for attack in (attacks.fgsm(epsilon, norm="l2", bounds=FAR), many_steps):
        result = attack(KEY, linear, jnp.asarray(INPUTS), jnp.asarray(LABELS))
        np.testing.assert_allclose(result.inputs, worst, atol=1e-3 * epsilon)


def test_success_begins_at_the_distance_to_the_boundary():
    margin = np.asarray(losses.margin(linear(None, INPUTS), jnp.asarray(LABELS)))
    for norm, dual in (("linf", np.abs(SLOPE).sum(-1)), ("l2", np.linalg.norm(SLOPE, axis=-1))):
        distance = margin / dual
        for factor, expected in ((0.95, False), (1.05, True)):
            attack = attacks.pgd(jnp.asarray(factor * distance), norm=norm, num_steps=50, bounds=FAR)
            result = attack(KEY, linear, jnp.asarray(INPUTS), jnp.asarray(LABELS))
            np.testing.assert_array_equal(result.success, [expected] * 5)


def test_fgsm_is_one_step_of_pgd_from_the_input():
    one_step = attacks.pgd(0.1, num_steps=1, step_size=0.1, random_start=False)
    inputs, labels = jnp.asarray(INPUTS), jnp.asarray(LABELS)
    np.testing.assert_array_equal(
        attacks.fgsm(0.1)(KEY, linear, inputs, labels).inputs, one_step(KEY, linear, inputs, labels).inputs
    )


def test_targeted_reaches_class_zero_as_well_as_any_other():
    """`if target:` would make a target of class 0 untargeted, a mistake on record."""
    weight = jnp.asarray(RNG.normal(size=(6, 3)))
    model = lambda keys, inputs: 5 * inputs @ weight
    labels = jnp.full(5, 1)
    for target in (0, 2):
        result = attacks.pgd(1.0)(KEY, model, jnp.asarray(INPUTS), labels, jnp.full(5, target))
        np.testing.assert_array_equal(model(None, result.inputs).argmax(-1), target)
        assert result.success.all()
    result = attacks.pgd(0.0)(KEY, model, jnp.asarray(INPUTS), labels, model(None, INPUTS).argmax(-1))
    assert result.success.all()  # success is to answer with the target, whatever the label


def test_naive_numpy_pgd_takes_the_same_steps():
    weight1, weight2 = RNG.normal(size=(6, 8)), RNG.normal(size=(8, 3))
    labels = np.array([0, 1, 2, 0, 1])

    def gradient(x):
        hidden = np.tanh(x @ weight1)
        logits = hidden @ weight2
        q = np.exp(logits - logits.max(-1, keepdims=True))
        q /= q.sum(-1, keepdims=True)
        return (((q - np.eye(3)[labels]) @ weight2.T) * (1 - hidden**2)) @ weight1.T

    model = lambda keys, x: jnp.tanh(x @ jnp.asarray(weight1)) @ jnp.asarray(weight2)
    for norm in ("linf", "l2"):
        x = INPUTS.astype(np.float64)
        for _ in range(6):
            slope = gradient(x)
            length = lambda v: np.linalg.norm(v, axis=-1, keepdims=True)
            move = x + 0.08 * (np.sign(slope) if norm == "linf" else slope / length(slope)) - INPUTS
            inside = np.clip(move, -0.2, 0.2) if norm == "linf" else move * np.minimum(1, 0.2 / length(move))
            x = np.clip(INPUTS + inside, 0, 1)
        attack = attacks.pgd(0.2, norm=norm, num_steps=6, step_size=0.08, random_start=False)
        got = attack(KEY, model, jnp.asarray(INPUTS), jnp.asarray(labels)).inputs
        np.testing.assert_allclose(got, x, atol=1e-4)


def test_gradients_far_below_float32s_squares_still_attack():
    """At a gap of 80 nats the gradient is near 1e-35: its square underflows, its direction does not."""
    confident = lambda keys, x: linear(keys, x) + 80.0 * jax.nn.one_hot(LABELS, 2)
    for norm in ("linf", "l2"):
        moved = attacks.fgsm(0.1, norm=norm)(KEY, confident, jnp.asarray(INPUTS), jnp.asarray(LABELS)).inputs - INPUTS
        worst = np.sign(SLOPE) if norm == "linf" else SLOPE / np.linalg.norm(SLOPE, axis=-1, keepdims=True)
        np.testing.assert_allclose(moved, 0.1 * worst, atol=1e-4)


@pytest.mark.standard
def test_expectation_over_samples_finds_a_gradient_under_noise():
    """The sign of a gradient drowned in noise is hardly better than a guess from one sample, and right from 1600.

    The loss is linear in the logits, so that the mean gradient is that of the model without noise.
    """

    def noisy(keys, inputs):
        noise = jax.vmap(lambda key: jax.random.normal(key, inputs.shape[1:]))(keys)
        return linear(keys, inputs) + (inputs * noise * 4)[:, :2]

    def share_right(num_eot_samples):
        attack = attacks.fgsm(
            0.1, bounds=FAR, num_eot_samples=num_eot_samples, loss_fn=lambda logits, y: -losses.margin(logits, y)
        )
        moves = jax.vmap(lambda key: attack(key, noisy, jnp.asarray(INPUTS), jnp.asarray(LABELS)).inputs - INPUTS)
        signs = np.sign(moves(jax.random.split(KEY, 20)))[..., :2]
        return np.mean(signs == np.sign(SLOPE)[:, :2])

    assert share_right(1) < 0.75
    assert share_right(1600) > 0.9


def test_every_step_asks_the_model_with_fresh_keys():
    """A model that turns its back on half the keys: with one key for all steps each input would walk straight on."""

    def turning(keys, inputs):
        signs = jax.vmap(lambda key: jax.random.rademacher(key, (), jnp.float32))(keys)
        return signs[:, None] * inputs * jnp.array([[1.0, -1.0]])

    inputs, labels = jnp.full((200, 1), 0.5), jnp.zeros(200, jnp.int32)
    attack = attacks.pgd(0.4, num_steps=16, step_size=0.01, random_start=False)
    walked = np.abs(attack(KEY, turning, inputs, labels).inputs - 0.5)
    assert walked.max() < 0.16 - 0.005
    np.testing.assert_allclose(np.mean(walked**2), 16 * 0.01**2, rtol=0.5)  # a random walk


def test_random_starts_fill_the_ball():
    flat = lambda keys, x: jnp.zeros((len(x), 2)) + 0 * x.sum()
    inputs, labels = jnp.full((4000, 3), 0.5), jnp.zeros(4000, jnp.int32)
    for norm in ("linf", "l2"):
        attack = attacks.pgd(0.2, norm=norm, num_steps=1)
        start = jax.jit(lambda attack=attack: attack(KEY, flat, inputs, labels))().inputs - 0.5
        size = np.abs(start).max(-1) if norm == "linf" else np.linalg.norm(start, axis=-1)
        # Uniform in the ball: the share within half the radius is 2^-3.
        np.testing.assert_allclose(np.mean(size < 0.1), 0.125, atol=0.02)
        assert size.max() > 0.19


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        attacks.pgd(0.1, num_steps=0)
    with pytest.raises(ValueError, match="norm must be one of l1, l2, linf, got 'l7'"):
        attacks.pgd(0.1, norm="l7")
    with pytest.raises(ValueError, match="num_eot_samples must be at least 1, got 0"):
        attacks.fgsm(0.1, num_eot_samples=0)
