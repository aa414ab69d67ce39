"""From the answers to each image to the numbers of a record of `experiments.imagenet_features`.

The columns of the papers' tables are read so: "% of successful FGS attacks" is the share, among the images answered
rightly before, of those that no longer are; the VUB paper does not say among which, so the share among all images is
recorded too. "Successful target" is the share, among the images attacked, that is answered with the target; distances
are means over these.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.imagenet_features import settings as names
from ib_jax import AttackResult, evaluation

ANSWERS = {"one": 0, "mean": 1}  # which of the two answers


def outcome(found: Mapping[str, np.ndarray], clean: np.ndarray, target: int | None, column: int) -> dict[str, Any]:
    """What an attack did, by one of the two answers.

    Args:
      found: `labels` [n], `answers` [n, 2], and for a minimal attack `l2` and `linf` [n] in pixels of range 1.
      clean: int [n, 2], the answers before.
      target: of a targeted attack; it was made on images rightly answered by the mean and of another class.
      column: which answer.

    Returns:
      `accuracy`, in images that were right and still are; `num_right` before the attack; `success`, among these;
      `success_of_all`, in images that were right and no longer are (or are answered with the target) among all n; for a
      minimal attack `mean_l2`, `mean_linf` and medians over successes, and `median_l2_all`, with a failure counted as
      infinitely far.
    """
    answers, labels = found["answers"][:, column], found["labels"]
    right = clean[:, column] == labels
    fooled = answers != labels if target is None else answers == target
    success = right & fooled
    row: dict[str, Any] = {
        "accuracy": _mean(right & (answers == labels)),
        "num_right": int(right.sum()),
        "success": _mean(success[right]),
        "success_of_all": _mean(success),
    }
    if "l2" in found:
        sizes = (np.where(success, found[norm], np.inf) for norm in ("l2", "linf"))
        sizes_of = evaluation.Perturbations(right, success, *sizes)
        kept = ("mean_l2", "mean_linf", "median_l2", "median_linf", "median_l2_all")
        summary = evaluation.summarise_perturbations(sizes_of) if len(labels) else dict.fromkeys(kept, np.nan)
        row |= {name: value for name, value in summary.items() if name in kept}
    return row


def rows(found: Mapping[str, Mapping[str, np.ndarray]], target: int, *, stochastic: bool) -> list[dict[str, Any]]:
    """A row for each attack and radius, with `one` and `mean` as of `outcome`.

    A deterministic model's attacks with one sample of z are those with many.

    Args:
      found: by attack, as of `Measurer.measure`.
      target: Carlini-Wagner's class.
      stochastic: whether the model is.
    """
    clean = found[names.CLEAN]
    place = {int(row): index for index, row in enumerate(clean["rows"])}
    listed = []
    for name, arrays in found.items():
        if name == names.CLEAN:
            continue
        attack, _, radius = name.rpartition("_") if "_" in name and name not in names.MINIMAL else (name, "", "")
        before = clean["answers"][[place[int(row)] for row in arrays["rows"]]]
        aim = target if attack in names.MINIMAL else None
        listed.append(
            {
                "attack": attack,
                "epsilon": float(radius) if radius else None,
                "num_images": len(arrays["labels"]),
                **{kind: outcome(arrays, before, aim, column) for kind, column in ANSWERS.items()},
                "seconds": float(arrays["seconds"]),
            }
        )
    if not stochastic:
        aliases = {averaged: one for one, averaged in names.WITHOUT_NOISE.items()}
        listed += [
            row | {"attack": aliases[row["attack"]], "seconds": 0.0} for row in listed if row["attack"] in aliases
        ]
    return listed


def same_images(found: Mapping[str, Mapping[str, np.ndarray]], radius: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Accuracy by the mean answer on the images that all attacks at one radius were tried on.

    Args:
      found: by attack, as of `Measurer.measure`.
      radius: at which PGD, transfer and Square were made.

    Returns:
      For the record: `num_images` and `accuracy` by attack, `worst` being the share that stands under every attack; and
      which images stand, bool [n] by attack: right before and after it.
    """
    wanted = {names.CLEAN: names.CLEAN} | {
        attack: f"{attack}_{radius:g}"
        for attack in (names.FGSM_ONE, names.FGSM, names.PGD, names.TRANSFER, names.SQUARE)
        if f"{attack}_{radius:g}" in found
    }
    count = min(len(found[name]["labels"]) for name in wanted.values())
    right = {
        attack: found[name]["answers"][:count, ANSWERS["mean"]] == found[name]["labels"][:count]
        for attack, name in wanted.items()
    }
    stands = {attack: each & right[names.CLEAN] for attack, each in right.items()}
    worst = np.all(list(stands.values()), axis=0)
    accuracy = {attack: _mean(each) for attack, each in stands.items()} | {names.WORST: _mean(worst)}
    return {"epsilon": radius, "num_images": count, "accuracy": accuracy}, stands


def findings(
    found: Mapping[str, Mapping[str, np.ndarray]], stands: Mapping[str, np.ndarray]
) -> list[evaluation.Finding]:
    """What the attacks say of their searches, and what looks suspicious about PGD beside the others.

    Args:
      found: by attack, as of `Measurer.measure`; one that was kept without word of its search is not asked.
      stands: as of `same_images`.
    """
    told = []
    for name, arrays in found.items():
        if "blocked" in arrays and len(arrays["success"]):
            inputs, success, blocked = (jnp.asarray(arrays[part]) for part in ("rows", "success", "blocked"))
            told += evaluation.check_search(AttackResult(inputs, success, blocked=blocked), name=name)
    black_box = {name: stands[name] for name in (names.TRANSFER, names.SQUARE)}
    return told + evaluation.check_results(stands[names.PGD], one_step=stands[names.FGSM], black_box=black_box)


def _mean(values: np.ndarray) -> float | None:
    """None for nothing to average."""
    return float(values.mean()) if values.size else None
