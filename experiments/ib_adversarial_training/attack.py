"""What is measured of one model under attack: its answer to every attacked image, and the rate of its code there.

An answer is the class of the largest mean softmax over fresh samples of z, the same for every attack on an image. An
image stands if it was right before and still is.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.carlini_wagner import carlini_wagner
from experiments.core.keys import Name, stream
from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training.attack_settings import AttackSettings, Step
from ib_jax import attacks, data, evaluation, losses, models
from ib_jax.models import Classifier
from ib_jax.types import Array, Attack, Params

_CW_RATE = 0.05  # of Adam; 0.01 in the attack's paper, with 10,000 steps
_NUM_CHECKED = 100  # images whose gradients are looked at


class Attacker:
    """Attacks by name on models of one structure, each compiled once: parameters are an argument.

    Args:
      settings: sizes and radii.
      model: the network.
      stochastic: whether its code is.
      split: the images to attack, the first of them.
      num_eval_samples: samples of z behind an answer.
    """

    def __init__(
        self, settings: AttackSettings, model: Classifier, *, stochastic: bool, split: data.Split, num_eval_samples: int
    ):
        self._settings, self._stochastic, self._apply = settings, stochastic, models.sampled_apply(model)
        self._count = min(settings.num_attack_images, len(split.labels))
        self.images = np.asarray(data.to_unit_interval(split.inputs[: self._count]))
        self.labels = np.asarray(split.labels[: self._count])
        self._runners: dict[str, attacks.Runner] = {}
        self._told: list[evaluation.Finding] = []  # by the attacks on the model at hand
        samples = num_eval_samples if stochastic else 1

        def predict(params: Params, keys: Array, inputs: Array) -> Array:
            logits_fn = lambda *args: self._apply(params, *args)  # noqa: E731
            return losses.sampled_class(keys, logits_fn, inputs, samples)

        def rate(params: Params, inputs: Array) -> Array:
            codes = losses.draw_codes(stream(0, "rate"), model.encode(params, inputs), 1)
            return losses.divergence(codes, model.prior(params))

        self._predict, self._rate = jax.jit(predict), jax.jit(rate)

    def attacked(self, params: Params, seed: int, attack: str, epsilon: float | None, count: int) -> np.ndarray:
        """The first test images, attacked by name; a model's seed decides the attack's noise."""
        if attack not in self._runners:
            made = make(attack, self._settings, self._settings.num_eot_samples if self._stochastic else 1)
            self._runners[attack] = attacks.Runner(made, self._apply, batch_size=self._settings.attack_batch_size)
        inputs, labels = jnp.asarray(self.images[:count]), jnp.asarray(self.labels[:count])
        keys = self._keys(seed, "attack", count)
        result = self._runners[attack](params, keys, inputs, labels, epsilon=epsilon)
        self._told += evaluation.check_search(result, name=attack)
        return np.asarray(result.inputs)

    def answers(self, params: Params, seed: int, images: np.ndarray) -> np.ndarray:
        """The class answered for each of the first images, as given, int [n]; -1 where there is none."""
        keys, size = self._keys(seed, "judge", len(images)), self._settings.attack_batch_size
        rows = [slice(first, first + size) for first in range(0, len(images), size)]
        return np.concatenate([np.asarray(self._predict(params, keys[part], images[part])) for part in rows])

    def rate_bits(self, params: Params, images: np.ndarray) -> float | None:
        """The mean rate on images, an upper bound on I(X;T), or I(X';T'), under the model's prior; None without."""
        if not self._stochastic:
            return None
        return float(evaluation.nats_to_bits(np.asarray(self._rate(params, images)).mean(dtype=np.float64)))

    def measure(
        self, params: Params, seed: int, source: Callable[[float], np.ndarray], report: Callable[[Step], None]
    ) -> dict[str, Any]:
        """Attacks a model in every way of the plan.

        Args:
          params: of the model.
          seed: of the model.
          source: from a radius to images that were made on another model, for the transfer attack.
          report: told of each step once it is done.

        Returns:
          For the record: accuracies, rates on clean and attacked images, and findings.
        """
        self._told = []
        clean = evaluation.is_right(self.answers(params, seed, self.images), self.labels)
        right: dict[tuple[str, float | None], np.ndarray] = {(names.CLEAN, None): clean}
        rows = []
        for step in names.plan(self._settings, self._count, stochastic=self._stochastic):
            start = time.monotonic()
            if step.attack == names.TRANSFER:
                assert step.epsilon is not None
                images = source(step.epsilon)
            else:
                images = self.attacked(params, seed, step.attack, step.epsilon, step.num_images)
            stands = evaluation.standing(self.answers(params, seed, images), self.labels, clean)
            right[step.attack, step.epsilon] = stands
            row: dict[str, Any] = {"attack": step.attack, "epsilon": step.epsilon, "num_images": len(images)}
            row |= {"accuracy": float(stands.mean()), "rate_bits": self.rate_bits(params, images)}
            if step.attack in names.MINIMAL:
                change = jnp.asarray(images - self.images[: len(images)])
                sizes = np.asarray(losses.perturbation_norm(change, "l2"))
                row["median_l2"] = evaluation.median_distance(sizes, stands, clean)
            rows.append(row | {"seconds": time.monotonic() - start})
            report(step)
        return {
            "num_images": self._count,
            "clean_accuracy": float(clean.mean()),
            "clean_rate_bits": self.rate_bits(params, self.images),
            "attacks": rows,
            "honest": [self._beside(right, epsilon) for epsilon in self._settings.honest_epsilons],
            "findings": self._findings(params, seed, right),
        }

    def source(self, params: Params, seed: int, epsilon: float) -> np.ndarray:
        """Images made by PGD on a model, to be shown to another."""
        return self.attacked(params, seed, names.PGD_EOT, epsilon, self._count)

    def _keys(self, seed: int, name: Name, count: int) -> Array:
        return losses.per_example_keys(stream(seed, name), max(count, len(self.labels)))[:count]

    def _beside(self, right: dict[tuple[str, float | None], np.ndarray], epsilon: float) -> dict[str, Any]:
        """Every attack of a radius on the images that all were tried on, and the share that stands under all."""
        found = {attack: stands for (attack, radius), stands in right.items() if radius == epsilon}
        found[names.CLEAN] = right[names.CLEAN, None]
        count = min(map(len, found.values()))
        same = {attack: stands[:count] for attack, stands in found.items()}
        same[names.WORST] = np.all(list(same.values()), axis=0)
        return {"epsilon": epsilon, "num_images": count, "accuracy": {k: float(v.mean()) for k, v in same.items()}}

    def _findings(
        self, params: Params, seed: int, right: dict[tuple[str, float | None], np.ndarray]
    ) -> list[dict[str, Any]]:
        """What looks like masked gradients: in the model, and in PGD's results beside the others'."""
        count = min(_NUM_CHECKED, self._count)
        logits_fn, keys = (lambda *args: self._apply(params, *args)), self._keys(seed, "check", count)
        inputs, labels = jnp.asarray(self.images[:count]), jnp.asarray(self.labels[:count])
        samples = self._settings.num_eot_samples if self._stochastic else 1
        found = [*evaluation.check_model(keys, logits_fn, inputs, labels, num_eot_samples=samples), *self._told]
        for epsilon in self._settings.honest_epsilons:
            same = {attack: stands for (attack, radius), stands in right.items() if radius == epsilon}
            pgd = same.get(names.PGD_EOT, same.get(names.PGD))
            assert pgd is not None
            for name in (names.TRANSFER, names.SQUARE):
                num = len(same[name])
                found += evaluation.check_results(pgd[:num], black_box={f"{name} at {epsilon:g}": same[name]})
        return [finding._asdict() for finding in found]


