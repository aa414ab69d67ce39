"""What an attack climbs, and how it is judged, for models that answer at random."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks import problem as problems
from ib_jax.attacks.problem import Problem
from ib_jax.attacks.refuse import require_count
from ib_jax.types import Array, AttackResult, LogitsFn

AttackLoss = Callable[[Array, Array], Array]
"""(logits [..., C], labels [...]) -> [...]; an untargeted attack climbs it at the true label, a targeted one descends
it at the target. `losses.cross_entropy`, `losses.dlr`, or `lambda l, y: -losses.margin(l, y)`."""

TargetedLoss = Callable[[Array, Array, Array], Array]
"""(logits [..., C], labels [...], targets [...]) -> [...], climbed by a targeted attack; `losses.targeted_dlr`."""

ExpectationOf = Literal["losses", "probabilities"]
"""What is averaged over the samples of a stochastic model: the loss of each, or the softmax, of whose logarithm the
loss is then taken."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of an attack, in expectation over samples of the model.

    Attributes:
      loss_fn: see `AttackLoss`.
      num_eot_samples: samples of the model behind each loss and gradient (expectation over transformation).
      expectation_of: "losses" or "probabilities".
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.
      targeted_loss_fn: in place of descending `loss_fn` at the target.
    """

    loss_fn: AttackLoss = losses.cross_entropy
    num_eot_samples: int = 1
    expectation_of: ExpectationOf = "losses"
    num_judge_samples: int | None = None
    targeted_loss_fn: TargetedLoss | None = None

    def __post_init__(self) -> None:
        require_count("num_eot_samples", self.num_eot_samples)
        if self.num_judge_samples is not None:
            require_count("num_judge_samples", self.num_judge_samples)
        if self.expectation_of not in get_args(ExpectationOf):
            names = " or ".join(get_args(ExpectationOf))
            raise ValueError(f"expectation_of must be {names}, got {self.expectation_of!r}")

    def logits(self, keys: Array, logits_fn: LogitsFn, inputs: Array) -> Array:
        """Logits of `num_eot_samples` samples of the model, [S, B, C]."""
        return losses.sampled_logits(keys, logits_fn, inputs, self.num_eot_samples)

    def pooled(self, keys: Array, logits_fn: LogitsFn, inputs: Array) -> Array:
        """Logits of the mean softmax over these samples, [B, C]."""
        return losses.pooled_logits(self.logits(keys, logits_fn, inputs))

    def values(self, logits: Array, problem: Problem) -> tuple[Array, Array]:
        """The loss that the attack climbs, [B], and the logits of the mean softmax, [B, C], from those of samples."""
        pooled = losses.pooled_logits(logits)
        answers = logits if self.expectation_of == "losses" else pooled[None]
        if problem.targets is None:
            climbed = self.loss_fn(answers, problem.labels)
        elif self.targeted_loss_fn is None:
            climbed = -self.loss_fn(answers, problem.targets)
        else:
            climbed = self.targeted_loss_fn(answers, problem.labels, problem.targets)
        return climbed.mean(0), pooled

    def evaluate(self, keys: Array, logits_fn: LogitsFn, problem: Problem, inputs: Array) -> tuple[Array, Array]:
        """The loss [B] and the pooled logits [B, C] at some inputs."""
        return self.values(self.logits(keys, logits_fn, inputs), problem)

    def gradient(self, keys: Array, logits_fn: LogitsFn, problem: Problem, inputs: Array) -> "Slope":
        """Loss, gradient and pooled logits at some inputs.

        The losses of the batch are added, not averaged, so an example's gradient is its own.
        """

        def total(inputs: Array) -> tuple[Array, tuple[Array, Array]]:
            loss, pooled = self.evaluate(keys, logits_fn, problem, inputs)
            return loss.sum(), (loss, pooled)

        gradient, (loss, pooled) = jax.grad(total, has_aux=True)(inputs)
        gradient, blocked = problems.finite_or_zero(gradient)
        return Slope(gradient, worst_if_nan(loss), pooled, blocked | jnp.isnan(loss))

    def judge(self, logits_fn: LogitsFn, problem: Problem, inputs: Array) -> tuple[Array, Array]:
        """Success and undecided, bool [B] each: what the mean softmax over fresh samples answers at the inputs."""
        num_samples = self.num_judge_samples or self.num_eot_samples
        answer = losses.sampled_class(problem.judge_keys(), logits_fn, inputs, num_samples)
        return problem.wins(answer), answer < 0


class Slope(NamedTuple):
    """What an attack is told at some inputs.

    Attributes:
      gradient: [B, ...], of the loss; zero where it is not finite.
      loss: [B], -inf where it is NaN, so that nothing is worse.
      pooled: [B, C], logits of the mean softmax.
      blocked: bool [B], whether the gradient was not finite somewhere, or the loss NaN.
    """

    gradient: Array
    loss: Array
    pooled: Array
    blocked: Array


@losses.one_program
def worst_if_nan(loss: Array) -> Array:
    """A loss that an attack climbs, with NaN, which compares as nothing does, below every number."""
    return jnp.where(jnp.isnan(loss), -jnp.inf, loss)


def loss_score(objective: Objective) -> Callable[[LogitsFn, Problem, AttackResult], Array]:
    """Prefers the result with the higher loss, on the samples that judge."""

    def score(logits_fn: LogitsFn, problem: Problem, result: AttackResult) -> Array:
        return worst_if_nan(objective.evaluate(problem.judge_keys(), logits_fn, problem, result.inputs)[0])

    return score
