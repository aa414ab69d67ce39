"""Which class a targeted attack aims at."""

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks.ensemble import Ensemble, Member, smallest
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.refuse import require_count, to_array
from ib_jax.types import Array, Attack, LogitsFn


def random_targets(key: Array, labels: Array, num_classes: int) -> Array:
    """A class drawn uniformly among the wrong ones.

    Args:
      key: one PRNG key, or one for each example ([B]).
      labels: int [B].
      num_classes: C >= 2.

    Returns:
      int [B], never the label.

    Raises:
      ValueError: `num_classes` is less than 2.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> attacks.random_targets(jax.random.key(0), jnp.array([0, 1]), 2)
      Array([1, 0], dtype=int32)
    """
    require_count("num_classes", num_classes, 2)
    labels = to_array("labels", labels)
    keys = losses.per_example_keys(key, labels.shape[0])
    shifts = jax.vmap(lambda key: jax.random.randint(key, (), 1, num_classes, labels.dtype))(keys)
    return (labels + shifts) % num_classes


def least_likely_targets(key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, num_samples: int = 1) -> Array:
    """The wrong class that the model finds least probable, among those with logits above -inf.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C].
      inputs: float [B, ...].
      labels: int [B].
      num_samples: samples of a stochastic model behind the probabilities.

    Returns:
      int [B], never the label.

    Source: Kurakin et al., Adversarial machine learning at scale, 2016.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: x
      >>> attacks.least_likely_targets(jax.random.key(0), logits_fn, jnp.array([[3.0, 1.0, 2.0]]), jnp.array([0]))
      Array([1], dtype=int32)
    """
    labels = to_array("labels", labels)
    keys = losses.per_example_keys(key, labels.shape[0])
    logits = losses.pooled_logits(losses.sampled_logits(keys, logits_fn, inputs, num_samples))
    return _least(logits, labels).astype(labels.dtype)


@losses.one_program
def _least(logits: Array, labels: Array) -> Array:
    is_label = losses.class_mask(labels, logits.shape[-1])
    reachable = jnp.where(is_label | jnp.isneginf(logits), jnp.inf, logits)
    # Where no other class can be reached, any of them.
    others = jnp.where(is_label, jnp.inf, 0.0)
    return jnp.where(jnp.isinf(reachable).all(-1), others.argmin(-1), reachable.argmin(-1))


def every_target(attack: Attack, num_targets: int, *, norm: str | None = None) -> Attack:
    """Aims a targeted attack at each of the most probable wrong classes in turn; any wrong answer is a success.

    Args:
      attack: an attack of this package that can be targeted.
      num_targets: T; C - 1 is every class. Larger ones are refused when the attack runs.
      norm: for a minimal attack, the norm whose smallest perturbation is kept; None keeps the first success.

    Returns:
      Attack, to be called without targets.

    Raises:
      ValueError: `num_targets` is less than 1, or `attack` cannot be targeted.

    Source: Gowal et al., An Alternative Surrogate Loss for PGD-based Adversarial Testing, 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> attack = attacks.every_target(attacks.pgd(0.2), 1)
      >>> attack(jax.random.key(0), logits_fn, jnp.array([[0.6]]), jnp.array([0])).success
      Array([ True], dtype=bool)
    """
    require_count("num_targets", num_targets)
    if not isinstance(attack, IterativeAttack) or not attack.targeted:
        raise ValueError(f"attack must be a single attack of this package that can be targeted, got {attack!r}")
    members = [Member(f"target {rank}", attack, rank) for rank in range(num_targets)]
    return Ensemble(members, None if norm is None else smallest(norm), stop_at_success=norm is None)
