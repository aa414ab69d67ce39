"""What `experiments.mnist_robustness` measures of one model: its answer to every attacked image.

An answer is the class of the largest mean softmax over fresh samples of z, and the samples are the same for every
attack on an image: two attacks differ by the images they make, not by luck. An image stands if it was right before and
still is; only the accuracy under a targeted attack is that of the paper, the share of answers that are right.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.carlini_wagner import carlini_wagner
from experiments.core.keys import Name, stream
from experiments.mnist_robustness import settings as names
from experiments.mnist_robustness import summary
from experiments.mnist_robustness.settings import RobustnessConfig, Step
from ib_jax import attacks, evaluation, losses
from ib_jax.attacks.runner import ApplyFn
from ib_jax.types import Array, Params

NUM_ZEROS, ZERO, ONE = 10, 0, 1  # the paper's Figure 3: ten zeros, each to become a one

_NUM_CHECKED = 200  # images whose gradients are looked at
_BATCH = 500


class Victim(NamedTuple):
    """A trained model; its seed decides the noise of the attacks on it."""

    seed: int
    params: Params


class Measurer:
    """Every attack on models of one structure, compiled once: their parameters are an argument.

    Args:
      config: sizes and radii.
      apply_fn: (params, keys [B], inputs) -> logits [B, C], at one sample of z.
      stochastic: whether there is noise to average over.
      images: test images, float [N, H, W, 1] in [0, 1].
      labels: int [N].
      num_classes: C.
    """

    def __init__(
        self,
        config: RobustnessConfig,
        apply_fn: ApplyFn,
        *,
        stochastic: bool,
        images: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
    ):
        self._config, self._apply, self._stochastic = config, apply_fn, stochastic
        self._images, self._labels, self._num_classes = images, labels, num_classes
        self._plan = names.plan(config, len(labels), num_classes, stochastic=stochastic)
        self._num_eot = config.num_eot_samples if stochastic else 1
        # The attacks' own verdicts are not used (see `_answers`), so one sample will do for them.
        eot: dict[str, Any] = {"num_eot_samples": self._num_eot, "num_judge_samples": 1}
        minimal: dict[str, Any] = {
            "num_steps": config.cw_steps,
            "num_binary_steps": config.cw_binary_steps,
            "learning_rate": config.cw_learning_rate,
            "initial_const": config.cw_initial_const,
        }
        # The radii are given in each call.
        made = {
            names.FGSM_ONE: attacks.fgsm(0.0),
            names.FGSM: attacks.fgsm(0.0, **eot),
            names.PGD: attacks.pgd(0.0, num_steps=names.PGD_STEPS, **eot),
            names.PGD_MARGIN: attacks.pgd(0.0, num_steps=names.PGD_STEPS, loss_fn=_minus_margin, **eot),
            names.PGD_LONG: attacks.pgd(0.0, num_steps=2 * names.PGD_STEPS, **eot),
            names.SQUARE: attacks.square(0.0, num_queries=config.num_queries, **eot),
            names.CW_ONE: carlini_wagner(**minimal),
            names.CW: carlini_wagner(
                **minimal, num_eot_samples=config.num_cw_eot_samples if stochastic else 1, num_judge_samples=1
            ),
        }
        made |= {names.CW_ONE_TARGETED: made[names.CW_ONE], names.CW_TARGETED: made[names.CW]}
        sizes = {step.attack: min(step.num_images, _BATCH) for step in self._plan}
        self._told: list[evaluation.Finding] = []  # by the attacks on the model at hand
        self._runners = {
            name: attacks.Runner(attack, apply_fn, batch_size=sizes[name])
            for name, attack in made.items()
            if name in sizes
        }
        samples = config.num_eval_samples if stochastic else 1

        def predict(params: Params, keys: Array, inputs: Array) -> Array:
            return losses.sampled_class(keys, lambda *args: apply_fn(params, *args), inputs, samples)

        self._predict = jax.jit(predict)

    def measure(
        self, victim: Victim, source: Callable[[float], np.ndarray], report: Callable[[Step], None]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Attacks a model in every way.

        Args:
          victim: the model.
          source: from a radius to images that were made on another model, for the transfer attack.
          report: told of each step once it is done.

        Returns:
          What goes into the record; and arrays per example: by `Step.name` the class answered, `labels`, and for the L2
          attacks the distances, successes, and which image each row is of.
        """
        index = np.arange(max(step.num_images for step in self._plan))
        arrays = {"labels": self._labels[index], names.CLEAN: self._answers(victim, index, self._images[index])}
        clean = evaluation.is_right(arrays[names.CLEAN], arrays["labels"])
        correct = {(names.CLEAN, 0.0): clean}
        rows: list[dict[str, Any]] = []
        self._told = []
        for step in self._plan:
            start = time.monotonic()
            index, targets = self._rows(step)
            if step.attack == names.TRANSFER and step.epsilon is not None:
                images = source(step.epsilon)
            else:
                images = self._attack(victim, step.attack, index, targets, step.epsilon)
            answers = arrays[step.name] = self._answers(victim, index, images)
            labelled, before = evaluation.is_right(answers, self._labels[index]), clean[index]
            stands = labelled & before
            # Figure 6 is of the accuracy on targeted examples, whatever the answer before the attack.
            row = {**step._asdict(), "accuracy": float((stands if targets is None else labelled).mean())}
            if step.epsilon is None:
                distances = self._distances(index, images)
                success = ~labelled if targets is None else answers == targets
                row |= summary.minimal_row(distances, success, before)
                arrays |= {f"{step.name}_l2": distances, f"{step.name}_success": success, f"{step.name}_image": index}
            else:
                correct[step.attack, step.epsilon] = stands
            rows.append(row | {"seconds": time.monotonic() - start})
            report(step)
        if not self._stochastic:
            aliases = {averaged: one for one, averaged in names.WITHOUT_NOISE.items()}
            rows += [
                row | {"attack": aliases[row["attack"]], "seconds": 0.0} for row in rows if row["attack"] in aliases
            ]
            correct |= {(aliases[name], radius): x for (name, radius), x in correct.items() if name in aliases}
        record = {
            "num_images": len(arrays["labels"]),
            "clean_accuracy": float(correct[names.CLEAN, 0.0].mean()),
            "attacks": rows,
            "same_images": [summary.same_images(correct, epsilon) for epsilon in self._config.pgd_epsilons],
            "findings": self._findings(victim, correct),
        }
        return record, arrays

    def source(self, victim: Victim, epsilon: float) -> np.ndarray:
        """Images made by PGD on a model, to be shown to another."""
        num_images = next(step.num_images for step in self._plan if step.attack == names.TRANSFER)
        return self._attack(victim, names.PGD, np.arange(num_images), None, epsilon)

    def zeros(self, victim: Victim) -> dict[str, Any]:
        """The paper's Figure 3: the first zeros, each attacked to become a one, with one sample of z and with many."""
        index = np.flatnonzero(self._labels == ZERO)[:NUM_ZEROS]
        targets = np.full(len(index), ONE, self._labels.dtype)
        record: dict[str, Any] = {
            "shape": self._images[index].shape[:3],
            "originals": summary.pack(self._images[index]),
        }
        for attack in (names.CW_ONE_TARGETED, names.CW_TARGETED):
            runner = attack if attack in self._runners else names.WITHOUT_NOISE[attack]
            images = self._attack(victim, runner, index, targets, None)
            answers, distances = self._answers(victim, index, images), self._distances(index, images)
            record[attack] = {"pixels": summary.pack(images), "answers": answers.tolist(), "l2": distances.tolist()}
        return record

    def _keys(self, victim: Victim, name: Name, index: np.ndarray) -> Array:
        """An image's keys do not depend on how many are attacked."""
        return losses.per_example_keys(stream(victim.seed, name), len(self._labels))[index]

    def _attack(
        self, victim: Victim, attack: str, index: np.ndarray, targets: np.ndarray | None, epsilon: float | None
    ) -> np.ndarray:
        keys, inputs, labels = self._keys(victim, "attack", index), self._images[index], self._labels[index]
        aims = None if targets is None else jnp.asarray(targets)
        run = self._runners[attack]
        result = run(victim.params, keys, jnp.asarray(inputs), jnp.asarray(labels), aims, epsilon=epsilon)
        self._told += evaluation.check_search(result, name=attack)
        return np.asarray(result.inputs)

    def _answers(self, victim: Victim, index: np.ndarray, images: np.ndarray) -> np.ndarray:
        return evaluation.decided(self._predict(victim.params, self._keys(victim, "judge", index), images)).astype(
            np.int8
        )

    def _distances(self, index: np.ndarray, images: np.ndarray) -> np.ndarray:
        return np.asarray(losses.perturbation_norm(jnp.asarray(images - self._images[index]), "l2"))

    def _rows(self, step: Step) -> tuple[np.ndarray, np.ndarray | None]:
        """Which image each row of a step is of, and its target; the same for every model."""
        index = np.arange(step.num_images)
        if step.attack not in (names.CW_ONE_TARGETED, names.CW_TARGETED):
            return index, None
        if self._config.cw_targets == "random":
            labels = jnp.asarray(self._labels[index])
            return index, np.asarray(attacks.random_targets(stream(0, "targets"), labels, self._num_classes))
        others = np.tile(np.arange(1, self._num_classes), len(index))
        index = index.repeat(self._num_classes - 1)
        return index, ((self._labels[index] + others) % self._num_classes).astype(self._labels.dtype)

    def _findings(self, victim: Victim, correct: summary.Correct) -> list[dict[str, Any]]:
        index = np.arange(min(_NUM_CHECKED, len(self._labels)))
        logits_fn, keys = functools.partial(self._apply, victim.params), self._keys(victim, "check", index)
        inputs, labels = jnp.asarray(self._images[index]), jnp.asarray(self._labels[index])
        model = evaluation.check_model(keys, logits_fn, inputs, labels, num_eot_samples=self._num_eot)
        return [summary.finding(None, found) for found in (*model, *self._told)] + summary.check_attacks(
            correct, self._config.pgd_epsilons
        )


def _minus_margin(logits: Array, labels: Array) -> Array:
    return -losses.margin(logits, labels)
