"""Pairs of classifiers that share a stochastic encoder, whose depth and width are data: one program trains them all."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import objectives
from experiments.core.recipe import RecipeFunctions
from experiments.transferability.settings import PairConfig
from ib_jax import bounds, evaluation, losses, models
from ib_jax.models.head import XAVIER, gaussian_head
from ib_jax.training import Hyperparams
from ib_jax.types import AnyGaussian, Array, BoundTerms, DiagGaussian, Params

_SECOND = 1


class MaskedEncoder(nn.Module):
    """An MLP encoder of which a member uses the first layers and the first units of each; cf. `models.MLPEncoder`.

    All members have parameters of one shape. A layer beyond `depth` hands its input on, and units beyond `width` are
    zero, so neither has a part in the output or a gradient. The initial weights are drawn for the whole width.

    Attributes:
      latent_dim: K.
      max_depth: hidden layers of the deepest member.
      max_width: units of the widest.
    """

    latent_dim: int
    max_depth: int
    max_width: int

    @nn.compact
    def __call__(self, inputs: Array, depth: int | Array, width: int | Array) -> AnyGaussian:
        """inputs [B, ...] in [0, 1], depth and width whole numbers [] -> Gaussian over codes [B, K]."""
        hidden = 2.0 * inputs.reshape(inputs.shape[0], -1) - 1.0
        used = (jnp.arange(self.max_width) < width)[None]
        for layer in range(self.max_depth):
            outputs = nn.relu(
                nn.Dense(self.max_width, kernel_init=XAVIER, name=f"hidden_{layer}")(hidden)
            ) * used.astype(hidden.dtype)
            hidden = outputs if layer == 0 else jnp.where(layer < depth, outputs, hidden)
        return gaussian_head(hidden, self.latent_dim, "learned", scale_shift=0.0)


class SecondDecoder(nn.Module):
    """The decoder of who builds on a finished encoder: one hidden layer, where the first decoder is linear."""

    num_classes: int
    width: int

    @nn.compact
    def __call__(self, codes: Array) -> Array:
        """codes [..., K] -> logits [..., C]."""
        hidden = nn.relu(nn.Dense(self.width, kernel_init=XAVIER)(codes))
        return cast(Array, nn.Dense(self.num_classes, kernel_init=XAVIER)(hidden))


class Pair(NamedTuple):
    """Both classifiers of each pair as functions of its hyperparams (`depth`, `width`) and parameters."""

    encoder: MaskedEncoder
    decoders: tuple[nn.Module, nn.Module]

    def init(self, key: Array, inputs: Array) -> Params:
        """The parameters: "encoder", "first" and "second"."""
        own, *keys = jax.random.split(key, 3)
        encoder = self.encoder.init(own, inputs, self.encoder.max_depth, self.encoder.max_width)["params"]
        codes = jnp.zeros((1, self.encoder.latent_dim))
        first, second = (each.init(key, codes)["params"] for each, key in zip(self.decoders, keys, strict=True))
        return {"encoder": encoder, "first": first, "second": second}

    def encode(self, hyperparams: Hyperparams, params: Params, inputs: Array) -> DiagGaussian:
        """inputs [B, ...] -> p(z|x) of the pair."""
        own = (hyperparams["depth"], hyperparams["width"])
        return cast(DiagGaussian, self.encoder.apply({"params": params["encoder"]}, inputs, *own))

    def decode(self, params: Params, codes: Array, place: int = 0) -> Array:
        """codes [..., K] -> logits [..., C] of the first decoder, 0, or the second, 1."""
        name = ("first", "second")[place]
        return cast(Array, self.decoders[place].apply({"params": params[name]}, codes))

    def loss(self, hyperparams: Hyperparams, params: Params, keys: Array, inputs: Array, labels: Array) -> BoundTerms:
        """VIB of encoder and first decoder, and the second one's cross-entropy, which the encoder does not feel."""
        encoding = self.encode(hyperparams, params, inputs)
        terms = bounds.vib(
            keys,
            inputs,
            labels,
            encode_fn=lambda _: encoding,
            decode_fn=lambda codes: self.decode(params, codes),
            prior=losses.standard_normal(self.encoder.latent_dim),
            beta=hyperparams["beta"],
        )
        codes = jax.lax.stop_gradient(losses.sample(own_draw(keys, _SECOND), encoding)[0])
        return terms._replace(loss=terms.loss + losses.cross_entropy(self.decode(params, codes, 1), labels))


