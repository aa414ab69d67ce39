"""What Square proposes, against the paper's schedule and naive NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax.attacks import windows
from ib_jax.attacks.candidates import Box, _move_mass
from ib_jax.attacks.square import square
from ib_jax.attacks.windows import Window

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
FAR = (-100.0, 100.0)


def never(keys, inputs):
    """Answers class 0, whatever it is asked."""
    return jnp.tile(jnp.array([1.0, 0.0]), (len(inputs), 1)) + 0 * inputs.sum()


@functools.partial(jax.jit, static_argnums=(1, 2))
def candidates(inputs, num_queries, settings, bounds=(0.0, 1.0), queries=0):
    """What the model is asked in so many steps, all of which are accepted, [num_queries, B, ...]."""
    attack = square(bounds=bounds, **dict(settings))
    problem = attack.problem(KEY, never, inputs, jnp.zeros(len(inputs), jnp.int32))

    def step(state, _):
        state = attack.guarded_step(never, problem, state._replace(score=jnp.full_like(state.score, -jnp.inf)))
        return state, state.best

    start = attack.start(never, problem)
    return jax.lax.scan(step, start._replace(queries=start.queries + queries), length=num_queries)[1]


def test_the_sides_of_windows_follow_the_papers_schedule():
    square_sides = [25, 18, 13, 9, 6, 4, 3, 2, 2, 1]  # the roots of 784 times 0.8, 0.4, ... 0.0015625
    np.testing.assert_array_equal(windows.sides(0.8, (28, 28)), np.stack([square_sides] * 2, -1))
    np.testing.assert_array_equal(windows.sides(0.8, (28, 28), 3), np.maximum(np.stack([square_sides] * 2, -1), 3))
    intervals = [627, 314, 157, 78, 39, 20, 10, 5, 2, 1]
    np.testing.assert_array_equal(windows.sides(0.8, (1, 784)), [(1, length) for length in intervals])
    np.testing.assert_array_equal(windows.sides(0.8, (784, 1)), [(length, 1) for length in intervals])
    np.testing.assert_array_equal(windows.sides(0.8, (32, 24))[:3], [(26, 24), (18, 18), (12, 12)])
    np.testing.assert_array_equal(windows.sides(1.0, (2, 1), 3)[[0, -1]], [(2, 1), (2, 1)])
    assert windows.halvings(5000, False) == (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
    assert windows.halvings(1000, True) == (1, 5, 20, 50, 100, 200, 400, 600, 800)
    assert windows.halvings(20_000, True)[-1] == 16_000
    # Each example goes by its own count; from the input, every pixel of a window changes.
    queries = [1, 9, 10, 49, 50, 199, 200, 499, 500, 999, 1000, 1999, 2000, 3999, 4000, 5999, 6000, 7999, 8000, 20000]
    inputs = jnp.full((20, 28, 28), 0.5)
    attack = square(0.1, num_queries=30_000)
    problem = attack.problem(KEY, never, inputs, jnp.zeros(20, jnp.int32))

    @jax.jit
    def step(queries):
        state = attack.start(never, problem)._replace(queries=queries, best=inputs)
        return attack.step(attack.settings, never, problem, state).best

    changed = np.asarray(step(jnp.asarray(queries)) != inputs)
    sides = np.repeat(square_sides, 2)
    np.testing.assert_array_equal(changed.sum((1, 2)), sides**2)
    np.testing.assert_array_equal(changed.any(1).sum(-1), sides)


def test_windows_lie_anywhere_in_the_image():
    size, sides = (4, 7), jnp.array([2, 3])
    words = jax.random.bits(KEY, (30_000, 2), jnp.uint32).at[:2].set(jnp.array([[0], [2**32 - 1]], jnp.uint32))
    places = jax.vmap(lambda words: windows.place(words, sides, size))(words)
    counts = np.zeros((3, 5))
    np.add.at(counts, (places.top, places.left), 1)  # IndexError beyond the image
    assert counts.sum() == 30_000
    np.testing.assert_allclose(counts / 30_000, 1 / 15, atol=5 * np.sqrt(1 / 15 / 30_000))
    assert places.top.min() == places.left.min() == 0
    assert (int(places.top[1]), int(places.left[1])) == (2, 4)
    masks = np.asarray(jax.vmap(lambda window: windows.inside(window, size))(places))
    row = 17
    expected = np.zeros(size, bool)
    expected[places.top[row] : places.top[row] + 2, places.left[row] : places.left[row] + 3] = True
    np.testing.assert_array_equal(masks[row], expected)
    assert (masks.sum((1, 2)) == 6).all()


def test_linf_begins_with_stripes_and_then_paints_windows_at_corners_of_the_ball():
    shape = (2, 9, 8, 3)  # two frames
    inputs = jnp.asarray(RNG.uniform(0.0, 1.0, size=(6, *shape)), jnp.float32)
    asked = np.asarray(candidates(inputs, 30, (("epsilon", 0.1),)))
    low, high = np.clip(inputs - np.float32(0.1), 0, 1), np.clip(inputs + np.float32(0.1), 0, 1)
    # Rounded towards the input, which is a unit in the last place from the nearest.
    corner = lambda ends: np.abs(asked - ends) <= 6e-8
    np.testing.assert_array_equal(corner(low) | corner(high), True)
    up = corner(high)
    np.testing.assert_array_equal(up[0], up[0][:, :, :1] * np.ones((1, 1, 9, 1, 1), bool))
    assert 0.3 < up[0][:, :, 0].mean() < 0.7
    assert (up[0][:, 0] != up[0][:, 1]).any()
    changes = asked[1:] != asked[:-1]
    assert changes.any((2, 3, 4, 5)).all()  # no query is wasted
    after = np.where(np.arange(1, 30) < 10, 8, 5)[:, None]  # the root of 72 p, in an image of 9 x 8
    pixels = changes.any((2, 5))
    assert (pixels.any(3).sum(-1) <= after).all()
    for query, example, frame, channel in np.ndindex(29, 6, 2, 3):
        moved = changes[query, example, frame, ..., channel]
        assert len(set(up[query + 1, example, frame, ..., channel][moved])) <= 1  # one sign for each channel


@pytest.mark.parametrize("shape", [(15,), (13, 11, 2)])
def test_l2_candidates_fill_the_ball(shape):
    inputs = jnp.asarray(RNG.uniform(0.0, 1.0, size=(8, *shape)), jnp.float32)
    size = lambda asked: np.linalg.norm((np.asarray(asked) - np.asarray(inputs)).reshape(40, 8, -1), axis=-1)
    far, near = (candidates(inputs, 40, (("epsilon", 0.7), ("norm", "l2")), bounds) for bounds in (FAR, (0.0, 1.0)))
    np.testing.assert_allclose(size(far), 0.7, rtol=1e-5)
    assert size(near).max() <= 0.7 * (1 + 1e-6)
    assert size(near).mean() > 0.4
    assert near.min() >= 0
    assert near.max() <= 1
    assert (far[1:] != far[:-1]).any((*range(2, far.ndim),)).mean() > 0.98


def naive_bump(height, width, across_columns):
    """The paper's formula, with its indices from 1."""

    def pyramid(rows, columns):
        half = max(rows, columns) // 2
        return np.array(
            [
                [
                    sum(
                        1 / (half + 1 - k) ** 2
                        for k in range(half - max(abs(r - rows // 2 - 1), abs(s - columns // 2 - 1)) + 1)
                    )
                    for s in range(1, columns + 1)
                ]
                for r in range(1, rows + 1)
            ]
        ).reshape(rows, columns)

    if across_columns:
        return naive_bump(width, height, False).T
    pair = np.concatenate([pyramid(height // 2, width), -pyramid(height - height // 2, width)])
    return pair / np.linalg.norm(pair)


def in_image(window, size, values):
    image = np.zeros(size)
    image[window.top : window.top + window.height, window.left : window.left + window.width] = values
    return image


def test_bumps_are_those_of_a_naive_construction():
    size, shapes = (12, 11), [(5, 5), (6, 6), (3, 3), (2, 2), (4, 7), (10, 3), (11, 11), (12, 1), (1, 9), (1, 1)]
    cases = [
        (Window(RNG.integers(13 - height), RNG.integers(12 - width), height, width), across)
        for height, width in shapes
        for across in (False, True)
    ]
    stacked = Window(*np.array([window for window, _ in cases]).T)
    turned = jnp.array([across for _, across in cases])
    got = jax.jit(jax.vmap(lambda window, across: windows.bump(window, size, across)))(stacked, turned)
    for value, (window, across) in zip(np.asarray(got), cases, strict=True):
        split = True if window.height == 1 else across and window.width > 1  # one pixel cannot be split
        expected = in_image(window, size, naive_bump(window.height, window.width, split))
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_l2_moves_mass_as_a_naive_construction_does():
    shape, radius = (1, 9, 8, 2), 0.5
    sides = jnp.array([4, 4])
    example = RNG.normal(size=shape).astype(np.float32)
    moved = RNG.normal(size=shape).astype(np.float32)
    moved *= 0.4 / np.linalg.norm(moved)
    box = Box(jnp.asarray(example), jnp.float32(-100), jnp.float32(100), jnp.float32(radius))
    propose = jax.jit(lambda key: _move_mass(key, box, jnp.asarray(example + moved), sides))
    kinds = set()
    for seed in range(12):
        key = jax.random.key(seed)
        words = jax.random.bits(key, (5,), jnp.uint32)
        gain, lose = (Window(*map(int, windows.place(pair, sides, (9, 8)))) for pair in (words[:2], words[2:4]))
        turn, *signs = (1 if int(words[4]) >> bit & 1 else -1 for bit in range(3))
        kinds.add((turn, *signs))
        here, there = (in_image(window, (9, 8), 1.0) for window in (gain, lose))
        eta = in_image(gain, (9, 8), naive_bump(4, 4, turn > 0))
        expected = moved[0].astype(np.float64)
        unused = radius**2 - (expected**2).sum()
        for channel in range(2):
            old = expected[..., channel].copy()
            own = old * here
            fresh = signs[channel] * eta + own / np.linalg.norm(own)
            available = np.sqrt((old**2 * np.maximum(here, there)).sum() + unused / 2)
            expected[..., channel] = np.where(
                here > 0, fresh / np.linalg.norm(fresh) * available, np.where(there > 0, 0.0, old)
            )
        np.testing.assert_allclose(np.linalg.norm(expected), radius)
        np.testing.assert_allclose(propose(key)[0] - example[0], expected, atol=1e-5)
    assert len(kinds) > 4


def test_l2_begins_with_a_grid_of_bumps():
    for size, tile in (((10, 15), (2, 3)), ((3, 28), (1, 5))):
        field = np.asarray(jax.jit(lambda size=size: windows.tiles(KEY, (2, *size, 3)))())
        grid = [full // side for full, side in zip(size, tile, strict=True)]
        margins = [(full - side * count) // 2 for full, side, count in zip(size, tile, grid, strict=True)]
        seen = set()
        for row, column in np.ndindex(*grid):
            top, left = margins[0] + row * tile[0], margins[1] + column * tile[1]
            cut = field[:, top : top + tile[0], left : left + tile[1]]
            choices = [sign * naive_bump(*tile, across) for across in (tile[0] == 1, True) for sign in (1, -1)]
            for frame, channel in np.ndindex(2, 3):
                errors = [np.abs(cut[frame, ..., channel] - choice).max() for choice in choices]
                assert min(errors) < 1e-6
                seen.add(int(np.argmin(errors)))
        assert len(seen) == (4 if tile[0] > 1 else 2)
        np.testing.assert_allclose((field**2).sum(), 2 * 3 * np.prod(grid), rtol=1e-5)


def test_bounds_of_each_channel():
    inputs = jnp.full((4, 6, 6, 3), 0.5)
    bounds = (jnp.array([0.45, 0.0, -9.0]), jnp.array([0.55, 0.6, 9.0]))
    asked = candidates(inputs, 12, (("epsilon", 0.2),), bounds)
    reached = [sorted({round(float(value), 3) for value in np.unique(asked[..., channel])}) for channel in range(3)]
    assert reached == [[0.45, 0.55], [0.3, 0.6], [0.3, 0.7]]
