"""A bottleneck classifier as a bundle of pure functions."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax.models.backward import BackwardEncoder
from ib_jax.models.mlp import XAVIER, Initializer, LinearDecoder, MLPEncoder, Scale
from ib_jax.models.prior import LearnedPrior, MixturePrior
from ib_jax.types import Array, DiagGaussian, Params, Reference

PriorKind = Literal["standard", "learned", "mixture"]
BackwardKind = Literal["none", "unit", "learned"]


class Classifier(NamedTuple):
    """Encoder, decoder, prior and backward encoder as functions of one parameter tree.

    Attributes:
      init: (key, inputs [B, ...]) -> params.
      encode: (params, inputs [B, ...], keys=None) -> DiagGaussian [B, D]. With keys ([B], one for each example) the
        network is in training mode and dropout draws from them; without, in evaluation mode.
      decode: (params, codes [..., D]) -> logits [..., C].
      prior: (params) -> r(z), DiagGaussian [D] or GaussianMixture [M, D].
      backward: (params) -> b(z|y), DiagGaussian [C, D]; None if the model has no backward encoder.
    """

    init: Callable[[Array, Array], Params]
    encode: Callable[..., DiagGaussian]
    decode: Callable[[Params, Array], Array]
    prior: Callable[[Params], Reference]
    backward: Callable[[Params], DiagGaussian] | None = None


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
      prior: r(z): "standard" for N(0, I), "learned" for a learned diagonal Gaussian, or "mixture" for a mixture.
      num_components: M, of a mixture.
      backward: b(z|y): "none", or learned means with scales of one ("unit", the paper's) or learned ones ("learned").
      linear_decoder: False for a model whose decoder is `losses.bayes_logits` of its backward encoder: it has no
        parameters for another, and its `decode` must be replaced.
      dropout_rate: share of hidden units dropped in training, in [0, 1).
      scale_shift: shift of the scale's pre-activation, see `MLPEncoder`.
      kernel_init: initialiser of all weights.
      compute_dtype: of the networks' products, for example bfloat16; parameters, codes and losses stay float32.

    Returns:
      Classifier.

    Raises:
      ValueError: a size or rate is out of its range, or a kind unknown.

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
    for name, value, least in [
        ("latent_dim", latent_dim, 1),
        ("num_classes", num_classes, 2),
        ("num_components", num_components, 1),
    ]:
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    for name, kind, kinds in [
        ("scale", scale, Scale),
        ("prior", prior, PriorKind),
        ("backward", backward, BackwardKind),
    ]:
        if kind not in get_args(kinds):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kinds))}, got {kind!r}")
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must be in [0, 1), got {dropout_rate}")
    encoder = MLPEncoder(latent_dim, tuple(hidden), scale, scale_shift, dropout_rate, kernel_init, compute_dtype)
    decoder = LinearDecoder(num_classes, kernel_init, compute_dtype)
    prior_module = MixturePrior(latent_dim, num_components) if prior == "mixture" else LearnedPrior(latent_dim)
    backward_module = BackwardEncoder(latent_dim, num_classes, backward == "learned", kernel_init)

    def init(key: Array, inputs: Array) -> Params:
        encoder_key, decoder_key, prior_key = jax.random.split(key, 3)
        params = {"encoder": encoder.init(encoder_key, inputs)["params"]}
        if linear_decoder:
            params["decoder"] = decoder.init(decoder_key, jnp.zeros((1, latent_dim)))["params"]
        if prior != "standard":
            params["prior"] = prior_module.init(prior_key)["params"]
        if backward != "none":
            params["backward"] = backward_module.init(jax.random.fold_in(prior_key, 1))["params"]
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

    def prior_of(params: Params) -> Reference:
        if prior == "standard":
            return DiagGaussian(jnp.zeros(latent_dim), jnp.ones(latent_dim))
        return cast(Reference, prior_module.apply({"params": params["prior"]}))

    def backward_of(params: Params) -> DiagGaussian:
        return cast(DiagGaussian, backward_module.apply({"params": params["backward"]}))

    return Classifier(init, encode, decode, prior_of, None if backward == "none" else backward_of)
