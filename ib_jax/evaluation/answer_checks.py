"""Checks for NaN: inputs at which a model has no answer, and searches that were led astray."""

import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.evaluation.findings import Finding, draw_logits, require_inputs
from ib_jax.types import Array, AttackResult, LogitsFn


def check_answers(key: Array, logits_fn: LogitsFn, inputs: Array) -> Finding | None:
    """Looks for inputs at which a model has no answer: a logit is NaN, or all are -inf.

    Such an example neither stands nor falls, so no accuracy can be reported. One draw of a stochastic model is looked
    at.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C].
      inputs: float [B, ...].

    Returns:
      A Finding if there is such an input; else None.

    Raises:
      ValueError: there are no inputs, or the logits are not floating [B, C].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> logits_fn = lambda keys, x: jnp.sqrt(x)
      >>> finding = evaluation.check_answers(jax.random.key(0), logits_fn, jnp.array([[0.5, 0.5], [-1.0, 0.5]]))
      >>> finding.check, finding.evidence["share"]
      ('answers', 0.5)
    """
    keys, inputs = require_inputs(key, inputs)
    (logits,) = draw_logits(keys, logits_fn, inputs, 1)
    none = np.asarray(losses.predicted_class(jnp.asarray(logits))) < 0
    if not none.any():
        return None
    count, share = int(none.sum()), float(none.mean())
    return Finding(
        "answers",
        f"The model has no answer at {count} of {len(none)} examples, the first of them {none.argmax()}: a logit is"
        " NaN, or all are -inf. They neither stand nor fall, so there is no accuracy to report. Look for a division by"
        " zero, a root or logarithm of a negative number and for overflow in the model, and for NaN in the inputs and"
        " parameters.",
        {"share": share, "count": float(count)},
    )


def check_search(result: AttackResult, *, name: str = "") -> list[Finding]:
    """Looks for attacks that NaN misled: blocked searches, and results at which the model has no answer.

    Args:
      result: of an attack of this package on N >= 1 examples; fields that are None are skipped.
      name: of the attack, to begin the messages with.

    Returns:
      A Finding "search" if the search was blocked for any example, one "undecided" if any is undecided; else nothing.

    Raises:
      ValueError: there are no examples.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import AttackResult, evaluation
      >>> fell, blocked = jnp.array([True, False]), jnp.array([False, True])
      >>> [finding] = evaluation.check_search(AttackResult(jnp.zeros((2, 3)), fell, blocked=blocked))
      >>> finding.check, finding.evidence["share"], finding.evidence["share_standing"]
      ('search', 0.5, 0.5)
    """
    fell = np.asarray(result.success, bool)
    if fell.ndim != 1 or not fell.size:
        raise ValueError(f"result must hold at least one example, [N] with N >= 1, got success of shape {fell.shape}")
    findings = []
    if result.blocked is not None and (blocked := np.asarray(result.blocked, bool)).any():
        count, standing = int(blocked.sum()), int((blocked & ~fell).sum())
        findings.append(
            Finding(
                "search",
                f"For {count} of {len(fell)} examples ({blocked.mean():.1%}) the search met a gradient that is not"
                f" finite, or a loss that is NaN; {standing} of them have not fallen, and may do so to a search that"
                " gets through. Look at std, sqrt, log and norms in the model, whose slope is infinite or NaN at zero,"
                " and add a small constant under them; and add an attack that needs no gradients, such as"
                " attacks.square.",
                {"share": count / len(fell), "count": float(count), "share_standing": standing / len(fell)},
            )
        )
    if result.undecided is not None and (undecided := np.asarray(result.undecided, bool)).any():
        count = int(undecided.sum())
        findings.append(
            Finding(
                "undecided",
                f"The model has no answer at the results of {count} of {len(fell)} examples ({undecided.mean():.1%}):"
                " its logits are NaN there, or all are -inf. They neither stand nor fall, so there is no accuracy to"
                " report. Mend the model at these inputs (check_answers finds them), then attack again.",
                {"share": count / len(fell), "count": float(count)},
            )
        )
    return [found._replace(message=f"{name}: {found.message}") for found in findings] if name else findings
