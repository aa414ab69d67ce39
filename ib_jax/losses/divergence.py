"""The divergence of an encoder from a prior or a backward encoder: the rate and the residual are this one kernel."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax.losses.gaussian import kl_divergence, log_prob
from ib_jax.losses.labels import check_labels, is_soft
from ib_jax.losses.precision import wide_dtype
from ib_jax.losses.sampling import check_encoding, density_of_noise, draw
from ib_jax.types import AnyGaussian, Array, Backward, Estimator, GaussianMixture, Reference


class Codes(NamedTuple):
    """An encoding and samples of it.

    Attributes:
      encoding: p(z|x), DiagGaussian with fields [B, D], or Gaussian with fields [B, D] and [B, D, D].
      samples: float [S, B, D].
      noise: float [S, B, D], the standard normal noise that they are made of; None at the mean, which is not a sample.
    """

    encoding: AnyGaussian
    samples: Array
    noise: Array | None

    @property
    def log_density(self) -> Array | None:
        """float [S, B], log p(z|x) at the samples in nats; None at the mean. Infinite where a scale is zero."""
        return None if self.noise is None else density_of_noise(self.encoding, self.noise)


def draw_codes(key: Array, encoding: AnyGaussian, num_samples: int = 1) -> Codes:
    """Samples of an encoding, or its mean.

    Args:
      key: one key, or one for each example ([B]).
      encoding: DiagGaussian with fields [B, D], or Gaussian with fields [B, D] and [B, D, D].
      num_samples: S >= 1; or 0 for the mean alone, the deterministic limit.

    Returns:
      Codes; with `num_samples=0` the samples are the mean, [1, B, D].

    Raises:
      ValueError: `num_samples` is negative, or `key` has another length than the batch.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> losses.draw_codes(jax.random.key(0), DiagGaussian(jnp.ones((5, 2)), jnp.ones((5, 2))), 12).samples.shape
      (12, 5, 2)
    """
    check_encoding(encoding)
    if num_samples == 0:
        mean = encoding.mean.astype(wide_dtype(encoding.mean))
        return Codes(encoding, mean[None], None)
    if num_samples < 0:
        raise ValueError(f"num_samples must be at least 0 (0 is the mean), got {num_samples}")
    return Codes(encoding, *draw(key, encoding, num_samples))


def divergence(codes: Codes, reference: Reference, estimator: Estimator | None = None) -> Array:
    r"""Divergence of an encoder from a reference density, in nats.

    .. math:: D = E_{z \sim p(z|x)}[\log p(z|x) - \log r(z)]

    With a prior as reference this is the rate, whose mean over the data is :math:`I(X;Z) + D(p(z) \| r(z))`. With a
    backward encoder :math:`b(z|y)` it is the residual, in the mean :math:`I(X;Z|Y) + E[D(p(z|y) \| b(z|y))]`.

    Args:
      codes: from `draw_codes`, of an encoding with fields [B, D].
      reference: Gaussian of either kind or GaussianMixture whose fields broadcast against the codes [B, D].
      estimator: "closed_form" (no mixtures), or "sampled": the mean over the samples, unbiased, of either
        sign for one example. By default closed form where there is one.

    Returns:
      float [B], in nats; infinite where a scale of the encoding is zero.

    Raises:
      ValueError: `estimator` is unknown, in closed form for a mixture, or sampled without samples.

    Source: closed form: Alemi et al., 2017; sampled: Fischer and Alemi, CEB Improves Model Robustness, 2020, eq. 9.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> encoding = DiagGaussian(jnp.full((1, 1), 3.0), jnp.ones((1, 1)))
      >>> codes = losses.draw_codes(jax.random.key(0), encoding, 100_000)
      >>> [f"{losses.divergence(codes, losses.standard_normal(1), how)[0]:.1f}" for how in ("closed_form", "sampled")]
      ['4.5', '4.5']
    """
    how = _resolve_estimator(codes, reference, estimator)
    if how == "closed_form":
        assert not isinstance(reference, GaussianMixture)
        return kl_divergence(codes.encoding, reference)
    log_density = codes.log_density
    assert log_density is not None
    return (log_density - log_prob(reference, codes.samples)).mean(0)


def class_divergence(codes: Codes, backward: Backward, labels: Array, estimator: Estimator | None = None) -> Array:
    r"""Divergence of an encoder from the backward encoder of its label, in nats: the residual.

    .. math:: E_{z \sim p(z|x)}[\log p(z|x) - \log b(z|y)], \quad
              \text{for soft labels } \sum_c p_c\, E_z[\log p(z|x) - \log b(z|c)]

    Args:
      codes: from `draw_codes`, of an encoding with fields [B, D].
      backward: b(z|y): a table with one density for each class (fields [C, ...]), or a function from labels to
        densities.
      labels: int [B], or one-hot or soft [B, C]; for a function whatever it takes.
      estimator: as of `divergence`.

    Returns:
      float [B], in nats; NaN for an integer label outside [0, C).

    Raises:
      ValueError: as `divergence`; `labels` of a table have another shape.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> codes = losses.draw_codes(jax.random.key(0), DiagGaussian(jnp.zeros((1, 1)), jnp.ones((1, 1))))
      >>> table = DiagGaussian(jnp.array([[0.0], [2.0]]), jnp.ones((2, 1)))
      >>> losses.class_divergence(codes, table, jnp.array([1]))
      Array([2.], dtype=float32)
      >>> losses.class_divergence(codes, table, jnp.array([[0.5, 0.5]]))
      Array([1.], dtype=float32)
    """
    labels = jnp.asarray(labels)
    if callable(backward):
        return divergence(codes, backward(labels), estimator)
    check_labels(labels, codes.encoding.mean.shape[:1], backward.mean.shape[0])
    if not is_soft(labels):
        return divergence(codes, _rows(backward, labels), estimator)
    each = jax.vmap(lambda reference: divergence(codes, reference, estimator), out_axes=-1)(backward)
    labels = labels.astype(each.dtype)
    return (labels * jnp.where(labels == 0, 0.0, each)).sum(-1)


def _rows(backward: Reference, labels: Array) -> Reference:
    """The entries of a table at integer labels; NaN for a label out of range, which must not wrap round."""
    rows = [
        jnp.asarray(field).at[labels].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        for field in backward
    ]
    return type(backward)(*rows)


def _resolve_estimator(codes: Codes, reference: Reference, estimator: Estimator | None) -> Estimator:
    """The estimator meant: checks it against what there is, and chooses closed form where there is one."""
    mixture = isinstance(reference, GaussianMixture)
    if estimator is None:
        estimator = "sampled" if mixture else "closed_form"
    if estimator not in ("closed_form", "sampled"):
        raise ValueError(f"estimator must be 'closed_form', 'sampled' or None, got {estimator!r}")
    if estimator == "closed_form" and mixture:
        raise ValueError("estimator must be 'sampled' or None for a mixture, whose divergence has no closed form")
    if estimator == "sampled" and codes.noise is None:
        raise ValueError("num_samples must be at least 1 for a sampled divergence, got 0")
    return estimator
