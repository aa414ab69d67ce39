"""An attack as one compiled program that pays for examples only while they are at work."""

from typing import Any

import jax
import jax.numpy as jnp

from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.problem import Problem
from ib_jax.types import Array, LogitsFn


def advance_blocks(
    attack: IterativeAttack,
    logits_fn: LogitsFn,
    problem: Problem,
    state: Any,
    num_rows: int | Array,
    *,
    block: int,
) -> Any:
    """The state after all steps, of an attack that says which examples are at work.

    Blocks of rows are moved in turn, and as soon as a block can be spared, those at work are moved to the front. How
    many blocks there are is counted while it runs: one program for any number of rows.

    Args:
      attack: whose `active` is not None.
      logits_fn: the model.
      problem: rows, of which there are a multiple of `block`.
      state: of the attack, a row for each.
      num_rows: rows that matter, the first ones; the others fill up.
      block: rows of a block.
    """
    total = len(problem.labels)

    def take(tree: Any, rows: Array) -> Any:
        return jax.tree.map(lambda leaf: leaf.at[rows].get(mode="promise_in_bounds"), tree)

    def turn(carry: tuple[Any, Array, Array]) -> tuple[Any, Array, Array]:
        state, rows, working = carry
        needed = -(-working.sum() // block)
        last = jnp.where(working, jnp.arange(total), 0).max()
        order = jnp.argsort(~working, stable=True)
        state, rows = jax.lax.cond(
            needed <= last // block, lambda tree: take(tree, order), lambda tree: tree, (state, rows)
        )

        def move(index: Array, carry: tuple[Any, Array]) -> tuple[Any, Array]:
            state, working = carry
            cut = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, index * block, block)  # noqa: E731
            put = lambda leaf, part: jax.lax.dynamic_update_slice_in_dim(leaf, part, index * block, 0)  # noqa: E731
            own = cut(rows)
            part = take(problem, own)
            moved = attack.guarded_step(logits_fn, part, jax.tree.map(cut, state))
            return jax.tree.map(put, (state, working), (moved, attack.working(part, moved) & (own < num_rows)))

        state, working = jax.lax.fori_loop(0, needed, move, (state, jnp.zeros(total, bool)))
        return state, rows, working

    rows = jnp.arange(total)
    carry = (state, rows, attack.working(problem, state) & (rows < num_rows))
    state, rows, _ = jax.lax.while_loop(lambda carry: carry[2].any(), turn, carry)
    return take(state, jnp.argsort(rows))
