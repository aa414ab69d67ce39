"""Steps onto a hyperplane against SciPy, and the nearest face against a Jacobian."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from ib_jax import losses
from ib_jax.attacks import hyperplane
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem

NORMS = ("l2", "linf")
step_onto = jax.jit(hyperplane.step_onto, static_argnums=4)


def naive(gap, slope, low, high, norm):
    """Linear programming for L-inf, a root of the multiplier for L2, in float64 and for one example."""
    slope, low, high = (np.asarray(part, np.float64).ravel() for part in (slope, low, high))
    corner = np.where(slope * -gap > 0, high, low) * (slope != 0)
    if abs(slope @ corner) <= abs(gap):
        return corner
    if norm == "l2":
        step = lambda time: np.clip(-np.sign(gap) * time * slope, low, high)
        return step(scipy.optimize.brentq(lambda time: gap + slope @ step(time), 0, 1e9, maxiter=1000))
    size = len(slope)
    inequality = np.block([[np.eye(size), -np.ones((size, 1))], [-np.eye(size), -np.ones((size, 1))]])
    answer = scipy.optimize.linprog(
        np.eye(size + 1)[-1],
        inequality,
        np.zeros(2 * size),
        np.append(slope, 0)[None],
        [-gap],
        [*zip(low, high, strict=True), (0, None)],
    )
    return answer.x[:-1]


def boxes(num_examples=12):
    rng = np.random.default_rng(1)
    inputs = rng.uniform(size=(num_examples, 2, 5)).astype(np.float32)
    inputs[:, 0, :2] = [0, 1]
    slope = rng.normal(size=inputs.shape).astype(np.float32)
    slope[:, 1, 1] = 0
    # From near to out of reach, on both sides.
    gap = (np.linspace(0.02, 6, num_examples) * np.where(np.arange(num_examples) % 2, 1, -1)).astype(np.float32)
    return gap, slope, -inputs, 1 - inputs


@pytest.mark.parametrize("norm", NORMS)
def test_step_is_the_smallest_that_reaches_the_hyperplane(norm):
    gap, slope, low, high = boxes()
    steps = np.asarray(step_onto(gap, slope, low, high, norm), np.float64)
    assert ((steps >= low) & (steps <= high)).all()
    size = functools.partial(np.linalg.norm, ord=2 if norm == "l2" else np.inf)
    reached = 0
    for i in range(len(gap)):
        expected = naive(gap[i], slope[i], low[i], high[i], norm)
        np.testing.assert_allclose(size(steps[i].ravel()), size(expected), rtol=1e-4)
        rest, least = (gap[i] + slope[i].ravel() @ step for step in (steps[i].ravel(), expected))
        np.testing.assert_allclose(rest, least, atol=1e-5)
        reached += abs(least) < 1e-5
        if norm == "l2" or abs(least) > 1e-5:  # the L-inf solution need not be the only one
            np.testing.assert_allclose(steps[i].ravel(), expected, atol=1e-4)
    assert 4 < reached < len(gap) - 2


@pytest.mark.parametrize("norm", NORMS)
def test_degenerate_steps_are_zero_or_the_corner(norm):
    gap, slope, low, high = boxes()
    for still in (step_onto(gap, 0 * slope, low, high, norm), step_onto(0 * gap, slope, low, high, norm)):
        np.testing.assert_array_equal(still, 0.0)
    np.testing.assert_array_equal(step_onto(gap, slope, 0 * low, 0 * high, norm), 0.0)
    corner = np.where(slope * -np.sign(gap)[:, None, None] > 0, high, low) * (slope != 0)
    np.testing.assert_allclose(step_onto(1e6 * gap, slope, low, high, norm), corner, atol=1e-6)
    # Squares of slopes near 1e-25 are zero in float32.
    np.testing.assert_allclose(
        step_onto(1e-25 * gap, 1e-25 * slope, low, high, norm), step_onto(gap, slope, low, high, norm), atol=1e-5
    )


@pytest.mark.parametrize("norm", NORMS)
def test_one_coordinate_clipped_by_each_iteration(norm):
    """Rooms that grow geometrically are the worst case: every iteration of Newton clips one coordinate more."""
    room = 4.0 ** np.arange(-12, 3)
    slope = np.sqrt(room[::-1]) if norm == "l2" else room[::-1]
    low, high, gap = -room, room, -0.9 * slope @ room
    one = lambda value: jnp.asarray(value, jnp.float32)[None]
    step = np.asarray(step_onto(one(gap), one(slope), one(low), one(high), norm), np.float64)[0]
    np.testing.assert_allclose(step, naive(gap, slope, low, high, norm), rtol=1e-4)


def test_without_a_box_the_step_is_the_projection():
    gap, slope, low, _ = boxes()
    far = np.full_like(low, np.inf)
    flat = slope.reshape(len(gap), -1)
    expected = -(gap / np.square(flat).sum(-1))[:, None] * flat
    np.testing.assert_allclose(step_onto(gap, slope, -far, far, "l2").reshape(len(gap), -1), expected, rtol=1e-4)
    expected = -(gap / np.abs(flat).sum(-1))[:, None] * np.sign(flat)
    np.testing.assert_allclose(step_onto(gap, slope, -far, far, "linf").reshape(len(gap), -1), expected, rtol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_a_step_does_not_depend_on_its_neighbours(norm):
    whole = step_onto(*boxes(), norm)
    for i in (0, 7, 11):
        alone = step_onto(*(np.repeat(part[i : i + 1], 12, 0) for part in boxes()), norm)
        np.testing.assert_array_equal(alone[3], whole[i])


RNG = np.random.default_rng(0)
WEIGHTS = [jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((6, 8), (8, 5))]
INPUTS = jnp.asarray(RNG.uniform(size=(7, 2, 3)), jnp.float32)


def tanh_network(keys, inputs):
    return jnp.tanh(inputs.reshape(-1, 6) @ WEIGHTS[0]) @ WEIGHTS[1]


def the_problem(wanted=None):
    labels = jnp.arange(7) % 5
    return Problem(losses.per_example_keys(jax.random.key(0), 7), INPUTS, labels, wanted, wanted, None)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rows_at_once", [1, 14, 1000])  # of the four rivals one, two, and all in a pass
def test_nearest_face_is_that_of_the_jacobian(norm, rows_at_once, monkeypatch):
    monkeypatch.setattr(hyperplane, "_ROWS_AT_ONCE", rows_at_once)
    problem = the_problem()
    rivals = (problem.labels[:, None] + jnp.array([[3, 1, 4, 2]])) % 5
    evaluate = functools.partial(hyperplane.nearest_face, Objective(), problem.keys, tanh_network, problem, INPUTS)
    face = jax.jit(lambda: evaluate(rivals, norm))()
    logits = np.asarray(jax.jit(lambda: tanh_network(None, INPUTS))())
    jacobian = np.asarray(jax.jit(jax.vmap(jax.jacobian(lambda x: tanh_network(None, x[None])[0])))(INPUTS))
    np.testing.assert_allclose(face.logits, logits, rtol=1e-6)
    for i, label in enumerate(np.asarray(problem.labels)):
        slopes = {k: jacobian[i, k] - jacobian[i, label] for k in range(5) if k != label}
        dual = lambda slope: np.linalg.norm(slope.ravel(), ord=2 if norm == "l2" else 1)
        distance = {k: abs(logits[i, k] - logits[i, label]) / dual(slope) for k, slope in slopes.items()}
        best = min(distance, key=distance.get)
        np.testing.assert_allclose(face.slope[i], slopes[best], atol=1e-5)
        np.testing.assert_allclose(face.gap[i], logits[i, best] - logits[i, label], atol=1e-5)
        np.testing.assert_allclose(face.size[i], dual(slopes[best]), rtol=1e-5)


def test_a_wanted_answer_is_compared_with_the_best_other_one():
    """Beaten by a third class, a target that leads the label has not won; that third class is the one to leave."""
    problem = the_problem(wanted=(jnp.arange(7) + 1) % 5)
    evaluate = functools.partial(hyperplane.nearest_face, Objective(), problem.keys, tanh_network)
    face = jax.jit(lambda: evaluate(problem, INPUTS, problem.targets[:, None], "l2"))()
    logits = np.array(tanh_network(None, INPUTS))
    rows = np.arange(7)
    target = logits[rows, problem.targets].copy()
    logits[rows, problem.targets] = -np.inf
    np.testing.assert_allclose(face.gap, target - logits.max(-1), atol=1e-6)
    problem = problem._replace(wanted=None)
    in_ensemble = jax.jit(lambda: evaluate(problem, INPUTS, problem.targets[:, None], "l2"))()
    np.testing.assert_allclose(in_ensemble.gap, target - logits[rows, problem.labels], atol=1e-6)


def test_a_rival_without_slope_is_passed_over():
    flat = lambda keys, inputs: tanh_network(keys, inputs).at[:, 1].set(0.0).at[:, 0].set(0.0)
    problem = the_problem()._replace(labels=jnp.zeros(7, jnp.int32))
    evaluate = functools.partial(hyperplane.nearest_face, Objective(), problem.keys, flat, problem, INPUTS)
    assert (jax.jit(lambda: evaluate(jnp.full((7, 2), jnp.array([1, 2])), "l2"))().size > 0).all()
    nowhere = jax.jit(lambda: evaluate(jnp.full((7, 1), 1), "linf"))()
    for part in nowhere:
        assert jnp.isfinite(part).all()
    np.testing.assert_array_equal(nowhere.size, 0.0)
