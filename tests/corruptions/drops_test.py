import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from ib_jax.corruptions import drops
from ib_jax.corruptions.spatter import add_mud, add_water, pour

RNG = np.random.default_rng(0)


def test_distances_are_shortest_paths():
    """Every move relaxed until nothing changes."""
    targets = RNG.uniform(size=(3, 12, 30)) < np.array([0.02, 0.2, 0.0])[:, None, None]
    targets[0, 5, 3] = True
    found = np.asarray(jax.jit(drops.distances)(jnp.asarray(targets))) / 2**16
    moves = {(dy, dx): {1: 1.0, 2: 1.4, 5: 2.1969}.get(dy**2 + dx**2) for dy in range(-2, 3) for dx in range(-2, 3)}
    for target, ours in zip(targets, found, strict=True):
        distance = np.where(target, 0.0, 4096.0)
        for _ in range(30):
            padded = np.pad(distance, 2, constant_values=4096.0)
            ways = [length + padded[2 + y : 14 + y, 2 + x : 32 + x] for (y, x), length in moves.items() if length]
            distance = np.minimum(distance, np.min(ways, 0))
        np.testing.assert_allclose(ours, np.minimum(distance, 20), atol=1e-3)


def test_edges_pixel_by_pixel():
    levels = scipy.ndimage.gaussian_filter(RNG.uniform(0, 255, (20, 24)), 1.2)
    levels = np.clip((levels - 128) * 1.2 + 128, 0, 255).astype(int)
    slopes = [scipy.ndimage.sobel(levels, axis, mode="nearest") for axis in (1, 0)]
    steepness = np.abs(slopes[0]) + np.abs(slopes[1])
    padded = np.pad(steepness, 1)
    possible = np.zeros(levels.shape, bool)
    for y, x in np.argwhere(steepness > 50):
        here, angle = steepness[y, x], np.rad2deg(np.arctan2(abs(slopes[1][y, x]), abs(slopes[0][y, x])))
        if angle < 22.5:
            possible[y, x] = here > padded[y + 1, x] and here >= padded[y + 1, x + 2]
        elif angle > 67.5:
            possible[y, x] = here > padded[y, x + 1] and here >= padded[y + 2, x + 1]
        else:
            side = -1 if slopes[0][y, x] * slopes[1][y, x] < 0 else 1
            possible[y, x] = here > padded[y, x + 1 - side] and here > padded[y + 2, x + 1 + side]
    regions, _ = scipy.ndimage.label(possible, np.ones((3, 3)))
    strong = np.unique(regions[possible & (steepness > 150)])
    expected = np.isin(regions, strong) & possible
    assert 20 < expected.sum() < possible.sum()  # some edges, and some that are too weak
    np.testing.assert_array_equal(jax.jit(drops.edges)(jnp.asarray(levels[None]))[0], expected)


def test_equalised_levels_are_ranks():
    levels = np.array([[[3, 3, 5], [5, 5, 20], [0, 3, 20]], [[7] * 3] * 3])
    found = jax.jit(drops.equalise)(jnp.asarray(levels))
    # One pixel is darkest; of the eight others 3, 6 and 8 are up to 3, 5 and 20.
    ranks = {0: 0, 3: round(255 * 3 / 8), 5: round(255 * 6 / 8), 20: 255}
    np.testing.assert_array_equal(found[0], np.vectorize(ranks.get)(levels[0]))
    np.testing.assert_array_equal(found[1], levels[1])


def test_water_adds_its_colour_where_drops_are():
    images = jnp.full((2, 16, 16, 3), 40, jnp.uint8)
    liquid = np.zeros((2, 16, 16), np.float32)
    liquid[0, 4:12, 4:12] = 0.8
    found = np.asarray(jax.jit(lambda images, liquid: add_water(images, liquid, 0.5))(images, liquid)).astype(int)
    np.testing.assert_array_equal(found[1], 40)
    np.testing.assert_array_equal(found[0][liquid[0] == 0], 40)
    brightest = (found[0] - 40).max((0, 1))
    np.testing.assert_allclose(brightest, 0.5 * np.array([175, 238, 238]), atol=1)


def test_mud_covers():
    images = np.full((1, 16, 16, 3), 200, np.uint8)
    liquid = np.zeros((1, 16, 16), np.float32)
    liquid[0, 4:12, 4:12] = 0.9
    opacity = scipy.ndimage.gaussian_filter((liquid[0] > 0.65).astype(float), 0.6, mode="nearest")
    opacity = np.where(opacity < 0.8, 0, opacity)[..., None]
    expected = 200 * (1 - opacity) + np.array([63, 42, 20]) * opacity
    np.testing.assert_allclose(
        jax.jit(add_mud, static_argnums=(2, 3))(jnp.asarray(images), jnp.asarray(liquid), 0.65, 0.6)[0],
        expected,
        atol=1.01,
    )


def test_liquid_is_smooth_noise_above_the_threshold():
    noise = RNG.normal(0.65, 0.3, (1, 16, 16))
    smooth = scipy.ndimage.gaussian_filter(noise[0], 1.0, mode="nearest")
    found = np.asarray(jax.jit(pour, static_argnums=(1, 2))(jnp.asarray(noise, jnp.float32), 1.0, 0.69)[0])
    np.testing.assert_allclose(found, np.where(smooth < 0.69, 0, smooth), atol=1e-5)
