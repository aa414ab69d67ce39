"""Evaluation: accuracy, information and calibration, robustness to attacks it is handed, and checks of all that."""

from ib_jax.evaluation.accuracy import ExampleTerms, evaluate_examples, summarise
from ib_jax.evaluation.calibration import expected_calibration_error
from ib_jax.evaluation.checks import check_gradients, check_logits, check_model, check_randomness
from ib_jax.evaluation.chunks import ChunkProgress, attack_in_chunks
from ib_jax.evaluation.corruption_error import ALEXNET_ERRORS, average_corruption_error, mean_corruption_error
from ib_jax.evaluation.curve_checks import check_large_radius, check_monotone, check_unbounded
from ib_jax.evaluation.findings import Finding
from ib_jax.evaluation.information import label_entropy, label_probabilities, nats_to_bits
from ib_jax.evaluation.perturbations import Perturbations, measure_perturbations, summarise_perturbations
from ib_jax.evaluation.predict import mean_probabilities, sampled_logits_fn
from ib_jax.evaluation.result_checks import check_black_box, check_budget, check_one_step, check_results
from ib_jax.evaluation.robustness import robust_correct, robustness_curve

__all__ = [
    "ALEXNET_ERRORS",
    "ChunkProgress",
    "ExampleTerms",
    "Finding",
    "Perturbations",
    "attack_in_chunks",
    "average_corruption_error",
    "check_black_box",
    "check_budget",
    "check_gradients",
    "check_large_radius",
    "check_logits",
    "check_model",
    "check_monotone",
    "check_one_step",
    "check_randomness",
    "check_results",
    "check_unbounded",
    "evaluate_examples",
    "expected_calibration_error",
    "label_entropy",
    "label_probabilities",
    "mean_corruption_error",
    "mean_probabilities",
    "measure_perturbations",
    "nats_to_bits",
    "robust_correct",
    "robustness_curve",
    "sampled_logits_fn",
    "summarise",
    "summarise_perturbations",
]