def make(attack: str, settings: AttackSettings, num_eot_samples: int) -> Attack:
    """An attack by name; radii are given in each call."""
    eot: dict[str, Any] = {"num_eot_samples": num_eot_samples, "num_judge_samples": 1}
    cw: dict[str, Any] = {"num_steps": settings.cw_steps, "learning_rate": _CW_RATE}
    made: dict[str, Callable[[], Attack]] = {
        names.FGSM: lambda: attacks.fgsm(0.0),
        names.BIM: lambda: attacks.bim(0.0, num_steps=settings.bim_steps),
        names.PGD: lambda: attacks.pgd(0.0, num_steps=settings.pgd_steps),
        names.DEEPFOOL: lambda: attacks.deepfool(num_steps=settings.deepfool_steps),
        names.CW: lambda: carlini_wagner(num_binary_steps=1, initial_const=settings.cw_const, **cw),
        names.CW_EOT: lambda: carlini_wagner(num_binary_steps=settings.cw_binary_steps, initial_const=0.1, **cw, **eot),
        names.PGD_EOT: lambda: attacks.pgd(0.0, num_steps=settings.pgd_steps, **eot),
        names.MARGIN_EOT: lambda: attacks.pgd(0.0, num_steps=settings.pgd_steps, loss_fn=_minus_margin, **eot),
        names.SQUARE: lambda: attacks.square(0.0, num_queries=settings.num_queries, **eot),
    }
    return made[attack]()


def _minus_margin(logits: Array, labels: Array) -> Array:
    return -losses.margin(logits, labels)
