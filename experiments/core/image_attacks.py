"""The attacks on an image model as a suite, and what a record keeps of them.

The model answers from the mean of its code, as in the paper; against EOT it answers from samples of z, too. An image
stands, under a targeted attack as well, if it was right before by the same kind of answer and still is.
"""

from typing import Any

import numpy as np

from experiments.core import attacks
from experiments.core import image_attacks_config as names
from experiments.core.image_attacks_config import LEVELS, AttackSettings
from ib_jax import data, models
from ib_jax.evaluation import AttackSuite, SuiteResult


def make_suite(
    settings: AttackSettings,
    model: models.Classifier,
    *,
    stochastic: bool,
    split: data.Split,
    num_classes: int,
    num_eval_samples: int,
) -> AttackSuite:
    """The attacks on models of one structure.

    Args:
      settings: sizes and radii.
      model: the network.
      stochastic: whether its code is.
      split: the images to attack, the first of them.
      num_classes: C.
      num_eval_samples: samples of z behind an averaged answer.
    """
    count = min(settings.num_attack_images, len(split.labels))
    return AttackSuite(
        list(names.plan(settings, stochastic=stochastic)),
        models.sampled_apply(model),
        np.asarray(data.to_unit_interval(split.inputs[:count])),
        split.labels[:count],
        targets=attacks.random_targets(split.labels[:count], num_classes),
        mean_fn=models.mean_apply(model),
        num_eval_samples=num_eval_samples,
        batch_size=settings.attack_batch_size,
    )


def record_of(result: SuiteResult, settings: AttackSettings, *, stochastic: bool) -> dict[str, Any]:
    """Accuracies, rows of attacks, all of them at the one radius, and findings; radii in levels."""
    steps = names.plan(settings, stochastic=stochastic)
    rows = [
        {**steps[row.spec]._asdict(), "num_images": row.num_images, "accuracy": row.accuracy, "seconds": row.seconds}
        for row in result.rows
    ]
    together = result.together(settings.radius / LEVELS)
    kinds = {spec.label: step.attack for spec, step in steps.items()}
    accuracy = {kinds.get(label, label): share for label, share in together.accuracy.items()}
    accuracy[names.WORST] = accuracy.pop("worst")
    sampled = result.right() if result.clean is None else result.clean
    return {
        "num_images": len(result.right()),
        "clean_accuracy": result.clean_accuracy,
        "clean_accuracy_sampled": float(sampled.mean()),
        "attacks": rows,
        "at_radius": {"epsilon": settings.radius, "num_images": together.num_images, "accuracy": accuracy},
        "findings": attacks.findings(result),
    }
