import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from ib_jax import corruptions
from ib_jax.corruptions.fog import add_fog, plasma
from ib_jax.corruptions.frost import PANES, add_frost, made_up_frost
from ib_jax.corruptions.snow import add_snow, make_flakes
from tests.corruptions.pictures import assert_levels_of, extremes

IMAGES = extremes(16)
RNG = np.random.default_rng(0)


def test_plasma_point_by_point():
    """Each point by its own rule, on a torus, in float64."""
    size, decay = 8, 1.7
    noise = RNG.uniform(-1, 1, size**2 - 1)
    field, used, step, scale = np.zeros((size, size)), 0, size, 1.0
    while step > 1:
        half, count = step // 2, size // step
        corners = [(y, x) for y in range(0, size, step) for x in range(0, size, step)]
        new = noise[used : used + 3 * count**2].reshape(3, count**2)
        at = lambda y, x: field[y % size, x % size]
        for drawn, (y, x) in zip(new[0], corners, strict=True):
            square = at(y, x) + at(y + step, x) + at(y, x + step) + at(y + step, x + step)
            field[y + half, x + half] = square / 4 + scale * drawn
        for offsets, numbers in (((0, half), new[1]), ((half, 0), new[2])):
            for drawn, corner in zip(numbers, corners, strict=True):
                y, x = np.add(corner, offsets)
                diamond = at(y - half, x) + at(y + half, x) + at(y, x - half) + at(y, x + half)
                field[y, x] = diamond / 4 + scale * drawn
        used, step, scale = used + 3 * count**2, half, scale / decay**2
    field -= field.min()
    found = jax.jit(lambda noise: plasma(noise, decay))(jnp.asarray(noise[None], jnp.float32))
    np.testing.assert_allclose(found[0], field / field.max(), atol=1e-5)


def test_fog_over_an_image():
    field = RNG.uniform(size=(5, 32, 32))
    brightest = IMAGES.max((1, 2, 3), keepdims=True) / 255
    expected = (IMAGES / 255 + 0.7 * field[:, :16, :16, None]) * brightest / (brightest + 0.7)
    assert_levels_of(
        jax.jit(add_fog, static_argnums=2)(jnp.asarray(IMAGES), jnp.asarray(field, jnp.float32), 0.7), expected
    )


def test_frost_over_an_image():
    pieces = RNG.integers(0, 256, IMAGES.shape)
    assert_levels_of(
        jax.jit(add_frost, static_argnums=(2, 3))(jnp.asarray(IMAGES), jnp.asarray(pieces), 0.75, 0.45),
        (0.75 * IMAGES + 0.45 * pieces) / 255,
    )


def test_given_textures_are_cut_at_random():
    """A texture that tells where it was cut: red the row, green the column, blue which."""
    textures = np.zeros((3, 20, 40, 3), np.uint8)
    textures[..., 0], textures[..., 1] = np.arange(20)[:, None], np.arange(40)
    textures[..., 2] = np.arange(3)[:, None, None]
    keys = jax.random.split(jax.random.key(0), 400)
    black = jnp.zeros((400, 16, 16, 3), jnp.uint8)
    run = jax.jit(lambda keys, images, textures: corruptions.frost(keys, images, severity=1, textures=textures))
    found = np.asarray(run(keys, black, 5 * jnp.asarray(textures)))  # 0.2 of it
    top, left, which = (found[:, 0, 0, channel] for channel in range(3))
    assert set(top) == set(range(5))
    assert set(left) == set(range(25))
    assert set(which) == set(range(3))
    np.testing.assert_array_equal(found[:, -1, -1, 0], top + 15)
    np.testing.assert_array_equal(found[:, -1, -1, 1], left + 15)


@pytest.mark.slow  # for its compiling
def test_made_up_frost_has_the_colours_of_the_photographs():
    made = np.asarray(jax.jit(lambda keys: made_up_frost(keys, 32, 32))(jax.random.split(jax.random.key(0), 200)))
    colours = made.mean((1, 2))
    expected = dict(PANES)
    nearest = [min(expected, key=lambda colour: np.abs(colour - mean).sum()) for mean in colours]
    np.testing.assert_allclose(colours, nearest, atol=0.1)
    np.testing.assert_allclose(made[..., 0].std((1, 2)), [expected[colour] for colour in nearest], rtol=1e-3)
    assert len(set(nearest)) == len(expected)
    grey = made.mean(-1)
    neighbours = np.mean([np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1] for image in grey])
    assert 0.4 < neighbours < 0.9  # of the photographs 0.5 to 0.9


def test_textures_that_do_not_fit_are_refused():
    keys, images = jax.random.split(jax.random.key(0), 5), jnp.asarray(IMAGES)
    with pytest.raises(ValueError, match=r"at least as large as the images, 16 x 16, got \(15, 30\)"):
        corruptions.frost(keys, images, severity=1, textures=jnp.zeros((1, 15, 30, 3), jnp.uint8))
    with pytest.raises(ValueError, match="textures must be uint8"):
        corruptions.frost(keys, images, severity=1, textures=jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize("factor", [1, 2.25, 4.5])
def test_flakes(factor):
    noise = RNG.normal(0.5, 0.3, (2, 16, 18))
    expected = []
    for layer in noise:
        sides = [int(np.ceil(size / factor)) for size in layer.shape]
        firsts = [(size - side) // 2 for size, side in zip(layer.shape, sides, strict=True)]
        middle = layer[firsts[0] : firsts[0] + sides[0], firsts[1] : firsts[1] + sides[1]]
        zoomed = scipy.ndimage.zoom(middle, factor, order=1)
        trims = [(now - size) // 2 for now, size in zip(zoomed.shape, layer.shape, strict=True)]
        zoomed = zoomed[trims[0] : trims[0] + 16, trims[1] : trims[1] + 18]
        expected.append(np.floor(np.clip(np.where(zoomed < 0.6, 0, zoomed), 0, 1) * 255))
    found = jax.jit(make_flakes, static_argnums=(1, 2))(jnp.asarray(noise, jnp.float32), factor, 0.6)[..., 0]
    assert (np.abs(found - np.stack(expected)) > 0).mean() < 0.01


def test_snow_over_an_image():
    layer = RNG.uniform(0, 120, (5, 16, 16, 1))
    values, rounded = IMAGES / 255, np.round(layer) / 255
    grey = values @ np.array([[0.299], [0.587], [0.114]])
    pale = 0.9 * values + 0.1 * np.maximum(values, 1.5 * grey + 0.5)
    expected = pale + rounded + np.stack([np.rot90(each, 2) for each in rounded])
    assert_levels_of(
        jax.jit(add_snow, static_argnums=2)(jnp.asarray(IMAGES), jnp.asarray(layer, jnp.float32), 0.9), expected
    )
