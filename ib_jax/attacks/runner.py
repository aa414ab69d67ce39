"""Runs an attack from the host: batch by batch, without paying for examples that are done."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.attacks.ensemble import Ensemble, member_problem
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.problem import Problem
from ib_jax.loops import compiles_whole
from ib_jax.types import Array, Attack, AttackResult, LogitsFn, Params

ApplyFn = Callable[[Params, Array, Array], Array]
"""(params, keys [B], inputs [B, ...]) -> logits [B, C]."""

_PARTS = 8  # a batch shrinks by eighths, and its last eighth by halves: each size is a program to compile
_SMALLEST = 16  # rows below which a smaller batch saves nothing


class Runner:
    """Runs an attack of this package over any number of examples, fast; not jittable itself.

    Examples that are done leave the batch, which shrinks by eighths, so few programs are compiled; an ensemble attacks
    only what still stands. On the CPU convolutional networks are stepped from the host (`ib_jax.loops`). Results are
    those of the attack called whole, to rounding: neither the batch size nor the neighbours of an example matter.

    Args:
      attack: an attack of this package.
      apply_fn: (params, keys [B], inputs) -> logits [B, C]; parameters are an argument, so that other parameters of the
        same shapes run without compiling again.
      batch_size: most examples attacked at a time.
      steps_per_call: steps between two looks for examples that are done.

    Raises:
      ValueError: `attack` is not of this package, or a size is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> apply_fn = lambda weight, keys, x: jnp.concatenate([x, weight - x], -1)
      >>> run = attacks.Runner(attacks.pgd(0.2, early_stop=True), apply_fn, batch_size=2)
      >>> run(1.0, jax.random.key(0), jnp.array([[0.6], [0.9], [0.65]]), jnp.array([0, 0, 0])).success
      array([ True, False,  True])
    """

    def __init__(
        self,
        attack: Attack,
        apply_fn: ApplyFn,
        *,
        batch_size: int = 1000,
        steps_per_call: int = 4,
    ):
        if not isinstance(attack, IterativeAttack | Ensemble):
            raise ValueError(f"attack must be an attack of ib_jax.attacks other than transfer, got {attack!r}")
        for name, value in [("batch_size", batch_size), ("steps_per_call", steps_per_call)]:
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.batch_size = batch_size
        self._apply, self._steps = jax.jit(apply_fn), steps_per_call  # traced once, for every program below
        self._attack = attack
        singles = [attack] if isinstance(attack, IterativeAttack) else attack.attacks
        self._drivers = {single: _Driver(single, self._apply, self) for single in singles}
        if isinstance(attack, Ensemble):
            self._first = jax.jit(lambda params, problem: attack.first(self.logits_fn(params), problem))
            self._keep = jax.jit(lambda params, *args: attack.keep(self.logits_fn(params), *args))
            self._wrong = jax.jit(lambda params, problem: attack.wrong_classes(self.logits_fn(params), problem))

    def logits_fn(self, params: Params) -> LogitsFn:
        """The model with those parameters."""
        return functools.partial(self._apply, params)

    def __call__(
        self,
        params: Params,
        key: Array,
        inputs: Array,
        labels: Array,
        targets: Array | None = None,
        *,
        epsilon: float | Array | None = None,
    ) -> AttackResult:
        """Attacks N >= 0 examples.

        Args:
          params: handed to `apply_fn`.
          key: one PRNG key, or one for each example ([N]).
          inputs: float [N, ...].
          labels: int [N].
          targets: int [N] for a targeted attack.
          epsilon: overrides the attack's radius: a scalar, or one for each example. An attack that looks for the
            smallest perturbation is judged by its distance: what it finds outside the ball is no success.

        Returns:
          AttackResult of NumPy arrays.

        Raises:
          ValueError: as the attack, before anything is computed.
        """
        problem = self._attack.problem(key, self.logits_fn(params), inputs, labels, targets, epsilon)
        count = len(problem.labels)
        whole = compiles_whole(self.logits_fn(params), *problem.asked())
        results = []
        for first in range(0, max(1, count), self.batch_size):
            rows = np.arange(first, min(first + self.batch_size, count))
            results.append(self._batch(params, _take(problem, rows), whole))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *results)

    def _batch(self, params: Params, problem: Problem, whole: bool) -> AttackResult:
        if isinstance(self._attack, IterativeAttack):
            return self._single(self._attack, params, problem, whole)
        attack, num_rows = self._attack, len(problem.labels)
        padded = self._pad(problem)
        best = self._first(params, padded)
        aims = any(member.rank is not None for member in attack.members)
        order = np.asarray(self._wrong(params, padded)) if aims else None
        for index, member in enumerate(attack.members):
            standing = ~np.asarray(best.success)[:num_rows] if attack.stop_at_success else np.ones(num_rows, bool)
            rows = np.flatnonzero(standing)
            if not len(rows):
                break
            targets = None if member.rank is None or order is None else jnp.asarray(order[rows, member.rank])
            own = member_problem(_take(problem, rows), index, targets)
            found = self._single(member.attack, params, own, whole)
            best = self._keep(params, padded, best, _spread(found, rows, padded.inputs), index)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_rows], best)

    def _single(self, attack: IterativeAttack, params: Params, problem: Problem, whole: bool) -> AttackResult:
        num_rows = len(problem.labels)
        result = self._drivers[attack](params, self._pad(problem), num_rows, self._steps, whole)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_rows], result)

    def _pad(self, problem: Problem) -> Problem:
        num_rows = len(problem.labels)
        if not num_rows:
            return problem
        rows = np.zeros(self.size(num_rows), np.int32)
        rows[:num_rows] = np.arange(num_rows)
        return _take(problem, rows)

    def size(self, num_rows: int) -> int:
        """The size of batch that so many rows are padded to, one of a few."""
        part = max(_SMALLEST, -(-self.batch_size // _PARTS))
        while part > _SMALLEST and -(-part // 2) >= num_rows:
            part = -(-part // 2)
        return min(self.batch_size, -(-num_rows // part) * part)


class _Driver:
    """The compiled pieces of one attack, and the loop over them."""

    def __init__(self, attack: IterativeAttack, apply_fn: ApplyFn, runner: Runner):
        self._attack, self._size = attack, runner.size

        def compiled(method: Callable[..., Any], **options: Any) -> Callable[..., Any]:
            return jax.jit(lambda params, *args: method(functools.partial(apply_fn, params), *args), **options)

        self._prepare = None if attack.confidence == 0 else compiled(attack.prepare)
        self._start, self._result = compiled(attack.start), compiled(attack.result)
        self._step = compiled(attack.guarded_step)
        self._advance = compiled(attack.advance, static_argnums=3)
        self._active = None if attack.active is None else jax.jit(attack.working)

    def __call__(self, params: Params, problem: Problem, num_rows: int, stride: int, whole: bool) -> AttackResult:
        if self._prepare is not None:
            problem = self._prepare(params, problem)
        state = self._start(params, problem)
        if problem.epsilon is not None and not np.asarray(problem.epsilon)[:num_rows].any():
            return self._result(params, problem, state)  # nothing can move
        if self._active is None:
            return self._result(params, problem, self._move(params, problem, state, self._attack.num_steps, whole))
        total = len(problem.labels)
        # `rows` says where the rows at work belong; fillers belong nowhere.
        rows, part, part_state = np.arange(total), problem, state
        while True:
            working = np.asarray(self._active(part, part_state)) & (rows < num_rows)
            count = int(working.sum())
            if not count:
                break
            size = self._size(count)
            if size < len(rows):
                state = _scatter(state, part_state, rows) if len(rows) < total else part_state
                at_work = rows[working]
                chosen = np.full(size, at_work[0])
                chosen[:count] = at_work
                part, part_state = _take(problem, chosen), _take(state, chosen)
                rows = np.where(np.arange(size) < count, chosen, total)
            part_state = self._move(params, part, part_state, stride, whole)
        state = _scatter(state, part_state, rows) if len(rows) < total else part_state
        return self._result(params, problem, state)

    def _move(self, params: Params, problem: Problem, state: Any, num_steps: int, whole: bool) -> Any:
        if whole:
            return self._advance(params, problem, state, num_steps)
        for _ in range(num_steps):
            state = self._step(params, problem, state)
        return state


def _spread(found: AttackResult, rows: np.ndarray, inputs: Array) -> AttackResult:
    """Results of some rows as those of the batch; rows that were spared get a failure of their own inputs."""

    def put(whole: Array, part: Array) -> Array:
        copy = np.array(whole)
        copy[rows] = part
        return jnp.asarray(copy)

    nothing = jnp.zeros(len(inputs), bool)
    return jax.tree.map(put, AttackResult(inputs, nothing, None, nothing, nothing), found)


@jax.jit
def _take(tree: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


@jax.jit
def _scatter(tree: Any, part: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf, piece: leaf.at[rows].set(piece, mode="drop"), tree, part)
