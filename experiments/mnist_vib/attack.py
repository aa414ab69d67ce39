"""How `experiments.mnist_vib` attacks a model."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.core.evaluator import SPLITS, Evaluator
from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from experiments.mnist_vib.settings import Config
from ib_jax import attacks, data, evaluation, losses, models, training
from ib_jax.types import Array, Attack, LogitsFn, Params


class NamedAttack(NamedTuple):
    """An attack of the evaluation: `make` takes a radius, as an array []."""

    name: str
    norm: str
    epsilons: tuple[float, ...]
    targeted: bool
    make: Callable[[Array], Attack]

    def row(self, accuracy: Sequence[float]) -> dict[str, Any]:
        """What a record says of it."""
        return {"attack": self.name, "norm": self.norm, "epsilons": list(self.epsilons), "accuracy": accuracy}


def attack_batch_size(config: Config) -> int:
    """Images attacked at a time, on all devices."""
    return min(500, config.eval_batch_size)


def attacked_images(config: Config, dataset: data.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first test images, their labels, and targets drawn among the other classes."""
    inputs, labels = (array[: config.num_attack_images] for array in dataset.test)
    targets = attacks.random_targets(stream(config.seed, "targets"), jnp.asarray(labels), dataset.num_classes)
    return inputs, labels, np.asarray(targets, np.int32)


class AttackEvaluator(Evaluator):
    """Evaluates parameters under attack, too; each program is compiled once.

    Args:
      recipe: network, data and settings.

    Attributes:
      per_example: by name an array over the test images, from the last `at_end`.
    """

    def __init__(self, recipe: Recipe):
        super().__init__(recipe, SPLITS)
        self._config, self._dataset = recipe.config, recipe.dataset
        self.per_example: dict[str, np.ndarray] = {}
        config = recipe.config
        robust = functools.partial(training.map_examples, batch_size=attack_batch_size(config))
        self.attacks = [
            NamedAttack("FGSM", "linf", config.attack_epsilons, False, self._fgsm),
            NamedAttack(f"PGD-{config.attack_steps}", "linf", config.attack_epsilons, False, self._pgd("linf")),
            NamedAttack(f"PGD-{config.attack_steps} targeted", "linf", config.attack_epsilons, True, self._pgd("linf")),
            NamedAttack(f"PGD-{config.attack_steps} L2", "l2", config.attack_l2_epsilons, False, self._pgd("l2")),
        ]
        self._robust = [robust(self.robust_examples(attack)) for attack in self.attacks]

    def at_end(self, params: Params) -> dict[str, Any]:
        """Summaries of all splits, and `robustness`."""
        found = self._terms(params, SPLITS)
        terms, labels = found["test"]
        named = {name: value for name, value in terms._asdict().items() if value is not None}
        self.per_example = named | {"labels": labels}
        return self._summaries(found) | {"robustness": self.robustness(params)}

    def robustness(self, params: Params) -> dict[str, Any]:
        """Accuracy of the first test images under each attack at each radius."""
        num_images = min(self._config.num_attack_images, len(self._dataset.test.labels))
        if not num_images:
            return {"num_images": 0, "rows": []}
        batch, key = attacked_images(self._config, self._dataset), stream(self._config.seed, "robustness")
        rows = []
        for attack, robust in zip(self.attacks, self._robust, strict=True):
            if attack.epsilons:
                correct = robust(params, key, batch)
                rows.append(attack.row(correct.mean(0).tolist()))
        clean = self._terms_of(params, data.Split(*batch[:2]))[0].correct_avg.mean()
        return {"num_images": num_images, "clean_accuracy": float(clean), "rows": rows}

    def codes(self, params: Params, num_images: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Mean and scale of p(z|x) for the first test images, and their labels."""
        inputs, labels = (array[:num_images] for array in self._dataset.test)
        encoding = self._model.encode(params, data.to_unit_interval(inputs))
        return (np.asarray(encoding.mean), np.asarray(encoding.scale)), labels

    def decode_entropy(self, params: Params, codes: Array) -> np.ndarray:
        """Entropy of q(y|z), in nats, [M], at codes [M, D]."""
        return np.asarray(losses.entropy(self._model.decode(params, jnp.asarray(codes, jnp.float32))))

    def _logits_fn(self, params: Params) -> LogitsFn:
        return functools.partial(models.sampled_apply(self._model), params)

    def _fgsm(self, epsilon: Array) -> Attack:
        return attacks.fgsm(epsilon, num_eot_samples=self._num_eot_samples)

    def _pgd(self, norm: str) -> Any:
        return lambda epsilon: attacks.pgd(
            epsilon, norm=norm, num_steps=self._config.attack_steps, num_eot_samples=self._num_eot_samples
        )

    @property
    def _num_eot_samples(self) -> int:
        return self._config.num_eot_samples if self._config.stochastic else 1

    def robust_examples(self, attack: NamedAttack) -> Callable[..., Array]:
        """(params, keys [B], (inputs, labels, targets)) -> bool [B, E], right after the attack at each radius; pure."""

        def robust(params: Params, keys: Array, batch: tuple[Array, Array, Array]) -> Array:
            inputs, labels, targets = batch
            return evaluation.robust_correct(
                keys,
                self._logits_fn(params),
                data.to_unit_interval(inputs),
                labels,
                make_attack=attack.make,
                epsilons=jnp.array(attack.epsilons),
                targets=targets if attack.targeted else None,
                num_samples=self._config.num_eval_samples,
            )

        return robust
