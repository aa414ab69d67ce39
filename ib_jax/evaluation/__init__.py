"""Evaluation: accuracy, information and calibration, and robustness to attacks it is handed."""

from ib_jax.evaluation.accuracy import ExampleTerms, evaluate_examples, summarise
from ib_jax.evaluation.calibration import expected_calibration_error
from ib_jax.evaluation.information import label_entropy, label_probabilities, nats_to_bits
from ib_jax.evaluation.predict import mean_probabilities, sampled_logits_fn
from ib_jax.evaluation.robustness import robust_correct

__all__ = [
    "ExampleTerms",
    "evaluate_examples",
    "expected_calibration_error",
    "label_entropy",
    "label_probabilities",
    "mean_probabilities",
    "nats_to_bits",
    "robust_correct",
    "sampled_logits_fn",
    "summarise",
]
