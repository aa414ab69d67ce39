"""The all-convolutional network All-CNN-C."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax.models.head import HE, Scale, gaussian_head
from ib_jax.types import AnyGaussian, Array

LAYERS = ((96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1))
"""Channels, kernel's side and stride of each convolution but for the last, which gives the classes' logits."""


class AllConvEncoder(nn.Module):
    r"""All-CNN-C from images in [0, 1] to its features, as a code: convolutions with ReLU, and a global average.

    .. math:: \mu = \frac{1}{HW} \sum_{ij} h_{ij}, \qquad h = \mathrm{relu}(\mathrm{conv}_8(\dots(2x - 1)))

    The published network ends in a 1 x 1 convolution to C channels and then averages them. Without a ReLU between the
    two, average and convolution commute, so the linear decoder of `make_classifier` on these averages *is* that last
    layer, with its (F + 1) C parameters. The layer before, `conv_8`, is the last that extracts features, and so what we
    take for "the last convolutional layer" whose features' entropy the paper's Figure 4 shows: the one after it gives
    the logits.

    All layers pad with zeros and keep the size, but for those of stride 2; in the publication the seventh does not pad
    (8 x 8 becomes 6 x 6). So any image size will do. Its dropout and weight decay are left out, and so is the ReLU
    after the last layer.

    Attributes:
      width: factor of all channels, 1 for the published ones (96 and 192), for example 0.25 for two cores.
      latent_dim: D; 0 takes the averages themselves, 192 * width of them, as the mean of the code.
      scale: of p(z|x): "learned" (needs a positive `latent_dim`), "unit" or "zero" (deterministic).
      compute_dtype: of the convolutions; parameters and the code are float32.

    Raises:
      ValueError: from calling it, if `width` is too small for one channel.

    Source: Springenberg et al., Striving for Simplicity: The All Convolutional Net, 2015, table 1 and section 3.1;
    Improving Adversarial Robustness: An Information-Theoretic Perspective, section 6, Figure 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> encoder = models.AllConvEncoder(width=0.25)
      >>> encoding, _ = jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.zeros((3, 32, 32, 3)))
      >>> encoding.mean.shape
      (3, 48)
    """

    width: float = 1
    latent_dim: int = 0
    scale: Scale = "zero"
    compute_dtype: DTypeLike = jnp.float32

    @property
    def code_dim(self) -> int:
        """D."""
        return self.latent_dim or round(LAYERS[-1][0] * self.width)

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> AnyGaussian:
        """inputs [B, H, W, C] in [0, 1] -> Gaussian over codes [B, D]; `train` changes nothing."""
        if round(LAYERS[0][0] * self.width) < 1:
            raise ValueError(f"width must leave at least one of {LAYERS[0][0]} channels, got {self.width}")
        hidden = 2.0 * inputs - 1.0
        for channels, side, stride in LAYERS:
            convolution = nn.Conv(
                round(channels * self.width), (side, side), stride, kernel_init=HE, dtype=self.compute_dtype
            )
            hidden = nn.relu(convolution(hidden))
        return gaussian_head(hidden.mean((1, 2), dtype=jnp.float32), self.latent_dim, self.scale)
