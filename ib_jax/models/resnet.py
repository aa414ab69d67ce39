"""The ResNets (version 1, bottleneck blocks) of the ImageNet experiments."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax import losses
from ib_jax.models.head import HE, Scale, gaussian_head
from ib_jax.models.normalise import Normalise
from ib_jax.types import AnyGaussian, Array

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks of each group, by depth."""

IMAGENET_MEAN, IMAGENET_SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images in [0, 1], red, green and blue (as in torchvision)."""


class ResNetEncoder(nn.Module):
    """A ResNet with batch normalisation from images in [0, 1] to a diagonal Gaussian over codes.

    In a block that halves the image the 3 x 3 convolution does (as in most implementations since the paper). The scale
    of each branch's last normalisation starts at zero, so that every block begins as its shortcut.

    Attributes:
      depth: 50, 101 or 152.
      width: factor of all channels; 2 for the paper's "x2", below 1 for a narrow one.
      latent_dim: D; 0 takes the pooled features, 2048 * width of them, as the mean of the code (listing 1).
      scale: of p(z|x): "learned", "unit" (CEB) or "zero" (deterministic).
      axis_name: mapped axis over which batch statistics are shared in training, or None.
      compute_dtype: of the convolutions; parameters, statistics and the code are float32.

    Raises:
      ValueError: from calling it, if an attribute is out of its range.

    Source: He et al., Deep Residual Learning for Image Recognition, 2016; Fischer and Alemi, 2020, section 3.2. Scales
    that start at zero: Goyal et al., Accurate, Large Minibatch SGD, 2017.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> encoder = models.ResNetEncoder(depth=50)
      >>> encoding, _ = jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
      >>> encoding.mean.shape
      (1, 2048)
    """

    depth: int = 50
    width: float = 1
    latent_dim: int = 0
    scale: Scale = "unit"
    axis_name: str | None = None
    compute_dtype: DTypeLike = jnp.float32

    @property
    def code_dim(self) -> int:
        """D."""
        return self.latent_dim or 32 * round(64 * self.width)

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> AnyGaussian:
        """inputs [B, H, W, 3] in [0, 1] -> Gaussian over codes [B, D]; `train`: normalise by the batch itself."""
        if self.depth not in BLOCKS:
            raise ValueError(f"depth must be one of {', '.join(map(str, BLOCKS))}, got {self.depth}")
        channels = round(64 * self.width)
        if channels < 1:
            raise ValueError(f"width must be at least 1 / 64, got {self.width}")
        mean, scale = (jnp.array(each, jnp.float32).reshape(1, 1, 1, 3) for each in (IMAGENET_MEAN, IMAGENET_SCALE))
        hidden = (inputs.astype(losses.wide_dtype(inputs)) - mean) / scale
        conv: dict[str, Any] = {"use_bias": False, "kernel_init": HE, "dtype": self.compute_dtype}
        hidden = nn.Conv(channels, (7, 7), 2, padding=[(3, 3), (3, 3)], **conv)(hidden)
        hidden = nn.relu(Normalise("batch", self.axis_name, self.compute_dtype)(hidden, train=train))
        hidden = nn.max_pool(hidden, (3, 3), (2, 2), padding=[(1, 1), (1, 1)])
        for group, num_blocks in enumerate(BLOCKS[self.depth]):
            for index in range(num_blocks):
                stride = 2 if group and not index else 1
                hidden = _Block(channels << group, stride, self.axis_name, self.compute_dtype)(hidden, train)
        return gaussian_head(hidden.mean((1, 2), dtype=jnp.float32), self.latent_dim, self.scale)


class _Block(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, to four times the channels, and a shortcut."""

    channels: int
    stride: int
    axis_name: str | None
    compute_dtype: DTypeLike

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        conv: dict[str, Any] = {"use_bias": False, "kernel_init": HE, "dtype": self.compute_dtype}
        norm: dict[str, Any] = {"norm": "batch", "axis_name": self.axis_name, "compute_dtype": self.compute_dtype}
        hidden = nn.Conv(self.channels, (1, 1), **conv)(inputs)
        hidden = nn.relu(Normalise(**norm)(hidden, train=train))
        hidden = nn.Conv(self.channels, (3, 3), self.stride, padding=[(1, 1), (1, 1)], **conv)(hidden)
        hidden = nn.relu(Normalise(**norm)(hidden, train=train))
        hidden = nn.Conv(4 * self.channels, (1, 1), **conv)(hidden)
        hidden = Normalise(**norm, scale_init=nn.initializers.zeros)(hidden, train=train)
        shortcut = inputs
        if inputs.shape != hidden.shape:
            shortcut = nn.Conv(4 * self.channels, (1, 1), self.stride, name="shortcut", **conv)(inputs)
            shortcut = Normalise(**norm)(shortcut, train=train)
        return nn.relu(shortcut + hidden)
