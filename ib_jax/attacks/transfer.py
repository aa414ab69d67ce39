"""Attacks that are made on one model and judged on another."""

from ib_jax.attacks.iterative import make_problem
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.refuse import check
from ib_jax.types import Array, Attack, AttackResult, LogitsFn


def transfer(attack: Attack, source_fn: LogitsFn, *, num_judge_samples: int = 1) -> Attack:
    """Makes adversarial examples of a source model, and judges them on the model under attack.

    It asks the attacked model for its verdict alone, so masked gradients there do not stop it.

    Args:
      attack: any Attack; it sees the source model only.
      source_fn: (keys [B], inputs) -> logits [B, C] of the source model.
      num_judge_samples: samples of the attacked model whose mean softmax decides on success.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: `num_judge_samples` is less than 1.

    Source: Szegedy et al., Intriguing properties of neural networks, 2014; Papernot et al., 2016.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> steeper = lambda keys, x: 9.0 * logits_fn(keys, x)
      >>> attack = attacks.transfer(attacks.fgsm(0.2), steeper)
      >>> attack(jax.random.key(0), logits_fn, jnp.array([[0.6]]), jnp.array([0])).success
      Array([ True], dtype=bool)
    """
    judge = Objective(num_judge_samples=num_judge_samples).judge

    def transferred(
        key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, targets: Array | None = None
    ) -> AttackResult:
        problem = make_problem(key, inputs, labels, targets, None)
        check(logits_fn, problem)
        made = attack(problem.keys, source_fn, *problem[1:4])
        success, undecided = judge(logits_fn, problem, made.inputs)
        return AttackResult(made.inputs, success, None, made.blocked, undecided)

    return transferred
