"""A bottleneck classifier as a bundle of pure functions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from ib_jax.models.mlp import XAVIER, Initializer, LinearDecoder, MLPEncoder
from ib_jax.models.prior import LearnedPrior
from ib_jax.types import Array, DiagGaussian, Params


class Classifier(NamedTuple):
    """Encoder, decoder and prior as functions of one parameter tree.

    Attributes:
      init: (key, inputs [B, ...]) -> params.
      encode: (params, inputs [B, ...], keys=None) -> DiagGaussian [B, D]. With keys ([B], one for each example) the
        network is in training mode and dropout draws from them; without, in evaluation mode.
      decode: (params, codes [..., D]) -> logits [..., C].
      prior: (params) -> DiagGaussian [D].
    """

    init: Callable[[Array, Array], Params]
    encode: Callable[..., DiagGaussian]
    decode: Callable[[Params, Array], Array]
    prior: Callable[[Params], DiagGaussian]


def mlp_classifier(
    *,
    latent_dim: int,
    num_classes: int,
    hidden: Sequence[int] = (1024, 1024),
    stochastic: bool = True,
    learned_prior: bool = False,
    dropout_rate: float = 0.0,
    scale_shift: float = -5.0,
    kernel_init: Initializer = XAVIER,
) -> Classifier:
    """The classifier of the MNIST experiments: MLP encoder, linear decoder, prior N(0, I) or learned.

    Args:
      latent_dim: K, dimensions of the code; 256 or 2 in the paper.
      num_classes: C >= 2.
      hidden: widths of the ReLU layers.
      stochastic: False for the deterministic baselines (scale 0).
      learned_prior: whether r(z) is learned.
      dropout_rate: share of hidden units dropped in training, in [0, 1).
      scale_shift: shift of the scale's pre-activation, see `MLPEncoder`.
      kernel_init: initialiser of all weights.

    Returns:
      Classifier.

    Raises:
      ValueError: a size or rate is out of its range.

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
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must be in [0, 1), got {dropout_rate}")
    encoder = MLPEncoder(latent_dim, tuple(hidden), stochastic, scale_shift, dropout_rate, kernel_init)
    decoder = LinearDecoder(num_classes, kernel_init)
    prior_module = LearnedPrior(latent_dim)

    def init(key: Array, inputs: Array) -> Params:
        encoder_key, decoder_key, prior_key = jax.random.split(key, 3)
        params = {
            "encoder": encoder.init(encoder_key, inputs)["params"],
            "decoder": decoder.init(decoder_key, jnp.zeros((1, latent_dim)))["params"],
        }
        if learned_prior:
            params["prior"] = prior_module.init(prior_key)["params"]
        return params

    def encode(params: Params, inputs: Array, keys: Array | None = None) -> DiagGaussian:
        variables = {"params": params["encoder"]}
        if keys is None or dropout_rate == 0.0:
            return cast(DiagGaussian, encoder.apply(variables, inputs))

        # Flax draws one mask for the whole batch; example by example, each mask comes from the example's own key,
        # so that training on eight devices draws the masks of training on one.
        def encode_one(key: Array, example: Array) -> DiagGaussian:
            encoding = encoder.apply(variables, example[None], train=True, rngs={"dropout": key})
            return jax.tree.map(lambda field: field[0], encoding)

        return jax.vmap(encode_one)(keys, inputs)

    def decode(params: Params, codes: Array) -> Array:
        return cast(Array, decoder.apply({"params": params["decoder"]}, codes))

    def prior(params: Params) -> DiagGaussian:
        if learned_prior:
            return cast(DiagGaussian, prior_module.apply({"params": params["prior"]}))
        return DiagGaussian(jnp.zeros(latent_dim), jnp.ones(latent_dim))

    return Classifier(init, encode, decode, prior)
