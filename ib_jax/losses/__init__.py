"""Pure array kernels, per example and in nats, shared by the bounds, the attacks and the evaluation."""

from ib_jax.losses.bayes import bayes_logits, marginal
from ib_jax.losses.classification import correct, cross_entropy, entropy, margin
from ib_jax.losses.divergence import Codes, class_divergence, divergence, draw_codes
from ib_jax.losses.gaussian import gaussian_entropy, kl_divergence, log_prob, standard_normal
from ib_jax.losses.labels import check_labels, class_mask, is_soft
from ib_jax.losses.logit_ratio import dlr, targeted_dlr
from ib_jax.losses.perturbation import NORMS, perturbation_norm
from ib_jax.losses.precision import one_program, one_rank, wide_dtype, widened
from ib_jax.losses.prediction import negative_log_likelihood, prediction_entropy
from ib_jax.losses.probabilities import mean_probabilities, sampled_probabilities
from ib_jax.losses.sampling import (
    at_least_one,
    choose_keys,
    per_example_keys,
    reparameterise,
    sample,
    sample_keys,
    sample_with_log_prob,
    sampled_logits,
)
from ib_jax.losses.spectral import LinearMap, gradient_penalty, operator_norm, spectral_penalty
from ib_jax.losses.tradeoff import beta_to_rho, choose_beta, rho_to_beta, rho_to_gamma, weigh
from ib_jax.losses.verdict import count_classes, likeliest_others, pooled_logits, predicted_class, sampled_class

__all__ = [
    "NORMS",
    "Codes",
    "LinearMap",
    "at_least_one",
    "bayes_logits",
    "beta_to_rho",
    "check_labels",
    "choose_beta",
    "choose_keys",
    "class_divergence",
    "class_mask",
    "correct",
    "count_classes",
    "cross_entropy",
    "divergence",
    "dlr",
    "draw_codes",
    "entropy",
    "gaussian_entropy",
    "gradient_penalty",
    "is_soft",
    "kl_divergence",
    "likeliest_others",
    "log_prob",
    "margin",
    "marginal",
    "mean_probabilities",
    "negative_log_likelihood",
    "one_program",
    "one_rank",
    "operator_norm",
    "per_example_keys",
    "perturbation_norm",
    "pooled_logits",
    "predicted_class",
    "prediction_entropy",
    "reparameterise",
    "rho_to_beta",
    "rho_to_gamma",
    "sample",
    "sample_keys",
    "sample_with_log_prob",
    "sampled_class",
    "sampled_logits",
    "sampled_probabilities",
    "spectral_penalty",
    "standard_normal",
    "targeted_dlr",
    "weigh",
    "wide_dtype",
    "widened",
]
