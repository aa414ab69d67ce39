"""How `experiments.mnist_robustness` attacks a model: by the library's suite, and Carlini-Wagner at given classes.

An answer is the class of the largest mean softmax over fresh samples of z, and the samples are the same for every
attack on an image: two attacks differ by the images they make, not by luck. An image stands if it was right before and
still is; only the accuracy under a targeted attack is that of the paper, the share of answers that are right.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.core import attacks
from experiments.core.attacks import SOURCE, AttackedModel, ModelAttacks, minimal_values
from experiments.core.pictures import pack
from experiments.core.records import Measurement
from experiments.mnist_robustness.settings import PAPER_SAMPLES, RobustnessConfig
from experiments.mnist_robustness.zeros import NUM_ZEROS, ONE, ZERO
from ib_jax import data, evaluation, losses
from ib_jax.evaluation import AttackSpec, AttackSuite
from ib_jax.models import Classifier, sampled_apply

PGD_STEPS = 20
WHOLE_RANGE = 1.0  # a radius within which every input lies
_NUM_CHECKED = 200  # images whose gradients are looked at
_BATCH = 500


def plan(config: RobustnessConfig, *, stochastic: bool) -> list[AttackSpec]:
    """The attacks of the suite; a deterministic model has no samples to average over."""
    eot = config.num_eot_samples if stochastic else 1
    one_and_many = sorted({1, eot})
    pgd: dict[str, Any] = {"num_images": config.num_attack_images, "num_steps": PGD_STEPS}
    square: dict[str, Any] = {"num_images": config.num_square_images, "options": {"num_queries": config.num_queries}}
    radii = sorted({*config.fgsm_epsilons, *config.pgd_epsilons})
    specs = [
        AttackSpec("fgsm", epsilon, num_eot_samples=samples, num_images=config.num_fgsm_images)
        for samples in one_and_many
        for epsilon in radii
    ]
    for epsilon in config.pgd_epsilons:
        specs.append(AttackSpec("pgd", epsilon, num_eot_samples=eot, **pgd))
        specs.append(AttackSpec("pgd", epsilon, num_eot_samples=eot, loss="margin", **pgd))
        specs.append(AttackSpec("pgd", epsilon, source=SOURCE, **pgd))
        specs.append(AttackSpec("square", epsilon, num_eot_samples=eot, **square))
    specs.append(AttackSpec("pgd", WHOLE_RANGE, num_eot_samples=eot, **pgd))
    specs.append(AttackSpec("pgd", config.radius, num_eot_samples=eot, **pgd | {"num_steps": 2 * PGD_STEPS}))
    return specs + carlini_wagner(config, stochastic=stochastic, targeted=False)


def carlini_wagner(config: RobustnessConfig, *, stochastic: bool, targeted: bool) -> list[AttackSpec]:
    """The attack as the paper sets it, and with the lead that its noise asks for; its c is in logits (nats)."""
    options: dict[str, Any] = {
        "const_per": "nat",
        "num_binary_steps": config.cw_binary_steps,
        "learning_rate": config.cw_learning_rate,
        "initial_const": config.cw_initial_const,
    }
    theirs = options | {"expectation_of": "probabilities", "confidence": 0.0}
    ways = [(PAPER_SAMPLES, theirs), (config.num_cw_eot_samples, options)] if stochastic else [(1, options)]
    return [
        AttackSpec(
            "carlini_wagner",
            num_steps=config.cw_steps,
            num_eot_samples=samples,
            targeted=targeted,
            num_images=config.num_cw_images,
            options=own,
        )
        for samples, own in ways
    ]


def make_suite(config: RobustnessConfig, classifier: Classifier, test: data.Split, *, stochastic: bool) -> AttackSuite:
    """The attacks on the first test images, for models of a structure."""
    specs = plan(config, stochastic=stochastic)
    count = min(len(test.labels), max(spec.count(len(test.labels)) for spec in specs))
    return AttackSuite(
        specs,
        sampled_apply(classifier),
        np.asarray(data.to_unit_interval(test.inputs[:count])),
        test.labels[:count],
        num_eval_samples=config.num_eval_samples if stochastic else 1,
        num_checked=_NUM_CHECKED,
        batch_size=_BATCH,
    )


class Measured(NamedTuple):
    """What is known of a model under attack; all but `arrays`, the answers to each image by attack, for the record."""

    measurements: list[Measurement]
    findings: list[dict[str, Any]]
    zeros: dict[str, Any] | None
    arrays: dict[str, np.ndarray]


class Targeted(NamedTuple):
    """Images that were to be taken for given classes, float [n, ...]; answers to them, distances and findings."""

    images: np.ndarray
    answers: np.ndarray
    distances: np.ndarray
    findings: list[evaluation.Finding]


class Measurer:
    """Attacks the first test images of a data set in every way, on models that share suites."""

    def __init__(self, config: RobustnessConfig, models: ModelAttacks, dataset: data.Dataset):
        self._config, self._models, self._dataset = config, models, dataset

    def work(self, model: AttackedModel) -> float:
        """What all attacks on a model cost, roughly, in images times passes forth and back."""
        count = len(self._targets()[0])
        return self._models.work([model]) + sum(count * spec.passes for spec in self._targeted(model))

    def measure(self, model: AttackedModel, source: str, report: Callable[[AttackSpec, float], None]) -> Measured:
        """Attacks a model.

        Args:
          model: the model.
          source: the name of the one on which the images for transfer are made.
          report: called with an attack and its work once it is done.
        """
        suite = self._models.suite(model)
        count = len(suite.labels)
        result = self._models.attack(model, report=lambda row: report(row.spec, attacks.work_of(row.spec, count)))
        radii = [("linf", epsilon) for epsilon in self._config.pgd_epsilons]
        rows = attacks.measurements(result, source=source, radii=radii)
        right, found = result.right(), attacks.findings(result)
        arrays = {"labels": suite.labels, "right": right} | {row.spec.label: row.answers for row in result.rows}
        for row, made in zip(result.rows, rows[1:], strict=False):  # the first is without an attack
            if row.distances is not None:
                success = row.answers != suite.labels[: len(row.answers)]
                made["values"] |= minimal_values(row.distances, success, right[: len(success)])
        index, targets = self._targets()
        for spec in self._targeted(model):
            images = self._attack_at(model, spec, index, targets)
            correct = evaluation.is_right(images.answers, self._dataset.test.labels[index])
            values = {"accuracy": float(correct.mean())}
            values |= minimal_values(images.distances, images.answers == targets, right[index])
            rows.append({"at": {"split": "test", **spec.conditions(), "num_images": len(index)}, "values": values})
            found += [finding._asdict() for finding in images.findings]
            arrays |= {spec.label: images.answers, "image": index, "target": targets}
            report(spec, len(index) * spec.passes)
        zeros = self._zeros(model) if model.seed == 0 else None
        return Measured([Measurement(**row) for row in rows], found, zeros, arrays)

    def _targeted(self, model: AttackedModel) -> list[AttackSpec]:
        return carlini_wagner(self._config, stochastic=model.stochastic, targeted=True)

    def _targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Which image each row of a targeted attack is of, and its target; the same for every model."""
        labels, num_classes = self._dataset.test.labels[: self._config.num_cw_images], self._dataset.num_classes
        index = np.arange(len(labels))
        if self._config.cw_targets == "random":
            return index, attacks.random_targets(labels, num_classes)
        others, index = np.tile(np.arange(1, num_classes), len(index)), index.repeat(num_classes - 1)
        return index, ((labels[index] + others) % num_classes).astype(labels.dtype)

    def _zeros(self, model: AttackedModel) -> dict[str, Any]:
        """The paper's Figure 3: the first zeros, each attacked to become a one, with one sample of z and with many."""
        index = np.flatnonzero(self._dataset.test.labels == ZERO)[:NUM_ZEROS]
        originals = np.asarray(data.to_unit_interval(self._dataset.test.inputs[index]))
        found: dict[str, Any] = {"shape": originals.shape[:3], "originals": pack(originals), "attacks": []}
        for spec in self._targeted(model):
            made = self._attack_at(model, spec, index, np.full(len(index), ONE, self._dataset.test.labels.dtype))
            found["attacks"].append({"pixels": pack(made.images), "answers": made.answers, "l2": made.distances})
        return found

    def _attack_at(self, model: AttackedModel, spec: AttackSpec, index: np.ndarray, targets: np.ndarray) -> Targeted:
        """Attacks test images, each at its target; an image's keys do not depend on how many are attacked."""
        keys, programs, params = attacks.suite_keys(model.seed), self._models.suite(model).programs, self._models.params
        count = int(index.max()) + 1
        attack, judge = (losses.per_example_keys(key, count)[index] for key in (keys.attack, keys.judge))
        inputs = np.asarray(data.to_unit_interval(self._dataset.test.inputs[index]))
        result = programs.attack(spec, params(model), attack, inputs, self._dataset.test.labels[index], targets)
        images = np.asarray(result.inputs)
        answers = evaluation.decided(programs.answers(params(model), judge, images))
        distances = np.asarray(losses.perturbation_norm(jnp.asarray(images - inputs), "l2"))
        return Targeted(images, answers, distances, evaluation.check_search(result, name=spec.label))