def own_draw(keys: Array, place: int) -> Array:
    """Keys [B] for another draw of z than that of the keys themselves."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, place)


def pair_of(config: PairConfig, num_classes: int) -> Pair:
    """The networks of all pairs of a run."""
    encoder = MaskedEncoder(config.latent_dim, max(config.depths), max(config.widths))
    return Pair(encoder, (models.LinearDecoder(num_classes), SecondDecoder(num_classes, config.decoder_width)))


def functions_of(pair: Pair) -> RecipeFunctions:
    """The functions of the recipe by which all pairs of a run are trained."""
    encoder, prior = pair.encoder, losses.standard_normal(pair.encoder.latent_dim)
    largest = {"depth": jnp.int32(encoder.max_depth), "width": jnp.int32(encoder.max_width)}

    def network(config: PairConfig, class_probabilities: np.ndarray, axis_name: str | None) -> models.Classifier:
        """The pair with all of its encoder, for its parameters and to be traced."""
        return models.Classifier(
            init=pair.init,
            encode=lambda params, inputs: pair.encode(largest, params, inputs),
            encode_train=lambda params, inputs, keys: (pair.encode(largest, params, inputs), {}),
            decode=pair.decode,
            prior=lambda params: prior,
        )

    def loss(config: PairConfig, model: models.Classifier, shares: np.ndarray, hyperparams: Hyperparams) -> Any:
        """The member's own, not that of all of the encoder."""
        return functools.partial(pair.loss, hyperparams)

    return RecipeFunctions(network, schedule=objectives.constant, loss=loss)


def encoder_layers(params: Params, depth: int, width: int) -> list[np.ndarray]:
    """The matrices [outputs, inputs] of the network that a member's encoder is, float64, from images in [0, 1].

    The last one gives the K means, and then the K numbers whose softplus is the scale.
    """
    encoder = params["encoder"]
    kernels = [encoder[f"hidden_{layer}"]["kernel"] for layer in range(depth)] + [encoder["Dense_0"]["kernel"]]
    matrices = [np.asarray(kernel, np.float64).T for kernel in kernels]
    matrices = [matrix[:width] for matrix in matrices[:-1]] + matrices[-1:]
    return [2.0 * matrices[0]] + [matrix[:, :width] for matrix in matrices[1:]]


def smoothness(layers: Sequence[np.ndarray], least_scale: float) -> Mapping[str, float]:
    """Bounds on an encoder's Lipschitz constant in L2, of mean and scale together, and Theorem 3's in log space.

    Args:
      layers: as of `encoder_layers`.
      least_scale: on the images that were looked at; the theorem asks for that over all images.

    Returns:
      "lipschitz_product" and "lipschitz_averaged" of the whole network (softplus has slopes of at most one), and from
      the tighter ones of mean and scale the logarithm of the density's constant, corrected and as printed in the paper.
    """
    whole, half = evaluation.lipschitz_bounds(layers), len(layers[-1]) // 2
    mean, scale = (
        evaluation.lipschitz_bounds([*layers[:-1], rows]).averaged for rows in (layers[-1][:half], layers[-1][half:])
    )
    density = functools.partial(evaluation.log_density_lipschitz, half, least_scale, mean, scale)
    return {
        "lipschitz_product": whole.product,
        "lipschitz_averaged": whole.averaged,
        "least_scale": least_scale,
        "log_density_corrected": density(form="corrected"),
        "log_density_printed": density(form="printed"),
    }
