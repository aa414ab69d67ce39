"""The linearised decision boundary: its nearest face, and the smallest step onto it inside a box."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem
from ib_jax.loops import compiles_whole
from ib_jax.types import Array, LogitsFn

DUAL = {"l2": "l2", "linf": "l1"}
"""The norms of minimal attacks, and the norm of the slope that turns a gap of logits into a distance."""

_ROWS_AT_ONCE = 512
"""Examples times rivals in one backward pass."""

_MOST_ITERATIONS = 100
"""Of Newton; a handful are needed, as each clips at least one more coordinate and most clip many."""


_ROUNDINGS = 8
"""Units in the last place of the largest logit that the difference of two of them may be wrong by."""


class Face(NamedTuple):
    """Where two classes tie in the model's linearisation: gap + slope . (x' - x) = 0.

    Attributes:
      logits: [B, C], pooled over the samples of the model, at x.
      doubt: [B], by how much rounding may have changed the gap.
      gap: [B], logit of the rival less that of the class to leave; positive where the rival is ahead.
      slope: [B, ...], its gradient.
      size: [B], the dual norm of the slope, so that |gap| / size is the distance; 0 for a zero slope.
      blocked: bool [B], whether the gradient of any rival was not finite somewhere; there it counts as zero.
    """

    logits: Array
    doubt: Array
    gap: Array
    slope: Array
    size: Array
    blocked: Array


def rounding(first: Array, second: Array, dtype: jnp.dtype | None = None) -> Array:
    """What the difference of two logits may be wrong by, from both, of their own dtype or another.

    Only of these two: others may be masked by -1e9, and say nothing of the precision of the model.
    """
    largest = jnp.maximum(jnp.abs(first), jnp.abs(second))
    dtype = jnp.dtype(dtype or first.dtype)
    if dtype.itemsize > largest.dtype.itemsize:
        largest = largest.astype(dtype)
    return _ROUNDINGS * float(jnp.finfo(dtype).eps) * jnp.where(jnp.isfinite(largest), largest, 0.0)


def clearly_fooled(problem: Problem, logits: Array) -> Array:
    """Whether the model is fooled by more than rounding, bool [B], so that the final verdict will say the same.

    Minimal perturbations end on the boundary, where a model compiled anew may round to the other side. Of logits in
    bfloat16, whose rounding is worth a share of the perturbation, no more is asked than to fool.
    """
    doubted, sign = (problem.labels, 1) if problem.wanted is None else (problem.wanted, -1)
    is_doubted = losses.class_mask(doubted, logits.shape[-1])
    own = jnp.where(is_doubted, logits, 0.0).sum(-1)
    others = jnp.where(is_doubted, -jnp.inf, logits).max(-1)
    handicap = sign * rounding(own, others, jnp.float32).astype(logits.dtype)
    return problem.fooled(logits + jnp.where(is_doubted, handicap[:, None], 0.0))


def nearest_face(
    objective: Objective,
    keys: Array,
    logits_fn: LogitsFn,
    problem: Problem,
    inputs: Array,
    rivals: Array,
    norm: str,
) -> Face:
    r"""The rival whose linearised boundary is nearest, from one forward pass and one backward pass for each rival.

    .. math:: \hat k = \arg\min_k |f_k - f_c| / \|\nabla f_k - \nabla f_c\|_*

    Args:
      objective: how samples of a stochastic model are pooled.
      keys: [B], of this evaluation.
      logits_fn: the model.
      problem: the examples. The class c to leave is the label; if one answer is wanted, the best of the others.
      inputs: float [B, ...], where to linearise.
      rivals: int [B, K], the classes k to choose among.
      norm: "l2" or "linf", of the distance.

    Returns:
      Face; of no slope where no rival has one.
    """
    logits, pullback = jax.vjp(lambda inputs: objective.pooled(keys, logits_fn, inputs), inputs)
    leave = problem.labels
    if problem.wanted is not None:
        leave = _best_other(logits, problem.wanted)
    chosen = jax.nn.one_hot(leave, logits.shape[-1], dtype=logits.dtype)
    row = jnp.arange(inputs.shape[0])
    left = jnp.take_along_axis(logits, leave[:, None], -1)[:, 0]

    def nearest(nearer: tuple[Array, Face], rivals: Array) -> tuple[tuple[Array, Face], None]:
        differences = jax.nn.one_hot(rivals, logits.shape[-1], dtype=logits.dtype) - chosen[None]  # [k, B, C]
        slopes, blocked = jax.vmap(lambda difference: problems.finite_or_zero(pullback(difference)[0]))(differences)
        gaps = jnp.take_along_axis(logits, rivals.T, -1).T - left[None]
        sizes = losses.perturbation_norm(slopes.reshape(-1, *inputs.shape[1:]), DUAL[norm]).reshape(gaps.shape)
        distances = jnp.abs(gaps).astype(sizes.dtype) / jnp.where(sizes > 0, sizes, 1.0)
        # NaN would be the smallest of all.
        distances = jnp.where((sizes > 0) & jnp.isfinite(distances), distances, problems.farthest(distances.dtype))
        first = distances.argmin(0)
        distance, gap = distances[first, row], gaps[first, row]
        doubt, all_blocked = rounding(left + gap, left), blocked.any(0) | nearer[1].blocked
        face = Face(logits, doubt, gap, slopes[first, row], sizes[first, row], all_blocked)
        is_nearer = distance < nearer[0]
        new, old = (distance, face), (nearer[0], nearer[1]._replace(blocked=all_blocked))
        return jax.tree.map(lambda new, old: problems.choose(is_nearer, new, old), new, old), None

    # All rivals at once are fastest for few examples; for many it is a few at a time, which also bounds the memory.
    num_rivals = rivals.shape[1]
    num_parts = -(-num_rivals // max(1, _ROWS_AT_ONCE // max(1, len(row))))
    padded = np.minimum(np.arange(num_parts * -(-num_rivals // num_parts)), num_rivals - 1)
    parts = rivals.T[padded.reshape(num_parts, -1)]  # [num_parts, k, B]
    none = jnp.zeros(len(row), losses.wide_dtype(inputs))
    zero = none.astype(logits.dtype)
    nearer = (
        jnp.full_like(none, problems.farthest(none.dtype)),
        Face(logits, zero, zero, jnp.zeros_like(inputs), none, none > 0),
    )
    if num_parts > 1 and compiles_whole(logits_fn, *problem.asked()):
        nearer, _ = jax.lax.scan(nearest, nearer, parts)
    else:
        for part in parts:
            nearer, _ = nearest(nearer, part)
    return nearer[1]


@losses.one_program
def _best_other(logits: Array, classes: Array) -> Array:
    return jnp.where(losses.class_mask(classes, logits.shape[-1]), -jnp.inf, logits).argmax(-1).astype(jnp.int32)


def step_onto(gap: Array, slope: Array, low: Array, high: Array, norm: str) -> Array:
    r"""The smallest step onto a hyperplane inside a box.

    .. math:: \min_d \|d\|_p \quad \text{such that} \quad \mathrm{gap} + \mathrm{slope} \cdot d = 0, \quad
              \mathrm{low} \le d \le \mathrm{high}

    The solution is d = clip(t w, low, high) for L2 and clip(t sign(w), low, high) for L-inf, w being the slope turned
    to where the gap closes. What it gains, w . d, is concave and piecewise linear in t, so that Newton's iterates from
    t = 0 rise to the solution and reach it in finitely many iterations, without sorting the coordinates.

    Args:
      gap: float [B], value at d = 0.
      slope: float [B, ...].
      low: float [B, ...], <= 0, the lower limits less the inputs.
      high: float [B, ...], >= 0, the upper limits less the inputs.
      norm: "l2" or "linf".

    Returns:
      float [B, ...], the step; where the box does not reach the hyperplane, the box's nearest corner to it, with 0 for
      coordinates without slope.

    Example:
      >>> import jax.numpy as jnp
      >>> low, high = jnp.array([[-9.0, -9.0]]), jnp.array([[9.0, 0.5]])
      >>> step_onto(jnp.array([-5.0]), jnp.array([[1.0, 2.0]]), low, high, "l2")  # (1, 2) but for the box
      Array([[4. , 0.5]], dtype=float32)
    """
    axes = tuple(range(1, slope.ndim))
    slope = slope.astype(losses.wide_dtype(slope))
    gap, low, high = (value.astype(slope.dtype) for value in (gap, low, high))
    largest = jnp.max(jnp.abs(slope), axes, initial=0.0)
    scale = jnp.where(largest > 0, largest, 1.0)  # squares of small slopes would underflow
    closing = slope / problems.rows(jnp.where(gap > 0, -scale, scale), slope)
    needed = jnp.abs(gap) / scale
    size = jnp.abs(closing)
    room = jnp.where(closing > 0, high, -low)
    # Coordinate i gains rate_i t until t is limit_i, where the box clips it.
    rate = size if norm == "linf" else jnp.square(size)
    limit = room if norm == "linf" else jnp.where(size > 0, room / jnp.where(size > 0, size, 1.0), 0.0)
    end = jnp.finfo(slope.dtype).max

    def newton(time: Array) -> Array:
        free = limit > problems.rows(time, limit)
        speed = jnp.where(free, rate, 0.0).sum(axes)
        clipped = jnp.where(free, 0.0, rate * limit).sum(axes)
        reached = jnp.where(speed > 0, (needed - clipped) / jnp.where(speed > 0, speed, 1.0), end)
        # Rounding must not turn it back: an iterate that no longer rises is one that further iterations leave alone,
        # so that a row does not depend on how many its neighbours need.
        return jnp.clip(reached, time, end)

    def rising(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] < _MOST_ITERATIONS) & (carry[2] > carry[1]).any()

    def iterate(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        return carry[0] + 1, carry[2], newton(carry[2])

    start = jnp.zeros_like(needed)
    _, _, time = jax.lax.while_loop(rising, iterate, (jnp.int32(0), start, newton(start)))
    return jnp.clip(problems.rows(time, slope) * (jnp.sign(closing) if norm == "linf" else closing), low, high)
