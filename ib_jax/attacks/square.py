"""Square Attack: random search with the answers of the model alone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box as boxes
from ib_jax.attacks import problem as problems
from ib_jax.attacks import windows
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.candidates import METHODS, Box
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.layout import Layout
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem, choose
from ib_jax.attacks.refuse import require_count, require_radius
from ib_jax.types import Array, Attack, LogitsFn

_DRAW, _ASK = 0, 1  # what a key is folded with: for the candidate, and for the model


class Settings(NamedTuple):
    """See `square`."""

    objective: Objective
    bounds: Bounds
    norm: str
    num_queries: int
    p_init: float
    layout: Layout
    halvings: tuple[int, ...]


class State(NamedTuple):
    """One row for each example."""

    queries: Array
    best: Array
    score: Array
    done: Array
    blocked: Array


def square(
    epsilon: float | Array,
    *,
    norm: str = "linf",
    num_queries: int = 5000,
    p_init: float = 0.8,
    image_shape: Sequence[int] | None = None,
    channel_axis: Literal[-1, -3] | None = None,
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
    with a grid of bumps. A window covers a share p of the image, which is halved after 10, 50, 200, 500, 1000, 2000,
    4000, 6000 and 8000 queries.

    Guaranteed: the result lies in the ball and in the bounds; epsilon 0 returns the inputs, and so does an input that
    fools the model as it is; an example makes at most `num_queries` queries (besides those for the input itself), and
    none after the first that fools the model; its result depends on its own key, input and label alone. A candidate
    that would change nothing is tried with the opposite sign, which saves up to half of the queries for images of one
    channel.

    Against a stochastic model a lucky sample may stay the best; raise `num_eot_samples`. It does not end the search:
    for that, the wrong answer must lead by three standard errors of the margin at the input.

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]). It may be traced, so
        `vmap` over radii compiles to one program.
      norm: "linf" or "l2".
      num_queries: most candidates that an example is given, >= 1.
      p_init: share of the pixels in the first windows, in (0, 1]; 0.8 in the paper's L-inf attacks, 0.1 in its L2.
      image_shape: (H, W), (H, W, C) or, for channels first, (C, H, W) of examples that are flattened images. By default
        an example is a vector, whose windows are intervals, or an image [H, W] or [..., H, W, C], whose leading axes
        are frames with their own signs.
      channel_axis: -1 for [..., H, W, C], -3 for [..., C, H, W]. None is -1, and refuses an example that looks
        channel-first: three rows of pixels or fewer, in more channels than four.
      rescale_schedule: halve p after that many queries of every 10,000 in `num_queries`.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example in the shape
        in which it is given (per channel).
      num_eot_samples: samples of a stochastic model behind each query, whose losses are averaged.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: `image_shape` is not that of the inputs, these look
        channel-first, inputs outside the bounds or NaN, epsilon < 0, labels of a wrong shape, type or range.

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
    require_radius(epsilon)
    get_norm(norm, ("linf", "l2"))
    require_count("num_queries", num_queries)
    if not 0 < p_init <= 1:
        raise ValueError(f"p_init must lie in (0, 1], got {p_init}")
    # Climbed: minus the margin, or minus the surprise at the target.
    objective = Objective(
        lambda logits, labels: -losses.margin(logits, labels),
        num_eot_samples,
        num_judge_samples=num_judge_samples,
        targeted_loss_fn=lambda logits, labels, targets: -losses.cross_entropy(logits, targets),
    )
    halvings = windows.halvings(num_queries, rescale_schedule)
    layout = Layout.of(image_shape, channel_axis)
    return IterativeAttack(
        settings=Settings(objective, bounds, norm, num_queries, p_init, layout, halvings),
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=num_queries,
        epsilon=epsilon,
        confidence=None,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """The first candidate, which nobody was asked about yet; the input where it fools the model as it is."""
    box, keys, first = _boxes(settings, problem), problem.start_keys(), METHODS[settings.norm].first
    candidate = settings.layout.back(jax.vmap(first)(problems.fold(keys, _DRAW), box), problem.inputs)
    done = problem.fooled(settings.objective.pooled(problems.fold(keys, _ASK), logits_fn, problem.inputs))
    queries = jnp.zeros_like(problem.labels, jnp.int32)
    score = jnp.full(queries.shape, -problems.farthest(boxes.wide(candidate.dtype)))
    return State(queries, choose(done, problem.inputs, candidate), score, done, queries > 0)


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """One candidate, and the model's answer to it."""
    box, keys, method = _boxes(settings, problem), problem.step_keys(state.queries), METHODS[settings.norm]
    stage = (state.queries[:, None] >= jnp.asarray(settings.halvings, jnp.int32)[None]).sum(-1)
    sides = jnp.asarray(windows.sides(settings.p_init, box.shape[1:3], method.least))[stage]
    best = settings.layout.images(state.best)
    candidate = jax.vmap(method.propose)(problems.fold(keys, _DRAW), box, best, sides)
    # The first query is about the start itself.
    candidate = choose(state.queries > 0, settings.layout.back(candidate, state.best), state.best)
    score, pooled = settings.objective.evaluate(problems.fold(keys, _ASK), logits_fn, problem, candidate)
    done = problem.fooled(pooled)
    accepted = (score > state.score) | done
    return State(
        queries=state.queries + 1,
        best=choose(accepted, candidate, state.best),
        score=jnp.where(accepted, score, state.score),
        done=done,
        blocked=state.blocked | jnp.isnan(score),
    )


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have queries left."""
    return (state.queries < settings.num_queries) & ~state.done


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The candidate with the smallest margin."""
    return state.best


def _boxes(settings: Settings, problem: Problem) -> Box:
    low, high = problem.box(settings.bounds)
    images = settings.layout.images
    return Box(images(problem.inputs), images(low), images(high), problem.radius)
