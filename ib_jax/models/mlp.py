"""The network of the MNIST experiments: an MLP encoder and a logistic-regression decoder."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax import losses
from ib_jax.models.head import XAVIER, Initializer, Scale, gaussian_head
from ib_jax.types import AnyGaussian, Array


def stacked_widths(num_layers: int) -> tuple[int, ...]:
    """Widths of the deeper MLP of the robustness experiments: {512} x N - {256} x N.

    For `MLPEncoder(latent_dim=K, hidden=stacked_widths(N))`, whose head then has the 2K outputs. It replaces the
    1024 - 1024 of Alemi et al., "to build a stronger baseline".

    Args:
      num_layers: N >= 1, the layers of each width; 3 in the paper.

    Returns:
      2 N widths.

    Raises:
      ValueError: `num_layers` is less than 1.

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, section 6.

    Example:
      >>> from ib_jax import models
      >>> models.stacked_widths(2)
      (512, 512, 256, 256)
    """
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {num_layers}")
    return (512,) * num_layers + (256,) * num_layers


class MLPEncoder(nn.Module):
    r"""An MLP from inputs in [0, 1] to a Gaussian over codes.

    .. math:: h = \mathrm{MLP}(2x - 1), \quad \mu = W_\mu h + b_\mu, \quad
              \sigma = \mathrm{softplus}(W_\rho h + b_\rho + s)

    The affine map to [-1, 1] lives here, so that an attack's epsilon and bounds are in units of the image.

    Attributes:
      latent_dim: D, the dimensions of the code.
      hidden: widths of the ReLU layers; (1024, 1024) in the paper.
      scale: "learned"; "full", a full covariance; "unit", a scale of 1 (CEB's encoder); or "zero", the deterministic
        limit; see `gaussian_head`.
      scale_shift: s; -5 in the authors' notebook, so that training starts from scales near 0.0067 and a rate of some
        thousand nats.
      dropout_rate: share of hidden units dropped in training, in [0, 1).
      kernel_init: initialiser of the weights; biases start at zero.
      compute_dtype: of the matrix products and hidden units; parameters and the code's mean and scale are float32.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> encoder = models.MLPEncoder(latent_dim=2, hidden=(16,))
      >>> encoding, _ = encoder.init_with_output(jax.random.key(0), jnp.zeros((3, 8, 8, 1)))
      >>> encoding.mean.shape, encoding.scale.shape
      ((3, 2), (3, 2))
    """

    latent_dim: int
    hidden: Sequence[int] = (1024, 1024)
    scale: Scale = "learned"
    scale_shift: float = -5.0
    dropout_rate: float = 0.0
    kernel_init: Initializer = XAVIER
    compute_dtype: DTypeLike = jnp.float32

    @property
    def code_dim(self) -> int:
        """D."""
        return self.latent_dim

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> AnyGaussian:
        """inputs [B, ...] in [0, 1] -> Gaussian over codes [B, D]; `train` turns dropout on (rng 'dropout')."""
        flat_size = math.prod(inputs.shape[1:])  # an empty batch cannot infer it
        hidden = 2.0 * inputs.reshape(inputs.shape[0], flat_size) - 1.0
        for width in self.hidden:
            hidden = nn.relu(nn.Dense(width, kernel_init=self.kernel_init, dtype=self.compute_dtype)(hidden))
            hidden = nn.Dropout(self.dropout_rate, deterministic=not train)(hidden)
        return gaussian_head(
            hidden,
            self.latent_dim,
            self.scale,
            scale_shift=self.scale_shift,
            kernel_init=self.kernel_init,
            compute_dtype=self.compute_dtype,
        )


class LinearDecoder(nn.Module):
    r"""Logistic regression :math:`q(y|z) = \mathrm{softmax}(W z + b)`, the decoder of the MNIST experiments.

    Attributes:
      num_classes: C >= 2.
      kernel_init: initialiser of the weights; biases start at zero.
      compute_dtype: of the product; parameters and logits are float32.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> logits, _ = models.LinearDecoder(10).init_with_output(jax.random.key(0), jnp.zeros((12, 3, 2)))
      >>> logits.shape
      (12, 3, 10)
    """

    num_classes: int
    kernel_init: Initializer = XAVIER
    compute_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, codes: Array) -> Array:
        """codes [..., D] -> logits [..., C]."""
        logits = nn.Dense(self.num_classes, kernel_init=self.kernel_init, dtype=self.compute_dtype)(codes)
        return logits.astype(losses.wide_dtype(logits))
