"""What a stochastic code tells of clean and of attacked inputs: bounds on I(X;T), I(X';T'), I(Y;T) and I(Y;T')."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ib_jax import losses
from ib_jax.evaluation.accuracy import ExampleTerms, evaluate_examples, require_answers
from ib_jax.evaluation.information import label_entropy
from ib_jax.types import Array, DecodeFn, EncodeFn, Reference


class PairedTerms(NamedTuple):
    """What is measured of the same examples before and after an attack, under one prior and with the same noise.

    Attributes:
      clean: of the inputs x, ExampleTerms with fields [B].
      adversarial: of the attacked inputs x', ExampleTerms with fields [B].
    """

    clean: ExampleTerms
    adversarial: ExampleTerms


class InformationBounds(NamedTuple):
    """Bounds in nats, with the standard errors of taking N examples for the population.

    Attributes:
      information_xt: the mean rate, an upper bound on I(X;T).
      information_xt_error: its standard error.
      information_yt: H(Y) - cross-entropy, a lower bound on I(Y;T); below zero it says nothing.
      information_yt_error: that of the cross-entropy.
      label_entropy: H(Y) of the labels, an upper bound on I(Y;T).
    """

    information_xt: float
    information_xt_error: float
    information_yt: float
    information_yt_error: float
    label_entropy: float


class InformationGap(NamedTuple):
    """Bounds in nats on the left-hand side of Theorem 2, :math:`|I(Y;T) - I(Y;T')|`.

    Attributes:
      lower: it is at least this, >= 0.
      upper: it is at most this.
      cross_entropies: cross-entropy of the attacked inputs minus that of the clean ones. This difference of the two
        lower bounds is often taken for the gap, but it bounds the gap from neither side.
    """

    lower: float
    upper: float
    cross_entropies: float


def evaluate_pairs(
    key: Array,
    inputs: Array,
    adversarial: Array,
    labels: Array,
    *,
    encode_fn: EncodeFn,
    decode_fn: DecodeFn,
    prior: Reference | None = None,
    num_samples: int = 12,
) -> PairedTerms:
    """Evaluates examples and their attacked versions under one prior; pure and jittable.

    The mean rates of the two are upper bounds on I(X;T) and I(X';T'), and may be compared, because both are measured
    against the same r(t).

    Args:
      key: one PRNG key, or one for each example ([B]); not the one that the attack was handed, which must not know the
        noise.
      inputs: float [B, ...].
      adversarial: float [B, ...], the attacked inputs.
      labels: true labels, int [B].
      encode_fn: inputs [B, ...] -> DiagGaussian [B, D], or Gaussian with a full covariance.
      decode_fn: codes [..., D] -> logits [..., C].
      prior: r(t), for example `Classifier.prior(params)`; N(0, I) by default.
      num_samples: S, samples of t.

    Returns:
      PairedTerms, whose rates are infinite for an encoder of scale zero.

    Raises:
      ValueError: the two sets of inputs differ in shape.

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, section 4 and Table 1; the rate as a
    bound: Alemi et al., Deep Variational Information Bottleneck, 2017.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, evaluation
      >>> terms = evaluation.evaluate_pairs(
      ...     jax.random.key(0), jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 2.0]]), jnp.array([0]),
      ...     encode_fn=lambda x: DiagGaussian(x, jnp.ones_like(x)), decode_fn=lambda t: t)
      >>> print(terms.clean.rate, terms.adversarial.rate)
      [0.5] [2.]
    """
    inputs, adversarial = jnp.asarray(inputs), jnp.asarray(adversarial)
    if inputs.shape != adversarial.shape:
        raise ValueError(f"adversarial must have the shape of inputs, {inputs.shape}, got {adversarial.shape}")
    if prior is None:
        prior = losses.standard_normal(jax.eval_shape(encode_fn, inputs).mean.shape[-1])
    clean, attacked = (
        evaluate_examples(
            key, each, labels, encode_fn=encode_fn, decode_fn=decode_fn, prior=prior, num_samples=num_samples
        )
        for each in (inputs, adversarial)
    )
    return PairedTerms(clean, attacked)


def bound_information(terms: ExampleTerms, labels: Array | np.ndarray, num_classes: int) -> InformationBounds:
    r"""Bounds on :math:`I(X;T)` and :math:`I(Y;T)` from the terms of examples, clean or attacked.

    .. math:: I(X;T) = E\,D(p(t|x) \| r(t)) - D(p(t) \| r(t)) \le E\,D(p(t|x) \| r(t)), \qquad
              I(Y;T) \ge H(Y) - E[-\log q(y|t)]

    They hold for the empirical distribution of the N examples (up to the sampling of t), where
    :math:`I(X;T) \le \log N`, and estimate the bounds of the population, with the standard errors given. Of attacked
    inputs they bound I(X';T') and I(Y;T'), also where the attack knew the labels: T' depends on Y through X' alone.

    Args:
      terms: ExampleTerms with fields [N], N >= 2, measured with a prior; for example either of `evaluate_pairs`.
      labels: int [N], the labels they were measured against.
      num_classes: C.

    Returns:
      InformationBounds, in nats; `nats_to_bits` gives bits.

    Raises:
      ValueError: there are no rates, fewer than two examples, another number of labels, or the model has no answer for
        some examples.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> right = np.array([True, True])
      >>> terms = evaluation.ExampleTerms(right, right, right, np.zeros(2), np.ones(2), rate=np.array([2.0, 4.0]))
      >>> bounds = evaluation.bound_information(terms, np.array([0, 1]), 2)
      >>> print(bounds.information_xt, bounds.information_xt_error, evaluation.nats_to_bits(bounds.information_yt))
      3.0 1.0 1.0
    """
    if terms.rate is None:
        raise ValueError("terms must hold rates, got None; evaluate the examples with a prior")
    rates, entropies = np.asarray(terms.rate, np.float64), np.asarray(terms.cross_entropy, np.float64)
    if len(rates) < 2 or len(rates) != len(labels):
        raise ValueError(f"terms and labels must be of one length >= 2, got {len(rates)} and {len(labels)}")
    require_answers(terms)
    h_y, root = label_entropy(labels, num_classes), math.sqrt(len(rates))
    return InformationBounds(
        information_xt=float(rates.mean()),
        information_xt_error=float(rates.std(ddof=1) / root),
        information_yt=h_y - float(entropies.mean()),
        information_yt_error=float(entropies.std(ddof=1) / root),
        label_entropy=h_y,
    )


def information_gap(clean: InformationBounds, adversarial: InformationBounds) -> InformationGap:
    r"""Bounds on the oblivious vulnerability in terms of information, :math:`|I(Y;T) - I(Y;T')|`, in nats.

    .. math:: \max(0, H(Y) - CE) \le I(Y;T) \le \min(H(Y), I(X;T)) \le \min(H(Y), \text{rate})

    and likewise for T', so that the gap lies between the distance of the two intervals and the distance of their far
    ends.

    Args:
      clean: bounds of the clean inputs.
      adversarial: bounds of the attacked inputs, with the same labels.

    Returns:
      InformationGap, in nats.

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, Theorem 2, equation 5.

    Example:
      >>> from ib_jax import evaluation
      >>> clean = evaluation.InformationBounds(5.0, 0.0, 0.6, 0.0, 0.7)
      >>> attacked = evaluation.InformationBounds(0.2, 0.0, -1.0, 0.0, 0.7)
      >>> print("{:.1f} {:.1f} {:.1f}".format(*evaluation.information_gap(clean, attacked)))
      0.4 0.7 1.6
    """
    (low, high), (low_attacked, high_attacked) = (
        (max(0.0, each.information_yt), min(each.label_entropy, each.information_xt)) for each in (clean, adversarial)
    )
    return InformationGap(
        lower=max(0.0, low - high_attacked, low_attacked - high),
        upper=max(high - low_attacked, high_attacked - low),
        cross_entropies=clean.information_yt - adversarial.information_yt,
    )


def oblivious_vulnerability(train_accuracy: npt.ArrayLike, adversarial_accuracy: npt.ArrayLike) -> np.ndarray:
    """The accuracy that a model trained on clean data loses under attack: training minus adversarial test accuracy.

    Args:
      train_accuracy: float [...] in [0, 1], on the clean training examples, for example after each epoch.
      adversarial_accuracy: float [...] in [0, 1], on the attacked test examples, of the same shape.

    Returns:
      float64 [...], in [-1, 1].

    Raises:
      ValueError: shapes differ, or a value is not in [0, 1].

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, section 4.1 and Figure 2.

    Example:
      >>> from ib_jax import evaluation
      >>> evaluation.oblivious_vulnerability([1.0, 1.0], [0.75, 0.5])
      array([0.25, 0.5 ])
    """
    train, adversarial = np.asarray(train_accuracy, np.float64), np.asarray(adversarial_accuracy, np.float64)
    if train.shape != adversarial.shape:
        raise ValueError(f"adversarial_accuracy must have shape {train.shape}, got {adversarial.shape}")
    for name, values in (("train_accuracy", train), ("adversarial_accuracy", adversarial)):
        wrong = values[~((values >= 0) & (values <= 1))]
        if wrong.size:
            raise ValueError(f"{name} must be in [0, 1], a share and not per cent, got {wrong.flat[0]}")
    return np.asarray(train - adversarial)
