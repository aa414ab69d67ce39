"""An attack as a loop over examples that know when they are done."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from ib_jax import loops, losses
from ib_jax.attacks import box, refuse
from ib_jax.attacks import problem as problems
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.lead import handicapped, measured_lead
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem
from ib_jax.types import Array, AttackResult, LogitsFn


class Settings(Protocol):
    """A NamedTuple of what an attack was told; these two all of them have."""

    @property
    def objective(self) -> Objective: ...

    @property
    def bounds(self) -> Bounds: ...


class State(Protocol):
    """A NamedTuple of arrays [B, ...] that the attack moves; row i belongs to example i alone."""

    @property
    def blocked(self) -> Array: ...


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class IterativeAttack:
    """An Attack made of parts, so that a host can drive it step by step and drop examples that are done.

    Called, it is one compiled loop: pure, jittable, and, if every example takes all steps, differentiable.

    Attributes:
      settings: handed to each of the functions that follow.
      init: (settings, logits_fn, problem) -> state.
      step: (settings, logits_fn, problem, state) -> state.
      finish: (settings, problem, state) -> perturbed inputs [B, ...].
      active: (settings, problem, state) -> bool [B], which examples have work left; None if each takes `num_steps`.
      num_steps: the most steps that an example takes.
      epsilon: radius, a scalar or one for each example; None for an attack without one.
      minimal: of an attack that looks for the smallest perturbation, the norm it is small in. Given a radius it is
        judged by its distance: a result outside the ball is none.
      targeted: whether it can be given targets.
      min_classes: fewest classes that its loss is defined for.
      confidence: by how many nats the wanted answer must lead to end or to win the search; None is the lead that the
        model's own noise asks for (`measured_lead`), which is 0 for a deterministic model.
    """

    settings: Settings
    init: Callable[[Any, LogitsFn, Problem], State]
    step: Callable[[Any, LogitsFn, Problem, Any], State]
    finish: Callable[[Any, Problem, Any], Array]
    num_steps: int
    active: Callable[[Any, Problem, Any], Array] | None = None
    epsilon: float | Array | None = None
    minimal: str | None = None
    targeted: bool = True
    min_classes: int = 2
    confidence: float | None = 0.0

    def __post_init__(self) -> None:
        if self.confidence is not None:
            refuse.require("confidence", self.confidence, 0)

    @property
    def objective(self) -> Objective:
        """What it climbs and how it is judged."""
        return self.settings.objective

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
        radius = self.epsilon if epsilon is None else epsilon
        problem = make_problem(key, inputs, labels, targets, radius)
        refuse.check(logits_fn, problem, self.settings.bounds, min_classes=self.min_classes)
        return problem

    def prepare(self, logits_fn: LogitsFn, problem: Problem) -> Problem:
        """The examples with the lead that each needs; what comes before `start`."""
        if self.confidence is None:
            return problem._replace(lead=measured_lead(self.objective, logits_fn, problem))
        if self.confidence == 0:
            return problem
        return problem._replace(lead=jnp.full(problem.labels.shape, self.confidence, jnp.float32))

    def start(self, logits_fn: LogitsFn, problem: Problem) -> State:
        """The state before the first step."""
        return self.init(self.settings, handicapped(logits_fn, problem), problem)

    def advance(self, logits_fn: LogitsFn, problem: Problem, state: Any, num_steps: int) -> Any:
        """At most that many steps, fewer when no example has work left; examples that are done stay as they are."""
        if self.active is None:
            whole = loops.compiles_whole(logits_fn, *problem.asked())
            return loops.repeat(
                lambda state: self.guarded_step(logits_fn, problem, state), state, num_steps, whole=whole
            )

        def more(carry: tuple[Array, Any]) -> Array:
            return (carry[0] < num_steps) & self.working(problem, carry[1]).any()

        def body(carry: tuple[Array, Any]) -> tuple[Array, Any]:
            return carry[0] + 1, self.guarded_step(logits_fn, problem, carry[1])

        return jax.lax.while_loop(more, body, (jnp.int32(0), state))[1]

    def guarded_step(self, logits_fn: LogitsFn, problem: Problem, state: Any) -> Any:
        """One step that leaves examples without work as they are, and types as they were whatever the model answers."""
        moved = self.step(self.settings, handicapped(logits_fn, problem), problem, state)
        moved = jax.tree.map(lambda new, old: new.astype(old.dtype), moved, state)
        if self.active is None:
            return moved
        working = self.working(problem, state)
        return jax.tree.map(lambda new, old: problems.choose(working, new, old), moved, state)

    def working(self, problem: Problem, state: Any) -> Array:
        """Which examples have work left, bool [B], of an attack that says so."""
        assert self.active is not None
        return self.active(self.settings, problem, state)

    def __call__(
        self, key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, targets: Array | None = None
    ) -> AttackResult:
        """Attacks a batch, see `ib_jax.types.Attack`."""
        return self.run(logits_fn, self.problem(key, logits_fn, inputs, labels, targets))

    def run(self, logits_fn: LogitsFn, problem: Problem) -> AttackResult:
        """The whole attack on examples that were checked."""
        problem = self.prepare(logits_fn, problem)
        state = self.advance(logits_fn, problem, self.start(logits_fn, problem), self.num_steps)
        return self.result(logits_fn, problem, state)

    def result(self, logits_fn: LogitsFn, problem: Problem, state: State) -> AttackResult:
        """The perturbed inputs, judged on fresh samples of the model."""
        adversarial = self.finish(self.settings, problem, state)
        if self.minimal is not None and problem.epsilon is not None:
            near = box.within(problem.inputs, adversarial, problem.epsilon, self.minimal)
            adversarial = problems.choose(near, adversarial, problem.inputs)
        success, undecided = self.objective.judge(logits_fn, problem, adversarial)
        return AttackResult(adversarial, success, None, state.blocked, undecided)


def make_problem(
    key: Array, inputs: Array, labels: Array, targets: Array | None, epsilon: float | Array | None
) -> Problem:
    """The examples as rows, converted to arrays and not looked at yet."""
    inputs, labels = refuse.to_array("inputs", inputs), refuse.to_array("labels", labels)
    targets = None if targets is None else refuse.to_array("targets", targets)
    if inputs.ndim < 1:
        raise ValueError("inputs must be a batch [B, ...], got a single number")
    batch_size = inputs.shape[0]
    keys = losses.per_example_keys(key, batch_size)
    # Integer inputs are refused later, and must not make integer radii first.
    dtype = inputs.dtype if jnp.issubdtype(inputs.dtype, jnp.floating) else jnp.float32
    radii = None if epsilon is None else refuse.to_radii(epsilon, batch_size, dtype)
    return Problem(keys, inputs, labels, targets, targets, radii)
