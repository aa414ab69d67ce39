"""How large the perturbations of a minimal attack are."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.types import Array, AttackResult


class Perturbations(NamedTuple):
    """A minimal attack, example by example; NumPy arrays.

    Attributes:
      correct: bool [N], classified right before the attack.
      success: bool [N], of the attack.
      l2: float [N], the perturbation's L2 norm; infinite where the attack failed.
      linf: float [N], its L-inf norm; infinite where the attack failed.
    """

    correct: np.ndarray
    success: np.ndarray
    l2: np.ndarray
    linf: np.ndarray


def measure_perturbations(inputs: Array, result: AttackResult, correct: Array) -> Perturbations:
    """The size of each example's perturbation.

    Args:
      inputs: float [N, ...], before the attack.
      result: of the attack on them.
      correct: bool [N], whether the model was right before the attack.

    Returns:
      Perturbations.

    Raises:
      ValueError: the shapes do not belong together, or the model has no answer at some results.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import AttackResult, evaluation
      >>> inputs, success = jnp.zeros((2, 2)), jnp.array([True, False])
      >>> result = AttackResult(jnp.array([[3.0, 4.0], [0.0, 0.0]]), success)
      >>> evaluation.measure_perturbations(inputs, result, jnp.array([True, True])).l2
      array([ 5., inf], dtype=float32)
    """
    inputs, perturbed = jnp.asarray(inputs), jnp.asarray(result.inputs)
    right, success = np.asarray(correct, bool), result.decided().astype(bool)
    if inputs.shape != perturbed.shape or right.shape != success.shape or right.shape != inputs.shape[:1]:
        shapes = f"{inputs.shape}, {perturbed.shape}, {success.shape} and {right.shape}"
        raise ValueError(f"inputs, result and correct must be of the same examples, got shapes {shapes}")
    sizes = (np.asarray(losses.perturbation_norm(perturbed - inputs, norm)) for norm in ("l2", "linf"))
    return Perturbations(right, success, *(np.where(success, size, np.inf) for size in sizes))


def summarise_perturbations(perturbations: Perturbations) -> Mapping[str, float]:
    """Success rate, and mean and median sizes, over the examples that were classified right before the attack.

    An example that was wrong from the start has nothing to perturb; counting it would make the attack look stronger.

    Args:
      perturbations: see `Perturbations`.

    Returns:
      `num_correct`; `success_rate`, in [0, 1]; `mean_l2`, `median_l2`, `mean_linf` and `median_linf` over successes;
      and `median_l2_all` and `median_linf_all`, in which a failure counts as infinite, so that an attack cannot look
      better by failing at the hard ones. NaN where there is nothing to average.

    Raises:
      ValueError: there are no examples.

    Example:
      >>> import numpy as np
      >>> from ib_jax import evaluation
      >>> yes = np.array([True, True, True])
      >>> sizes = np.array([1.0, 2.0, np.inf])
      >>> found = evaluation.Perturbations(yes, np.isfinite(sizes), sizes, sizes / 10)
      >>> summary = evaluation.summarise_perturbations(found)
      >>> summary["success_rate"], summary["median_l2"], summary["median_l2_all"]
      (0.66..., 1.5, 2.0)
    """
    if not len(perturbations.correct):
        raise ValueError("perturbations must hold at least one example, got none")
    correct, success = perturbations.correct, perturbations.success & perturbations.correct
    summary = {"num_correct": int(correct.sum()), "success_rate": _reduce(np.mean, success[correct])}
    for name in ("l2", "linf"):
        sizes = getattr(perturbations, name)
        summary[f"mean_{name}"] = _reduce(np.mean, sizes[success])
        summary[f"median_{name}"] = _reduce(np.median, sizes[success])
        # Not np.median: the mean of the two in the middle may be infinite minus nothing.
        summary[f"median_{name}_all"] = _reduce(lambda x: np.quantile(x, 0.5, method="lower"), sizes[correct])
    return summary


def _reduce(function: object, values: np.ndarray) -> float:
    assert callable(function)
    return float(function(values)) if values.size else float("nan")
