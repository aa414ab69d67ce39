"""A bottleneck classifier as a bundle of pure functions."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, cast, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ib_jax import losses
from ib_jax.keys import counter_key
from ib_jax.models.backward import BackwardEncoder
from ib_jax.models.head import XAVIER, Initializer
from ib_jax.models.mlp import LinearDecoder
from ib_jax.models.prior import LearnedPrior, MixturePrior
from ib_jax.types import AnyGaussian, Array, DiagGaussian, Params, Reference

PriorKind = Literal["standard", "learned", "mixture"]
BackwardKind = Literal["none", "unit", "learned"]
Statistics = dict[str, Params]
"""Entries of the parameters that training moves without a gradient: {"batch_stats": ...}, or {} without such."""


class Encoder(Protocol):
    """A Flax Linen module (inputs [B, ...], train=False) -> diagonal or full Gaussian over codes [B, code_dim].

    It may keep running statistics in the collection "batch_stats", and have a `dropout_rate` above 0, but not both.
    """

    @property
    def code_dim(self) -> int: ...

    def __call__(self, inputs: Array, *, train: bool = False) -> AnyGaussian: ...


class Classifier(NamedTuple):
    """Encoder, decoder, prior and backward encoder as functions of one parameter tree.

    Attributes:
      init: (key, inputs [B, ...]) -> params, a dict.
      encode: (params, inputs [B, ...]) -> Gaussian over codes [B, D], in evaluation mode.
      encode_train: (params, inputs [B, ...], keys [B]) -> (Gaussian [B, D], statistics), in training mode: dropout
        draws from each example's key, batch normalisation normalises by the batch. Statistics are the entries of
        `params` to be replaced after the step, as `training.LossFn` returns them.
      decode: (params, codes [..., D]) -> logits [..., C].
      prior: (params) -> r(z), DiagGaussian [D] or GaussianMixture [M, D]; the marginal of the backward encoder, if the
        model has one and knows the class probabilities.
      backward: (params) -> b(z|y), DiagGaussian [C, D]; None if the model has no backward encoder.
    """

    init: Callable[[Array, Array], Params]
    encode: Callable[[Params, Array], AnyGaussian]
    encode_train: Callable[[Params, Array, Array], tuple[AnyGaussian, Statistics]]
    decode: Callable[[Params, Array], Array]
    prior: Callable[[Params], Reference]
    backward: Callable[[Params], DiagGaussian] | None = None


def make_classifier(
    encoder: Encoder,
    *,
    num_classes: int,
    prior: PriorKind = "standard",
    num_components: int = 10,
    backward: BackwardKind = "none",
    linear_decoder: bool = True,
    class_probabilities: Array | np.ndarray | None = None,
    kernel_init: Initializer = XAVIER,
    decoder_init: Initializer | None = None,
    compute_dtype: DTypeLike = jnp.float32,
) -> Classifier:
    """Builds a classifier from an encoder: adds a linear decoder, and a prior or a backward encoder.

    Args:
      encoder: see `Encoder`.
      num_classes: C >= 2.
      prior: r(z): "standard" for N(0, I), "learned" for a learned diagonal Gaussian, or "mixture" for a mixture.
      num_components: M, of a mixture.
      backward: b(z|y): "none", or learned means with scales of one ("unit", the paper's) or learned ones ("learned").
      linear_decoder: False for consistent CEB, whose decoder is `losses.bayes_logits` of the backward encoder: it has
        no parameters of its own.
      class_probabilities: p(y), float [C], the shares of the classes in the training set. Given, a model with a
        backward encoder has the marginal of that as its prior (`losses.marginal`), under which CEB has a rate; None
        leaves it the standard one, and decodes with uniform probabilities.
      kernel_init: initialiser of the backward encoder's means, and of the decoder's weights unless told otherwise.
      decoder_init: initialiser of the decoder's weights.
      compute_dtype: of the decoder's product.

    Returns:
      Classifier.

    Raises:
      ValueError: a size is out of its range, an option unknown, `class_probabilities` has not one entry per class,
        or another prior is requested together with the marginal.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> model = models.make_classifier(models.MLPEncoder(latent_dim=2, hidden=(16,)), num_classes=10, backward="unit")
      >>> sorted(model.init(jax.random.key(0), jnp.zeros((3, 8, 8, 1))))
      ['backward', 'decoder', 'encoder']
      >>> shares = jnp.full(10, 0.1)
      >>> ceb = models.make_classifier(
      ...     models.MLPEncoder(latent_dim=2, hidden=(16,), scale="unit"), num_classes=10, backward="unit",
      ...     linear_decoder=False, class_probabilities=shares)
      >>> params = ceb.init(jax.random.key(0), jnp.zeros((3, 8, 8, 1)))
      >>> sorted(params), ceb.prior(params).mean.shape, ceb.decode(params, jnp.zeros((5, 2))).shape
      (['backward', 'encoder'], (10, 2), (5, 10))
    """
    code_dim = encoder.code_dim
    for name, value, least in [
        ("latent_dim", code_dim, 1),
        ("num_classes", num_classes, 2),
        ("num_components", num_components, 1),
    ]:
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    for name, kind, kinds in [("prior", prior, PriorKind), ("backward", backward, BackwardKind)]:
        if kind not in get_args(kinds):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kinds))}, got {kind!r}")
    shares = None if class_probabilities is None else jnp.asarray(class_probabilities, jnp.float32)
    if shares is not None and shares.shape != (num_classes,):
        raise ValueError(f"class_probabilities must have shape [{num_classes}], got {list(shares.shape)}")
    marginal = shares if backward != "none" else None
    if marginal is not None and prior != "standard":
        raise ValueError(f"prior must be left out where it is the backward encoder's marginal, got {prior!r}")
    network = cast(nn.Module, encoder)
    decoder = LinearDecoder(num_classes, decoder_init or kernel_init, compute_dtype)
    others: dict[str, nn.Module] = {"decoder": decoder} if linear_decoder else {}
    if prior != "standard":
        others["prior"] = MixturePrior(code_dim, num_components) if prior == "mixture" else LearnedPrior(code_dim)
    if backward != "none":
        others["backward"] = BackwardEncoder(code_dim, num_classes, backward == "learned", kernel_init)
    densities = {name: functools.partial(_density, module, name) for name, module in others.items()}
    return Classifier(
        functools.partial(_init, network, others, code_dim),
        functools.partial(_encode, network),
        functools.partial(_encode_train, network),
        functools.partial(_decode, decoder)
        if linear_decoder or backward == "none"
        else functools.partial(_bayes_decode, densities["backward"], shares),
        functools.partial(_marginal_prior, densities["backward"], marginal)
        if marginal is not None
        else densities.get("prior", functools.partial(_standard_prior, code_dim)),
        densities.get("backward"),
    )


def _init(encoder: nn.Module, others: dict[str, nn.Module], code_dim: int, key: Array, inputs: Array) -> Params:
    encoder_key, decoder_key, prior_key = jax.random.split(key, 3)
    keys = {"decoder": decoder_key, "prior": prior_key, "backward": jax.random.fold_in(prior_key, 1)}
    variables = encoder.init(encoder_key, inputs)
    params: dict[str, Any] = {"encoder": variables["params"]}
    if "batch_stats" in variables:
        params["batch_stats"] = variables["batch_stats"]
    for name, module in others.items():
        codes = [jnp.zeros((1, code_dim), jnp.float32)] if name == "decoder" else []
        params[name] = module.init(keys[name], *codes)["params"]
    return params


def _encoder_variables(params: Params) -> dict[str, Params]:
    statistics = {"batch_stats": params["batch_stats"]} if "batch_stats" in params else {}
    return {"params": params["encoder"], **statistics}


def _encode(encoder: nn.Module, params: Params, inputs: Array) -> AnyGaussian:
    return cast(AnyGaussian, encoder.apply(_encoder_variables(params), inputs))


def _encode_train(encoder: nn.Module, params: Params, inputs: Array, keys: Array) -> tuple[AnyGaussian, Statistics]:
    variables = _encoder_variables(params)
    if not getattr(encoder, "dropout_rate", 0.0) > 0.0:
        encoding, moved = encoder.apply(variables, inputs, train=True, mutable=["batch_stats"])
        return encoding, dict(moved)

    # Flax draws one mask for the whole batch; example by example, each mask comes from the example's own key, so that
    # training on eight devices draws the masks of training on one.
    def encode_one(key: Array, example: Array) -> AnyGaussian:
        encoding = encoder.apply(variables, example[None], train=True, rngs={"dropout": key})
        return jax.tree.map(lambda field: field[0], encoding)

    return jax.vmap(encode_one)(counter_key(keys), inputs), {}


def _decode(decoder: nn.Module, params: Params, codes: Array) -> Array:
    return cast(Array, decoder.apply({"params": params["decoder"]}, codes))


def _bayes_decode(
    backward: Callable[[Params], DiagGaussian], shares: Array | None, params: Params, codes: Array
) -> Array:
    return losses.bayes_logits(codes, backward(params), shares)


def _marginal_prior(backward: Callable[[Params], DiagGaussian], shares: Array, params: Params) -> Reference:
    return losses.marginal(backward(params), shares)


def _density(module: nn.Module, name: str, params: Params) -> Any:
    """The density of a prior or a backward encoder, from its entry of the parameters."""
    return module.apply({"params": params[name]})


def _standard_prior(code_dim: int, params: Params) -> Reference:
    return losses.standard_normal(code_dim)
