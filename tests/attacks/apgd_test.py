"""Auto-PGD against a naive NumPy loop and answers that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses

RNG = np.random.default_rng(4)
WEIGHT1, WEIGHT2 = RNG.normal(size=(6, 8)) * 2, RNG.normal(size=(8, 4)) * 2
INPUTS = RNG.uniform(0.2, 0.8, size=(6, 6)).astype(np.float32)
LABELS = np.argmax(np.tanh(INPUTS @ WEIGHT1) @ WEIGHT2, -1)
KEY = jax.random.key(0)


def model(keys, inputs):
    return jnp.tanh(inputs @ jnp.asarray(WEIGHT1)) @ jnp.asarray(WEIGHT2)


def loss_and_gradient(x, label):
    hidden = np.tanh(x @ WEIGHT1)
    logits = hidden @ WEIGHT2
    q = np.exp(logits - logits.max())
    q /= q.sum()
    return -np.log(q[label]), ((q - np.eye(4)[label]) @ WEIGHT2.T * (1 - hidden**2)) @ WEIGHT1.T


def naive_apgd(x, label, start, epsilon, num_steps, norm):
    """One example, as the paper describes it; returns the best point, its loss, and where each step led."""

    def project(point):
        move = point - x
        size = np.linalg.norm(move)
        move = np.clip(move, -epsilon, epsilon) if norm == "linf" else move * min(1, epsilon / max(size, 1e-30))
        return np.clip(x + move, 0, 1)

    current = previous = best = start
    last, slope = loss_and_gradient(start, label)
    best_loss, best_slope, checkpoint_loss = last, slope, last
    alpha, period, since, rises, shortened = 2 * epsilon, max(int(0.22 * num_steps), 1), 0, 0, True
    path = []
    for index in range(num_steps):
        direction = np.sign(slope) if norm == "linf" else slope / np.linalg.norm(slope)
        ahead = project(current + alpha * direction)
        a = 1.0 if index == 0 else 0.75
        point = project(current + a * (ahead - current) + (1 - a) * (current - previous))
        previous = current
        loss, slope = loss_and_gradient(point, label)
        rises += loss > last
        last, current = loss, point
        if loss > best_loss:
            best, best_loss, best_slope = point, loss, slope
        since += 1
        if since == period:
            halve = rises <= 0.75 * period or (not shortened and checkpoint_loss >= best_loss)
            shortened, checkpoint_loss = halve, best_loss
            if halve:
                alpha, current, slope = alpha / 2, best, best_slope
            period, since, rises = max(period - max(int(0.03 * num_steps), 1), max(int(0.06 * num_steps), 1)), 0, 0
        path.append(current)
    return best, best_loss, path


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_naive_loop_over_one_example_takes_the_same_steps(norm):
    attack = attacks.apgd(0.15, norm=norm, num_steps=40, early_stop=False)
    problem = attack.problem(KEY, model, jnp.asarray(INPUTS), jnp.asarray(LABELS))
    advance = jax.jit(lambda state, count: attack.advance(model, problem, state, count))
    first = attack.start(model, problem)
    early, state = advance(first, 4), advance(first, 40)
    starts = np.asarray(first.current, np.float64)
    for row in range(len(INPUTS)):
        best, loss, path = naive_apgd(INPUTS[row].astype(np.float64), LABELS[row], starts[row], 0.15, 40, norm)
        np.testing.assert_allclose(early.current[row], path[3], atol=2e-5)
        np.testing.assert_allclose(state.best_loss[row], loss, rtol=1e-4)
        np.testing.assert_allclose(state.best[row], best, atol=2e-3)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss_fn", [losses.cross_entropy, losses.dlr])
def test_the_worst_loss_on_a_linear_model_is_reached(norm, loss_fn):
    """Two classes and a third that never plays a part: the worst point is along the difference of the weights."""
    weight = RNG.normal(size=(6, 2))
    linear = lambda keys, x: jnp.concatenate([x @ jnp.asarray(weight), jnp.full((len(x), 1), -50.0)], -1)
    labels = np.asarray(linear(None, INPUTS).argmax(-1))
    slope = (weight[:, 1] - weight[:, 0]) * np.where(labels == 0, 1, -1)[:, None]
    unit = np.sign(slope) if norm == "linf" else slope / np.linalg.norm(slope, axis=-1, keepdims=True)
    worst = loss_fn(linear(None, jnp.asarray(INPUTS + 0.3 * unit)), jnp.asarray(labels))
    attack = attacks.apgd(0.3, norm=norm, num_steps=50, loss_fn=loss_fn, early_stop=False, bounds=(-9.0, 9.0))
    result = jax.jit(lambda: attack(KEY, linear, jnp.asarray(INPUTS), jnp.asarray(labels)))()
    np.testing.assert_allclose(loss_fn(linear(None, result.inputs), jnp.asarray(labels)), worst, rtol=1e-3)


def test_an_example_that_fools_the_model_is_done_and_others_go_on():
    attack = attacks.apgd(0.3, num_steps=20)
    whole = attacks.apgd(0.3, num_steps=20, early_stop=False)
    inputs, labels = jnp.asarray(INPUTS), jnp.asarray(LABELS)
    stopped, climbed = (jax.jit(lambda a=a: a(KEY, model, inputs, labels))() for a in (attack, whole))
    np.testing.assert_array_equal(stopped.success, climbed.success)
    loss = lambda result: losses.cross_entropy(model(None, result.inputs), labels)
    assert (loss(climbed) >= loss(stopped) - 1e-5).all()
    assert (loss(climbed) > loss(stopped) + 0.1).any()


def test_targeted_reaches_the_target():
    targets = (jnp.asarray(LABELS) + 1) % 4
    for settings in ({}, {"targeted_loss_fn": losses.targeted_dlr}):
        attack = attacks.apgd(1.0, num_steps=30, **settings)
        result = jax.jit(lambda a=attack: a(KEY, model, jnp.asarray(INPUTS), jnp.asarray(LABELS), targets))()
        assert result.success.mean() > 0.6
        np.testing.assert_array_equal(model(None, result.inputs).argmax(-1) == targets, result.success)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="norm must be one of l2, linf, got 'l1'"):
        attacks.apgd(0.1, norm="l1")
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        attacks.apgd(0.1, num_steps=0)
    two = lambda keys, inputs: model(keys, inputs)[:, :2]
    with pytest.raises(ValueError, match=r"dlr needs logits .* of at least 3 classes, got shape"):
        attacks.apgd(0.1, loss_fn=losses.dlr)(KEY, two, jnp.asarray(INPUTS), jnp.zeros(6, jnp.int32))
