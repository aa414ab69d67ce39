"""The classifier of the MNIST experiments."""

from collections.abc import Sequence
from typing import get_args

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ib_jax.models.classifier import BackwardKind, Classifier, PriorKind, make_classifier
from ib_jax.models.head import XAVIER, Initializer, Scale
from ib_jax.models.mlp import MLPEncoder
from ib_jax.types import Array


def mlp_classifier(
    *,
    latent_dim: int,
    num_classes: int,
    hidden: Sequence[int] = (1024, 1024),
    scale: Scale = "learned",
    prior: PriorKind = "standard",
    num_components: int = 10,
    backward: BackwardKind = "none",
    linear_decoder: bool = True,
    class_probabilities: Array | np.ndarray | None = None,
    dropout_rate: float = 0.0,
    scale_shift: float = -5.0,
    kernel_init: Initializer = XAVIER,
    compute_dtype: DTypeLike = jnp.float32,
) -> Classifier:
    """The classifier of the MNIST experiments: MLP encoder, linear decoder, and a prior or a backward encoder.

    Args:
      latent_dim: K, dimensions of the code; 256 or 2 in the paper.
      num_classes: C >= 2.
      hidden: widths of the ReLU layers.
      scale: of p(z|x): "learned", "unit" (CEB's encoder) or "zero" (the deterministic baselines).
      prior: see `make_classifier`.
      num_components: see `make_classifier`.
      backward: see `make_classifier`.
      linear_decoder: see `make_classifier`.
      class_probabilities: see `make_classifier`.
      dropout_rate: share of hidden units dropped in training, in [0, 1).
      scale_shift: shift of the scale's pre-activation, see `MLPEncoder`.
      kernel_init: initialiser of all weights.
      compute_dtype: of the networks' products, for example bfloat16; parameters, codes and losses stay float32.

    Returns:
      Classifier.

    Raises:
      ValueError: a size or rate is out of its range, or an option unknown.

    Source: Alemi et al., Deep Variational Information Bottleneck, 2017, section 4.1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> model = models.mlp_classifier(latent_dim=2, num_classes=10, hidden=(16,))
      >>> images = jnp.zeros((3, 8, 8, 1))
      >>> params = model.init(jax.random.key(0), images)
      >>> model.decode(params, model.encode(params, images).mean).shape
      (3, 10)
    """
    if scale not in get_args(Scale):
        raise ValueError(f"scale must be one of {', '.join(get_args(Scale))}, got {scale!r}")
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must be in [0, 1), got {dropout_rate}")
    encoder = MLPEncoder(latent_dim, tuple(hidden), scale, scale_shift, dropout_rate, kernel_init, compute_dtype)
    return make_classifier(
        encoder,
        num_classes=num_classes,
        prior=prior,
        num_components=num_components,
        backward=backward,
        linear_decoder=linear_decoder,
        class_probabilities=class_probabilities,
        kernel_init=kernel_init,
        compute_dtype=compute_dtype,
    )
