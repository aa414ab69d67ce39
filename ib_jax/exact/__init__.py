r"""Exact solutions of information bottleneck problems, in NumPy and float64, in nats, for checking the other modules.

Solves discrete tables by Blahut-Arimoto, jointly Gaussian variables in closed form, and Gaussian encoders over finitely
many inputs by quadrature or Monte Carlo. :math:`\beta` always weighs the rate, :math:`L = \beta I(X;Z) - I(Z;Y)`, so
useful values lie in (0, 1). The conditional form :math:`I(Z;Y) - e^{-\rho} I(X;Z|Y)` has the same optima at
:math:`\beta = 1 / (1 + e^\rho)`.

The package also checks theorems on robustness: statistics of finite tables, attacked codes, decoders that share an
encoder, and two Gaussian classes with a linear oracle.
"""

from ib_jax.exact.disagreement import LinearClassifier, adversarial_distance, boundary_distance
from ib_jax.exact.discrete import DiscreteCurve, blahut_arimoto
from ib_jax.exact.finite import FiniteInformation, finite_information, marginal_divergence
from ib_jax.exact.frontier import critical_beta, discrete_frontier, phase_transitions
from ib_jax.exact.gaussian import (
    GaussianCurve,
    Information,
    canonical_correlations,
    critical_betas,
    gaussian_curve,
    gaussian_frontier,
    linear_encoder_information,
)
from ib_jax.exact.quantised import code_log_density, encoder_lipschitz, quantised_encoder, quantised_lipschitz
from ib_jax.exact.robustness import AttackedCode, attacked_code
from ib_jax.exact.sampled import Estimate, SampledInformation, sampled_information
from ib_jax.exact.statistics import (
    adversarial_examples,
    best_decoder,
    error_and_entropy,
    is_minimal_sufficient,
    is_monotonic,
    is_sufficient,
    partitions,
    statistic_information,
)
from ib_jax.exact.tables import TableInformation, table_information
from ib_jax.exact.transferability import ExactTransfer, transfer
from ib_jax.exact.two_gaussians import TwoGaussians

__all__ = [
    "AttackedCode",
    "DiscreteCurve",
    "Estimate",
    "ExactTransfer",
    "FiniteInformation",
    "GaussianCurve",
    "Information",
    "LinearClassifier",
    "SampledInformation",
    "TableInformation",
    "TwoGaussians",
    "adversarial_distance",
    "adversarial_examples",
    "attacked_code",
    "best_decoder",
    "blahut_arimoto",
    "boundary_distance",
    "canonical_correlations",
    "code_log_density",
    "critical_beta",
    "critical_betas",
    "discrete_frontier",
    "encoder_lipschitz",
    "error_and_entropy",
    "finite_information",
    "gaussian_curve",
    "gaussian_frontier",
    "is_minimal_sufficient",
    "is_monotonic",
    "is_sufficient",
    "linear_encoder_information",
    "marginal_divergence",
    "partitions",
    "phase_transitions",
    "quantised_encoder",
    "quantised_lipschitz",
    "sampled_information",
    "statistic_information",
    "table_information",
    "transfer",
]
