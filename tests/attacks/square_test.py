"""Square Attack against models whose distance to the boundary is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses
from ib_jax.attacks.square import square

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
FAR = (-100.0, 100.0)
WEIGHT = RNG.normal(size=(20, 2)).astype(np.float32)
INPUTS = RNG.uniform(0.2, 0.8, size=(40, 20)).astype(np.float32)
SLOPE = WEIGHT[:, 1] - WEIGHT[:, 0]


def linear(keys, inputs):
    return (inputs.reshape(len(inputs), -1) - 0.5) @ WEIGHT


def never(keys, inputs):
    """Answers class 0, whatever it is asked."""
    return jnp.tile(jnp.array([1.0, 0.0]), (len(inputs), 1)) + 0 * inputs.sum()


LABELS = np.asarray(linear(None, INPUTS).argmax(-1))


def run(attack, model=linear, inputs=INPUTS, labels=LABELS, targets=None):
    return jax.jit(lambda *batch: attack(KEY, model, *batch))(jnp.asarray(inputs), jnp.asarray(labels), targets)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_success_begins_beyond_the_distance_to_the_boundary(norm):
    """It is exact in a linear model: nothing succeeds below it, and most do at 1.5 times of it."""
    dual = np.abs(SLOPE).sum() if norm == "linf" else np.linalg.norm(SLOPE)
    distance = jnp.asarray(np.abs((INPUTS - 0.5) @ SLOPE) / dual)
    attack = jax.jit(
        lambda radii: square(radii, norm=norm, num_queries=400, p_init=0.4, bounds=FAR)(KEY, linear, INPUTS, LABELS)
    )
    assert not attack(0.999 * distance).success.any()
    result = attack(1.5 * distance)
    assert result.success.mean() > 0.9
    size = losses.perturbation_norm(result.inputs - INPUTS, norm)
    np.testing.assert_array_less(size, 1.5 * distance + 1e-5)


@pytest.mark.parametrize("norm, epsilon", [("linf", 0.25), ("l2", 1.0)])
def test_breaks_what_gradients_cannot(norm, epsilon):
    """Rounding masks the gradient: PGD stays where it is, and so would look like robustness."""
    rounded = lambda keys, inputs: linear(keys, jnp.round(inputs * 4) / 4)
    labels = rounded(None, INPUTS).argmax(-1)
    if norm == "linf":
        assert not run(attacks.pgd(epsilon, random_start=False), rounded, labels=labels).success.any()
    result = run(square(epsilon, norm=norm, num_queries=200, p_init=0.4), rounded, labels=labels)
    assert result.success.mean() > 0.9
    np.testing.assert_array_equal(rounded(None, result.inputs).argmax(-1) != labels, result.success)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_never_asks_for_gradients(norm):
    @jax.custom_vjp
    def closed(inputs):
        return linear(None, inputs)

    def refuse(residual, cotangent):
        raise AssertionError("a gradient was asked for")

    closed.defvjp(lambda inputs: (closed(inputs), None), refuse)
    model = lambda keys, inputs: closed(inputs)
    trace = lambda attack: jax.eval_shape(lambda: attack(KEY, model, jnp.asarray(INPUTS), jnp.asarray(LABELS)))
    with pytest.raises(AssertionError, match="a gradient was asked for"):
        trace(attacks.fgsm(0.1))
    trace(square(0.1, norm=norm))


def test_asks_at_most_so_many_times_and_stops_when_all_are_fooled():
    asked = []

    @jax.jit
    def attack(fooled_after):
        def model(keys, inputs):
            jax.debug.callback(lambda: asked.append(len(inputs)))
            moved = (inputs != INPUTS).any(-1)
            fooled = jnp.where(moved, fooled_after <= 1, fooled_after == 0)
            return never(keys, inputs) * jnp.where(fooled, -1, 1)[:, None]

        return square(0.3, num_queries=7)(KEY, model, INPUTS, 0 * LABELS)

    for fooled_after, expected in ((9, 7), (1, 1), (0, 0)):
        asked.clear()
        assert attack(fooled_after).success.all() == (fooled_after < 9)
        jax.effects_barrier()
        assert (
            len(asked) - 3 == expected
        )  # besides the inputs and their spread at the start, and the verdict at the end


def test_an_input_that_fools_the_model_comes_back_unchanged():
    wrong = jnp.asarray(np.where(np.arange(40) % 2, LABELS, 1 - LABELS))
    attack = square(0.05, num_queries=5)

    @jax.jit
    def search(inputs):
        problem = attack.problem(KEY, linear, inputs, wrong)
        return attack.advance(linear, problem, attack.start(linear, problem), 5)

    state = search(INPUTS)
    np.testing.assert_array_equal(state.best[::2], INPUTS[::2])
    np.testing.assert_array_equal(state.queries[::2], 0)
    assert state.done[::2].all()
    assert (jnp.abs(state.best[1::2] - INPUTS[1::2]).max(-1) > 0.04).all()
    assert (state.queries[1::2] >= 1).all()
    assert (state.done | (state.queries == 5)).all()


@pytest.mark.parametrize("norm, epsilon", [("linf", 0.1), ("l2", 0.5)])
def test_an_examples_result_does_not_depend_on_its_neighbours(norm, epsilon):
    attack = jax.jit(lambda keys, x, y: square(epsilon, norm=norm, num_queries=20)(keys, linear, x, y))
    keys = losses.per_example_keys(KEY, 40)
    whole = attack(keys, INPUTS, LABELS)
    assert 0.1 < whole.success.mean() < 0.9
    np.testing.assert_array_equal(attack(keys, INPUTS, LABELS).inputs, whole.inputs)
    other = attack(losses.per_example_keys(jax.random.key(1), 40), INPUTS, LABELS)
    assert (other.inputs != whole.inputs).any(-1).mean() > 0.5
    for rows in (np.array([31, 2] * 20), np.array([31, 2, 2]))[: 2 if norm == "linf" else 1]:  # to compile less
        part = attack(keys[rows], INPUTS[rows], LABELS[rows])
        np.testing.assert_allclose(part.inputs, whole.inputs[rows], atol=1e-6)


def test_flattened_images_are_attacked_as_images():
    lower, upper = RNG.uniform(0.0, 0.2, (5, 4)).astype(np.float32), RNG.uniform(0.8, 1.0, (5, 4)).astype(np.float32)
    make = functools.partial(square, 0.3, num_queries=12)
    result = np.asarray(run(make(bounds=(lower, upper)), inputs=INPUTS.reshape(40, 5, 4)).inputs)
    assert (result >= lower).all()
    assert (result <= upper).all()
    assert ((result == lower) | (result == upper)).any()
    flat = run(make(bounds=(lower.reshape(-1), upper.reshape(-1)), image_shape=(5, 4, 1))).inputs
    np.testing.assert_allclose(flat, result.reshape(40, 20), atol=1e-6)


def test_targeted_reaches_class_zero_as_well_as_any_other():
    weight = RNG.normal(size=(20, 3)).astype(np.float32)
    model = lambda keys, inputs: (inputs - 0.5) @ weight
    targets = jnp.arange(40) % 2 * 2
    result = run(square(0.4, num_queries=150), model, labels=jnp.ones(40, jnp.int32), targets=targets)
    np.testing.assert_array_equal(result.success, model(None, result.inputs).argmax(-1) == targets)
    assert result.success[::2].mean() > 0.8
    assert result.success[1::2].mean() > 0.8


def test_a_lucky_sample_is_no_success_when_many_are_pooled():
    """A model that is wrong one time in five wherever it is asked."""

    def unsteady(keys, inputs):
        wrong = jax.vmap(lambda key: jax.random.bernoulli(key, 0.2))(keys)
        return jnp.where(wrong[:, None], jnp.array([0.0, 3.0]), jnp.array([3.0, 0.0]))

    @jax.jit
    def search():
        attack = square(0.1, num_queries=40, num_judge_samples=64)
        problem = attack.problem(KEY, unsteady, INPUTS, jnp.zeros(40, jnp.int32))
        state = attack.advance(unsteady, problem, attack.start(unsteady, problem), 40)
        return state, attack.result(unsteady, problem, state).success

    state, success = search()
    assert not success.any()
    assert state.done.mean() > 0.9
    assert 1 < state.queries.mean() < 8  # a fresh sample for every query, four until the first mistake
    pooled = run(square(0.1, num_queries=4, num_eot_samples=64), unsteady, labels=0 * LABELS)
    assert (pooled.inputs != INPUTS).any(-1).all()
    assert not pooled.success.any()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="norm must be one of linf, l2, got 'l1'"):
        square(0.1, norm="l1")
    with pytest.raises(ValueError, match="num_queries must be at least 1, got 0"):
        square(0.1, num_queries=0)
    for p_init in (0.0, 1.1):
        with pytest.raises(ValueError, match=rf"p_init must lie in \(0, 1\], got {p_init}"):
            square(0.1, p_init=p_init)
    for image_shape in ((20,), (4, 0), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match=r"image_shape must be \(H, W\) or \(H, W, C\)"):
            square(0.1, image_shape=image_shape)
    with pytest.raises(
        ValueError, match=r"image_shape must have the size of an example of shape \(20,\), got \(7, 3\)"
    ):
        run(square(0.1, image_shape=(7, 3)))
    with pytest.raises(ValueError, match="num_eot_samples must be at least 1, got 0"):
        square(0.1, num_eot_samples=0)
