"""BIM, MI-FGSM, L1 steps, step rules, restarts and early stops against answers that are known."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from ib_jax import attacks, losses
from ib_jax.attacks.norms import NORMS

RNG = np.random.default_rng(0)
WEIGHT1, WEIGHT2 = RNG.normal(size=(6, 8)), RNG.normal(size=(8, 3))
INPUTS = RNG.uniform(0.3, 0.7, size=(5, 6)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1])
KEY = jax.random.key(0)
FAR = (-100.0, 100.0)


def model(keys, inputs):
    return jnp.tanh(inputs @ jnp.asarray(WEIGHT1)) @ jnp.asarray(WEIGHT2)


def gradient(x):
    hidden = np.tanh(x @ WEIGHT1)
    logits = hidden @ WEIGHT2
    q = np.exp(logits - logits.max(-1, keepdims=True))
    q /= q.sum(-1, keepdims=True)
    return (((q - np.eye(3)[LABELS]) @ WEIGHT2.T) * (1 - hidden**2)) @ WEIGHT1.T


def run(attack, logits_fn=model, inputs=INPUTS, labels=LABELS, targets=None):
    return attack(KEY, logits_fn, jnp.asarray(inputs), jnp.asarray(labels), targets)


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_naive_numpy_takes_the_same_steps_with_momentum(decay):
    x, velocity = INPUTS.astype(np.float64), 0.0
    for _ in range(4):
        slope = gradient(x)
        velocity = decay * velocity + slope / np.abs(slope).sum(-1, keepdims=True)
        x = np.clip(np.clip(x + 0.05 * np.sign(velocity), INPUTS - 0.2, INPUTS + 0.2), 0, 1)
    np.testing.assert_allclose(run(attacks.mi_fgsm(0.2, num_steps=4, decay=decay)).inputs, x, atol=1e-5)
    if not decay:
        np.testing.assert_allclose(run(attacks.bim(0.2, num_steps=4)).inputs, x, atol=1e-5)


def test_bim_is_pgd_from_the_input_along_a_path_of_one_radius():
    path = attacks.pgd(0.1, num_steps=3, random_start=False, step_size=attacks.path_length(1.0))
    np.testing.assert_array_equal(run(attacks.bim(0.1, num_steps=3)).inputs, run(path).inputs)


def test_step_rules():
    radii = jnp.array([0.3, 0.6])
    np.testing.assert_allclose(attacks.path_length(4 / 3)(radii, 20), [0.02, 0.04], rtol=1e-6)  # the CEB paper's
    np.testing.assert_allclose(attacks.share_of_radius(0.1)(radii, 20), [0.03, 0.06], rtol=1e-6)
    for rule in (attacks.path_length, attacks.share_of_radius):
        with pytest.raises(ValueError, match="must be positive, got 0"):
            rule(0)
    by_rule = run(attacks.pgd(0.3, num_steps=2, random_start=False, step_size=attacks.share_of_radius(0.1)))
    by_length = run(attacks.pgd(0.3, num_steps=2, random_start=False, step_size=0.03))
    np.testing.assert_allclose(by_rule.inputs, by_length.inputs, atol=1e-6)


def test_l1_on_a_linear_model_puts_everything_on_the_steepest_coordinate():
    slope = RNG.normal(size=300)
    linear = lambda keys, inputs: jnp.stack([jnp.zeros(len(inputs)), inputs @ jnp.asarray(slope)], -1)
    inputs, labels = np.full((2, 300), 0.5, np.float32), np.zeros(2, np.int32)
    settings = {"norm": "l1", "num_steps": 200, "step_size": attacks.path_length(20.0)}
    moved = run(attacks.pgd(2.0, bounds=FAR, **settings), linear, inputs, labels).inputs - inputs
    steepest = np.abs(slope).argmax()
    np.testing.assert_allclose(np.asarray(moved) @ slope, 2.0 * np.abs(slope).max(), rtol=1e-3)
    np.testing.assert_allclose(moved[:, steepest], 2.0 * np.sign(slope[steepest]), rtol=1e-3)
    # Within the bounds a coordinate takes half at most, so the four steepest share the radius.
    moved = run(attacks.pgd(2.0, **settings), linear, inputs, labels).inputs - inputs
    np.testing.assert_allclose(np.asarray(moved) @ slope, 0.5 * np.sort(np.abs(slope))[-4:].sum(), rtol=0.02)


def test_the_l1_projection_is_the_nearest_point():
    def naive(x, radius):
        if np.abs(x).sum() <= radius:
            return x
        falling = np.sort(np.abs(x))[::-1]
        excess = (np.cumsum(falling) - radius) / np.arange(1, x.size + 1)
        threshold = excess[np.nonzero(falling > excess)[0][-1]]
        return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)

    points, radii = RNG.normal(size=(50, 20)) * np.exp(RNG.normal(size=(50, 1))), RNG.uniform(0, 9, 50)
    far = np.full((50, 20), np.float32(np.inf))
    project = jax.jit(jax.vmap(NORMS["l1"].project))
    got = project(jnp.asarray(points, jnp.float32), jnp.asarray(radii, jnp.float32), -far, far)
    np.testing.assert_allclose(got, [naive(x, r) for x, r in zip(points, radii, strict=True)], atol=2e-5)


@hypothesis.given(st.integers(0, 2**32 - 1), st.floats(1e-3, 30.0))
@hypothesis.settings(deadline=None, max_examples=60)
def test_the_l1_projection_is_onto_ball_and_box_together(seed, radius):
    """The nearest point has one threshold for all coordinates that no bound holds, and less for none."""
    rng = np.random.default_rng(seed)
    point = (rng.normal(size=24) * np.exp(2 * rng.normal(size=24))).astype(np.float32)
    low, high = -rng.exponential(size=24).astype(np.float32), rng.exponential(size=24).astype(np.float32)
    low[:4], high[4:8] = 0.0, 0.0  # at a bound
    got = np.asarray(_l1_projection(point, np.float32(radius), low, high), np.float64)
    assert (got >= low).all()
    assert (got <= high).all()
    assert np.abs(got).sum() <= radius
    thresholds = lambda level: np.sign(point) * np.clip(np.abs(point) - level, 0, np.where(point > 0, high, -low))
    if np.abs(thresholds(0.0)).sum() <= radius:
        np.testing.assert_allclose(got, thresholds(0.0), atol=1e-6)
        return
    level = scipy.optimize.brentq(lambda level: np.abs(thresholds(level)).sum() - radius, 0, np.abs(point).max())
    np.testing.assert_allclose(got, thresholds(level), atol=3e-5 * max(1.0, np.abs(point).max()))


_l1_projection = jax.jit(NORMS["l1"].project)


@pytest.mark.parametrize("size, epsilon", [(64, 6.0), (3072, 12.0), (3072, 60.0)])
@pytest.mark.parametrize("make", [attacks.pgd, functools.partial(attacks.bim, num_steps=20)], ids=["pgd", "bim"])
def test_an_l1_attack_nearly_reaches_the_optimum_of_a_linear_model(make, size, epsilon):
    """The best step fills the steepest coordinates up to their bounds, one after another; 20 draws."""
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(20, size)).astype(np.float32), rng.uniform(size=(20, size)).astype(np.float32)
    room = np.where(weight > 0, 1 - inputs, inputs).astype(np.float64)
    order = np.argsort(-np.abs(weight), axis=-1)
    room, steep = np.take_along_axis(room, order, -1), np.take_along_axis(np.abs(weight), order, -1)
    best = (np.clip(epsilon - (np.cumsum(room, -1) - room), 0, room) * steep).sum(-1)

    def attack(weight, inputs):
        # Each row of the batch has a linear model of its own.
        logits_fn = lambda keys, x: jnp.stack([jnp.zeros(len(x)), (weight * (x - inputs)).sum(-1)], -1) / size
        return make(epsilon, norm="l1")(KEY, logits_fn, inputs, jnp.zeros(len(inputs), jnp.int32)).inputs

    moved = np.asarray(jax.jit(attack)(weight, inputs), np.float64) - inputs
    assert np.abs(moved).sum(-1).max() <= epsilon
    assert ((weight * moved).sum(-1) / best).mean() >= 0.95


def test_restarts_keep_the_best_of_several_starts():
    """A loss with a dead plateau: most starts see no gradient, one in a few finds the slope."""

    def plateau(keys, inputs):
        climb = jnp.maximum(inputs[:, 0] - 0.6, 0.0)
        return jnp.stack([jnp.full(len(inputs), 0.35), climb], -1)

    inputs, labels = jnp.full((200, 1), 0.5), jnp.zeros(200, jnp.int32)
    rate = lambda attack: float(attack(KEY, plateau, inputs, labels).success.mean())
    single, several = rate(attacks.pgd(0.5, num_steps=5)), rate(attacks.pgd(0.5, num_steps=5, num_restarts=6))
    np.testing.assert_allclose(single, 0.4, atol=0.1)
    np.testing.assert_allclose(several, 1 - 0.6**6, atol=0.05)
    never = attacks.pgd(0.3, num_steps=5, num_restarts=6)(KEY, plateau, inputs, labels)
    assert not never.success.any()
    assert (never.member == -1).all()
    # Of failures the one with the highest loss is kept: nearly all find the slope's top in six starts.
    assert np.mean(np.asarray(never.inputs)[:, 0] > 0.79) > 0.6
    with pytest.raises(ValueError, match="num_restarts must be 1 without a random start, got 2"):
        attacks.pgd(0.1, num_restarts=2, random_start=False)


def test_an_early_stop_keeps_the_first_iterate_that_fools():
    line = lambda keys, inputs: jnp.concatenate([inputs, 1.0 - inputs], -1)  # class 0 where x > 1/2
    inputs, labels = jnp.array([[0.55], [0.95]]), jnp.zeros(2, jnp.int32)
    settings = {"num_steps": 10, "step_size": 0.02, "random_start": False}
    stopped = attacks.pgd(0.2, early_stop=True, **settings)(KEY, line, inputs, labels)
    climbed = attacks.pgd(0.2, **settings)(KEY, line, inputs, labels)
    np.testing.assert_allclose(stopped.inputs, [[0.49], [0.75]], atol=1e-6)
    np.testing.assert_allclose(climbed.inputs, [[0.35], [0.75]], atol=1e-6)
    np.testing.assert_array_equal(stopped.success, climbed.success)


@pytest.mark.standard
def test_the_expectation_is_of_losses_or_of_probabilities():
    """Two equal samples, one saturated: the mean loss follows both slopes, the loss of the mean softmax mostly one."""
    slopes = jnp.array([[1.0, 0.0], [0.0, 8.0]])

    def two_faced(keys, inputs):
        faces = jax.vmap(lambda key: jax.random.bernoulli(key).astype(int))(keys)
        lead = (slopes[faces] * (inputs - 0.5)).sum(-1) + 4.0 * faces
        return jnp.stack([lead, jnp.zeros_like(lead)], -1)

    inputs, labels, num_samples = jnp.full((1, 2), 0.5), jnp.zeros(1, jnp.int32), 4000
    settings = {"norm": "l2", "bounds": FAR, "num_eot_samples": num_samples, "num_judge_samples": 1}
    expected = {
        # -d/dx of mean(-log q) and of -log mean(q), by hand, for q = sigmoid(lead), half of the samples each.
        "losses": np.array([1.0 * 0.5, 8.0 * (1 - _sigmoid(4.0))]),
        "probabilities": np.array([1.0 * 0.25, 8.0 * _sigmoid(4.0) * (1 - _sigmoid(4.0))]),
    }
    for of, slope in expected.items():
        attack = attacks.fgsm(1.0, expectation_of=of, **settings)
        moved = jax.jit(lambda attack=attack: attack(KEY, two_faced, inputs, labels))().inputs - inputs
        np.testing.assert_allclose(moved[0], -slope / np.linalg.norm(slope), atol=0.03)
    with pytest.raises(ValueError, match="expectation_of must be losses or probabilities, got 'logits'"):
        attacks.fgsm(0.1, expectation_of="logits")


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_success_is_judged_on_as_many_fresh_samples_as_stated():
    """A model that answers wrongly once in three: one sample is fooled that often, the mean of many never."""

    def sometimes(keys, inputs):
        wrong = jax.vmap(lambda key: jax.random.bernoulli(key, 1 / 3))(keys)
        return 9.0 * jax.nn.one_hot(wrong.astype(int), 2) + 0 * inputs

    inputs, labels = jnp.full((300, 2), 0.5), jnp.zeros(300, jnp.int32)

    @functools.partial(jax.jit, static_argnums=0)
    def judged(count):
        return attacks.fgsm(0.1, num_judge_samples=count)(KEY, sometimes, inputs, labels).success.mean()

    np.testing.assert_allclose(judged(1), 1 / 3, atol=0.08)
    assert judged(101) == 0.0
    with pytest.raises(ValueError, match="num_judge_samples must be at least 1, got 0"):
        attacks.fgsm(0.1, num_judge_samples=0)


def test_targets():
    labels = jnp.arange(900, dtype=jnp.int32) % 3
    drawn = attacks.random_targets(KEY, labels, 3)
    assert not (drawn == labels).any()
    np.testing.assert_allclose(np.mean((drawn - labels) % 3 == 1), 0.5, atol=0.05)
    logits = jnp.array([[3.0, 1.0, 2.0], [-9.0, 1.0, 2.0]])
    least = attacks.least_likely_targets(KEY, lambda keys, x: x, logits, jnp.zeros(2, jnp.int32))
    np.testing.assert_array_equal(least, [1, 1])  # never the label, however improbable
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        attacks.random_targets(KEY, labels, 1)


def test_a_transfer_sees_the_source_and_is_judged_on_the_model():
    line = lambda keys, inputs: jnp.concatenate([inputs, 1.0 - inputs], -1)
    mirrored = lambda keys, inputs: 1.0 - line(keys, inputs)
    masked = lambda keys, inputs: jnp.round(9 * line(keys, inputs))  # no gradient anywhere
    inputs, labels = jnp.array([[0.6]]), jnp.array([0])
    direct = attacks.fgsm(0.2)
    assert not direct(KEY, masked, inputs, labels).success.any()
    assert attacks.transfer(direct, line)(KEY, masked, inputs, labels).success.all()
    assert not attacks.transfer(direct, mirrored)(KEY, masked, inputs, labels).success.any()


def test_perturbation_norms_against_numpy():
    x = RNG.normal(size=(4, 3, 2)).astype(np.float32) * np.array([1, 1e-25, 0, 1e15], np.float32)[:, None, None]
    flat = x.reshape(4, -1).astype(np.float64)
    for norm, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", np.inf)):
        expected = np.linalg.norm(flat, order, axis=-1)
        np.testing.assert_allclose(losses.perturbation_norm(jnp.asarray(x), norm), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="norm must be one of l0, l1, l2, linf, got 'l7'"):
        losses.perturbation_norm(jnp.ones((1, 2)), "l7")
