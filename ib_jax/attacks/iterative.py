"""An attack as a loop over examples that know when they are done."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ib_jax import loops, losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Bounds, Problem
from ib_jax.types import Array, AttackResult, LogitsFn

State = Any
"""A pytree of arrays [B, ...] that the attack moves; row i belongs to example i alone."""


@dataclasses.dataclass(frozen=True)
class IterativeAttack:
    """An Attack made of parts, so that a host can drive it step by step and drop examples that are done.

    Called, it is one compiled loop: pure, jittable, and, if every example takes all steps, differentiable.

    Attributes:
      start: (logits_fn, problem) -> state.
      step: (logits_fn, problem, state) -> state.
      active: (problem, state) -> bool [B], which examples have work left; None if each takes exactly `num_steps`.
      finish: (problem, state) -> perturbed inputs [B, ...].
      objective: what it climbs and how it is judged.
      num_steps: the most steps that an example takes.
      bounds: limits of the inputs.
      epsilon: radius, a scalar or one for each example; None for an attack without one.
      targeted: whether it can be given targets.
      min_classes: fewest classes that its loss is defined for.
    """

    start: Callable[[LogitsFn, Problem], State]
    step: Callable[[LogitsFn, Problem, State], State]
    active: Callable[[Problem, State], Array] | None
    finish: Callable[[Problem, State], Array]
    objective: Objective
    num_steps: int
    bounds: Bounds
    epsilon: float | Array | None = None
    targeted: bool = True
    min_classes: int = 2

    def problem(
        self,
        key: Array,
        logits_fn: LogitsFn,
        inputs: Array,
        labels: Array,
        targets: Array | None = None,
        epsilon: float | Array | None = None,
    ) -> Problem:
        """The examples as rows, after everything that can be refused was; `epsilon` overrides the attack's own.

        Raises:
          ValueError: naming the argument, its value and what would be right.
        """
        if targets is not None and not self.targeted:
            raise ValueError("targets must be None: this attack has no targeted form")
        batch_size = inputs.shape[0]
        keys = losses.per_example_keys(key, batch_size)
        radius = self.epsilon if epsilon is None else epsilon
        # Integer inputs are refused below, and must not make integer radii first.
        dtype = inputs.dtype if jnp.issubdtype(inputs.dtype, jnp.floating) else jnp.float32
        radii = None if radius is None else problems.to_radii(radius, batch_size, dtype)
        problem = Problem(keys, inputs, labels, targets, targets, radii)
        problems.check(logits_fn, problem, self.bounds, min_classes=self.min_classes)
        return problem

    def advance(self, logits_fn: LogitsFn, problem: Problem, state: State, num_steps: int) -> State:
        """At most that many steps, fewer when no example has work left; examples that are done stay as they are."""
        if self.active is None:
            whole = loops.compiles_whole(logits_fn, problem.keys, problem.inputs)
            return loops.repeat(lambda state: self.step(logits_fn, problem, state), state, num_steps, whole=whole)

        def more(carry: tuple[Array, State]) -> Array:
            return (carry[0] < num_steps) & self._active(problem, carry[1]).any()

        def body(carry: tuple[Array, State]) -> tuple[Array, State]:
            return carry[0] + 1, self.guarded_step(logits_fn, problem, carry[1])

        return jax.lax.while_loop(more, body, (jnp.int32(0), state))[1]

    def guarded_step(self, logits_fn: LogitsFn, problem: Problem, state: State) -> State:
        """One step that leaves examples without work as they are."""
        moved = self.step(logits_fn, problem, state)
        if self.active is None:
            return moved
        active = self._active(problem, state)
        return jax.tree.map(lambda new, old: jnp.where(problems.rows(active, old), new, old), moved, state)

    def _active(self, problem: Problem, state: State) -> Array:
        assert self.active is not None
        return self.active(problem, state)

    def __call__(
        self, key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, targets: Array | None = None
    ) -> AttackResult:
        """Attacks a batch, see `ib_jax.types.Attack`."""
        problem = self.problem(key, logits_fn, inputs, labels, targets)
        state = self.advance(logits_fn, problem, self.start(logits_fn, problem), self.num_steps)
        return self.result(logits_fn, problem, state)

    def result(self, logits_fn: LogitsFn, problem: Problem, state: State) -> AttackResult:
        """The perturbed inputs, judged on fresh samples of the model."""
        adversarial = self.finish(problem, state)
        return AttackResult(adversarial, self.objective.judge(logits_fn, problem, adversarial))
