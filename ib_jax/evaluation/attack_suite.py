"""Many attacks on one model, judged alike: by fresh samples, and only what was right before can stand."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.runner import ApplyFn
from ib_jax.evaluation.answer_checks import check_search
from ib_jax.evaluation.answers import is_right, median_distance, standing
from ib_jax.evaluation.attack_programs import AttackPrograms, PredictFn, TransferSource
from ib_jax.evaluation.attack_spec import AttackSpec
from ib_jax.evaluation.checks import check_model
from ib_jax.evaluation.findings import Finding
from ib_jax.evaluation.suite_findings import suite_findings
from ib_jax.evaluation.suite_folder import SuiteFolder
from ib_jax.evaluation.suite_result import AttackRow, SuiteResult
from ib_jax.types import Array, AttackResult, Params

Measure = Callable[[Params, np.ndarray], Any]
"""(params, images [n, ...]) -> float [n], such as the rate of each image's code, in nats."""


class SuiteKeys(NamedTuple):
    """The keys of a suite, each one PRNG key or one for each image ([N]); no two may share their noise.

    Attributes:
      attack: of the attacks. All start from the same key, so that only the attacks differ.
      judge: of the samples behind the answers, the same before and after every attack.
      check: of the check of the model's gradients.
    """

    attack: Array
    judge: Array
    check: Array


