import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import DiagGaussian, attacks, evaluation, losses

RNG = np.random.default_rng(1)
WEIGHT = RNG.normal(size=(6, 2)).astype(np.float32)
INPUTS = jnp.asarray(RNG.uniform(0.3, 0.7, (20, 6)), jnp.float32)
LABELS = (INPUTS @ WEIGHT).argmax(-1)
EPSILONS = (0.0, 0.01, 0.05, 0.1, 0.3)


def linear(keys, inputs):
    return inputs @ WEIGHT


def robust(logits_fn, **kwargs):
    settings = {"make_attack": attacks.fgsm, "epsilons": EPSILONS, "num_samples": 3} | kwargs
    return evaluation.robust_correct(jax.random.key(0), logits_fn, INPUTS, LABELS, **settings)


def test_all_radii_at_once_equal_the_exact_distance_to_the_boundary():
    distance = np.asarray(losses.margin(linear(None, INPUTS), LABELS)) / np.abs(WEIGHT[:, 0] - WEIGHT[:, 1]).sum()
    np.testing.assert_array_equal(robust(linear), distance[:, None] > np.array(EPSILONS))


def test_all_radii_at_once_equal_one_after_another():
    model = evaluation.sampled_logits_fn(lambda x: DiagGaussian(x, 0.1 * jnp.ones_like(x)), lambda z: z @ WEIGHT)
    make = functools.partial(attacks.pgd, num_steps=4, num_eot_samples=2)
    together = jax.jit(lambda: robust(model, make_attack=make))()
    one = jax.jit(lambda epsilon: robust(model, make_attack=make, epsilons=epsilon[None])[:, 0])
    for i, epsilon in enumerate(EPSILONS):
        np.testing.assert_array_equal(together[:, i], one(jnp.float32(epsilon)))


def test_targeted_attacks_go_for_the_target_and_count_the_true_label():
    """In one dimension with classes low, middle, high: going for the far class has to cross the near one."""
    slopes, offsets = jnp.array([-4.0, 0.0, 4.0]), jnp.array([1.0, 0.2, -3.0])
    model = lambda keys, inputs: inputs @ slopes[None] + offsets  # borders at 0.2 and 0.8
    inputs, labels = jnp.array([[0.25], [0.25]]), jnp.array([1, 1])
    correct = evaluation.robust_correct(
        jax.random.key(0), model, inputs, labels, make_attack=attacks.fgsm, epsilons=jnp.array([0.1, 0.6]),
        targets=jnp.array([0, 2]),
    )  # fmt: skip
    np.testing.assert_array_equal(correct, [[False, False], [True, False]])


def test_the_prediction_is_by_fresh_samples():
    """A model that answers wrongly with probability 0.9 is never right by the mean of many samples."""

    def coin(keys, inputs):
        wrong = jax.vmap(lambda key: jax.random.bernoulli(key, 0.9))(keys)
        return 20.0 * jax.nn.one_hot(jnp.where(wrong, 1 - LABELS, LABELS), 2)

    assert not robust(coin, num_samples=99).any()
    assert 0.0 < robust(coin, num_samples=1)[:, 0].mean() < 0.5


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="epsilons must be a list of radii"):
        robust(linear, epsilons=0.1)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        robust(linear, num_samples=0)


def test_the_curve_attacks_only_what_still_stands_and_equals_the_exact_distances():
    apply_fn = lambda weight, keys, inputs: inputs @ weight
    runner = attacks.Runner(attacks.fgsm(0.0), apply_fn)
    asked = []

    def run(keys, inputs, labels, radii):
        asked.append(len(labels))
        return runner(jnp.asarray(WEIGHT), keys, inputs, labels, epsilon=radii)

    radii = (0.3, 0.0, 0.05, 0.01, 0.1)  # in any order
    correct = evaluation.robustness_curve(run, jax.random.key(0), INPUTS, LABELS, radii)
    distance = np.asarray(losses.margin(linear(None, INPUTS), LABELS)) / np.abs(WEIGHT[:, 0] - WEIGHT[:, 1]).sum()
    np.testing.assert_array_equal(correct, distance[:, None] > np.array(radii))
    standing = np.sort(correct.sum(0))[::-1]
    np.testing.assert_array_equal(asked, [20, *(count for count in standing[:-1] if count)])
    for bad in (0.1, [], [-0.1], [float("nan")]):
        with pytest.raises(ValueError, match="epsilons must be a list of radii of at least 0"):
            evaluation.robustness_curve(run, jax.random.key(0), INPUTS, LABELS, bad)


def test_sampled_logits_are_deterministic_at_scale_zero():
    model = evaluation.sampled_logits_fn(lambda x: DiagGaussian(x, jnp.zeros_like(x)), lambda z: z @ WEIGHT)
    np.testing.assert_allclose(model(jax.random.key(3), INPUTS), linear(None, INPUTS), rtol=1e-6)
