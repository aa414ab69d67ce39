"""HopSkipJump: a search with the model's decisions alone."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import box
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.closest import Closest
from ib_jax.attacks.hyperplane import DUAL
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem, choose
from ib_jax.attacks.refuse import require_count, require_finite
from ib_jax.types import Array, Attack, LogitsFn

_DRAW, _ASK = 0, 1  # what a key is folded with: for the candidate, and for the model
_START, _BISECT, _ESTIMATE, _JUMP = 0, 1, 2, 3  # what an example's next query is for
_MOST_SHORTER = 12  # jumps, each half of the last, after which the direction is estimated anew
_LEAST_HALVINGS, _MOST_HALVINGS = 7, 18  # beyond the last float32 has little to give


class Settings(NamedTuple):
    """See `hop_skip_jump`."""

    objective: Objective
    bounds: Bounds
    norm: str
    num_queries: int
    num_directions: int


class State(NamedTuple):
    """One row for each example."""

    queries: Array
    phase: Array
    asked: Array  # in this phase
    round: Array
    perturbation: Array  # one that fools the model, from the first on
    low: Array  # the bisection's interval, in shares of the perturbation
    high: Array
    moves: Array  # the sum of the directions tried
    agreeing: Array  # of those that fool less those that do not
    agreed: Array  # and of their signs
    direction: Array
    jump: Array  # its length
    closest: Closest
    blocked: Array


def hop_skip_jump(
    *,
    norm: str = "l2",
    num_queries: int = 5000,
    num_directions: int = 100,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int = 1,
    num_judge_samples: int | None = None,
    confidence: float | None = None,
) -> Attack:
    r"""HopSkipJump: a small L2 or L-inf perturbation from the model's decisions alone, without logits or gradients.

    .. math:: v = \frac1B \sum_b (\phi_b - \bar\phi) u_b, \qquad
              x_{t+1} = \mathrm{bisect}\big(x, x_t + \xi\, d(v)\big), \qquad \xi = \|x_t - x\| / \sqrt t,\
              \tfrac12 \|x_t - x\| / \sqrt t, \ldots

    with :math:`\phi = 1` where :math:`x_t + \|x_t - x\|_2 u_b / D` fools the model and -1 where it does not, u on the
    unit sphere, :math:`B = B_0 \sqrt t` of them in round t, d(v) the normalised v (L2) or its signs (L-inf), and
    :math:`\xi` the first length of jump that still fools the model. A bisection goes from the input to a point that
    fools the model, along a line (L2) or by clipping the perturbation (L-inf). The search begins at the first of
    several random images, of any brightness and contrast, that fools the model; if none does, as for a target that
    noise rarely resembles, the input itself is returned.

    Guaranteed: the result lies in the bounds; an input that fools the model stays as it is; an example makes at most
    `num_queries` queries (besides one for the input itself); its result depends on its own key, input and label alone.

    A query asks a stochastic model `num_eot_samples` times, and the mean softmax must lead by `confidence`: this uses
    more than decisions. With a confidence of 0 and one sample the attack uses decisions alone, but then takes a lucky
    sample for a success. For a deterministic model the lead is 0.

    Args:
      norm: "l2" or "linf", what is made small.
      num_queries: most queries of an example, >= 1.
      num_directions: B_0, >= 1, directions tried in the first round.
      bounds: lower and upper limits of the inputs, finite; scalars, or arrays that broadcast against one example.
      num_eot_samples: samples of a stochastic model behind each query.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.
      confidence: by how many nats the wanted answer must lead in the search. None is 0 for a deterministic model, and
        for a stochastic one three standard errors of its margin at the input.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, labels of a wrong
        shape, type or range.

    Source: Chen et al., HopSkipJumpAttack: A Query-Efficient Decision-Based Attack, 2020.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.round(jnp.concatenate([x, 1.0 - x], -1))  # flat: its gradient is zero
      >>> attack = attacks.hop_skip_jump(num_queries=200)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.4]]), jnp.array([0, 0]))
      >>> print(f"{float(result.inputs[0, 0]):.1f} {result.success}")
      0.5 [ True  True]
    """
    get_norm(norm, tuple(DUAL))
    require_count("num_queries", num_queries)
    require_count("num_directions", num_directions)
    require_finite(bounds)
    objective = Objective(num_eot_samples=num_eot_samples, num_judge_samples=num_judge_samples)
    return IterativeAttack(
        settings=Settings(objective, bounds, norm, num_queries, num_directions),
        init=init,
        step=step,
        active=active,
        finish=finish,
        num_steps=num_queries,
        minimal=norm,
        confidence=confidence,
    )


def init(settings: Settings, logits_fn: LogitsFn, problem: Problem) -> State:
    """Asks about the input itself."""
    zeros = jnp.zeros(problem.inputs.shape, box.wide(problem.inputs.dtype))
    zero = jnp.zeros(problem.labels.shape, zeros.dtype)
    count = zero.astype(jnp.int32)
    keys = problems.fold(problem.start_keys(), _ASK)
    fooled = problem.fooled(settings.objective.pooled(keys, logits_fn, problem.inputs))
    return State(
        queries=count,
        phase=count + _START,
        asked=count,
        round=count,
        perturbation=zeros,
        low=zero,
        high=zero + 1,
        moves=zeros,
        agreeing=zeros,
        agreed=zero,
        direction=zeros,
        jump=zero,
        closest=Closest.none(problem).keep(problem, problem.inputs, fooled, settings.norm),
        blocked=count > 0,
    )


def step(settings: Settings, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
    """One query, and what follows from its answer."""
    norm, wide, keys = settings.norm, state.perturbation.dtype, problem.step_keys(state.queries)
    room = problem.room(problem.inputs.astype(wide), settings.bounds)
    tried = jnp.clip(_candidate(settings, problem, state, problems.fold(keys, _DRAW), room), *room)
    point = box.move(problem.inputs, tried, *problem.box(settings.bounds))
    answer = losses.predicted_class(settings.objective.pooled(problems.fold(keys, _ASK), logits_fn, point))
    fooled = problem.wins(answer)
    state = state._replace(
        queries=state.queries + 1,
        closest=state.closest.keep(problem, point, fooled, norm),
        blocked=state.blocked | (answer < 0),
    )

    start, bisect, estimate, jump = (state.phase == phase for phase in (_START, _BISECT, _ESTIMATE, _JUMP))
    asked = state.asked + 1
    middle = (state.low + state.high) / 2
    low, high = jnp.where(fooled, state.low, middle), jnp.where(fooled, middle, state.high)
    sign = jnp.where(fooled, 1.0, -1.0).astype(wide)
    move = point.astype(wide) - problem.inputs.astype(wide) - state.perturbation  # as far as rounding lets it go
    moves, agreed = state.moves + move, state.agreed + sign
    agreeing = state.agreeing + problems.rows(sign, move) * move

    arrived = (start | jump) & fooled
    on_boundary = bisect & (asked >= _halvings(tried))
    shorter = jump & ~fooled
    again = shorter & (asked >= _MOST_SHORTER)
    wanted = settings.num_directions * jnp.sqrt(jnp.maximum(state.round, 1).astype(jnp.float32))
    known = estimate & (asked >= wanted.astype(jnp.int32))
    fresh = on_boundary | again  # a round begins

    mean = agreed / asked.astype(wide)
    slope = agreeing - problems.rows(jnp.where(jnp.abs(mean) < 1, mean, 0.0), moves) * moves
    largest = losses.perturbation_norm(slope, "l2")
    slope = jnp.sign(slope) if norm == "linf" else slope / problems.rows(jnp.where(largest > 0, largest, 1.0), slope)
    boundary = _shrunk(state.perturbation, high, norm)
    perturbation = choose(arrived, tried, choose(on_boundary, boundary, state.perturbation))
    size = losses.perturbation_norm(perturbation, norm)
    first_jump = size / jnp.sqrt(jnp.maximum(state.round, 1).astype(wide))
    phase = jnp.where(arrived, _BISECT, jnp.where(fresh, _ESTIMATE, jnp.where(known, _JUMP, state.phase)))
    nothing = jnp.zeros_like(moves)
    return state._replace(
        phase=phase,
        asked=jnp.where(arrived | fresh | known, 0, asked),
        round=state.round + fresh.astype(state.round.dtype),
        perturbation=perturbation,
        low=jnp.where(arrived, 0.0, jnp.where(bisect, low, state.low)),
        high=jnp.where(arrived, 1.0, jnp.where(bisect, high, state.high)),
        moves=choose(fresh, nothing, choose(estimate, moves, state.moves)),
        agreeing=choose(fresh, nothing, choose(estimate, agreeing, state.agreeing)),
        agreed=jnp.where(fresh, 0.0, jnp.where(estimate, agreed, state.agreed)),
        direction=choose(known, slope, state.direction),
        jump=jnp.where(known, first_jump, jnp.where(shorter, state.jump / 2, state.jump)),
    )


def active(settings: Settings, problem: Problem, state: State) -> Array:
    """Which examples have queries left."""
    return (state.queries < settings.num_queries) & state.closest.improvable(problem, settings.norm)


def finish(settings: Settings, problem: Problem, state: State) -> Array:
    """The closest success, or the input."""
    return state.closest.point


def _candidate(settings: Settings, problem: Problem, state: State, keys: Array, room: tuple[Array, Array]) -> Array:
    """The perturbation to ask about, by the phase of each example."""
    shape, wide = state.perturbation.shape[1:], state.perturbation.dtype

    def image(key: Array) -> Array:
        tones, noise = jax.random.split(key)
        level, contrast = jax.random.uniform(tones, (2,), wide)
        return jnp.clip(level + contrast * jax.random.uniform(noise, shape, wide, -1.0, 1.0), 0.0, 1.0)

    start = room[0] + (room[1] - room[0]) * jax.vmap(image)(keys)
    middle = _shrunk(state.perturbation, (state.low + state.high) / 2, settings.norm)
    drawn = jax.vmap(lambda key: jax.random.normal(key, shape, wide))(keys)
    reach = losses.perturbation_norm(state.perturbation, "l2") / max(1, math.prod(shape))
    probe = state.perturbation + problems.rows(reach / losses.perturbation_norm(drawn, "l2"), drawn) * drawn
    jump = state.perturbation + problems.rows(state.jump, state.direction) * state.direction
    return choose(
        state.phase == _START,
        start,
        choose(state.phase == _BISECT, middle, choose(state.phase == _ESTIMATE, probe, jump)),
    )


def _shrunk(perturbation: Array, share: Array, norm: str) -> Array:
    """Perturbations of that share of their size."""
    if norm == "l2":
        return problems.rows(share, perturbation) * perturbation
    most = problems.rows(share * losses.perturbation_norm(perturbation, "linf"), perturbation)
    return jnp.clip(perturbation, -most, most)


def _halvings(perturbation: Array) -> int:
    """Queries of a bisection, so that the directions tried, of a length of 1 / D, reach across the boundary."""
    return min(
        _MOST_HALVINGS, max(_LEAST_HALVINGS, math.ceil(1.5 * math.log2(max(2, math.prod(perturbation.shape[1:])))))
    )