class AttackSuite:
    """Runs many attacks on models of one structure; programs compile once, since parameters are an argument.

    An image stands under an attack if it was right before and still is, by the same samples of a stochastic model,
    which no attack has seen. An image's keys do not depend on how many are attacked.

    Args:
      specs: the attacks, in this order.
      apply_fn: (params, keys [B], inputs) -> logits [B, C], at one sample of a stochastic model.
      inputs: float [N, ...].
      labels: int [N].
      targets: int [N], for targeted specs.
      mean_fn: the model at the mean of its code, for specs `at_mean`.
      num_eval_samples: samples behind an answer.
      predict: (params, keys [B], inputs) -> int [B], in place of the class of the mean softmax over these.
      measures: by name, further functions (params, images) -> numbers of the clean and the attacked images.
      num_checked: how many images, the first ones, are used to check the gradients.
      batch_size: most examples attacked or answered at a time.
      bounds: lower and upper limits of the inputs.

    Raises:
      ValueError: two specs are the same, none is given, targets or `mean_fn` are missing, or lengths differ.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> apply_fn = lambda params, keys, x: jnp.concatenate([x, params - x], -1)  # class 0 where x > params / 2
      >>> specs = [evaluation.AttackSpec("pgd", epsilon) for epsilon in (0.05, 0.2)]
      >>> suite = evaluation.AttackSuite(specs, apply_fn, jnp.array([[0.6], [0.9]]), jnp.array([0, 0]))
      >>> keys = evaluation.SuiteKeys(*jax.random.split(jax.random.key(0), 3))
      >>> result = suite.evaluate(1.0, keys)
      >>> [row.accuracy for row in result.rows]
      [1.0, 0.5]
    """

    def __init__(
        self,
        specs: Sequence[AttackSpec],
        apply_fn: ApplyFn,
        inputs: Array | np.ndarray,
        labels: Array | np.ndarray,
        *,
        targets: Array | np.ndarray | None = None,
        mean_fn: ApplyFn | None = None,
        num_eval_samples: int = 12,
        predict: PredictFn | None = None,
        measures: Mapping[str, Measure] | None = None,
        num_checked: int = 100,
        batch_size: int = 1000,
        bounds: Bounds = (0.0, 1.0),
    ):
        self.specs, self.inputs, self.labels = tuple(specs), np.asarray(inputs), np.asarray(labels)
        self.targets = None if targets is None else np.asarray(targets)
        labelled = [spec.label for spec in self.specs]
        if not labelled or len(set(labelled)) < len(labelled):
            twice = sorted({label for label in labelled if labelled.count(label) > 1})
            raise ValueError(f"specs must be attacks that differ, at least one, got {'; '.join(twice) or 'none'}")
        if not len(self.labels) or {len(self.inputs), *self._lengths()} != {len(self.labels)}:
            lengths = [len(self.inputs), len(self.labels), *self._lengths()]
            raise ValueError(f"inputs, labels and targets must be of one length N >= 1, got {lengths}")
        losses.check_labels(self.labels, (len(self.inputs),))
        if self.targets is None and any(spec.targeted for spec in self.specs):
            raise ValueError("targets must be given, since there are targeted specs")
        self.programs = AttackPrograms(
            apply_fn,
            mean_fn=mean_fn,
            num_eval_samples=num_eval_samples,
            predict=predict,
            batch_size=batch_size,
            bounds=bounds,
        )
        self._kinds = tuple(dict.fromkeys(spec.at_mean for spec in self.specs))
        self._checked = jax.jit(self.programs.apply_fn(self._kinds[0]))
        self._measures, self._num_checked = dict(measures or {}), min(num_checked, len(self.labels))

    def evaluate(
        self,
        params: Params,
        keys: SuiteKeys,
        *,
        sources: Mapping[str, TransferSource] | None = None,
        folder: str | os.PathLike[str] | None = None,
        keep_images: bool = False,
        report: Callable[[AttackRow], None] | None = None,
    ) -> SuiteResult:
        """Runs every attack of the suite on a model.

        Args:
          params: of the model.
          keys: see `SuiteKeys`.
          sources: by the names in the specs, the models on which images for transfer are made.
          folder: where to keep finished attacks; the same call after a kill makes only those that are missing.
          keep_images: whether rows hold the attacked images.
          report: called with each row as soon as it is done.

        Returns:
          SuiteResult.

        Raises:
          ValueError: a source is missing, the folder holds another evaluation, or the model has no answer for some
            image (its logits are NaN).
        """
        missing = sorted({spec.source for spec in self.specs if spec.source} - set(sources or {}))
        if missing:
            raise ValueError(f"sources must hold the models that specs name, {', '.join(missing)} is missing")
        start = time.monotonic()
        content = (params, tuple(keys), self.inputs, self.labels, self.targets)
        told = {"num_eval_samples": self.programs.num_eval_samples, "measures": sorted(self._measures)}
        store = SuiteFolder(folder, self.specs, content, told)
        judge = self._first(keys.judge)
        answers = {kind: self.programs.answers(params, judge, self.inputs, at_mean=kind) for kind in self._kinds}
        clean = {kind: is_right(given, self.labels) for kind, given in answers.items()}
        measures, rows, findings = self._measured(params, self.inputs), [], []
        for index, spec in enumerate(self.specs):
            arrays = store.read(index)
            if arrays is None or (keep_images and "images" not in arrays):
                arrays = self._attack(params, keys, spec, sources or {}, keep_images)
                store.write(index, arrays)
            rows.append(self._row(spec, arrays, clean[spec.at_mean]))
            findings += _search_findings(spec, arrays)
            if report is not None:
                report(rows[-1])
        for kind in self._kinds:
            findings += suite_findings(rows, clean[kind], at_mean=kind, bounds=self.programs.bounds)
        findings = [*self._model_findings(params, keys, self._kinds[0]), *findings]
        return SuiteResult(
            clean=clean.get(False),
            clean_at_mean=clean.get(True),
            measures=measures,
            rows=rows,
            findings=findings,
            seconds=time.monotonic() - start,
        )

    def transfer_source(self, params: Params, keys: SuiteKeys, *, stochastic: bool = True) -> TransferSource:
        """A model of this structure as a source of images for others."""
        return TransferSource(self.programs, params, self._first(keys.attack), stochastic=stochastic)

    def _lengths(self) -> list[int]:
        return [] if self.targets is None else [len(self.targets)]

    def _first(self, key: Array, count: int | None = None) -> Array:
        """Keys of the first images."""
        return losses.per_example_keys(key, len(self.labels))[: len(self.labels) if count is None else count]

    def _measured(self, params: Params, images: np.ndarray) -> dict[str, float]:
        return {
            name: float(np.asarray(measure(params, images)).mean(dtype=np.float64))
            for name, measure in self._measures.items()
        }

    def _attack(
        self,
        params: Params,
        keys: SuiteKeys,
        spec: AttackSpec,
        sources: Mapping[str, TransferSource],
        keep_images: bool,
    ) -> dict[str, np.ndarray]:
        start, count = time.monotonic(), spec.count(len(self.labels))
        inputs, labels = self.inputs[:count], self.labels[:count]
        targets = None if self.targets is None else self.targets[:count]
        arrays: dict[str, np.ndarray] = {}
        if spec.source:
            images = sources[spec.source].images(spec, inputs, labels, targets)
        else:
            result = self.programs.attack(spec, params, self._first(keys.attack, count), inputs, labels, targets)
            images = np.asarray(result.inputs)
            told = {"success": result.success, "blocked": result.blocked, "undecided": result.undecided}
            arrays |= {name: np.asarray(value) for name, value in told.items() if value is not None}
        judge = self._first(keys.judge, count)
        arrays["answers"] = self.programs.answers(params, judge, images, at_mean=spec.at_mean)
        arrays |= {f"measure {name}": np.array(value) for name, value in self._measured(params, images).items()}
        if spec.is_minimal:
            arrays["distances"] = np.asarray(losses.perturbation_norm(jnp.asarray(images - inputs), str(spec.norm)))
        if keep_images:
            arrays["images"] = images
        return arrays | {"seconds": np.array(time.monotonic() - start)}

    def _row(self, spec: AttackSpec, arrays: Mapping[str, np.ndarray], clean: np.ndarray) -> AttackRow:
        stands, distances = standing(arrays["answers"], self.labels, clean), arrays.get("distances")
        return AttackRow(
            spec=spec,
            stands=stands,
            answers=arrays["answers"],
            distances=distances,
            median_distance=None if distances is None else median_distance(distances, stands, clean),
            measures={name: float(arrays[f"measure {name}"]) for name in self._measures},
            seconds=float(arrays["seconds"]),
            images=arrays.get("images"),
        )

    def _model_findings(self, params: Params, keys: SuiteKeys, at_mean: bool) -> list[Finding]:
        count, checked = self._num_checked, self._checked
        inputs, labels = jnp.asarray(self.inputs[:count]), jnp.asarray(self.labels[:count])
        samples = [s.num_eot_samples for s in self.specs if s.at_mean == at_mean and not (s.is_minimal or s.source)]
        return check_model(
            self._first(keys.check, count),
            lambda *args: checked(params, *args),
            inputs,
            labels,
            num_eot_samples=max(samples, default=1),
        )


def _search_findings(spec: AttackSpec, arrays: Mapping[str, np.ndarray]) -> list[Finding]:
    if "success" not in arrays:
        return []
    told: Any = {name: arrays.get(name) for name in ("success", "blocked", "undecided")}
    return check_search(AttackResult(inputs=jnp.zeros(0), **told), name=spec.label)
