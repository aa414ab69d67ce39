"""Normalisation in a residual network: batch normalisation, or a learned bias alone."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax import promotion
from ib_jax.models.head import Initializer
from ib_jax.types import Array

Norm = Literal["none", "batch"]


class Normalise(nn.Module):
    """Batch normalisation, whose running statistics are in the collection "batch_stats"; or a bias for each channel.

    Attributes:
      norm: "batch" or "none".
      axis_name: mapped axis over which a batch's mean and variance are shared, so that eight devices normalise like
        one; None for each device by itself.
      compute_dtype: of the result; statistics are float32.
      momentum: decay of the running statistics.
      scale_init: of the learned scale.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax.models.normalise import Normalise
      >>> sorted(Normalise("batch").init(jax.random.key(0), jnp.ones((2, 3)), train=False))
      ['batch_stats', 'params']
    """

    norm: Norm
    axis_name: str | None = None
    compute_dtype: DTypeLike = jnp.float32
    momentum: float = 0.9
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, hidden: Array, *, train: bool) -> Array:
        """[..., C] -> [..., C]; `train`: normalise by the batch itself, and move the running statistics."""
        if self.norm == "none":
            bias = self.param("bias", nn.initializers.zeros, hidden.shape[-1:], jnp.float32)
            return hidden + bias.astype(hidden.dtype).reshape((1,) * (hidden.ndim - 1) + bias.shape)
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=1e-5,
            dtype=self.compute_dtype,
            axis_name=self.axis_name,
            scale_init=self.scale_init,
        )
        with promotion.of_others():
            return norm(hidden)
