"""Runs an attack from the host: batch by batch, without paying for examples that are done."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.attacks.driver import ApplyFn, Driver, take
from ib_jax.attacks.ensemble import Ensemble, member_problem
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.problem import Problem
from ib_jax.compiling import jit_quickly
from ib_jax.loops import compiles_whole
from ib_jax.types import Array, Attack, AttackResult, LogitsFn, Params

_PARTS = 8  # a batch shrinks by eighths, and its last eighth by halves
_SMALLEST = 16  # rows below which a smaller batch saves nothing


class Runner:
    """Runs an attack of this package fast over any number of examples; not jittable itself.

    Examples that are done leave the batch, and an ensemble attacks only the examples that still stand. On the CPU an
    attack is one program, which works on as many eighths of a batch as it still needs. On other devices, where an
    eighth alone would leave the device idle, and for convolutional networks on the CPU, whose steps are called from the
    host (`ib_jax.loops`), the batch shrinks by eighths, with a program for each size. Results equal those of the attack
    called on all examples at once, up to rounding: neither the batch size nor the other examples matter.

    Args:
      attack: an attack of this package.
      apply_fn: (params, keys [B], inputs) -> logits [B, C]; parameters are an argument, so that other parameters of the
        same shapes run without compiling again.
      batch_size: most examples attacked at a time.
      steps_per_call: steps between two checks for examples that are done, where the host checks.

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
        self._drivers = {single: Driver(single, self._apply, self.size) for single in singles}
        if isinstance(attack, Ensemble):
            self._first = jit_quickly(lambda params, problem: attack.first(self.logits_fn(params), problem))
            self._keep = jit_quickly(lambda params, *args: attack.keep(self.logits_fn(params), *args))
            self._wrong = jit_quickly(lambda params, problem: attack.wrong_classes(self.logits_fn(params), problem))

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
            results.append(self._batch(params, problem, rows, whole))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *results)

    def _batch(self, params: Params, problem: Problem, rows: np.ndarray, whole: bool) -> AttackResult:
        attack, num_rows = self._attack, len(rows)
        if isinstance(attack, IterativeAttack):
            return self._single(attack, params, functools.partial(_padded, problem, rows), num_rows, whole, num_rows)
        problem = _padded(problem, rows, self.size(num_rows))
        best = self._first(params, problem)
        aims = any(member.rank is not None for member in attack.members)
        order = self._wrong(params, problem) if aims else None
        for index, member in enumerate(attack.members):
            standing = ~np.asarray(best.success)[:num_rows] if attack.stop_at_success else np.ones(num_rows, bool)
            rows = np.flatnonzero(standing)
            if not len(rows):
                break
            own = functools.partial(_members, problem, order, rows, np.int32(index), member.rank)
            found = self._single(member.attack, params, own, len(rows), whole, num_rows)
            best = self._keep(params, problem, best, _spread(found, rows, problem.inputs), index)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_rows], best)

    def _single(
        self,
        attack: IterativeAttack,
        params: Params,
        padded: Callable[[int], Problem],
        num_rows: int,
        whole: bool,
        num_batch: int,
    ) -> AttackResult:
        """An attack on some rows, which `padded` fills up to a size, of a batch of `num_batch`."""
        driver = self._drivers[attack]
        if whole and attack.active is not None and num_rows and jax.default_backend() == "cpu":
            count, block = self.blocks(num_batch)
            result = driver.in_blocks(params, padded(count * block), num_rows, block)
        else:
            result = driver.in_sizes(params, padded(self.size(num_rows)), num_rows, self._steps, whole)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_rows], result)

    def size(self, num_rows: int) -> int:
        """The size of batch that so many rows are padded to, one of a few."""
        part = max(_SMALLEST, -(-self.batch_size // _PARTS))
        while part > _SMALLEST and -(-part // 2) >= num_rows:
            part = -(-part // 2)
        return min(self.batch_size, -(-num_rows // part) * part)

    def blocks(self, num_rows: int) -> tuple[int, int]:
        """How many blocks, and of how many rows, hold that many.

        Few rows have a smaller program. A size between them and a whole batch would not save the time that it takes to
        compile, because blocks without work cost little.
        """
        part, few = (max(_SMALLEST, -(-self.batch_size // parts)) for parts in (_PARTS, _PARTS**2))
        if num_rows <= few < self.batch_size:
            return 1, few
        count = -(-self.batch_size // part)
        return count, -(-self.batch_size // count)


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """So many rows, the last ones fillers, so that programs are of few sizes."""
    return np.concatenate([rows, np.zeros(size - len(rows), rows.dtype)])


def _padded(problem: Problem, rows: np.ndarray, size: int) -> Problem:
    """Some examples of a problem, filled up to that many; chosen on the host, for they are of any number."""
    chosen = _filled(rows, size)
    if np.array_equal(chosen, np.arange(len(problem.labels))):
        return problem

    def choose(leaf: Array) -> Array:
        return losses.choose_keys(leaf, chosen) if leaf is problem.keys else jnp.asarray(np.asarray(leaf)[chosen])

    return Problem(*jax.tree.map(choose, problem))


def _members(
    problem: Problem, order: Array | None, rows: np.ndarray, index: np.int32, rank: int | None, size: int
) -> Problem:
    """The same as a member of an ensemble sees them."""
    return _aimed(problem, _filled(rows, size), index, *(() if rank is None else (order, np.int32(rank))))


@jax.jit
def _aimed(
    problem: Problem, rows: Array, index: Array, order: Array | None = None, rank: Array | None = None
) -> Problem:
    targets = None if order is None else order[rows, rank]
    return member_problem(take(problem, rows), index, targets)


def _spread(found: AttackResult, rows: np.ndarray, inputs: Array) -> AttackResult:
    """Results of some rows as those of the batch; rows that were spared get a failure of their own inputs."""

    def put(whole: Array, part: Array) -> Array:
        copy = np.array(whole)
        copy[rows] = part
        return jnp.asarray(copy)

    nothing = jnp.zeros(len(inputs), bool)
    return jax.tree.map(put, AttackResult(inputs, nothing, None, nothing, nothing), found)
