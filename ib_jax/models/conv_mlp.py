"""The network of the CIFAR-10 experiments on robustness: two convolutions and then the MLP."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax.models.head import XAVIER, Initializer, Scale, gaussian_head
from ib_jax.models.mlp import stacked_widths
from ib_jax.types import AnyGaussian, Array


class ConvMLPEncoder(nn.Module):
    r"""The "CNN-MLP": convolutions and an MLP from images in [0, 1] to a diagonal Gaussian over codes.

    .. math:: h = \mathrm{MLP}(\mathrm{flatten}(\mathrm{conv}(2x - 1))), \quad \mu = W_\mu h + b_\mu, \quad
              \sigma = \mathrm{softplus}(W_\rho h + b_\rho + s)

    The paper says "two-layer CNN filters followed by the expanded MLP layers" and gives neither kernel nor channels nor
    stride. Ours are 3 x 3, a stride of 2 and 32 and 64 channels, with zeros outside, so that 32 x 32 pixels become
    8 x 8. As in the paper there is no normalisation, no dropout and no pooling. The dense layers fix the image's size.

    Attributes:
      latent_dim: D, the dimensions of the code.
      hidden: widths of the ReLU layers after the convolutions; {512} x 3 - {256} x 3 in the paper.
      scale: as of `MLPEncoder`.
      scale_shift: s, as of `MLPEncoder`.
      kernel_init: initialiser of the weights; biases start at zero.
      compute_dtype: of the products and hidden units; parameters and the code's mean and scale are float32.
      channels: of each convolution, whose outputs a ReLU follows.
      kernel_size: side of each convolution's kernel.
      stride: of each convolution.

    Source: Improving Adversarial Robustness: An Information-Theoretic Perspective, section 6; the head is that of Alemi
    et al., Deep Variational Information Bottleneck, 2017.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> encoder = models.ConvMLPEncoder(latent_dim=2, hidden=(16,), channels=(4, 8))
      >>> encoding, _ = jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.zeros((3, 32, 32, 3)))
      >>> encoding.mean.shape, encoding.scale.shape
      ((3, 2), (3, 2))
    """

    latent_dim: int
    hidden: Sequence[int] = stacked_widths(3)
    scale: Scale = "learned"
    scale_shift: float = -5.0
    kernel_init: Initializer = XAVIER
    compute_dtype: DTypeLike = jnp.float32
    channels: Sequence[int] = (32, 64)
    kernel_size: int = 3
    stride: int = 2

    @property
    def code_dim(self) -> int:
        """D."""
        return self.latent_dim

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> AnyGaussian:
        """inputs [B, H, W, C] in [0, 1] -> Gaussian over codes [B, D]; `train` changes nothing."""
        hidden = 2.0 * inputs - 1.0
        for width in self.channels:
            convolution = nn.Conv(
                width, (self.kernel_size,) * 2, self.stride, kernel_init=self.kernel_init, dtype=self.compute_dtype
            )
            hidden = nn.relu(convolution(hidden))
        hidden = hidden.reshape(hidden.shape[0], math.prod(hidden.shape[1:]))  # an empty batch cannot infer it
        for width in self.hidden:
            hidden = nn.relu(nn.Dense(width, kernel_init=self.kernel_init, dtype=self.compute_dtype)(hidden))
        return gaussian_head(
            hidden,
            self.latent_dim,
            self.scale,
            scale_shift=self.scale_shift,
            kernel_init=self.kernel_init,
            compute_dtype=self.compute_dtype,
        )
