"""Square Attack: random search with the answers of the model alone."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks import windows
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective, pool
from ib_jax.attacks.problem import Bounds, Problem
from ib_jax.types import Array, Attack, LogitsFn

_DRAW, _ASK = 0, 1  # what a key is folded with: for the candidate, and for the model


Layout = tuple[int, int, int, int]
"""An example as N frames of H x W pixels in C channels; every frame and channel has signs of its own."""


class _Box(NamedTuple):
    """One example, as [N, H, W, C], and what its candidates must keep to; the bounds are those of the whole batch."""

    example: Array
    low: Array
    high: Array
    radius: Array

    @property
    def layout(self) -> Layout:
        """Frames, height, width and channels."""
        frames, height, width, channels = self.example.shape[-4:]
        return frames, height, width, channels

    def clip(self, point: Array) -> Array:
        """The point in the bounds, which is no farther from the example; in the example's precision."""
        return jnp.clip(point.astype(self.example.dtype), self.low, self.high)


class _State(NamedTuple):
    queries: Array
    best: Array
    score: Array
    done: Array


def square(
    epsilon: float | Array,
    *,
    norm: str = "linf",
    num_queries: int = 5000,
    p_init: float = 0.8,
    image_shape: Sequence[int] | None = None,
    rescale_schedule: bool = False,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    num_judge_samples: int | None = None,
) -> Attack:
    r"""Square Attack, a random search in an L-inf or L2 ball that sees logits and no gradients.

    .. math:: x_{t+1} = \begin{cases} c_t & \ell(c_t) < \ell(x_t) \\ x_t & \text{otherwise} \end{cases}
              \qquad \ell = l_y - \max_{j \ne y} l_j \ \text{ or }\ -\log q(\mathrm{target})

    A candidate c differs from the best input so far in a window at a random position. L-inf: each channel of the window
    goes to one of the two faces of the ball, on which the search begins with stripes of one pixel. L2: the window gets
    a pair of bumps of opposite sign, paid for with the perturbation of a second window, which goes to zero; it begins
    with a grid of bumps. The share p of the image that a window covers is halved after 10, 50, 200, 500, 1000, 2000,
    4000, 6000 and 8000 queries.

    Guaranteed: the result lies in the ball and in the bounds; epsilon 0 returns the inputs, and so does an input that
    fools the model as it is; an example makes at most `num_queries` queries (besides one for the input itself), and
    none after the first that fools the model; its result depends on its own key, input and label alone. A candidate
    that would change nothing is turned round first, which for images of one channel saves up to half of the queries.

    Against a stochastic model a lucky sample ends the search or stays the best; raise `num_eot_samples`.

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]). It may be traced, so
        `vmap` over radii compiles to one program.
      norm: "linf" or "l2".
      num_queries: most candidates that an example is given, >= 1.
      p_init: share of the pixels in the first windows, in (0, 1]; 0.8 in the paper's L-inf attacks, 0.1 in its L2.
      image_shape: (H, W) or (H, W, C) of examples that are flattened images. By default an example is a vector, whose
        windows are intervals, or an image [H, W] or [..., H, W, C], whose leading axes are frames with their own signs.
      rescale_schedule: halve p after that many queries of every 10,000 in `num_queries`.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example in the shape
        in which it is given (per channel).
      num_eot_samples: samples of a stochastic model behind each query, whose losses are averaged.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: `image_shape` is not that of the inputs, inputs
        outside the bounds or NaN, epsilon < 0, labels of a wrong shape, type or range.

    Source: Andriushchenko et al., Square Attack: a query-efficient black-box adversarial attack via random search,
    2020.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.round(jnp.concatenate([x, 1.0 - x], -1))  # flat: its gradient is zero
      >>> attack = attacks.square(0.2, num_queries=10)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.9]]), jnp.array([0, 0]))
      >>> result.success
      Array([ True, False], dtype=bool)
    """
    get_norm(norm, ("linf", "l2"))
    if num_queries < 1:
        raise ValueError(f"num_queries must be at least 1, got {num_queries}")
    if not 0 < p_init <= 1:
        raise ValueError(f"p_init must lie in (0, 1], got {p_init}")
    if image_shape is not None and (len(image_shape) not in (2, 3) or min(image_shape) < 1):
        raise ValueError(f"image_shape must be (H, W) or (H, W, C), each at least 1, got {tuple(image_shape)}")
    # Climbed: minus the margin, or minus the surprise at the target.
    objective = Objective(
        lambda logits, labels: -losses.margin(logits, labels),
        num_eot_samples,
        num_judge_samples=num_judge_samples,
        targeted_loss_fn=lambda logits, labels, targets: -losses.cross_entropy(logits, targets),
    )
    first, propose = (_stripes, _repaint) if norm == "linf" else (_grid, _move_mass)
    least = 1 if norm == "linf" else 3  # a pair of bumps in two pixels has no shape
    halvings = windows.halvings(num_queries, rescale_schedule)

    axes = _Box(0, None, None, 0)  # type: ignore[arg-type]  # what `vmap` maps over

    def boxes(problem: Problem) -> _Box:
        assert problem.epsilon is not None
        shape = problem.inputs.shape[1:]
        layout = _layout(shape, image_shape)
        low, high = (
            jnp.broadcast_to(limit, shape).reshape(layout) for limit in problems.limits(bounds, problem.inputs.dtype)
        )
        return _Box(problem.inputs.reshape(problem.inputs.shape[0], *layout), low, high, problem.epsilon)

    def start(logits_fn: LogitsFn, problem: Problem) -> _State:
        box, keys = boxes(problem), problem.start_keys()
        candidate = jax.vmap(first, (0, axes))(problems.fold(keys, _DRAW), box).reshape(problem.inputs.shape)
        pooled = pool(objective.logits(problems.fold(keys, _ASK), logits_fn, problem.inputs))
        done = problem.fooled(pooled)
        queries = jnp.zeros_like(problem.labels, jnp.int32)
        score = jnp.full(queries.shape, -jnp.inf, jnp.promote_types(candidate.dtype, jnp.float32))
        return _State(queries, jnp.where(problems.rows(done, candidate), problem.inputs, candidate), score, done)

    def step(logits_fn: LogitsFn, problem: Problem, state: _State) -> _State:
        box, keys = boxes(problem), problem.step_keys(state.queries)
        stage = (state.queries[:, None] >= jnp.asarray(halvings)).sum(-1)
        sides = jnp.asarray(windows.sides(p_init, box.layout[1:3], least))[stage]
        best = state.best.reshape(box.example.shape)
        candidate = jax.vmap(propose, (0, axes, 0, 0))(problems.fold(keys, _DRAW), box, best, sides)
        # The first query is about the start itself.
        asked = problems.rows(state.queries > 0, state.best)
        candidate = jnp.where(asked, candidate.reshape(state.best.shape), state.best)
        score, pooled = objective.evaluate(problems.fold(keys, _ASK), logits_fn, problem, candidate)
        done = problem.fooled(pooled)
        accepted = (score > state.score) | done
        return _State(
            state.queries + 1,
            jnp.where(problems.rows(accepted, candidate), candidate, state.best),
            jnp.where(accepted, score, state.score).astype(state.score.dtype),
            done,
        )

    def active(problem: Problem, state: _State) -> Array:
        return (state.queries < num_queries) & ~state.done

    def finish(problem: Problem, state: _State) -> Array:
        return state.best

    return IterativeAttack(start, step, active, finish, objective, num_queries, bounds, epsilon)


