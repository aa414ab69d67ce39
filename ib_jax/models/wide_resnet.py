"""The Wide ResNet of the CIFAR-10 experiments, with batch normalisation or without any."""

from typing import Any, get_args

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax.models.head import HE, Scale, gaussian_head
from ib_jax.models.normalise import Norm, Normalise
from ib_jax.types import AnyGaussian, Array


class WideResNetEncoder(nn.Module):
    r"""A pre-activation Wide ResNet from images in [0, 1] to a diagonal Gaussian over codes.

    Three groups of :math:`(\mathrm{depth} - 4) / 6` blocks with 16, 32 and 64 times `width` channels. Without
    normalisation the last convolution of each branch starts at zero, so every block starts as its shortcut
    and the signal neither grows nor fades with depth. A bias before each convolution and a factor at the end of each
    branch replace those of batch normalisation. It needs no warm-up and no clipping of gradients.

    Attributes:
      depth: 6 n + 4; 28 in the paper.
      width: factor of the channels; 10 in the paper.
      latent_dim: D; 0 takes the pooled features, 64 * width of them, as the mean of the code.
      scale: of p(z|x): "learned", "unit" (CEB) or "zero" (deterministic).
      norm: "none", as in the paper, or "batch".
      stem_stride: of the first convolution; 2 halves the image at once, for a quarter of the products.
      axis_name: mapped axis over which batch statistics are shared in training, or None.
      compute_dtype: of the convolutions; parameters, statistics and the code are float32.

    Raises:
      ValueError: from calling it, if an attribute is out of its range.

    Source: Zagoruyko and Komodakis, Wide Residual Networks, 2016; Fischer and Alemi, 2020, section 3.1. The start
    without normalisation after Zhang, Dauphin and Ma, Fixup Initialization, 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> encoder = models.WideResNetEncoder(depth=10, width=1, latent_dim=8)
      >>> encoding, _ = jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
      >>> encoding.mean.shape
      (1, 8)
    """

    depth: int = 28
    width: int = 10
    latent_dim: int = 0
    scale: Scale = "unit"
    norm: Norm = "none"
    stem_stride: int = 1
    axis_name: str | None = None
    compute_dtype: DTypeLike = jnp.float32

    @property
    def code_dim(self) -> int:
        """D."""
        return self.latent_dim or 64 * self.width

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> AnyGaussian:
        """inputs [B, H, W, C] in [0, 1] -> Gaussian over codes [B, D]; `train`: normalise by the batch itself."""
        if inputs.ndim != 4:
            raise ValueError(f"inputs must be images [B, H, W, C], got shape {inputs.shape}")
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"depth must be 6 n + 4 with n >= 1, such as 10, 16 or 28, got {self.depth}")
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if self.stem_stride < 1:
            raise ValueError(f"stem_stride must be at least 1, got {self.stem_stride}")
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {self.norm!r}")
        conv: dict[str, Any] = {"use_bias": False, "kernel_init": HE, "dtype": self.compute_dtype}
        hidden = nn.Conv(16, (3, 3), self.stem_stride, **conv)(2.0 * inputs - 1.0)
        for group in range(3):
            for index in range((self.depth - 4) // 6):
                stride = 2 if group and not index else 1
                block = _Block((16 * self.width) << group, stride, self.norm, self.axis_name, self.compute_dtype)
                hidden = block(hidden, train)
        hidden = nn.relu(Normalise(self.norm, self.axis_name, self.compute_dtype)(hidden, train=train))
        return gaussian_head(hidden.mean((1, 2), dtype=jnp.float32), self.latent_dim, self.scale)


class _Block(nn.Module):
    """Two convolutions and a shortcut; where the shape changes, the shortcut is a 1 x 1 convolution of their input."""

    channels: int
    stride: int
    norm: Norm
    axis_name: str | None
    compute_dtype: DTypeLike

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        conv: dict[str, Any] = {"use_bias": False, "dtype": self.compute_dtype}
        shape_kept = inputs.shape[-1] == self.channels and self.stride == 1
        hidden = nn.relu(Normalise(self.norm, self.axis_name, self.compute_dtype)(inputs, train=train))
        shortcut = inputs
        if not shape_kept:
            shortcut = nn.Conv(self.channels, (1, 1), self.stride, kernel_init=HE, name="shortcut", **conv)(hidden)
        hidden = nn.Conv(self.channels, (3, 3), self.stride, kernel_init=HE, **conv)(hidden)
        hidden = nn.relu(Normalise(self.norm, self.axis_name, self.compute_dtype)(hidden, train=train))
        last_init = HE if self.norm == "batch" else nn.initializers.zeros
        hidden = nn.Conv(self.channels, (3, 3), kernel_init=last_init, **conv)(hidden)
        if self.norm == "none":
            hidden = hidden * self.param("factor", nn.initializers.ones, (), jnp.float32).astype(hidden.dtype)
        return shortcut + hidden
