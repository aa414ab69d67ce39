"""How `experiments.mnist_vib` attacks a model."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.core.evaluator import SPLITS, Evaluator
from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement
from experiments.mnist_vib.plane import drawn_codes
from ib_jax import attacks, data, evaluation, models, training
from ib_jax.types import Array, Attack, Params


class AttackedRadii(NamedTuple):
    """An attack at several radii: its conditions in a record but for the radius, and how it is made of one."""

    at: Mapping[str, Any]
    epsilons: tuple[float, ...]
    make: Callable[[Array], Attack]


class AttackEvaluator(Evaluator):
    """Evaluates parameters under attack, too; each program is compiled once.

    Attributes:
      attacks: with a radius at least.
      attack_batch_size: images attacked at a time, on all devices.
      per_example: by name an array over the test images, from the last `at_end`.
    """

    def __init__(self, recipe: Recipe):
        super().__init__(recipe, SPLITS)
        config = self._config = recipe.config
        self.per_example: dict[str, np.ndarray] = {}
        self.attack_batch_size = min(500, config.eval_batch_size)
        self._num_images = min(config.num_attack_images, len(recipe.dataset.test.labels))
        samples, steps = config.num_eot_samples if config.stochastic else 1, config.attack_steps
        fgsm = functools.partial(attacks.fgsm, num_eot_samples=samples)
        pgd = functools.partial(attacks.pgd, num_eot_samples=samples, num_steps=steps)
        linf, l2 = config.attack_epsilons, config.attack_l2_epsilons

        def at(attack: str, norm: str, targeted: bool = False, **steps: int) -> dict[str, Any]:
            conditions = {"split": "test", "attack": attack, "norm": norm, "targeted": targeted, **steps}
            return conditions | {"num_images": self._num_images, "num_eot_samples": samples}

        attacked = [
            AttackedRadii(at("fgsm", "linf"), linf, fgsm),
            AttackedRadii(at("pgd", "linf", num_steps=steps), linf, pgd),
            AttackedRadii(at("pgd", "linf", targeted=True, num_steps=steps), linf, pgd),
            AttackedRadii(at("pgd", "l2", num_steps=steps), l2, functools.partial(pgd, norm="l2")),
        ]
        self.attacks = [attack for attack in attacked if attack.epsilons]
        robust = functools.partial(training.map_examples, batch_size=self.attack_batch_size)
        self._robust = [robust(self.robust_examples(attack)) for attack in self.attacks]

    def at_end(self, params: Params) -> dict[str, Any]:
        """Summaries of all splits, the accuracy under attack, and what the figures are drawn from."""
        found = self._terms(params, SPLITS)
        terms, labels = found["test"]
        named = {name: value for name, value in terms._asdict().items() if value is not None}
        self.per_example = named | {"labels": labels}
        more: dict[str, Any] = {
            "measurements": self.robustness(params),
            "num_test_images": len(labels),
            "calibration_bins": calibration_bins(np.asarray(terms.confidence), np.asarray(terms.correct_avg)),
        }
        if self._config.latent_dim == 2:
            more["codes"] = drawn_codes(self._model, params, self._recipe.dataset)
        return self._summaries(found) | more

    def robustness(self, params: Params) -> list[Measurement]:
        """Accuracy of the first test images, clean and under each attack at each radius."""
        batch, key = self.attacked_images(), stream(self._config.seed, "robustness")
        if not self._num_images:
            return []
        clean = self._terms_of(params, data.Split(*batch[:2]))[0].correct_avg.mean()
        return self.measurements(clean, [robust(params, key, batch).mean(0) for robust in self._robust])

    def measurements(self, clean: Any, accuracy: Sequence[np.ndarray]) -> list[Measurement]:
        """Accuracies for a record: without an attack, and [E] of each of the `attacks`."""
        at = {"split": "test", "attack": "clean", "num_images": self._num_images}
        rows = [Measurement(at, {"accuracy": float(clean)})]
        for attack, values in zip(self.attacks, accuracy, strict=True):
            for epsilon, value in zip(attack.epsilons, values.tolist(), strict=True):
                rows.append(Measurement({**attack.at, "epsilon": epsilon}, {"accuracy": value}))
        return rows

    def attacked_images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first test images, their labels, and targets drawn among the other classes."""
        dataset = self._recipe.dataset
        inputs, labels = (array[: self._config.num_attack_images] for array in dataset.test)
        targets = attacks.random_targets(stream(self._config.seed, "targets"), jnp.asarray(labels), dataset.num_classes)
        return inputs, labels, np.asarray(targets, np.int32)

    def robust_examples(self, attack: AttackedRadii) -> Callable[..., Array]:
        """(params, keys [B], (inputs, labels, targets)) -> bool [B, E], right after the attack at each radius; pure."""

        def robust(params: Params, keys: Array, batch: tuple[Array, Array, Array]) -> Array:
            inputs, labels, targets = batch
            return evaluation.robust_correct(
                keys,
                functools.partial(models.sampled_apply(self._model), params),
                data.to_unit_interval(inputs),
                labels,
                make_attack=attack.make,
                epsilons=jnp.array(attack.epsilons),
                targets=targets if attack.at["targeted"] else None,
                num_samples=self._config.num_eval_samples,
            )

        return robust


def calibration_bins(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> dict[str, list[float]]:
    """The reliability diagram: of each bin of equal width that is not empty its images, confidence and accuracy."""
    bins = np.clip(np.ceil(np.asarray(confidence, np.float64) * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    sums = {"confidence": np.bincount(bins, confidence, num_bins), "accuracy": np.bincount(bins, correct, num_bins)}
    kept = count > 0
    return {"count": count[kept].tolist()} | {name: (each[kept] / count[kept]).tolist() for name, each in sums.items()}
