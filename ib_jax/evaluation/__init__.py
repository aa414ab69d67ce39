"""Evaluation: accuracy, information, calibration, robustness to attacks, and checks of these."""

from ib_jax.evaluation.accuracy import ExampleTerms, evaluate_examples, summarise
from ib_jax.evaluation.aggregate import AggregateTerms, aggregate_information
from ib_jax.evaluation.answer_checks import check_answers, check_search
from ib_jax.evaluation.answers import decided, is_right, median_distance, most_probable, standing
from ib_jax.evaluation.attack_programs import AttackPrograms, TransferSource
from ib_jax.evaluation.attack_spec import ATTACKS, AttackSpec
from ib_jax.evaluation.attack_suite import AttackSuite, SuiteKeys
from ib_jax.evaluation.batch_checks import check_batch
from ib_jax.evaluation.calibration import expected_calibration_error
from ib_jax.evaluation.checks import check_gradients, check_logits, check_model, check_randomness
from ib_jax.evaluation.chunks import ChunkProgress, attack_in_chunks
from ib_jax.evaluation.correlation import Correlation, pearson
from ib_jax.evaluation.corruption_error import ALEXNET_ERRORS, average_corruption_error, mean_corruption_error
from ib_jax.evaluation.curve_checks import check_large_radius, check_monotone, check_unbounded
from ib_jax.evaluation.discretise import DiscretisedFeatures, discretise
from ib_jax.evaluation.encoder_lipschitz import Form, log_density_lipschitz
from ib_jax.evaluation.entropy import count_symbols, entropy_jvhw, entropy_miller_madow, entropy_plug_in
from ib_jax.evaluation.entropy_interval import EntropyInterval, bootstrap_entropy
from ib_jax.evaluation.export import export_images, robustbench_info
from ib_jax.evaluation.fano import fano_error
from ib_jax.evaluation.findings import Finding
from ib_jax.evaluation.finite_sample import sampling_deviation, sampling_error
from ib_jax.evaluation.information import label_entropy, label_probabilities, nats_to_bits
from ib_jax.evaluation.information_bounds import (
    InformationBounds,
    InformationGap,
    PairedTerms,
    bound_information,
    evaluate_pairs,
    information_gap,
    oblivious_vulnerability,
)
from ib_jax.evaluation.linear_chain import linear_chain
from ib_jax.evaluation.lipschitz import LipschitzBounds, lipschitz_bounds
from ib_jax.evaluation.lipschitz_ascent import lipschitz_ascent
from ib_jax.evaluation.natural import restrict_to_classes
from ib_jax.evaluation.perturbations import Perturbations, measure_perturbations, summarise_perturbations
from ib_jax.evaluation.predict import sampled_logits_fn
from ib_jax.evaluation.result_checks import (
    check_black_box,
    check_budget,
    check_confirmed,
    check_one_step,
    check_results,
)
from ib_jax.evaluation.robustness import robust_correct, robustness_curve
from ib_jax.evaluation.robustness_bound import (
    RobustnessBound,
    RobustnessConstants,
    psi,
    robustness_bound,
    robustness_constants,
)
from ib_jax.evaluation.standard_suite import evaluate_attacks, standard_suite
from ib_jax.evaluation.suite_result import AttackRow, SuiteResult, Together
from ib_jax.evaluation.transfer import Transfer, measure_transfer, transfer_table
from ib_jax.losses import mean_probabilities

__all__ = [
    "ALEXNET_ERRORS",
    "ATTACKS",
    "AggregateTerms",
    "AttackPrograms",
    "AttackRow",
    "AttackSpec",
    "AttackSuite",
    "ChunkProgress",
    "Correlation",
    "DiscretisedFeatures",
    "EntropyInterval",
    "ExampleTerms",
    "Finding",
    "Form",
    "InformationBounds",
    "InformationGap",
    "LipschitzBounds",
    "PairedTerms",
    "Perturbations",
    "RobustnessBound",
    "RobustnessConstants",
    "SuiteKeys",
    "SuiteResult",
    "Together",
    "Transfer",
    "TransferSource",
    "aggregate_information",
    "attack_in_chunks",
    "average_corruption_error",
    "bootstrap_entropy",
    "bound_information",
    "check_answers",
    "check_batch",
    "check_black_box",
    "check_budget",
    "check_confirmed",
    "check_gradients",
    "check_large_radius",
    "check_logits",
    "check_model",
    "check_monotone",
    "check_one_step",
    "check_randomness",
    "check_results",
    "check_search",
    "check_unbounded",
    "count_symbols",
    "decided",
    "discretise",
    "entropy_jvhw",
    "entropy_miller_madow",
    "entropy_plug_in",
    "evaluate_attacks",
    "evaluate_examples",
    "evaluate_pairs",
    "expected_calibration_error",
    "export_images",
    "fano_error",
    "information_gap",
    "is_right",
    "label_entropy",
    "label_probabilities",
    "linear_chain",
    "lipschitz_ascent",
    "lipschitz_bounds",
    "log_density_lipschitz",
    "mean_corruption_error",
    "mean_probabilities",
    "measure_perturbations",
    "measure_transfer",
    "median_distance",
    "most_probable",
    "nats_to_bits",
    "oblivious_vulnerability",
    "pearson",
    "psi",
    "restrict_to_classes",
    "robust_correct",
    "robustbench_info",
    "robustness_bound",
    "robustness_constants",
    "robustness_curve",
    "sampled_logits_fn",
    "sampling_deviation",
    "sampling_error",
    "standard_suite",
    "standing",
    "summarise",
    "summarise_perturbations",
    "transfer_table",
]
