"""The last bit: of bounds and of balls; and what is taken or refused at the door."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks
from ib_jax.attacks import box

KEY = jax.random.key(0)
LABELS = jnp.zeros(2, jnp.int32)
NORMALISED = {
    "cifar10": (np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])),
    "mnist": (np.array([0.1307]), np.array([0.3081])),
}


def linear(keys, inputs):
    return inputs.reshape(inputs.shape[0], -1)[:, :3]


@pytest.mark.parametrize("name", NORMALISED)
def test_images_scaled_by_the_usual_numbers_are_taken_inside_jit_and_outside(name):
    mean, std = NORMALISED[name]
    images = jnp.asarray(np.repeat([0, 255], 12).reshape(2, 4, 3), jnp.uint8)
    shift, scale = (jnp.asarray(each, jnp.float32)[None, None] for each in (mean, std))
    inputs = np.asarray((images.astype(jnp.float32) / 255 - shift) / scale)
    low, high = (0 - mean) / std, (1 - mean) / std
    # In float32 a black or white pixel is not always where the bounds are.
    assert ((inputs < low.astype(np.float32)) | (inputs > high.astype(np.float32))).any() or name == "mnist"
    for epsilon in (0.0, 0.1):
        attack = attacks.pgd(epsilon, bounds=(low, high), num_steps=3)
        plain, jitted = attack(KEY, linear, inputs, LABELS), jax.jit(lambda x: attack(KEY, linear, x, LABELS))(inputs)  # noqa: B023
        np.testing.assert_allclose(plain.inputs, jitted.inputs, atol=1e-6)
        moved = np.abs(np.asarray(plain.inputs, np.float64) - inputs.astype(np.float64))
        assert moved.max() <= np.float32(epsilon)


def test_inputs_outside_are_named_with_the_bound_they_miss():
    with pytest.raises(
        ValueError, match=r"inputs must lie in bounds, got 1\.0001.* where they are 0\.0 to 1\.0, one of 3 v"
    ):
        attacks.fgsm(0.1)(KEY, linear, jnp.full((2, 3), 0.5).at[0].set(1.0001), LABELS)
    with pytest.raises(ValueError, match="got inf where they are -inf to inf"):
        attacks.fgsm(0.1, bounds=(-np.inf, np.inf))(KEY, linear, jnp.full((2, 3), jnp.inf), LABELS)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_a_move_is_never_longer_than_it_was_told(dtype):
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.uniform(-2, 2, 20_000) * 10.0 ** rng.integers(-3, 1, 20_000), dtype)
    told = jnp.asarray(rng.normal(size=20_000) * 10.0 ** rng.integers(-4, 0, 20_000), jnp.float32)
    moved = jax.jit(box.move)(inputs, told, -9.0, 9.0)
    assert moved.dtype == dtype
    change = np.asarray(moved, np.float64) - np.asarray(inputs, np.float64)
    assert (np.abs(change) <= np.abs(np.asarray(told, np.float64))).all()
    assert (change * np.asarray(told) >= 0).all()
    # And at most one unit in the last place shorter.
    nearest = np.asarray((inputs.astype(jnp.float32) + told).astype(dtype), np.float64)
    largest = np.maximum(np.abs(nearest), np.abs(np.asarray(inputs, np.float64)))
    unit = np.maximum(float(jnp.finfo(dtype).eps) * largest, float(jnp.finfo(dtype).smallest_subnormal))
    assert (np.abs(np.asarray(moved, np.float64) - nearest) <= unit).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"logits_fn": lambda keys, x: (x, x)}, r"one array, logits \[2, C\], got tuple of 2: pick the logits from it"),
        ({"logits_fn": lambda keys, x: {"logits": x}}, "got dict of 1: pick the logits from it"),
        ({"logits_fn": lambda keys, x: (9 * x).astype(jnp.int32)}, "floating logits, got int32: convert them"),
        ({"logits_fn": lambda keys, x: x[0]}, r"must return logits \[2, C\], got shape \[3\]"),
        ({"inputs": {"image": np.zeros((2, 3))}}, r"inputs must be one array \[B, ...\], got dict"),
        ({"inputs": 0.5}, r"inputs must be a batch \[B, ...\], got a single number"),
        ({"labels": ["cat", "dog"]}, r"labels must be int \[B\], got list"),
        ({"labels": [0, 1.5]}, r"labels must be int \[2\], got float"),
        ({"labels": [[0], [1, 2]]}, r"labels must be int \[B\], got list"),
    ],
)
@pytest.mark.parametrize("make", [lambda: attacks.pgd(0.1), attacks.deepfool, lambda: attacks.pgd(0.1, num_restarts=2)])
def test_what_cannot_be_attacked_is_refused_by_name(make, change, message):
    call = {"logits_fn": linear, "inputs": np.full((2, 3), 0.5, np.float32), "labels": [0, 1]} | change
    with pytest.raises(ValueError, match=message):
        make()(KEY, **call)


@pytest.mark.parametrize(
    "bounds, message",
    [
        (1.0, r"bounds must be \(lower, upper\), got 1\.0"),
        ((0.0, 0.5, 1.0), r"bounds must be \(lower, upper\), got \(0\.0, 0\.5, 1\.0\)"),
        ((np.zeros(3), np.ones(2)), r"that broadcast against one example \[3\], got one of shape \[2\]"),
        ((np.zeros((2, 3)), 1.0), r"got one of shape \[2, 3\]"),
        ((1.0, 0.0), "with lower < upper, got"),
    ],
)
def test_bounds_that_are_none_are_refused_by_name(bounds, message):
    for attack in (attacks.fgsm(0.1, bounds=bounds), lambda *batch: attacks.carlini_wagner(bounds=bounds)(*batch)):
        with pytest.raises(ValueError, match=message):
            attack(KEY, linear, np.full((2, 3), 0.5, np.float32), [0, 1])


def test_labels_may_be_a_list():
    inputs = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1]], np.float32)
    wrong = [attacks.random_targets(KEY, [0, 1], 3), attacks.least_likely_targets(KEY, linear, inputs, [0, 1])]
    assert all((np.asarray(targets) != [0, 1]).all() for targets in wrong)
    for attack in (attacks.fgsm(0.5), attacks.deepfool(), attacks.transfer(attacks.fgsm(0.5), linear)):
        assert attack(KEY, linear, inputs, [0, 1], [1, 2]).success.all()
