"""How `experiments.mnist_vib` measures a model: exactly, on all devices, with keys of its own."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.mnist_vib_config import Config
from ib_jax import attacks, data, evaluation, losses, training
from ib_jax.models import Classifier
from ib_jax.types import Array, Attack, LogitsFn, Params

_EVALUATION, _ATTACK = 0, 1  # what the evaluation's key is folded with


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


def evaluation_keys(seed: int | Array) -> tuple[Array, Array]:
    """The keys of evaluation and attacks, which training does not use: evaluating more often changes no run."""
    key = jax.random.fold_in(jax.random.key(seed), 2**31)
    return jax.random.fold_in(key, _EVALUATION), jax.random.fold_in(key, _ATTACK)


def attack_batch_size(config: Config) -> int:
    """Images attacked at a time, on all devices."""
    return min(500, config.eval_batch_size)


def attacked_images(config: Config, dataset: data.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first test images, their labels, and targets drawn among the other classes."""
    inputs, labels = (array[: config.num_attack_images] for array in dataset.test)
    offsets = np.random.default_rng(config.seed).integers(1, dataset.num_classes, len(labels))
    return inputs, labels, ((labels + offsets) % dataset.num_classes).astype(np.int32)


class Evaluator:
    """Evaluates parameters on the splits of a data set, and under attack; each program is compiled once."""

    def __init__(self, config: Config, model: Classifier, dataset: data.Dataset):
        self._config, self._model, self._dataset = config, model, dataset
        self._evaluation_key, self._attack_key = evaluation_keys(config.seed)
        self._evaluate = training.map_examples(self.example_terms, batch_size=config.eval_batch_size)
        robust = functools.partial(training.map_examples, batch_size=attack_batch_size(config))
        self.attacks = [
            NamedAttack("FGSM", "linf", config.attack_epsilons, False, self._fgsm),
            NamedAttack(f"PGD-{config.attack_steps}", "linf", config.attack_epsilons, False, self._pgd("linf")),
            NamedAttack(f"PGD-{config.attack_steps} targeted", "linf", config.attack_epsilons, True, self._pgd("linf")),
            NamedAttack(f"PGD-{config.attack_steps} L2", "l2", config.attack_l2_epsilons, False, self._pgd("l2")),
        ]
        self._robust = [robust(self.robust_examples(attack)) for attack in self.attacks]

    def during_training(self, params: Params) -> dict[str, Any]:
        """Summaries of the test split, and of the held-out one if there is one, at one evaluation."""
        rows = {"test": self._summary(params, self._dataset.test)}
        if self._dataset.validation is not None:
            rows["validation"] = self._summary(params, self._dataset.validation)
        return rows

    def score(self, progress: training.Progress) -> float:
        """What the best checkpoint is chosen by, lower is better: held-out error, or the training loss without."""
        if progress.evaluation is not None and "validation" in progress.evaluation:
            return progress.evaluation["validation"]["error_avg"]
        return progress.metrics["loss"]

    def splits(self, params: Params) -> tuple[dict[str, Mapping[str, float]], dict[str, np.ndarray]]:
        """Summaries of every split, and the test split's per-example arrays."""
        named = {"train": self._dataset.train, "validation": self._dataset.validation, "test": self._dataset.test}
        terms = {name: self._terms(params, split) for name, split in named.items() if split is not None}
        summaries = {name: self._summarise(terms[name], split) for name, split in named.items() if split is not None}
        per_example = {name: value for name, value in terms["test"]._asdict().items() if value is not None}
        return summaries, per_example | {"labels": self._dataset.test.labels}

    def robustness(self, params: Params) -> dict[str, Any]:
        """Accuracy of the first test images under each attack at each radius."""
        num_images = min(self._config.num_attack_images, len(self._dataset.test.labels))
        if not num_images:
            return {"num_images": 0, "rows": []}
        batch = attacked_images(self._config, self._dataset)
        rows = []
        for attack, robust in zip(self.attacks, self._robust, strict=True):
            if attack.epsilons:
                correct = robust(params, self._attack_key, batch)
                rows.append(attack.row(correct.mean(0).tolist()))
        clean = self._terms(params, data.Split(*batch[:2])).correct_avg.mean()
        return {"num_images": num_images, "clean_accuracy": float(clean), "rows": rows}

    def codes(self, params: Params, num_images: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Mean and scale of p(z|x) for the first test images, and their labels."""
        inputs, labels = (array[:num_images] for array in self._dataset.test)
        encoding = self._model.encode(params, data.to_unit_interval(inputs))
        return (np.asarray(encoding.mean), np.asarray(encoding.scale)), labels

    def decode_entropy(self, params: Params, codes: Array) -> np.ndarray:
        """Entropy of q(y|z), in nats, [M], at codes [M, D]."""
        return np.asarray(losses.entropy(self._model.decode(params, jnp.asarray(codes, jnp.float32))))

    def _terms(self, params: Params, split: data.Split) -> evaluation.ExampleTerms:
        return self._evaluate(params, self._evaluation_key, tuple(split))

    def _summary(self, params: Params, split: data.Split) -> Mapping[str, float]:
        return self._summarise(self._terms(params, split), split)

    def _summarise(self, terms: evaluation.ExampleTerms, split: data.Split) -> Mapping[str, float]:
        return evaluation.summarise(terms, split.labels, self._dataset.num_classes)

    def example_terms(self, params: Params, keys: Array, batch: tuple[Array, Array]) -> evaluation.ExampleTerms:
        """What is measured of each example of a batch; pure."""
        inputs, labels = batch
        return evaluation.evaluate_examples(
            keys,
            data.to_unit_interval(inputs),
            labels,
            encode_fn=functools.partial(self._model.encode, params),
            decode_fn=functools.partial(self._model.decode, params),
            prior=self._model.prior(params) if self._config.stochastic else None,
            backward=None if self._model.backward is None else self._model.backward(params),
            num_samples=self._config.num_eval_samples,
        )

    def _logits_fn(self, params: Params) -> LogitsFn:
        return evaluation.sampled_logits_fn(
            functools.partial(self._model.encode, params), functools.partial(self._model.decode, params)
        )

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
