"""Checks of a model before it is attacked: what makes an attack by gradients weak without the model being robust."""

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.evaluation.answer_checks import check_answers
from ib_jax.evaluation.batch_checks import check_batch
from ib_jax.evaluation.findings import Finding, draw_logits, logits_differ, require_inputs, require_share
from ib_jax.types import Array, LogitsFn


def check_randomness(key: Array, logits_fn: LogitsFn, inputs: Array, *, num_eot_samples: int) -> Finding | None:
    """Looks for a stochastic model that is attacked with gradients of a single sample.

    Two draws of the logits at the same inputs are compared. They count as different from a relative difference of
    1e-5 on, so that an accelerator that adds numbers up in a varying order does not pass for randomness.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C].
      inputs: float [B, ...].
      num_eot_samples: the samples behind each gradient in the attack that is to be used.

    Returns:
      A Finding if the logits of any example differ and `num_eot_samples` is 1; else None.

    Raises:
      ValueError: `num_eot_samples` is less than 1, there are no inputs, or the logits are not [B, C].

    Source: Athalye et al., Obfuscated Gradients Give a False Sense of Security, 2018, on stochastic gradients.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> noisy = lambda keys, x: x + jax.vmap(lambda k: jax.random.normal(k, (2,)))(keys)
      >>> evaluation.check_randomness(jax.random.key(0), noisy, jnp.zeros((3, 2)), num_eot_samples=1).check
      'randomness'
      >>> evaluation.check_randomness(jax.random.key(0), noisy, jnp.zeros((3, 2)), num_eot_samples=10)
    """
    if num_eot_samples < 1:
        raise ValueError(f"num_eot_samples must be at least 1, got {num_eot_samples}")
    keys, inputs = require_inputs(key, inputs)
    if num_eot_samples > 1:
        return None
    first, second = draw_logits(keys, logits_fn, inputs, 2)
    differ = logits_differ(first, second, 1e-5)
    if not differ.any():
        return None
    num_differ = int(differ.sum())
    answers, others = (losses.predicted_class(jnp.asarray(draw)) for draw in (first, second))
    flips = int((answers != others).sum())
    return Finding(
        "randomness",
        f"The logits of {num_differ} of {len(first)} examples differ between two keys (the predicted class of {flips})"
        " while num_eot_samples is 1, so each gradient is that of one draw of the noise. Average the attack's gradients"
        " over more samples, and double their number until the accuracy stops falling.",
        {"share_differ": num_differ / len(first), "share_flip": flips / len(first), "num_eot_samples": 1.0},
    )


def check_gradients(
    key: Array,
    logits_fn: LogitsFn,
    inputs: Array,
    labels: Array,
    *,
    num_eot_samples: int = 1,
    tolerance: float = 0.01,
) -> Finding | None:
    r"""Looks for input gradients that an attack cannot follow.

    .. math:: g_i = \nabla_{x_i} \frac1S \sum_s -\log q_s(y_i|x_i)

    Counted among the examples classified right (by the mean softmax of the same S samples) are those with g_i zero in
    every coordinate, or not finite in any. The cross-entropy is that of `losses.cross_entropy`: what vanishes here is
    lost in the model, or to a gap between logits of some 87 nats, and not to the rounding of a merely confident loss.
    Examples without an answer are not right.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C], jittable.
      inputs: float [B, ...]; a few hundred will do, since all S B of them are held in memory at once.
      labels: true labels, int [B].
      num_eot_samples: S, the samples of a stochastic model behind each gradient.
      tolerance: the share of useless gradients, in [0, 1), that is not worth a report.

    Returns:
      A Finding if the share of useless gradients exceeds `tolerance`, or if no example is classified right, so that
      there is nothing to check; else None.

    Raises:
      ValueError: a setting is out of its range, there are no inputs, they are not floating, or `labels` is not
        int [B].

    Source: Athalye et al., Obfuscated Gradients Give a False Sense of Security, 2018, on shattered and vanishing
    gradients; Carlini et al., On Evaluating Adversarial Robustness, 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> rounding = lambda keys, x: jnp.concatenate([jnp.round(x), 1.0 - jnp.round(x)], -1)
      >>> finding = evaluation.check_gradients(jax.random.key(0), rounding, jnp.array([[0.9]]), jnp.array([0]))
      >>> finding.evidence["share_zero"]
      1.0
    """
    require_share("tolerance", tolerance)
    keys, inputs = require_inputs(key, inputs)
    labels = losses.check_labels(labels, inputs.shape[:1])
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"inputs must be floating, got {inputs.dtype}; data.to_unit_interval converts images")

    losses.count_classes(logits_fn, keys, inputs)

    def total_loss(inputs: Array) -> Array:
        logits = losses.sampled_logits(keys, logits_fn, inputs, num_eot_samples)
        return losses.cross_entropy(logits, labels).mean(0).sum()

    gradients = jax.jit(jax.grad(total_loss))(inputs)
    answers = np.asarray(jax.jit(lambda x: losses.sampled_class(keys, logits_fn, x, num_eot_samples))(inputs))
    right = (answers == np.asarray(labels)) & (answers >= 0)
    total = int(right.sum())
    if not total:
        return Finding(
            "gradients",
            f"None of the {len(inputs)} examples is classified right ({int((answers < 0).sum())} have no answer), so no"
            " gradient was looked at. Check that the labels belong to these inputs and that the inputs are scaled as in"
            " training.",
            {"num_correct": 0.0, "share_zero": 0.0, "share_not_finite": 0.0},
        )
    sizes = np.abs(np.asarray(gradients, np.float64).reshape(len(inputs), -1))[right].max(-1)
    num_zero, num_not_finite = int((sizes == 0.0).sum()), int((~np.isfinite(sizes)).sum())
    if num_zero + num_not_finite <= tolerance * total:
        return None
    return Finding(
        "gradients",
        f"Of {total} examples classified right, {num_zero} have an input gradient of exactly zero and {num_not_finite}"
        " one that is not finite: attacks by gradients cannot move them. Look for rounding or quantised inputs, argmax"
        " or stop_gradient in the model, and put a smooth stand-in there for the backward pass. Where the softmax"
        " saturates, since the logits are large, climb their margin or the ratio of their differences"
        " (loss_fn=losses.dlr), whose slopes do not vanish. Add an attack that needs no gradients.",
        {"num_correct": float(total), "share_zero": num_zero / total, "share_not_finite": num_not_finite / total},
    )


