"""HopSkipJump against the known distances of an affine model, and what it asks for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks
from ib_jax.attacks.hop_skip_jump import _JUMP, hop_skip_jump
from tests.attacks.affine import (
    BATCH,
    BIAS,
    CLASSES,
    INPUTS,
    KEY,
    LABELS,
    NORMS,
    WEIGHT,
    affine,
    attack_affine,
    distances,
    norm_of,
)

UNIT = (0.0, 1.0)
affine_attack = functools.partial(attack_affine, hop_skip_jump, bounds=UNIT, num_queries=1500, num_directions=30)


@pytest.mark.parametrize("norm", NORMS)
def test_it_comes_near_the_known_distance(norm):
    result = affine_attack(norm=norm)
    found, least = norm_of(result.inputs - INPUTS, norm), distances(norm, UNIT)
    assert result.success.all()
    assert (found > least * (1 - 1e-4)).all()
    assert np.median(found / least) < 1.1
    assert (found < 1.3 * least).sum() >= BATCH - 1  # the class of the first direction need not be the nearest


def test_more_queries_never_lead_farther():
    sizes = [norm_of(affine_attack(norm="l2", num_queries=n).inputs - INPUTS, "l2") for n in (100, 400, 1500)]
    assert (sizes[0] >= sizes[1]).all()
    assert (sizes[1] >= sizes[2]).all()
    assert np.median(sizes[0]) > 1.05 * np.median(sizes[2])


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_it_takes_no_gradient_and_looks_at_no_logits(slope):
    """Decisions at any price: one-hot, and with a derivative that is zero or NaN."""

    @jax.custom_jvp
    def decide(x):
        return jax.nn.one_hot(affine(None, x).argmax(-1), CLASSES)

    decide.defjvp(lambda x, dx: (decide(*x), jnp.full((len(x[0]), CLASSES), slope)))
    settings = {"norm": "l2", "num_queries": 300, "num_directions": 20}
    attack = hop_skip_jump(**settings)
    found = jax.jit(lambda: attack(KEY, lambda keys, x: decide(x), INPUTS, LABELS))()
    assert found.success.all()
    assert not found.blocked.any()
    plain = jax.jit(lambda: attack(KEY, affine, INPUTS, LABELS))()
    np.testing.assert_allclose(found.inputs, plain.inputs, atol=1e-5)


def test_queries_are_counted():
    asked = []

    def counted(params, keys, inputs):
        jax.debug.callback(lambda: asked.append(len(inputs)))
        return affine(keys, inputs)

    run = attacks.Runner(hop_skip_jump(num_queries=30, confidence=0.0), counted, batch_size=BATCH, steps_per_call=10)
    assert run(None, KEY, INPUTS, LABELS).success.any()
    jax.effects_barrier()
    assert len(asked) == 1 + 30 + 1  # the input, the queries, and the verdict


def test_an_example_that_fools_or_lies_within_its_radius_asks_no_more():
    labels = np.where(np.arange(BATCH) == 0, (LABELS + 1) % CLASSES, LABELS)
    attack = hop_skip_jump(num_queries=50)
    radii = np.where(np.arange(BATCH) < 6, 9.0, 1e-3).astype(np.float32)
    problem = attack.problem(KEY, affine, INPUTS, labels, epsilon=radii)
    state = jax.jit(lambda: attack.advance(affine, problem, attack.start(affine, problem), 50))()
    assert state.queries[0] == 0
    assert (state.queries[1:6] < 50).all()
    np.testing.assert_array_equal(state.queries[6:], 50)
    result = attack.result(affine, problem, state)
    np.testing.assert_array_equal(result.success, radii > 1)
    np.testing.assert_array_equal(result.inputs[6:], INPUTS[6:])


def test_a_target_that_noise_looks_like_is_reached():
    grey = affine(None, np.full((1, 8), 0.5, np.float32)).argmax(-1)
    targets = np.broadcast_to(np.asarray(grey), BATCH)
    result = affine_attack(LABELS, targets, norm="l2")
    assert (targets != LABELS).sum() > 0
    np.testing.assert_array_equal((np.asarray(result.inputs) @ WEIGHT + BIAS).argmax(-1), targets)
    assert result.success.all()


def test_a_jump_that_does_not_fool_is_tried_at_half_its_length():
    attack, never = hop_skip_jump(), lambda keys, x: jnp.zeros((len(x), CLASSES))
    problem = attack.problem(KEY, never, INPUTS, 0 * LABELS)
    state = attack.start(never, problem)
    state = state._replace(phase=state.phase + _JUMP, jump=state.jump + 1, direction=state.direction + 0.1)
    moved = jax.jit(lambda: attack.advance(never, problem, state, 2))()
    np.testing.assert_array_equal(moved.jump, 0.25)
    np.testing.assert_array_equal(moved.phase, _JUMP)


def test_where_nothing_fools_the_input_is_returned():
    result = affine_attack(0 * LABELS, weight=0 * WEIGHT, bias=np.float32([1, 0, 0, 0, 0]), norm="l2", num_queries=20)
    np.testing.assert_array_equal(result.inputs, INPUTS)
    assert not result.success.any()


def test_bad_settings_are_refused():
    for settings, message in (
        ({"norm": "l1"}, "norm must be one of l2, linf, got 'l1'"),
        ({"num_queries": 0}, "num_queries must be at least 1, got 0"),
        ({"num_directions": 0}, "num_directions must be at least 1, got 0"),
        ({"bounds": (-np.inf, np.inf)}, "bounds must be finite in this attack"),
    ):
        with pytest.raises(ValueError, match=message):
            hop_skip_jump(**settings)
