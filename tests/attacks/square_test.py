"""Square Attack against models whose distance to the boundary is known, and its windows against naive NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses
from ib_jax.attacks import windows
from ib_jax.attacks.square import _Box, _move_mass, square
from ib_jax.attacks.windows import Window

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


@functools.partial(jax.jit, static_argnums=(1, 2))
def candidates(inputs, num_queries, settings, bounds=(0.0, 1.0), queries=0):
    """What the model is asked in so many steps, all of which are accepted, [num_queries, B, ...]."""
    attack = square(bounds=bounds, **dict(settings))
    problem = attack.problem(KEY, never, inputs, jnp.zeros(len(inputs), jnp.int32))

    def step(state, _):
        state = attack.step(never, problem, state._replace(score=jnp.full(len(inputs), -jnp.inf)))
        return state, state.best

    start = attack.start(never, problem)
    return jax.lax.scan(step, start._replace(queries=start.queries + queries), length=num_queries)[1]


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
        assert len(asked) - 2 == expected  # besides the inputs at the start and the verdict at the end


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
        return attack.step(never, problem, state).best

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
    np.testing.assert_array_equal((asked == low) | (asked == high), True)
    up = asked == high
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
    size = lambda asked: np.linalg.norm((np.asarray(asked) - inputs).reshape(40, 8, -1), axis=-1)
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
    box = _Box(jnp.asarray(example), jnp.float32(-100), jnp.float32(100), jnp.float32(radius))
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
    result = run(make(bounds=(lower, upper)), inputs=INPUTS.reshape(40, 5, 4)).inputs
    assert (result >= lower).all()
    assert (result <= upper).all()
    assert ((result == lower) | (result == upper)).any()
    flat = run(make(bounds=(lower.reshape(-1), upper.reshape(-1)), image_shape=(5, 4, 1))).inputs
    np.testing.assert_allclose(flat, result.reshape(40, 20), atol=1e-6)


def test_bounds_of_each_channel():
    inputs = jnp.full((4, 6, 6, 3), 0.5)
    bounds = (jnp.array([0.45, 0.0, -9.0]), jnp.array([0.55, 0.6, 9.0]))
    asked = candidates(inputs, 12, (("epsilon", 0.2),), bounds)
    reached = [sorted({round(float(value), 3) for value in np.unique(asked[..., channel])}) for channel in range(3)]
    assert reached == [[0.45, 0.55], [0.3, 0.6], [0.3, 0.7]]


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
