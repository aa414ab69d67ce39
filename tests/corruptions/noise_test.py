import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from ib_jax.corruptions import draws, noise
from tests.corruptions.pictures import assert_levels_of, extremes

IMAGES = extremes(16)
KEYS = jax.random.split(jax.random.key(0), 64)


def test_added_noise_is_clipped_and_cut_off():
    drawn = np.random.default_rng(0).normal(0, 0.3, IMAGES.shape)
    assert_levels_of(noise.add_noise(jnp.asarray(IMAGES), drawn), IMAGES / 255 + drawn)


def test_salt_and_pepper():
    rng = np.random.default_rng(0)
    changed, salted = rng.uniform(size=(2, *IMAGES.shape)) < 0.5
    found = np.asarray(noise.salt_and_pepper(jnp.asarray(IMAGES), jnp.asarray(changed), jnp.asarray(salted)))
    np.testing.assert_array_equal(found[~changed], IMAGES[~changed])
    np.testing.assert_array_equal(found[changed], 255 * salted[changed])


def test_shares_of_impulse_noise():
    grey = jnp.full((64, 32, 32, 3), 100, jnp.uint8)
    found = np.asarray(jax.jit(lambda keys, images: noise.impulse_noise(keys, images, severity=5))(KEYS, grey))
    size = found.size
    for value, share in ((0, 0.035), (255, 0.035), (100, 0.93)):
        assert abs((found == value).mean() - share) < 4 * np.sqrt(share / size)


def test_normal_draws():
    drawn = np.asarray(jax.jit(draws.normal16, static_argnums=1)(KEYS, (32, 32, 3))).reshape(-1)
    assert abs(drawn.mean()) < 4 / np.sqrt(drawn.size)
    assert abs(drawn.std() - 1) < 4 / np.sqrt(2 * drawn.size)
    assert abs((drawn**4).mean() - 3) < 4 * np.sqrt(96 / drawn.size)
    assert scipy.stats.kstest(drawn, "norm").pvalue > 1e-3
    assert 4 < np.abs(drawn).max() < 4.4
    # The two halves of a random word are 1536 numbers apart, and not alike.
    drawn = drawn.reshape(64, -1)
    for lag in (1, 2, 3, 1535, 1536, 1537):
        assert abs((drawn[:, lag:] * drawn[:, :-lag]).mean()) < 4 / np.sqrt(drawn[:, lag:].size)


def test_integers_have_each_number_equally_often():
    drawn = np.asarray(jax.jit(draws.integers, static_argnums=(1, 2, 3))(KEYS, (40, 40, 2), -3, 3))
    counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(counts[0], np.arange(-3, 3))
    assert scipy.stats.chisquare(counts[1]).pvalue > 1e-3


def test_shot_noise_is_poisson():
    """Against SciPy's probabilities, at several levels; black is never noisy."""
    for level, photons in ((0, 12), (128, 12), (30, 500)):
        rows = jnp.full((64, 4096), level, jnp.int32)
        draw = jax.jit(lambda keys, rows: draws.discrete(keys, rows, noise.count_probabilities(photons)))  # noqa: B023
        counts = np.asarray(draw(KEYS, rows))
        expected = scipy.stats.poisson.pmf(np.arange(photons), level / 255 * photons) * counts.size
        seen = np.bincount(counts.ravel(), minlength=photons + 1)
        often = expected > 10
        rest = counts.size - expected[often].sum()
        if rest < 1:
            assert seen[:photons][often].sum() == counts.size
            continue
        found = [*seen[:photons][often], counts.size - seen[:photons][often].sum()]
        assert scipy.stats.chisquare(found, [*expected[often], rest]).pvalue > 1e-3, (level, photons)


def test_alias_tables_are_the_probabilities():
    probabilities = noise.count_probabilities(5)
    thresholds, aliases = draws.alias_tables(probabilities.tobytes(), probabilities.shape)
    found = np.zeros(thresholds.shape)
    for row in range(256):
        np.add.at(found[row], aliases[row], (1 - thresholds[row]) / 8)
        found[row] += thresholds[row] / 8
    np.testing.assert_allclose(found[:, :6], probabilities, atol=1e-6)
    np.testing.assert_allclose(found[:, 6:], 0, atol=1e-6)


def test_counts_become_levels():
    counts = np.arange(8)
    np.testing.assert_array_equal(noise.count_to_levels(counts, 5), [0, 51, 102, 153, 204, 255, 255, 255])
