"""Exact evaluation of a bottleneck classifier: per example, then reduced."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.evaluation.calibration import expected_calibration_error
from ib_jax.evaluation.information import label_entropy, nats_to_bits
from ib_jax.evaluation.predict import mean_probabilities
from ib_jax.types import Array, Backward, DecodeFn, EncodeFn, Reference


class ExampleTerms(NamedTuple):
    """What is measured of each example.

    Attributes:
      correct_one: bool [B], right with one sample of z ("1 shot" in the paper).
      correct_avg: bool [B], right by the mean of the softmax over the samples ("avg").
      correct_mean: bool [B], right at the mean of p(z|x).
      cross_entropy: float [B], mean over the samples of -log q(y|z), in nats: the distortion.
      confidence: float [B], probability of the class predicted by the mean of the softmax.
      rate: float [B], E[log p(z|x) - log r(z)] in nats; None without a prior.
      residual: float [B], E[log p(z|x) - log b(z|y)] in nats; None without a backward encoder.
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
      inputs: float [B, ...].
      labels: int [B].
      encode_fn: inputs [B, ...] -> DiagGaussian with fields [B, D].
      decode_fn: codes [..., D] -> logits [..., C].
      prior: r(z), DiagGaussian with fields [D], or a mixture, whose rate is the mean over the samples; None for a
        deterministic model, whose rate is not finite. A CEB model has one under `losses.marginal` of its b(z|y).
      backward: b(z|y) as of `bounds.ceb`, or None.
      num_samples: S, samples of z; 12 in the paper. The first of them is the one of `correct_one`.

    Returns:
      ExampleTerms, fields [B].

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
    codes = losses.draw_codes(key, encoding, num_samples)
    logits = decode_fn(codes.samples)
    probabilities = mean_probabilities(logits)
    return ExampleTerms(
        correct_one=logits[0].argmax(-1) == labels,
        correct_avg=probabilities.argmax(-1) == labels,
        correct_mean=decode_fn(encoding.mean).argmax(-1) == labels,
        cross_entropy=losses.cross_entropy(logits, labels).mean(0),
        confidence=jnp.max(probabilities, axis=-1),
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
      H(Y) - CE on I(Z;Y), H(Y) of these labels), calibration_error, and where there are such terms rate_bits (the upper
      bound on I(X;Z)) and residual_bits (that on I(X;Z|Y)).

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> right = np.array([True, True])
      >>> terms = evaluation.ExampleTerms(right, right, right, np.zeros(2), np.ones(2))
      >>> evaluation.summarise(terms, np.array([0, 1]), 2)["information_zy_bits"]
      1.0
    """
    cross_entropy = float(np.asarray(terms.cross_entropy).mean(dtype=np.float64))
    summary = {
        "error_one": 1.0 - float(np.mean(terms.correct_one)),
        "error_avg": 1.0 - float(np.mean(terms.correct_avg)),
        "error_mean": 1.0 - float(np.mean(terms.correct_mean)),
        "cross_entropy": cross_entropy,
        "information_zy_bits": float(nats_to_bits(label_entropy(labels, num_classes) - cross_entropy)),
        "calibration_error": expected_calibration_error(terms.confidence, terms.correct_avg),
    }
    for name, values in (("rate_bits", terms.rate), ("residual_bits", terms.residual)):
        if values is not None:
            summary[name] = float(nats_to_bits(np.asarray(values).mean(dtype=np.float64)))
    return summary
