"""Bayes' rule in the space of codes: the consistent classifier and the marginal that go with a backward encoder."""

import jax
import jax.numpy as jnp

from ib_jax.losses.gaussian import log_prob
from ib_jax.losses.precision import one_rank, wide_dtype
from ib_jax.types import Array, DiagGaussian, Gaussian, GaussianMixture, Reference


def bayes_logits(codes: Array, backward: Reference, class_probabilities: Array | None = None) -> Array:
    r"""Logits of the consistent classifier, the Bayesian inversion of a backward encoder.

    .. math:: q(y|z) = \mathrm{softmax}_y\big(\log b(z|y) + \log p(y)\big)

    Args:
      codes: float [..., D].
      backward: b(z|y), a table with fields [C, D], or [C, M] and [C, M, D].
      class_probabilities: p(y), float [C], in the paper the shares of the classes in the training set; None for
        uniform ones. A class of probability 0 gets the logit minus infinity.

    Returns:
      logits [..., C], log b(z|y) + log p(y) in nats.

    Raises:
      ValueError: `class_probabilities` has not one entry for each class.

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, eqs. 10 and 11.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> table = DiagGaussian(jnp.array([[-1.0], [1.0]]), jnp.ones((2, 1)))
      >>> logits = losses.bayes_logits(jnp.array([[1.0]]), table)
      >>> print(f"{jax.nn.softmax(logits)[0, 1]:.4f}")  # 1 / (1 + e^-2)
      0.8808
    """
    log_likelihood = log_prob(backward, jnp.expand_dims(codes, -2))
    log_likelihood, log_probabilities = one_rank(log_likelihood, _log_probabilities(backward, class_probabilities))
    return log_likelihood + log_probabilities.astype(log_likelihood.dtype)


def marginal(backward: Reference, class_probabilities: Array | None = None) -> GaussianMixture:
    r"""The marginal of a backward encoder, :math:`m(z) = \sum_y p(y)\, b(z|y)`: the prior under which CEB has a rate.

    Args:
      backward: b(z|y), a table with fields [C, D], or [C, M] and [C, M, D].
      class_probabilities: p(y), float [C]; None for uniform ones.

    Returns:
      GaussianMixture with a component for each class, or for each component of each class.

    Raises:
      ValueError: `class_probabilities` has not one entry for each class, or `backward` has full covariances, of which
        there are no mixtures.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, losses
      >>> losses.marginal(DiagGaussian(jnp.zeros((3, 2)), jnp.ones((3, 2)))).mean.shape
      (3, 2)
    """
    log_probabilities = _log_probabilities(backward, class_probabilities)
    if isinstance(backward, Gaussian):
        raise ValueError("backward must have diagonal covariances, DiagGaussian or GaussianMixture, got a Gaussian")
    if isinstance(backward, DiagGaussian):
        return GaussianMixture(log_probabilities, *backward)
    logits = (log_probabilities[:, None] + jax.nn.log_softmax(backward.logits)).reshape(-1)
    latent_dim = backward.mean.shape[-1]
    return GaussianMixture(logits, backward.mean.reshape(-1, latent_dim), backward.scale.reshape(-1, latent_dim))


def _log_probabilities(backward: Reference, probabilities: Array | None) -> Array:
    num_classes, dtype = backward.mean.shape[0], wide_dtype(backward.mean)
    if probabilities is None:
        return jnp.full(num_classes, -jnp.log(jnp.asarray(num_classes, dtype)))
    if jnp.shape(probabilities) != (num_classes,):
        raise ValueError(
            f"class_probabilities must have shape [{num_classes}], one for each class, got {jnp.shape(probabilities)}"
        )
    return jnp.log(jnp.asarray(probabilities)).astype(dtype)
