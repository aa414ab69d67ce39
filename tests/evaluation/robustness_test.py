import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import AttackResult, DiagGaussian, attacks, evaluation, losses

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
    model = lambda keys, inputs: inputs @ slopes[None] + offsets[None]  # borders at 0.2 and 0.8
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


def wave(params, keys, inputs):
    """Class 0 where sin(20 x) > 0: an attack on what is wrong may make it right."""
    return jnp.concatenate([jnp.sin(20 * inputs), jnp.zeros_like(inputs)], -1)


WAVE = jnp.linspace(0.35, 0.6, 26)[:, None]


@pytest.fixture(scope="module")
def wave_runner():
    runner = attacks.Runner(attacks.fgsm(0.0), wave)
    return lambda keys, inputs, labels, radii: runner(None, keys, inputs, labels, epsilon=radii)


def push(epsilon):
    """An attack that adds the radius."""
    return lambda key, logits_fn, inputs, labels, targets=None: AttackResult(inputs + epsilon, labels < 0)


def test_what_is_wrong_before_an_attack_does_not_stand():
    model = functools.partial(wave, None)
    before, after = (np.asarray(model(None, WAVE + epsilon).argmax(-1) == 0) for epsilon in (0.0, 0.15))
    stands = evaluation.robust_correct(
        jax.random.key(0), model, WAVE, [0] * 26, make_attack=push, num_samples=1, epsilons=jnp.array([0.0, 0.15])
    )
    np.testing.assert_array_equal(stands, np.stack([before, before & after], 1))
    assert (after & ~before).any()


def test_the_curve_does_not_count_what_was_wrong_before(wave_runner):
    before = np.asarray(wave(None, None, WAVE).argmax(-1) == 0)
    curve = lambda radii, **options: evaluation.robustness_curve(
        wave_runner, jax.random.key(0), WAVE, [0] * 26, radii, **options
    )
    found = curve([0.15, 0.0])
    np.testing.assert_array_equal(found[:, 1], before)
    assert not (found[:, 0] & ~before).any()
    np.testing.assert_array_equal(curve([0.15, 0.0], correct=before), found)
    only = np.arange(26) == np.flatnonzero(before)[0]
    np.testing.assert_array_equal(curve([0.0, 0.01], correct=only).any(1), only)
    for bad in (before[:-1], before.astype(int)):
        with pytest.raises(ValueError, match=r"correct must be bool \[26\]"):
            curve([0.1], correct=bad)


def test_right_before_an_attack_is_asked_for_once_and_not_at_all_if_it_is_known(wave_runner):
    asked = []

    def run(keys, inputs, labels, radii):
        asked.append(float(radii[0]))
        return wave_runner(keys, inputs, labels, radii)

    for options in ({}, {"correct": np.ones(26, bool)}):
        evaluation.robustness_curve(run, jax.random.key(0), WAVE, np.zeros(26, int), [0.0, 0.01, 0.0], **options)
    assert asked == [0.0, np.float32(0.01), np.float32(0.01)]


def nan_above(limit):
    return lambda keys, inputs: jnp.where(inputs[:, :1] > limit, jnp.nan, linear(keys, inputs))


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
def test_where_there_is_no_answer_there_is_no_accuracy():
    inside, push_by = float(INPUTS[:, 0].max()) + 0.01, {"make_attack": push, "epsilons": jnp.array([0.0, 0.3])}
    after = int((INPUTS[:, 0] + 0.3 > inside).sum())
    with pytest.raises(ValueError, match=f"logits_fn answers NaN at {after} of 20 examples"):
        robust(nan_above(inside), **push_by)
    with pytest.raises(ValueError, match="logits_fn answers NaN at 20 of 20 examples"):
        robust(nan_above(-1.0), **push_by)
    assert robust(nan_above(2.0), **push_by)[:, 0].all()


@pytest.mark.parametrize("label", [0, -1])
def test_inside_jit_no_answer_is_never_right(label):
    """Of NaN the argmax is 0, and -1 is no answer."""

    @jax.jit
    def traced(labels, limit):
        return evaluation.robust_correct(
            jax.random.key(0), nan_above(limit), INPUTS, labels, make_attack=push, epsilons=jnp.array([0.0, 0.3])
        )

    assert traced(LABELS, 2.0)[:, 0].all()
    assert not traced(jnp.full(20, label), -1.0).any()


def test_the_curve_refuses_what_is_undecided():
    def run(keys, inputs, labels, radii):
        fell = np.zeros(len(labels), bool)
        return AttackResult(inputs, fell, undecided=fell | ((radii > 0.1) & (inputs[:, 0] > 0.5)))

    with pytest.raises(ValueError, match="answers NaN at"):
        evaluation.robustness_curve(run, jax.random.key(0), INPUTS, LABELS, [0.05, 0.2])
    assert evaluation.robustness_curve(run, jax.random.key(0), INPUTS, LABELS, [0.05, 0.1]).all()


@pytest.mark.parametrize("num_samples", [1, 12])
@pytest.mark.parametrize("scale", [1e-9, 1e-8, 1.0, 1e4, 1e10])
def test_verdicts_are_those_of_the_argmax_at_every_scale_of_the_logits(scaled, scale, num_samples):
    np.testing.assert_array_equal(scaled(scale, num_samples)[:, 0], np.arange(20) % 2 == 0)


@pytest.fixture(scope="module")
def scaled():
    """Half of the labels are wrong, class 0 and others alike; one program for all scales."""
    labels = jnp.where(jnp.arange(20) % 2 == 0, LABELS, 1 - LABELS)

    @functools.partial(jax.jit, static_argnums=1)
    def correct(scale, num_samples):
        return evaluation.robust_correct(
            jax.random.key(0), lambda keys, inputs: scale * linear(keys, inputs), INPUTS, labels,
            make_attack=attacks.fgsm, epsilons=jnp.zeros(1), num_samples=num_samples,
        )  # fmt: skip

    return correct


def test_sampled_logits_are_deterministic_at_scale_zero():
    model = evaluation.sampled_logits_fn(lambda x: DiagGaussian(x, jnp.zeros_like(x)), lambda z: z @ WEIGHT)
    np.testing.assert_allclose(model(jax.random.key(3), INPUTS), linear(None, INPUTS), rtol=1e-6)
