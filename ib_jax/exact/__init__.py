"""Information bottleneck problems with known answers: the independent oracle, in NumPy and float64, in nats.

Discrete tables by Blahut-Arimoto, jointly Gaussian variables in closed form, and Gaussian encoders over finitely many
inputs by quadrature or Monte Carlo. Everywhere beta weighs the rate, L = beta I(X;Z) - I(Z;Y), so that useful betas
are in (0, 1); the conditional form I(Z;Y) - exp(-rho) I(X;Z|Y) has the same optima at beta = 1 / (1 + exp(rho)).
"""

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
from ib_jax.exact.sampled import Estimate, SampledInformation, sampled_information
from ib_jax.exact.tables import TableInformation, table_information

__all__ = [
    "DiscreteCurve",
    "Estimate",
    "FiniteInformation",
    "GaussianCurve",
    "Information",
    "SampledInformation",
    "TableInformation",
    "blahut_arimoto",
    "canonical_correlations",
    "critical_beta",
    "critical_betas",
    "discrete_frontier",
    "finite_information",
    "gaussian_curve",
    "gaussian_frontier",
    "linear_encoder_information",
    "marginal_divergence",
    "phase_transitions",
    "sampled_information",
    "table_information",
]
