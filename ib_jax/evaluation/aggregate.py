"""I(X;T) without a prior: encodings compared with one another."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.types import Array, EncodeFn


class AggregateTerms(NamedTuple):
    """The divergence of each :math:`p(t|x_i)` from mixtures of the encodings, in nats; see `aggregate_information`.

    Attributes:
      from_all: float [N], from the mean of all N encodings, <= log N.
      from_others: float [N], from the mean of the N - 1 others.
    """

    from_all: Array
    from_others: Array


def aggregate_information(key: Array, inputs: Array, *, encode_fn: EncodeFn, num_samples: int = 1) -> AggregateTerms:
    r""":math:`I(X;T)` without a prior: encodings compared with the mean of all of them, and of the others.

    .. math:: \frac1N \sum_i E_{t \sim p(t|x_i)} \log \frac{p(t|x_i)}{\frac1N \sum_j p(t|x_j)}
              \;\le\; I(X;T) \;\le\;
              \frac1N \sum_i E_{t \sim p(t|x_i)} \log \frac{p(t|x_i)}{\frac1{N-1} \sum_{j \ne i} p(t|x_j)}

    In this line X is the population, the N inputs are independent draws from it, and both bounds hold in expectation
    over them. The left side is I(X;T) itself for another X: the empirical distribution of the N inputs, and never above
    log N, so a value near log N says only that there is more. Where encodings hardly overlap the right side is larger
    than the rate; use the smaller of the two. For a trained model, take inputs that it was not trained on; else X is
    not the population. Pure and jittable; time in proportion to S N^2 D, memory to S N D.

    Args:
      key: one PRNG key, or one for each example ([N]).
      inputs: float [N, ...], N >= 2.
      encode_fn: inputs [N, ...] -> DiagGaussian [N, D], or Gaussian with a full covariance, scale > 0.
      num_samples: S >= 1, samples of t for each input.

    Returns:
      AggregateTerms with fields [N], in nats, whose means are the two bounds; the terms are not independent.

    Raises:
      ValueError: there are fewer than two inputs, or `num_samples` is less than 1.

    Source: Poole et al., On Variational Bounds of Mutual Information, 2019, section 2 (the bounds for a known p(t|x)).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, evaluation
      >>> encode_fn = lambda x: DiagGaussian(x, jnp.ones_like(x))
      >>> inputs = jnp.array([[-50.0], [0.0], [50.0]])
      >>> terms = evaluation.aggregate_information(jax.random.key(0), inputs, encode_fn=encode_fn)
      >>> print(f"{terms.from_all.mean():.4f}")  # log 3
      1.0986
    """
    encoding = encode_fn(jnp.asarray(inputs))
    num_inputs = encoding.mean.shape[0]
    if num_inputs < 2:
        raise ValueError(f"inputs must hold at least two examples, got {num_inputs}")
    samples, log_density = losses.sample_with_log_prob(key, encoding, num_samples)

    def ratios(example: tuple[Array, Array, Array]) -> Array:
        index, codes, own = example
        weights = jnp.full(num_inputs, -math.log(num_inputs - 1), codes.dtype).at[index].set(-jnp.inf)
        return own - jax.lax.map(lambda code: jax.nn.logsumexp(weights + losses.log_prob(encoding, code)), codes)

    examples = (jnp.arange(num_inputs), samples.swapaxes(0, 1), log_density.T)
    from_others = jax.lax.map(ratios, examples)
    # The own term is log_density, not recomputed from the code, so that rounding cannot lift the result over log N.
    from_all = math.log(num_inputs) - jnp.logaddexp(0.0, math.log(num_inputs - 1) - from_others)
    return AggregateTerms(from_all.mean(-1), from_others.mean(-1))
