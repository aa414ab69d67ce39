"""The ways to write the strength of a bottleneck."""

import jax
import jax.numpy as jnp

from ib_jax.losses.precision import one_rank, wide_dtype
from ib_jax.types import Array


def rho_to_beta(rho: float | Array) -> Array:
    r"""CEB's :math:`\rho` to the weight of :math:`I(X;Z)`: :math:`\beta = \sigma(-\rho) = 1 / (1 + e^{\rho})`.

    With it, :math:`I(Z;Y) - \beta I(X;Z)` and :math:`I(Z;Y) - e^{-\rho} I(X;Z|Y)` have the same optima.

    Args:
      rho: real, infinity turns the bottleneck off.

    Returns:
      beta in [0, 1].

    Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, eqs. 1 to 3.

    Example:
      >>> from ib_jax import losses
      >>> print(losses.rho_to_beta(0.0))
      0.5
    """
    return jax.nn.sigmoid(-_real(rho))


def rho_to_gamma(rho: float | Array) -> Array:
    r"""CEB's :math:`\rho` to the weight of :math:`I(X;Z|Y)`: :math:`\gamma = e^{-\rho}`.

    Args:
      rho: real, infinity turns the bottleneck off.

    Returns:
      gamma >= 0.

    Example:
      >>> from ib_jax import losses
      >>> print(losses.rho_to_gamma(0.0))
      1.0
    """
    return jnp.exp(-_real(rho))


def beta_to_rho(beta: float | Array) -> Array:
    r"""The inverse of `rho_to_beta`: :math:`\rho = \log \frac{1 - \beta}{\beta}`.

    Args:
      beta: in [0, 1]; 0 gives infinity.

    Returns:
      rho.

    Example:
      >>> from ib_jax import losses
      >>> print(losses.beta_to_rho(0.5))
      0.0
    """
    beta = _real(beta)
    return jnp.log1p(-beta) - jnp.log(beta)


def choose_beta(beta: float | Array | None, rho: float | Array | None) -> float | Array:
    """The weight of the rate, given as beta or as rho.

    Args:
      beta: the weight, or None.
      rho: CEB's rho, or None.

    Returns:
      beta.

    Raises:
      ValueError: both are given, or neither.

    Example:
      >>> from ib_jax import losses
      >>> print(losses.choose_beta(None, 0.0))
      0.5
    """
    if (beta is None) == (rho is None):
        raise ValueError(f"give exactly one of beta and rho, got beta={beta} and rho={rho}")
    return rho_to_beta(rho) if beta is None else beta  # type: ignore[arg-type]


def weigh(coefficient: float | Array, information: Array) -> Array:
    """``coefficient * information``; a coefficient of 0 gives 0 even if the information is infinite.

    Args:
      coefficient: weight, >= 0; a number or an array that broadcasts against `information`.
      information: float [...], in nats.

    Returns:
      float [...], in nats.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.weigh(0.0, jnp.array([jnp.inf]))  # a deterministic code has an infinite rate
      Array([0.], dtype=float32)
    """
    weight, information = one_rank(_real(coefficient), information)
    weight = weight.astype(information.dtype)
    return jnp.where(weight == 0, 0.0, weight * jnp.where(weight == 0, 0.0, information))


def _real(value: float | Array) -> Array:
    """An array of at least float32; of a plain number one that takes on the precision of what it meets."""
    if isinstance(value, float | int):
        return jnp.asarray(float(value))
    return jnp.asarray(value).astype(wide_dtype(jnp.asarray(value)))