def _layout(shape: tuple[int, ...], image_shape: Sequence[int] | None) -> Layout:
    """Frames, height, width and channels of an example."""
    if image_shape is not None:
        if math.prod(image_shape) != math.prod(shape):
            raise ValueError(f"image_shape must have the size of an example of shape {shape}, got {tuple(image_shape)}")
        shape = (*image_shape, 1)[:3]
    if len(shape) < 2:
        # A row, not a column: the stripes at the start then have a sign for each coordinate.
        shape = (1, math.prod(shape))
    height, width, channels = (*shape, 1) if len(shape) == 2 else shape[-3:]
    return math.prod(shape[:-3]), height, width, channels


def _stripes(key: Array, box: _Box) -> Array:
    """L-inf: stripes of one pixel that run down the image, with random signs."""
    frames, _, width, channels = box.layout
    words = jax.random.bits(key, (windows.num_words(frames * width * channels),), jnp.uint32)
    signs = windows.signs_of(words, (frames, 1, width, channels)).astype(box.example.dtype)
    return box.clip(box.example + box.radius * signs)


def _repaint(key: Array, box: _Box, best: Array, sides: Array) -> Array:
    """L-inf: each channel of a window goes to one of the faces of the ball.

    That is where +-2 epsilon, projected, takes it from wherever it is in the ball.
    """
    frames, height, width, channels = best.shape
    words = jax.random.bits(key, (2 + windows.num_words(frames * channels),), jnp.uint32)
    window = windows.inside(windows.place(words[:2], sides, (height, width)), (height, width))[:, :, None]
    move = box.radius * windows.signs_of(words[2:], (frames, 1, 1, channels)).astype(best.dtype)
    changed = (window & (box.clip(box.example + move) != best)).any()
    return jnp.where(window, box.clip(box.example + jnp.where(changed, move, -move)), best)


def _grid(key: Array, box: _Box) -> Array:
    """L2: bumps all over the image."""
    return box.clip(box.example + _to_sphere(windows.tiles(key, box.layout), box.radius))


def _move_mass(key: Array, box: _Box, best: Array, sides: Array) -> Array:
    """L2: a pair of bumps in one window, paid for with the perturbation of another one."""
    frames, height, width, channels = best.shape
    size, planes = (height, width), frames * channels
    words = jax.random.bits(key, (4 + windows.num_words(1 + planes),), jnp.uint32)
    gains, loses = (windows.place(pair, sides, size) for pair in (words[:2], words[2:4]))
    signs = windows.signs_of(words[4:], (1 + planes,))
    eta = windows.bump(gains, size, signs[0] > 0)[:, :, None] * signs[1:].reshape(frames, 1, 1, channels)
    gain, lose = (windows.inside(window, size)[:, :, None] for window in (gains, loses))
    wide = jnp.promote_types(best.dtype, jnp.float32)
    moved = best.astype(wide) - box.example.astype(wide)
    mass = jnp.square(moved)
    unused = jnp.maximum(jnp.square(box.radius.astype(wide)) - mass.sum(), 0.0) / planes
    length = jnp.sqrt(_by_plane(jnp.where(gain | lose, mass, 0.0)) + unused)
    bumps = _to_sphere(eta + _to_sphere(jnp.where(gain, moved, 0.0), 1.0, _by_plane), length, _by_plane)
    moved = jnp.where(gain, bumps, jnp.where(lose, 0.0, moved))
    return box.clip(box.example + _to_sphere(moved, box.radius))


def _by_plane(values: Array) -> Array:
    """Sums over the pixels of each frame and channel, [N, 1, 1, C]."""
    return values.sum((1, 2), keepdims=True)


def _to_sphere(values: Array, radius: Array | float, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """Values scaled to an L2 norm; zero stays zero."""
    norm = jnp.sqrt(total(jnp.square(values)))
    return values * (radius / jnp.where(norm > 0, norm, 1.0))
