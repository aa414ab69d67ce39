"""One attack on one batch from the host: its compiled pieces, and the loop over them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ib_jax.attacks.blocks import advance_blocks
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.problem import Problem
from ib_jax.compiling import jit_quickly
from ib_jax.types import Array, AttackResult, LogitsFn, Params

ApplyFn = Callable[[Params, Array, Array], Array]
"""(params, keys [B], inputs [B, ...]) -> logits [B, C]."""


class Driver:
    """What is compiled of an attack, when it is first needed.

    Args:
      attack: to run.
      apply_fn: the model.
      size: from a number of rows to that of the smallest program for so many.
    """

    def __init__(self, attack: IterativeAttack, apply_fn: ApplyFn, size: Callable[[int], int]):
        self._attack, self._size = attack, size

        def compiled(method: Callable[..., Any], **options: Any) -> Callable[..., Any]:
            return jit_quickly(lambda params, *args: method(functools.partial(apply_fn, params), *args), **options)

        def in_blocks(logits_fn: LogitsFn, problem: Problem, num_rows: Array, block: int) -> AttackResult:
            problem = attack.prepare(logits_fn, problem)
            state = attack.start(logits_fn, problem)
            state = advance_blocks(attack, logits_fn, problem, state, num_rows, block=block)
            return attack.result(logits_fn, problem, state)

        self._in_blocks, self._run = compiled(in_blocks, static_argnums=3), compiled(attack.run)
        self._prepare, self._start, self._result = (
            compiled(attack.prepare),
            compiled(attack.start),
            compiled(attack.result),
        )
        self._step, self._advance = compiled(attack.guarded_step), compiled(attack.advance, static_argnums=3)
        self._working = jit_quickly(attack.working)

    def in_blocks(self, params: Params, problem: Problem, num_rows: int, block: int) -> AttackResult:
        """One program for any number of rows of a problem of this size, which is a multiple of `block`."""
        return self._in_blocks(params, problem, np.int32(0 if _cannot_move(problem) else num_rows), block)

    def in_sizes(self, params: Params, problem: Problem, num_rows: int, stride: int, whole: bool) -> AttackResult:
        """A program for each size that a batch shrinks to, looked at every `stride` steps.

        Args:
          params: of the model.
          problem: rows, of which the first `num_rows` matter.
          num_rows: likewise.
          stride: steps between two looks for examples that are done.
          whole: whether steps are one compiled loop, or called one by one.
        """
        if whole and self._attack.active is None and not _cannot_move(problem):
            return self._run(params, problem)
        if self._attack.confidence != 0:
            problem = self._prepare(params, problem)
        state = self._start(params, problem)
        if _cannot_move(problem):
            return self._result(params, problem, state)
        if self._attack.active is None:
            return self._result(params, problem, self._move(params, problem, state, self._attack.num_steps, whole))
        total = len(problem.labels)
        # `rows` says where the rows at work belong; fillers belong nowhere.
        rows, part, part_state = np.arange(total), problem, state
        while True:
            working = np.asarray(self._working(part, part_state)) & (rows < num_rows)
            count = int(working.sum())
            if not count:
                break
            size = self._size(count)
            if size < len(rows):
                state = _scatter(state, part_state, rows) if len(rows) < total else part_state
                at_work = rows[working]
                chosen = np.full(size, at_work[0])
                chosen[:count] = at_work
                part, part_state = take(problem, chosen), take(state, chosen)
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


def _cannot_move(problem: Problem) -> bool:
    """Whether no example has a radius above 0."""
    return problem.epsilon is not None and not np.asarray(problem.epsilon).any()


@jax.jit
def take(tree: Any, rows: np.ndarray) -> Any:
    """Some rows of every array."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


@jax.jit
def _scatter(tree: Any, part: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf, piece: leaf.at[rows].set(piece, mode="drop"), tree, part)
