"""What is measured of an image model under attack: its answer to every attacked image.

The model answers from the mean of its code, as in the paper; against EOT it answers from samples of z, too. Two attacks
on an image differ by the images that they make, not by luck. An image stands, under a targeted attack as well, if it
was right before by the same kind of answer and still is.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import image_attacks_config as names
from experiments.core.image_attacks_config import LEVELS, AttackSettings, Step
from experiments.core.keys import Name, stream
from ib_jax import attacks, data, evaluation, losses
from ib_jax.models import Classifier
from ib_jax.types import Array, Params

_NUM_CHECKED = 100  # images whose gradients are looked at


class Measurer:
    """Every attack on models of one structure, compiled once: their parameters are an argument.

    Args:
      settings: sizes and radii.
      model: the network.
      stochastic: whether its code is.
      split: the images to attack, the first of them.
      num_classes: C.
      num_eval_samples: samples of z behind an averaged answer.
    """

    def __init__(
        self,
        settings: AttackSettings,
        model: Classifier,
        *,
        stochastic: bool,
        split: data.Split,
        num_classes: int,
        num_eval_samples: int,
    ):
        count = min(settings.num_attack_images, len(split.labels))
        self._settings, self._stochastic, self._num_samples = settings, stochastic, num_eval_samples
        self._images = np.asarray(data.to_unit_interval(split.inputs[:count]))
        self._labels = split.labels[:count]
        self._targets = np.asarray(attacks.random_targets(stream(0, "targets"), jnp.asarray(self._labels), num_classes))
        self.plan = names.plan(settings, count, stochastic=stochastic)

        def at_mean(params: Params, keys: Array, inputs: Array) -> Array:
            return model.decode(params, model.encode(params, inputs).mean)

        def at_sample(params: Params, keys: Array, inputs: Array) -> Array:
            encode, decode = functools.partial(model.encode, params), functools.partial(model.decode, params)
            return evaluation.sampled_logits_fn(encode, decode)(keys, inputs)

        steps, rule = settings.pgd_steps, attacks.path_length(settings.pgd_path)
        pgd = functools.partial(attacks.pgd, 0.0, num_judge_samples=1)  # radii are given in each call
        shared: dict[str, Any] = {"step_size": rule, "num_steps": steps}
        made = {
            (names.PGD, "linf"): pgd(**shared),
            (names.PGD, "l2"): pgd(norm="l2", **shared),
            (names.MARGIN, "linf"): pgd(loss_fn=_minus_margin, **shared),
            (names.LONG, "linf"): pgd(step_size=rule, num_steps=2 * steps),
            (names.EOT, "linf"): pgd(num_eot_samples=settings.num_eot_samples, **shared),
            (names.SQUARE, "linf"): attacks.square(0.0, num_queries=settings.num_queries),
        }
        size = settings.attack_batch_size
        self._runners = {
            which: attacks.Runner(attack, at_sample if which[0] == names.EOT else at_mean, batch_size=size)
            for which, attack in made.items()
        }
        for norm in ("linf", "l2"):
            self._runners[names.TARGETED, norm] = self._runners[names.PGD, norm]
        self._runners[names.WHOLE_RANGE, "linf"] = self._runners[names.PGD, "linf"]
        self._told: list[evaluation.Finding] = []  # by the attacks on the model at hand
        self._at_mean = jax.jit(at_mean)
        self._class_at_mean = jax.jit(lambda *args: losses.predicted_class(at_mean(*args)))
        self._class_of_samples = jax.jit(
            lambda params, keys, inputs: losses.sampled_class(
                keys, lambda *args: at_sample(params, *args), inputs, num_eval_samples
            )
        )

    def measure(
        self,
        params: Params,
        seed: int,
        source: Callable[[float], np.ndarray],
        report: Callable[[Step], None] = lambda step: None,
    ) -> dict[str, Any]:
        """Attacks a model in every way of the plan.

        Args:
          params: of the model.
          seed: of the model; it decides the attacks' noise.
          source: from an L-inf radius in levels to images that were made on another model, for the transfer attack.
          report: told of each step once it is done.

        Returns:
          For the record: accuracies, rows of attacks, and findings.
        """
        self._told = []
        clean, sampled = (self._right(params, seed, self._images, average) for average in (False, True))
        correct = {(names.CLEAN, "linf", 0.0): clean}
        rows = []
        for step in self.plan:
            start, epsilon = time.monotonic(), step.epsilon / LEVELS
            if step.attack == names.TRANSFER:
                images = source(step.epsilon)
            else:
                images = self._attacked(params, seed, step.attack, step.norm, epsilon, step.num_images)
            average = step.attack == names.EOT
            right = self._right(params, seed, images, average) & (sampled if average else clean)[: len(images)]
            correct[step.attack, step.norm, step.epsilon] = right
            row = {**step._asdict(), "accuracy": float(right.mean()), "seconds": time.monotonic() - start}
            rows.append({name: value for name, value in row.items() if name != "work"})
            report(step)
        return {
            "num_images": len(self._labels),
            "clean_accuracy": float(clean.mean()),
            "clean_accuracy_sampled": float(sampled.mean()),
            "attacks": rows,
            "at_radius": self._at_radius(correct),
            "findings": self._findings(params, seed, correct),
        }

    def source(self, params: Params, seed: int, epsilon: float) -> np.ndarray:
        """Images made by PGD on a model at an L-inf radius in levels, to be shown to another."""
        return self._attacked(params, seed, names.PGD, "linf", epsilon / LEVELS, len(self._labels))

    def _keys(self, seed: int, name: Name, count: int) -> Array:
        return losses.per_example_keys(stream(seed, name), len(self._labels))[:count]

    def _attacked(self, params: Params, seed: int, attack: str, norm: str, epsilon: float, count: int) -> np.ndarray:
        targets = jnp.asarray(self._targets[:count]) if attack == names.TARGETED else None
        keys, labels = self._keys(seed, "attack", count), jnp.asarray(self._labels[:count])
        run = self._runners[attack, norm]
        result = run(params, keys, jnp.asarray(self._images[:count]), labels, targets, epsilon=epsilon)
        self._told += evaluation.check_search(result, name=attack)
        return np.asarray(result.inputs)

    def _right(self, params: Params, seed: int, images: np.ndarray, average: bool) -> np.ndarray:
        """Whether the first images, as given, are classified right, bool [n]."""
        keys, answers = self._keys(seed, "judge", len(images)), []
        predict = self._class_of_samples if average and self._stochastic else self._class_at_mean
        for first in range(0, len(images), self._settings.attack_batch_size):
            rows = slice(first, first + self._settings.attack_batch_size)
            answers.append(np.asarray(predict(params, keys[rows], images[rows])))
        return evaluation.is_right(np.concatenate(answers), self._labels[: len(images)])

    def _at_radius(self, correct: dict[tuple[str, str, float], np.ndarray]) -> dict[str, Any]:
        """The attacks at the one radius, on the images that all were tried on."""
        radius = self._settings.radius
        kinds = (names.PGD, names.TARGETED, names.MARGIN, names.LONG, names.EOT, names.TRANSFER, names.SQUARE)
        found = {kind: correct[kind, "linf", radius] for kind in kinds if (kind, "linf", radius) in correct}
        count = min(map(len, found.values()))
        same = {names.CLEAN: correct[names.CLEAN, "linf", 0.0][:count]} | {k: v[:count] for k, v in found.items()}
        same[names.WORST] = np.all(list(same.values()), axis=0)
        return {"epsilon": radius, "num_images": count, "accuracy": {k: float(v.mean()) for k, v in same.items()}}

    def _findings(
        self, params: Params, seed: int, correct: dict[tuple[str, str, float], np.ndarray]
    ) -> list[dict[str, Any]]:
        """What looks like masked gradients: in the model, and in the attacks' results beside each other."""
        count = min(_NUM_CHECKED, len(self._labels))
        logits_fn, keys = functools.partial(self._at_mean, params), self._keys(seed, "check", count)
        inputs, labels = jnp.asarray(self._images[:count]), jnp.asarray(self._labels[:count])
        found = [*evaluation.check_model(keys, logits_fn, inputs, labels, num_eot_samples=1), *self._told]
        radius, num_square = self._settings.radius, len(correct[names.SQUARE, "linf", self._settings.radius])
        found += evaluation.check_results(
            correct[names.PGD, "linf", radius],
            larger_budget=correct[names.LONG, "linf", radius],
            black_box={names.TRANSFER: correct[names.TRANSFER, "linf", radius]},
            unbounded=correct[names.WHOLE_RANGE, "linf", LEVELS],
        )
        found += evaluation.check_results(
            correct[names.PGD, "linf", radius][:num_square],
            black_box={names.SQUARE: correct[names.SQUARE, "linf", radius]},
        )
        return [finding._asdict() for finding in found]


def _minus_margin(logits: Array, labels: Array) -> Array:
    return -losses.margin(logits, labels)
