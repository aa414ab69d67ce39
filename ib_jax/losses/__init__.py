"""Pure array kernels, per example and in nats, shared by the bounds, the attacks and the evaluation."""

from ib_jax.losses.classification import cross_entropy, entropy, margin
from ib_jax.losses.gaussian import kl_divergence, log_prob, standard_normal
from ib_jax.losses.sampling import per_example_keys, sample, sample_keys, sampled_probabilities

__all__ = [
    "cross_entropy",
    "entropy",
    "kl_divergence",
    "log_prob",
    "margin",
    "per_example_keys",
    "sample",
    "sample_keys",
    "sampled_probabilities",
    "standard_normal",
]
