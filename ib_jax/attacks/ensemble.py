"""Several attacks on the same examples, the best result kept: restarts, every class as target, AutoAttack."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.problem import Problem
from ib_jax.attacks.refuse import require_count
from ib_jax.types import Array, AttackResult, LogitsFn

Score = Callable[[LogitsFn, Problem, AttackResult], Array]
"""(logits_fn, problem, result) -> [B]; among results of equal success the highest is kept."""

_SALT = 1000  # what members fold the keys with, beyond the streams of the problem


class Member(NamedTuple):
    """One attack of an ensemble.

    Attributes:
      name: for reports; several members may share one.
      attack: the attack.
      rank: aim it at the class that is the most probable wrong one at the input (0), the second (1) and so on; any
        wrong class counts as success. None for an untargeted attack, or the caller's own targets.
    """

    name: str
    attack: IterativeAttack
    rank: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """An Attack that runs its members in turn and keeps, for each example, the best of their results.

    In the result, `member` is the index of the member that gave it, or -1 where none succeeded.

    Attributes:
      members: at least one.
      score: which of several results is best; None for the first that succeeds.
      stop_at_success: whether examples that fell to one member are spared by the next ones. Called, an ensemble is
        one program that runs every member on the whole batch; a `Runner` attacks only what still stands.
    """

    members: Sequence[Member]
    score: Score | None = None
    stop_at_success: bool = True

    @property
    def attacks(self) -> list[IterativeAttack]:
        """The members' attacks, each once: members may differ by their keys and targets alone."""
        return list(dict.fromkeys(member.attack for member in self.members))

    @property
    def epsilon(self) -> float | Array | None:
        """The radius of the members."""
        return self.members[0].attack.epsilon

    def problem(
        self,
        key: Array,
        logits_fn: LogitsFn,
        inputs: Array,
        labels: Array,
        targets: Array | None = None,
        epsilon: float | Array | None = None,
    ) -> Problem:
        """The examples as rows, see `IterativeAttack.problem`; every member's needs are checked."""
        ranks = [member.rank for member in self.members if member.rank is not None]
        if targets is not None and ranks:
            raise ValueError("targets must be None: this attack chooses its own targets")
        for attack in self.attacks:
            problem = attack.problem(key, logits_fn, inputs, labels, targets, epsilon)
        num_classes = losses.count_classes(logits_fn, problem.keys, problem.inputs)
        if ranks and max(ranks) + 2 > num_classes:
            raise ValueError(
                f"num_targets must be at most {num_classes - 1}, one less than the classes, got {max(ranks) + 1}"
            )
        return problem

    def first(self, logits_fn: LogitsFn, problem: Problem) -> AttackResult:
        """The result before any member has run: the inputs; they may fool the model as they are."""
        success, undecided = self.members[0].attack.objective.judge(logits_fn, problem, problem.inputs)
        none = jnp.full(problem.labels.shape, -1, jnp.int32)
        return AttackResult(problem.inputs, success, none, none > 0, undecided)

    def keep(
        self, logits_fn: LogitsFn, problem: Problem, best: AttackResult, new: AttackResult, index: Array
    ) -> AttackResult:
        """The better of two results for each example."""
        better = new.success & ~best.success
        if self.score is not None:
            higher = self.score(logits_fn, problem, new) > self.score(logits_fn, problem, best)
            better |= (new.success == best.success) & higher
        if self.stop_at_success:
            better &= ~best.success
        chosen: AttackResult = jax.tree.map(
            lambda new, old: problems.choose(better, new, old), new._replace(member=None), best._replace(member=None)
        )
        blocked = jax.tree.map(jnp.logical_or, new.blocked, best.blocked)
        member = None if best.member is None else jnp.where(better & new.success, index, best.member)
        return chosen._replace(member=member, blocked=blocked)

    def wrong_classes(self, logits_fn: LogitsFn, problem: Problem) -> Array:
        """All classes, [B, C], from the most probable wrong one at the input to the least, and then the label."""
        objective = self.members[0].attack.objective
        logits = objective.pooled(problem.look_keys(), logits_fn, problem.inputs)
        return _ranked(logits, problem.labels)

    def standing(self, result: AttackResult) -> dict[str, float]:
        """The share of examples that stand before the first attack and after each, by name.

        Raises:
          ValueError: there are no examples, or the model has no answer at some results.
        """
        member, success = np.asarray(result.member), result.decided()
        if not len(success):
            raise ValueError("result must hold at least one example, got none")
        last = {member.name: index for index, member in enumerate(self.members)}
        fallen = {"clean": success & (member < 0)} | {name: success & (member <= index) for name, index in last.items()}
        return {name: float(1.0 - fell.mean()) for name, fell in fallen.items()}

    def __call__(
        self, key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, targets: Array | None = None
    ) -> AttackResult:
        """Attacks a batch, see `ib_jax.types.Attack`."""
        problem = self.problem(key, logits_fn, inputs, labels, targets)
        order = self.wrong_classes(logits_fn, problem) if any(m.rank is not None for m in self.members) else None
        best = self.first(logits_fn, problem)
        numbered = list(enumerate(self.members))
        # Members that differ by key and target alone are one program, run over and over.
        for _, group in itertools.groupby(numbered, key=lambda pair: (pair[1].attack, pair[1].rank is None)):
            indices, members = zip(*group, strict=True)
            attack, aims = members[0].attack, order if members[0].rank is not None else None

            def body(
                best: AttackResult, xs: tuple[Array, Array], attack: IterativeAttack, aims: Array | None
            ) -> tuple[AttackResult, None]:
                index, rank = xs
                own = member_problem(problem, index, None if aims is None else aims[:, rank])
                return self.keep(logits_fn, problem, best, attack.run(logits_fn, own), index), None

            ranks = jnp.array([member.rank or 0 for member in members], jnp.int32)
            body = functools.partial(body, attack=attack, aims=aims)
            best, _ = jax.lax.scan(body, best, (jnp.array(indices, jnp.int32), ranks))
        return best


@losses.one_program
def _ranked(logits: Array, labels: Array) -> Array:
    is_label = losses.class_mask(labels, logits.shape[-1])
    return jnp.argsort(jnp.where(is_label, -jnp.inf, logits), axis=-1, descending=True).astype(jnp.int32)


def member_problem(problem: Problem, index: int | Array, targets: Array | None) -> Problem:
    """What a member sees: keys of its own, and its targets; what counts as success stays."""
    own = problem._replace(keys=problems.fold(problem.keys, _SALT + index))
    return own if targets is None else own._replace(targets=targets)


def smallest(norm: str) -> Score:
    """Prefers the smaller perturbation."""
    return lambda logits_fn, problem, result: -losses.perturbation_norm(result.inputs - problem.inputs, norm)


def restarts(attack: IterativeAttack, num_restarts: int, score: Score, stop_at_success: bool) -> "Ensemble":
    """The same attack from several random starts."""
    require_count("num_restarts", num_restarts)
    return Ensemble([Member(f"start {index}", attack) for index in range(num_restarts)], score, stop_at_success)
