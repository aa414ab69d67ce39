"""What no exported attack may be fooled by: NaN, the scale of logits, masked classes, the precision of the inputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, evaluation, losses
from ib_jax.attacks.ensemble import Ensemble
from tests.contracts.attack_cases import ALL, FIXED, MINIMAL, WEIGHT, norm_of

BATCH, MASKED = 8, 2
BOUNDS = (0.1, 0.9)
INPUTS = np.random.default_rng(1).uniform(*BOUNDS, (BATCH, 2, 3)).astype(np.float32)
LABELS = ((INPUTS.reshape(BATCH, 6) - 0.5) @ WEIGHT).argmax(-1)
KEYS = losses.per_example_keys(jax.random.key(0), BATCH)
SOUND, NO_ANSWER, NO_SLOPE = 0, 1, 2
PLAIN = {"flaw": SOUND, "scale": 1.0, "shift": 0.0, "mask": -5.0}
WITHOUT_GRADIENT = {
    "hop_skip_jump",
    "hop_skip_jump linf",
    "square",
    "square l2",
    "transfer",
}  # the last has those of another model
BY_RATIO = [*MINIMAL, "fab within", "square", "square l2", "apgd l2"]
"""Attacks that look at ratios or signs of margins alone, so that the scale of the logits is nothing to them."""


def model(keys, inputs, flaw, scale, shift, mask):
    """Logits of 4 classes, scaled and shifted, and of two more that are masked; in float32 as networks have them.

    A mask of -inf is that of `restrict_to_classes`, without which the two would be far ahead.
    """
    flat = inputs.reshape(len(inputs), -1).astype(jnp.float32)
    logits = (flat - 0.5) @ WEIGHT
    # Zero, and without a slope where it should have none: sqrt at 0.
    logits += jnp.sqrt(jnp.where(flaw == NO_SLOPE, 0.0 * flat, 0.0)).sum(-1, keepdims=True)
    logits = jnp.where(flaw == NO_ANSWER, jnp.nan, logits) * scale + shift
    masked = jnp.concatenate([logits, jnp.full((len(flat), MASKED), mask)], -1)
    ahead = jnp.concatenate([logits, logits[:, :MASKED] + 50.0 * flat[:, :MASKED] + 9.0], -1)
    return jnp.where(jnp.isneginf(mask), evaluation.restrict_to_classes(ahead, range(WEIGHT.shape[1])), masked)


@functools.cache
def program(name):
    """One program for each attack, whatever is wrong with the model."""

    def run(inputs, radius, kind):
        logits_fn = lambda keys, x: model(keys, x, **kind)
        if name in FIXED:
            return ALL[name].make(radius, bounds=BOUNDS)(KEYS, logits_fn, inputs, LABELS)
        return ALL[name].make(bounds=BOUNDS)(KEYS, logits_fn, inputs, LABELS)

    return jax.jit(run)


def attack(name, inputs=INPUTS, radius=0.25, **kind):
    kind = {key: jnp.float32(value) for key, value in (PLAIN | kind).items()}
    return program(name)(jnp.asarray(inputs), jnp.float32(radius), kind)


def assert_inside(name, result, inputs, radius):
    moved = np.asarray(result.inputs, np.float64) - np.asarray(inputs, np.float64)
    low, high = (np.asarray(jnp.asarray(end, result.inputs.dtype), np.float64) for end in BOUNDS)
    assert np.isfinite(moved).all()
    assert (np.asarray(result.inputs, np.float64) >= low).all()
    assert (np.asarray(result.inputs, np.float64) <= high).all()
    if name in FIXED:
        assert norm_of(moved, FIXED[name].norm).max() <= float(np.float32(radius))


@pytest.mark.parametrize("name", ALL)
def test_a_model_without_an_answer_neither_stands_nor_falls(name):
    result = attack(name, flaw=NO_ANSWER)
    assert not result.success.any()
    assert result.undecided.all()
    assert_inside(name, result, INPUTS, 0.25)
    with pytest.raises(ValueError, match="logits_fn answers NaN at 8 of 8 attacked examples"):
        result.decided()


@pytest.mark.parametrize("name", ALL)
def test_a_gradient_that_is_not_finite_moves_nothing_and_is_told(name):
    sound, blind = attack(name), attack(name, flaw=NO_SLOPE)
    assert_inside(name, blind, INPUTS, 0.25)
    np.testing.assert_array_equal(blind.undecided, False)
    np.testing.assert_array_equal(sound.blocked, False)
    if name in WITHOUT_GRADIENT:
        return
    assert blind.blocked.any()
    answers = jax.jit(model)(None, blind.inputs, **(PLAIN | {"flaw": SOUND})).argmax(-1)
    np.testing.assert_array_equal(blind.success, answers != LABELS)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("mask", [-jnp.inf, -1e9])
def test_masked_classes_change_nothing(name, mask):
    plain, masked = attack(name), attack(name, mask=mask)
    np.testing.assert_array_equal(masked.blocked, False)
    np.testing.assert_array_equal(masked.success, plain.success)
    if name in MINIMAL:
        np.testing.assert_allclose(masked.inputs, plain.inputs, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1e4, 1e10])
def test_the_verdict_is_that_of_the_argmax_at_every_scale(name, scale):
    """A factor never changes the argmax; masked classes stay behind."""
    result = attack(name, scale=scale, mask=-9 * scale)
    answers = jax.jit(model)(None, result.inputs, **(PLAIN | {"mask": -9.0})).argmax(-1)
    np.testing.assert_array_equal(result.success, answers != LABELS)
    assert_inside(name, result, INPUTS, 0.25)


@pytest.mark.parametrize("name", BY_RATIO)
@pytest.mark.parametrize("kind", [{"scale": 2e-9}, {"scale": 3e10}, {"shift": 7.0}, {"shift": -300.0}], ids=str)
def test_scale_and_shift_of_the_logits_change_nothing(name, kind):
    plain = attack(name, mask=-jnp.inf)
    other = attack(name, mask=-jnp.inf, **kind)
    np.testing.assert_array_equal(other.success, plain.success)
    # A shift of 300 leaves the logits 3e-5 of their precision.
    np.testing.assert_allclose(other.inputs, plain.inputs, atol=1e-3 if "shift" in kind else 1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.slow)])
def test_low_precision_stays_in_the_ball_exactly(name, dtype):
    inputs = jnp.asarray(INPUTS, dtype)
    for radius in (0.0351, 0.1) if name in FIXED else (None,):  # in bfloat16 the first is 9/256, more than it
        result = attack(name, inputs, radius or 0.0)
        assert result.inputs.dtype == dtype
        assert_inside(name, result, inputs, radius)
        if radius == 0.1:
            assert (result.inputs != inputs).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_an_empty_batch_is_attacked(name):
    logits_fn = lambda keys, x: model(keys, x, **PLAIN)
    adversary = ALL[name].make(0.1) if name in FIXED else ALL[name].make()
    found = adversary(jax.random.key(0), logits_fn, jnp.zeros((0, 2, 3)), jnp.zeros(0, jnp.int32))
    assert (found.inputs.shape, found.success.shape, found.undecided.shape) == ((0, 2, 3), (0,), (0,))
    if name != "transfer":
        runner = attacks.Runner(adversary, lambda params, keys, x: logits_fn(keys, x))
        assert runner(None, jax.random.key(0), np.zeros((0, 2, 3), np.float32), []).success.shape == (0,)
    if isinstance(adversary, Ensemble) and any(member.rank is not None for member in adversary.members):
        with pytest.raises(ValueError, match="result must hold at least one example, got none"):
            adversary.standing(found)


@pytest.mark.not_under("debug_infs", reason="a class that is left out is at minus infinity")
@pytest.mark.parametrize("name", ["pgd", "autoattack", "deepfool", "carlini_wagner", "square"])
def test_what_is_restricted_to_some_classes_falls_like_a_model_of_these_alone(name):
    """`restrict_to_classes` with every kind of search, more targets than classes are left among them."""
    allowed, mix = [0, 2, 3, 5, 7], np.random.default_rng(2).normal(size=(6, 9)).astype(np.float32)
    logits = lambda x: (x.reshape(-1, 6) - 0.5) @ mix
    few = lambda keys, x: logits(x)[:, np.array(allowed)]
    restricted = lambda keys, x: evaluation.restrict_to_classes(logits(x), allowed)
    settings = {"num_targets": 4} if name == "autoattack" else {}
    more = {"num_targets": 7} if name == "autoattack" else {}
    make = functools.partial(getattr(attacks, name), *[0.2] if name in FIXED else [])
    inputs = jnp.asarray(INPUTS)
    labels = restricted(None, inputs).argmax(-1)
    alone = jax.jit(lambda: make(**settings)(KEYS, few, inputs, jnp.searchsorted(jnp.array(allowed), labels)))()
    among = jax.jit(lambda: make(**more)(KEYS, restricted, inputs, labels))()
    assert alone.success.any()
    np.testing.assert_array_equal(among.success, alone.success)