def check_logits(key: Array, logits_fn: LogitsFn, inputs: Array) -> Finding | None:
    """Looks for a model that returns probabilities as logits: no value below zero, and rows that sum to 1 within 1e-4.

    Rows with a NaN are left to `check_answers`.

    A loss that applies its softmax to such outputs is nearly flat: of C classes none can get a probability above
    e / (e + C - 1). Log-probabilities are logits, and pass. For outputs below float32 the limit is one unit of their
    relative precision where that is above 1e-4.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C].
      inputs: float [B, ...].

    Returns:
      A Finding if all rows look like probabilities; else None.

    Raises:
      ValueError: there are no inputs, or the logits are not [B, C].

    Source: Carlini et al., On Evaluating Adversarial Robustness, 2019, on losses for attacks.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> evaluation.check_logits(jax.random.key(0), lambda keys, x: jax.nn.softmax(x), jnp.eye(3)).check
      'logits'
      >>> evaluation.check_logits(jax.random.key(0), lambda keys, x: jax.nn.log_softmax(x), jnp.eye(3))
    """
    keys, inputs = require_inputs(key, inputs)
    (outputs,) = draw_logits(keys, logits_fn, inputs, 1)
    limit = max(1e-4, float(jnp.finfo(outputs.dtype).eps))
    outputs = outputs[~np.isnan(outputs.astype(np.float64)).any(-1)].astype(np.float64)
    if not len(outputs):
        return None
    error = float(np.abs(outputs.sum(-1) - 1.0).max())
    if not (outputs.min() >= 0.0 and error <= limit):
        return None
    return Finding(
        "logits",
        f"The outputs at all {len(outputs)} examples are at least {outputs.min():.2g} and sum to 1 within {error:.1g}:"
        " probabilities in place of logits, on which the softmax of a loss flattens every gradient. Give logits_fn the"
        " values before the softmax, or their logarithm.",
        {"smallest_output": float(outputs.min()), "largest_sum_error": error},
    )


def check_model(
    key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, *, num_eot_samples: int = 1
) -> list[Finding]:
    """Runs every check of a model, with their defaults.

    In this order: `check_answers`, `check_logits`, `check_randomness`, `check_batch` and `check_gradients`.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C], jittable; the model exactly as it is handed to the attack.
      inputs: float [B, ...], a few hundred.
      labels: true labels, int [B].
      num_eot_samples: the samples of a stochastic model behind each gradient of the attack.

    Returns:
      The findings; an empty list if there is nothing to report. That does not prove that gradients are useful: compare
      attacks as well (`check_results`).

    Raises:
      ValueError: as of the checks.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> evaluation.check_model(jax.random.key(0), lambda keys, x: 9.0 * x, jnp.eye(3), jnp.arange(3))
      []
    """
    findings = (
        check_answers(key, logits_fn, inputs),
        check_logits(key, logits_fn, inputs),
        check_randomness(key, logits_fn, inputs, num_eot_samples=num_eot_samples),
        check_batch(key, logits_fn, inputs),
        check_gradients(key, logits_fn, inputs, labels, num_eot_samples=num_eot_samples),
    )
    return [finding for finding in findings if finding is not None]
