"""Two problems whose information bottleneck is known exactly, with encoders that the library's bounds can train.

In both, bounds can be tight: priors and backward encoders are of the family of the true marginals, decoders of that of
the true posterior.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import exact, losses
from ib_jax.training import Batch
from ib_jax.types import Array, Backward, DiagGaussian, GaussianMixture, Params, Prediction, Reference


class Problem(NamedTuple):
    """Data, a model of it as pure functions of parameters, and the exact answers.

    Attributes:
      name: for titles and files.
      data: the examples, with weights p(x) where they are not equally likely.
      label_entropy: H(Y) in nats; of a continuous Y the differential entropy.
      batch_size, num_steps, num_samples, learning_rate: of training.
      init: key -> params.
      encode, decode, prior, backward: as of `models.Classifier`.
      measure: params -> exact information of the trained code.
      curve: betas -> the exact curve.
      frontier: I(X;Z) [K] -> the highest I(Z;Y) any encoder can have [K].
      contains: I(X;Z) -> whether the family of encoders contains the optimum there.
    """

    name: str
    data: Batch
    label_entropy: float
    batch_size: int
    num_steps: int
    num_samples: int
    learning_rate: float
    init: Callable[[Array], Params]
    encode: Callable[[Params, Array], DiagGaussian]
    decode: Callable[[Params, Array], Prediction]
    prior: Callable[[Params], Reference]
    backward: Callable[[Params], Backward]
    measure: Callable[[Params], exact.Information]
    curve: Callable[[np.ndarray], exact.GaussianCurve | exact.DiscreteCurve]
    frontier: Callable[[np.ndarray], np.ndarray]
    contains: Callable[[float], bool]


def gaussian_problem(num_examples: int = 2**16, num_steps: int = 3000) -> Problem:
    """X in four dimensions, Y in two, jointly Gaussian with canonical correlations 0.95 and 0.7; linear encoders.

    Y is white in the canonical basis and X mixed by a fixed matrix. The optimum is a linear code with Gaussian noise,
    so the family contains it at every beta.
    """
    correlations, mixing = np.array([0.95, 0.7]), np.random.default_rng(0).normal(size=(4, 4))
    cov_x, cov_y = mixing @ mixing.T, np.eye(2)
    cov_xy = mixing[:, :2] * correlations
    joint = np.block([[cov_x, cov_xy], [cov_xy.T, cov_y]])
    samples = np.random.default_rng(1).multivariate_normal(np.zeros(6), joint, num_examples).astype(np.float32)

    def linear(key: Array, fan_in: int) -> Array:
        return 0.3 * jax.random.normal(key, (fan_in, 2))

    def init(key: Array) -> Params:
        encoder, decoder, backward = jax.random.split(key, 3)
        weights = {"encoder": linear(encoder, 4), "decoder": linear(decoder, 2), "backward": linear(backward, 2)}
        return weights | {"log_scale": {name: jnp.zeros(2) for name in ("encoder", "decoder", "prior", "backward")}}

    def gaussian(params: Params, name: str, inputs: Array) -> DiagGaussian:
        mean = inputs @ params[name]
        return DiagGaussian(mean, jnp.broadcast_to(jnp.exp(params["log_scale"][name]), mean.shape))

    def measure(params: Params) -> exact.Information:
        scale = np.exp(np.asarray(params["log_scale"]["encoder"], np.float64))
        return exact.linear_encoder_information(np.asarray(params["encoder"]).T, scale, cov_x, cov_y, cov_xy)

    return Problem(
        name="gaussian",
        data=Batch(jnp.asarray(samples[:, :4]), jnp.asarray(samples[:, 4:])),
        label_entropy=math.log(2.0 * math.pi * math.e),
        batch_size=1024,
        num_steps=num_steps,
        num_samples=1,
        learning_rate=1e-2,
        init=init,
        encode=lambda params, inputs: gaussian(params, "encoder", inputs),
        decode=lambda params, codes: gaussian(params, "decoder", codes),
        prior=lambda params: DiagGaussian(jnp.zeros(2), jnp.exp(params["log_scale"]["prior"])),
        backward=lambda params: lambda targets: gaussian(params, "backward", targets),
        measure=measure,
        curve=lambda betas: exact.gaussian_curve(correlations, betas),
        frontier=lambda rates: exact.gaussian_frontier(correlations, rates),
        contains=lambda rate: True,
    )


def discrete_problem(num_steps: int = 3000) -> Problem:
    """Eight equally likely symbols in two groups of two pairs, four classes; a Gaussian in the plane for each symbol.

    The symbols of a pair mean the same. As beta falls, the optimal code first tells the groups apart, then the pairs.
    Where the optimum sends each symbol to one cluster, the family contains it in the limit of small scales; between,
    the optimum is a soft assignment, which no Gaussian makes exactly. A rate counts as contained if within 3 % of it
    there is an optimum that sends every symbol to one of several clusters with a probability above 0.995.
    """
    pairs = np.array([[14, 4, 1, 1], [4, 14, 1, 1], [1, 1, 14, 4], [1, 1, 4, 14]]) / 20
    p_y_given_x, num_symbols = np.repeat(pairs, 2, axis=0), 8
    p_x = np.full(num_symbols, 1 / num_symbols)
    joint = p_x[:, None] * p_y_given_x
    fine = exact.blahut_arimoto(joint, np.geomspace(0.01, 0.7, 60))
    hard = (fine.encoders.max(-1) > 0.995).all(-1) & (fine.num_clusters > 1)
    hard_rates = fine.information_xz[hard]

    def mixture(key: Array, *shape: int) -> dict[str, Array]:
        return {
            "logits": jnp.zeros(shape),
            "mean": jax.random.normal(key, (*shape, 2)),
            "log_scale": jnp.zeros((*shape, 2)),
        }

    def init(key: Array) -> Params:
        encoder, decoder, prior, backward = jax.random.split(key, 4)
        return {
            "encoder": {"mean": jax.random.normal(encoder, (num_symbols, 2)), "log_scale": jnp.zeros((num_symbols, 2))},
            "decoder": mixture(decoder, 4, num_symbols),
            "prior": mixture(prior, num_symbols),
            "backward": mixture(backward, 4, num_symbols),
        }

    def as_mixture(params: Params) -> GaussianMixture:
        return GaussianMixture(params["logits"], params["mean"], jnp.exp(params["log_scale"]))

    def encode(params: Params, inputs: Array) -> DiagGaussian:
        return DiagGaussian(inputs @ params["encoder"]["mean"], jnp.exp(inputs @ params["encoder"]["log_scale"]))

    def measure(params: Params) -> exact.Information:
        encoding = encode(params, jnp.eye(num_symbols))
        return exact.Information(*exact.finite_information(encoding, p_x, p_y_given_x)[:3])

    return Problem(
        name="discrete",
        data=Batch(jnp.eye(num_symbols), jnp.asarray(p_y_given_x, jnp.float32), jnp.asarray(p_x, jnp.float32)),
        label_entropy=math.log(4.0),
        batch_size=num_symbols,
        num_steps=num_steps,
        num_samples=64,
        learning_rate=2e-2,
        init=init,
        encode=encode,
        decode=lambda params, codes: losses.bayes_logits(codes, as_mixture(params["decoder"])),
        prior=lambda params: as_mixture(params["prior"]),
        backward=lambda params: as_mixture(params["backward"]),
        measure=measure,
        curve=lambda betas: exact.blahut_arimoto(joint, betas),
        frontier=lambda rates: exact.discrete_frontier(fine, rates),
        contains=lambda rate: bool((np.abs(hard_rates / rate - 1.0) < 0.03).any()),
    )
