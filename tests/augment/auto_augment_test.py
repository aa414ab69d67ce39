"""AutoAugment against a replay of its draws by Pillow, and the frequencies of the draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ib_jax import augment
from ib_jax.augment import batch, magnitudes
from tests.augment.pictures import by_pillow, patches

NUM_IMAGES = 128
SETTINGS = [
    ("cifar10", "original", None),
    ("imagenet_v0", "original", (1, 2, 3)),
    pytest.param("cifar10_95", "original", None, marks=pytest.mark.slow),
    pytest.param("imagenet", "torchvision", None, marks=pytest.mark.slow),
    pytest.param("cifar10", "torchvision", 77, marks=pytest.mark.slow),
]


def keys_of(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


@functools.cache
def compiled(policy, convention="original", fill=None):
    return jax.jit(augment.batched(augment.auto_augment(policy, magnitudes=convention, fill=fill)))


def replayed(draw, image, policy, convention, fill):
    """What Pillow makes of an image by a draw, and the operations that were applied."""
    applied = []
    for step, (name, probability, level) in enumerate(augment.POLICIES[policy][draw.sub_policy]):
        if draw.uniform[step] >= np.float32(probability):
            continue
        applied.append(name)
        negative = bool(draw.negative[step])
        amount = magnitudes.amount(policy, convention, name, level, negative=negative, shape=image.shape)
        if name == "cut_out":
            image = image.copy()
            top, left = (max(0, int(place * 32) - amount // 2) for place in draw.centre[step])
            bottom, right = (int(place * 32) + amount // 2 for place in draw.centre[step])
            image[top:bottom, left:right] = fill
        elif name == "solarize_add":
            image = np.where(image < 128, np.minimum(image.astype(int) + amount, 255), image).astype(np.uint8)
        else:
            without = name in ("auto_contrast", "equalize", "invert")
            image = by_pillow(name, image, None if without else amount, fill)
    return image, applied


@pytest.fixture(scope="module")
def draws():
    """20,000 draws from 25 sub-policies."""
    drawn = jax.jit(jax.vmap(lambda key: augment.draw_sub_policy(key, 25)))(keys_of(20_000, seed=7))
    return jax.tree.map(np.asarray, drawn)


@pytest.mark.parametrize(("policy", "convention", "fill"), SETTINGS)
def test_pillow_does_the_same_with_the_same_draws(policy, convention, fill):
    images, keys = patches(NUM_IMAGES, 32), keys_of(NUM_IMAGES)
    found = np.asarray(compiled(policy, convention, fill)(keys, images))
    colour = magnitudes.default_fill(policy, convention) if fill is None else tuple(np.broadcast_to(fill, 3).tolist())
    num_sub_policies = len(augment.POLICIES[policy])
    drawn = jax.jit(jax.vmap(lambda key: augment.draw_sub_policy(key, num_sub_policies)))(keys)
    seen = set()
    for index, image in enumerate(images):
        draw = jax.tree.map(lambda field, index=index: np.asarray(field[index]), drawn)
        expected, applied = replayed(draw, image, policy, convention, colour)
        np.testing.assert_array_equal(found[index], expected, f"{policy} {draw.sub_policy} {applied}")
        seen |= set(applied)
    possible = {name for sub_policy in augment.POLICIES[policy] for name, probability, _ in sub_policy if probability}
    assert len(possible - seen) <= 4


def test_sub_policies_have_equal_chances(draws):
    counts = np.bincount(draws.sub_policy, minlength=25)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("policy", ["cifar10", "imagenet"])
def test_operations_are_applied_as_often_as_the_policy_says(draws, policy):
    table = augment.POLICIES[policy]
    for name in {name for sub_policy in table for name, _, _ in sub_policy}:
        chances = [[step[1] if step[0] == name else 0 for step in sub_policy] for sub_policy in table]
        applied = (draws.uniform < np.array(chances)[draws.sub_policy]).any(1)
        expected = np.mean([1 - (1 - first) * (1 - second) for first, second in chances])
        deviation = np.sqrt(expected * (1 - expected) / len(applied))
        assert abs(applied.mean() - expected) < 4 * deviation, name


def test_draws_are_independent_and_even(draws):
    values = np.concatenate([draws.uniform, draws.centre.reshape(-1, 4), draws.negative, draws.sub_policy[:, None]], 1)
    correlations = np.corrcoef(values.T) - np.eye(values.shape[1])
    assert np.abs(correlations).max() < 4.5 / np.sqrt(len(values))
    assert np.abs(draws.negative.mean(0) - 0.5).max() < 4 * 0.5 / np.sqrt(len(values))
    for column in values.T[:6]:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3


def test_an_example_depends_on_its_key_and_itself_alone():
    images, keys, transform = patches(NUM_IMAGES, 32), keys_of(NUM_IMAGES, seed=3), compiled("cifar10")
    together = np.asarray(transform(keys, images))
    order = np.random.default_rng(0).permutation(NUM_IMAGES)
    np.testing.assert_array_equal(transform(keys[order], images[order]), together[order])
    assert (np.asarray(transform(keys_of(NUM_IMAGES, seed=4), images)) != together).any((1, 2, 3)).mean() > 0.5
    shared = np.asarray(transform(jnp.broadcast_to(keys[5], NUM_IMAGES), np.broadcast_to(images[5], images.shape)))
    np.testing.assert_array_equal(shared, np.broadcast_to(together[5], images.shape))


def test_both_ways_through_a_batch_give_the_same(monkeypatch):
    settings = "imagenet_v0", "original", (1, 2, 3)
    images, keys = patches(NUM_IMAGES, 32), keys_of(NUM_IMAGES, seed=5)
    in_turn = compiled(*settings)(keys, images)
    assert batch.one_after_another("cpu")
    assert not batch.one_after_another("gpu")
    monkeypatch.setattr(batch, "one_after_another", lambda platform: False)
    at_once = compiled.__wrapped__(*settings)
    np.testing.assert_array_equal(at_once(keys, images), in_turn)


def test_a_wrong_fill_is_refused():
    with pytest.raises(ValueError, match="fill must be one level or three"):
        augment.auto_augment("cifar10", fill=300)


def test_wrong_batches_are_refused():
    transform = augment.batched(augment.random_flip())
    images = jnp.zeros((4, 8, 8, 3), jnp.uint8)
    with pytest.raises(ValueError, match=r"images must be \[B, H, W, 3\], got shape \(8, 8, 3\)"):
        transform(keys_of(4), images[0])
    for keys in (keys_of(3), jax.random.key(0), jax.random.PRNGKey(0)):
        with pytest.raises(ValueError, match="keys must be one for each of the 4 images"):
            transform(keys, images)
    with pytest.raises(ValueError, match="image must be uint8"):
        transform(keys_of(4), images.astype(jnp.float32))
    old_style = jax.random.split(jax.random.PRNGKey(0), 4)
    np.testing.assert_array_equal(transform(old_style, images), transform(keys_of(4), images))
