"""Exact evaluation of a bottleneck classifier: per example, then reduced."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.evaluation.calibration import expected_calibration_error
from ib_jax.evaluation.information import label_entropy, nats_to_bits
from ib_jax.types import Array, Backward, DecodeFn, EncodeFn, Reference


class ExampleTerms(NamedTuple):
    r"""What is measured of each example.

    Attributes:
      correct_one: bool [B], right with one sample of z ("1 shot" in the paper); as the next two by the argmax of the
        logits, whatever their scale, and never where the model has no answer.
      correct_avg: bool [B], right by the mean of the softmax over the samples ("avg").
      correct_mean: bool [B], right at the mean of p(z|x).
      cross_entropy: float [B], mean over the samples of :math:`-\log q(y|z)`, in nats: the distortion.
      confidence: float [B], probability of the class predicted by the mean of the softmax; NaN where the model has no
        answer by any of the three, which `summarise` refuses.
      rate: float [B], :math:`E[\log p(z|x) - \log r(z)]` in nats; None without a prior.
      residual: float [B], :math:`E[\log p(z|x) - \log b(z|y)]` in nats; None without a backward encoder.
    """

    correct_one: Array
    correct_avg: Array
    correct_mean: Array
    cross_entropy: Array
    confidence: Array
    rate: Array | None = None
    residual: Array | None = None


def evaluate_examples(
    key: Array,
    inputs: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    prior: Reference | None = None,
    backward: Backward | None = None,
    num_samples: int = 12,
) -> ExampleTerms:
    """Evaluates each example of a batch; pure and jittable.

    Args:
      key: one PRNG key, or one for each example ([B]).
      inputs: float [B, ...]; handed to `encode_fn` as they are.
      labels: int [B]; a list will do.
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance.
      decode_fn: codes [..., D] -> logits [..., C].
      prior: r(z), DiagGaussian with fields [D], or a mixture, whose rate is the mean over the samples; None for a
        deterministic model, whose rate is not finite. A CEB model has one under `losses.marginal` of its b(z|y).
      backward: b(z|y) as of `bounds.ceb`, or None.
      num_samples: S, samples of z; 12 in the paper. The first of them is the one of `correct_one`.

    Returns:
      ExampleTerms, fields [B].

    Raises:
      ValueError: `labels` has another shape, `num_samples` is negative, or `key` has another length than the batch.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, evaluation
      >>> terms = evaluation.evaluate_examples(
      ...     jax.random.key(0), jnp.array([[4.0, 0.0]]), jnp.array([0]),
      ...     encode_fn=lambda x: DiagGaussian(x, jnp.zeros_like(x)), decode_fn=lambda z: z)
      >>> terms.correct_avg
      Array([ True], dtype=bool)
    """
    encoding = encode_fn(inputs)
    labels = losses.check_labels(labels, encoding.mean.shape[:1])
    codes = losses.draw_codes(key, encoding, num_samples)
    logits = decode_fn(codes.samples)
    answers = [
        losses.predicted_class(each) for each in (logits[0], losses.pooled_logits(logits), decode_fn(encoding.mean))
    ]
    one, avg, mean = ((answer == labels.astype(answer.dtype)) & (answer >= 0) for answer in answers)
    answered = jnp.stack(answers).min(0) >= 0
    return ExampleTerms(
        correct_one=one,
        correct_avg=avg,
        correct_mean=mean,
        cross_entropy=losses.cross_entropy(logits, labels).mean(0),
        confidence=jnp.where(answered, jnp.max(losses.mean_probabilities(logits), axis=-1), jnp.nan),
        rate=None if prior is None else losses.divergence(codes, prior),
        residual=None if backward is None else losses.class_divergence(codes, backward, labels),
    )


def summarise(terms: ExampleTerms, labels: Array | np.ndarray, num_classes: int) -> Mapping[str, float]:
    """Reduces per-example terms to the numbers of the paper.

    Args:
      terms: ExampleTerms with fields [N], N >= 1.
      labels: int [N], the labels they were measured against.
      num_classes: C.

    Returns:
      error_one, error_avg, error_mean (shares in [0, 1]), cross_entropy (nats), information_zy_bits (the lower bound
      :math:`H(Y) - CE` on :math:`I(Z;Y)`, with H(Y) of these labels) and calibration_error; and, where the terms have
      them, rate_bits (the upper bound on :math:`I(X;Z)`) and residual_bits (that on :math:`I(X;Z|Y)`).

    Raises:
      ValueError: there are no examples, a label is out of range, there are more or fewer labels than examples, or the
        model has no answer for some examples.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> right = np.array([True, True])
      >>> terms = evaluation.ExampleTerms(right, right, right, np.zeros(2), np.ones(2))
      >>> evaluation.summarise(terms, np.array([0, 1]), 2)["information_zy_bits"]
      1.0
    """
    entropy = label_entropy(labels, num_classes)
    require_answers(terms)
    if len(labels) != len(terms.cross_entropy):
        raise ValueError(f"labels must be int [{len(terms.cross_entropy)}], as the terms are, got {np.shape(labels)}")
    cross_entropy = float(np.asarray(terms.cross_entropy).mean(dtype=np.float64))
    summary = {
        "error_one": 1.0 - float(np.mean(terms.correct_one)),
        "error_avg": 1.0 - float(np.mean(terms.correct_avg)),
        "error_mean": 1.0 - float(np.mean(terms.correct_mean)),
        "cross_entropy": cross_entropy,
        "information_zy_bits": float(nats_to_bits(entropy - cross_entropy)),
        "calibration_error": expected_calibration_error(terms.confidence, terms.correct_avg),
    }
    for name, values in (("rate_bits", terms.rate), ("residual_bits", terms.residual)):
        if values is not None:
            summary[name] = float(nats_to_bits(np.asarray(values).mean(dtype=np.float64)))
    return summary


def require_answers(terms: ExampleTerms) -> None:
    """ValueError unless there are examples, and the model has an answer for each."""
    entropies, confidence = np.asarray(terms.cross_entropy), np.asarray(terms.confidence)
    if not entropies.size:
        raise ValueError("terms must hold at least one example, got none")
    none = np.isnan(entropies) | np.isnan(confidence)
    if none.any():
        raise ValueError(
            f"the model has no answer for {none.sum()} of {none.size} examples, the first of them {none.argmax()}: its "
            "logits or its cross-entropy are NaN there, so there is no number to report; mend the model, or look for a "
            "training run that diverged"
        )
