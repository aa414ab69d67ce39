"""How `experiments.imagenet_features` attacks a model, through the network to the pixels, and what is measured of it.

Every answer is given twice: by one sample of z, as the VUB paper infers, and by the mean softmax over many. The samples
are the same for every attack on an image. Images are read in blocks, so that a set need not fit into memory.
"""

import functools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import attacks
from experiments.core.attacks import SOURCE
from experiments.core.records import Measurement
from experiments.imagenet_features import examples
from experiments.imagenet_features.settings import FeaturesConfig
from ib_jax import AttackResult, data, evaluation, losses
from ib_jax.attacks.runner import ApplyFn
from ib_jax.evaluation import AttackPrograms, AttackRow, AttackSpec, SuiteKeys, SuiteResult, TransferSource
from ib_jax.evaluation.suite_findings import suite_findings
from ib_jax.files import DamagedFileError, read_arrays, write_arrays
from ib_jax.paths import make_folder
from ib_jax.types import Array, Params

_ORDER = 3  # seed of the order in which images are taken
_BLOCK = 1024  # images read at a time

Arrays = dict[str, np.ndarray]
Attacked = Mapping[AttackSpec | None, Arrays]
"""By attack, None for the images as they are: `labels`; the `answers` [n, 2] by one sample and by the mean, and those
`before`; `seconds`; the attack's `success` and `blocked`, but of transfer; for Carlini-Wagner the sizes `l2` and `linf`
of the perturbations. An attack that there are no images for is not there."""


def plan(config: FeaturesConfig, *, stochastic: bool) -> list[AttackSpec]:
    """The attacks on a model; a deterministic one is spared what would change nothing."""
    eot = config.num_eot_samples if stochastic else 1
    one_and_many = sorted({1, eot})
    pgd = functools.partial(AttackSpec, "pgd", config.radius, num_steps=config.pgd_steps)
    search = {"num_binary_steps": config.cw_binary_steps, "initial_const": config.cw_initial_const}
    options = {"const_per": "nat", "learning_rate": config.cw_learning_rate, **search}  # c in logits, as in the papers
    cw = functools.partial(AttackSpec, "carlini_wagner", num_steps=config.cw_steps, targeted=True, options=options)
    return [
        *(AttackSpec("fgsm", radius, num_eot_samples=n) for n in one_and_many for radius in config.fgsm_epsilons),
        pgd(num_eot_samples=eot),
        pgd(source=SOURCE),
        AttackSpec("square", config.radius, num_eot_samples=eot, options={"num_queries": config.num_queries}),
        *(cw(num_eot_samples=n) for n in one_and_many),
    ]


class Attacks:
    """Every attack on models of one structure, for `ModelAttacks`; compiled once, since parameters are an argument.

    Args:
      config: sizes and radii.
      apply_fn: (params, keys [B], images [B, S, S, 3] in [0, 1]) -> logits [B, C], at one sample of z.
      source: evaluation images.
      num_images: the first of them are meant.
      stochastic: whether there is noise to average over.
    """

    def __init__(
        self, config: FeaturesConfig, apply_fn: ApplyFn, source: data.BatchSource, *, num_images: int, stochastic: bool
    ):
        order = np.random.default_rng(_ORDER).permutation(num_images)  # the same for every model
        self._few = order[: max(1, round(config.cw_share * num_images))]
        self._many = order[: max(len(self._few), config.num_fgsm_images or num_images)]
        self._config, self._source, self._num_images = config, source, num_images
        self.specs, averaged = plan(config, stochastic=stochastic), config.num_eval_samples if stochastic else 1
        self._columns = {1: 0, averaged: 1}  # of the answers, by the number of samples behind them

        def predict(params: Params, keys: Array, images: Array) -> Array:
            sample_keys = losses.sample_keys(keys, averaged)
            logits = jax.vmap(functools.partial(apply_fn, params), (0, None))(sample_keys, images)
            return jnp.stack([*map(losses.predicted_class, (logits[0], losses.pooled_logits(logits)))], axis=-1)

        self.programs = AttackPrograms(apply_fn, predict=predict, batch_size=config.attack_batch_size)

    def evaluate(
        self,
        params: Params,
        keys: SuiteKeys,
        *,
        sources: Mapping[str, TransferSource],
        folder: str,
        report: Callable[[AttackSpec], None],
    ) -> Attacked:
        """Attacks a model in every way; an attack whose file lies in the folder is not made again."""

        def judge(rows: np.ndarray, images: np.ndarray, labels: np.ndarray) -> Arrays:
            return {"answers": self.answers(params, keys, rows, images)}

        def attack(spec: AttackSpec, rows: np.ndarray, images: np.ndarray, labels: np.ndarray) -> Arrays:
            if spec.source:
                return judge(rows, sources[spec.source].images(spec, images, labels), labels)
            result = evaluation.attack_in_chunks(
                functools.partial(self.programs.attack, spec),
                params,
                self._keys(keys.attack, rows),
                jnp.asarray(images),
                jnp.asarray(labels),
                jnp.full(len(rows), self._config.target, jnp.int32) if spec.targeted else None,
                chunk_size=self.programs.batch_size,
            )
            outcome: dict[str, Any] = {"success": result.success, "blocked": result.blocked}
            if spec.is_minimal:
                difference = jnp.asarray(result.inputs - images)
                outcome |= {norm: np.asarray(losses.perturbation_norm(difference, norm)) for norm in ("l2", "linf")}
            return judge(rows, np.asarray(result.inputs), labels) | outcome

        clean = self._kept(pathlib.Path(folder) / "clean.npz", self._many, judge)
        attacked: dict[AttackSpec | None, Arrays] = {None: clean | {"before": clean["answers"]}}
        for number, spec in enumerate(self.specs):
            places, make = self._places(spec, clean), functools.partial(attack, spec)
            path = pathlib.Path(folder) / f"{number:02d}_{spec.attack}{'_transfer' if spec.source else ''}.npz"
            if len(places):
                block = len(places) if spec.source else _BLOCK  # images for transfer are made once for all models
                arrays = self._kept(path, self._many[places], make, block)
                attacked[spec] = arrays | {"before": clean["answers"][places]}
            report(spec)
        return attacked

    def transfer_source(self, params: Params, keys: SuiteKeys, *, stochastic: bool) -> TransferSource:
        """A model as one on which images for others are made."""
        return TransferSource(self.programs, params, self._keys(keys.attack, self._few), stochastic=stochastic)

    def errors(self, params: Params, keys: SuiteKeys) -> dict[str, float]:
        """Of all images as they are, by each kind of answer."""
        rows = np.arange(self._num_images)
        arrays = self._in_blocks(rows, lambda own, images, _: {"answers": self.answers(params, keys, own, images)})
        wrong = (arrays["answers"] != arrays["labels"][:, None]).mean(0)
        return {"error_one": float(wrong[0]), "error_avg": float(wrong[1])}

    def answers(self, params: Params, keys: SuiteKeys, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Answers to images [n, ...] of some rows, int [n, 2], in batches of one size."""
        size, judge, parts = self.programs.batch_size, self._keys(keys.judge, rows), []
        for first in range(0, len(rows), size):
            batch = np.arange(first, first + size) % len(rows)  # filled up with others, whose answers are dropped
            parts.append(self.programs.answers(params, judge[batch], images[batch])[: len(rows) - first])
        return evaluation.decided(np.concatenate(parts).T).T

    def examples(self, params: Params, keys: SuiteKeys, attacked: Attacked) -> dict[str, Any]:
        """A few images, the same for every model, made again under FGSM with one sample and under Carlini-Wagner."""
        labels = attacked[None]["labels"]
        rows = self._many[: len(labels)][labels != self._config.target][: examples.NUM_IMAGES]
        split = self._source.read_rows(rows)
        images, keyed = np.asarray(data.to_unit_interval(split.inputs)), self._keys(keys.attack, rows)
        last = [spec for spec in self.specs if spec.attack == "carlini_wagner"][-1]
        made = []
        for spec in [*(each for each in self.specs if each.attack == "fgsm" and each.num_eot_samples == 1), last]:
            targets = np.full(len(rows), self._config.target, np.int32) if spec.targeted else None
            result = self.programs.attack(spec, params, keyed, images, split.labels, targets)
            attacked_images = np.asarray(result.inputs)
            made.append((spec, attacked_images, self.answers(params, keys, rows, attacked_images)[:, -1]))
        return examples.keep(images, np.asarray(split.labels), made)

    def measurements(self, attacked: Attacked, source: str) -> list[Measurement]:
        """What was measured by each kind of answer; by the mean answer all attacks of the radius together, too.

        Args:
          attacked: of `evaluate`.
          source: the name of the model on which images for transfer were made.
        """
        measured = []
        for samples, column in self._columns.items():
            result, radii = _result(attacked, column), [("linf", self._config.radius)] * column
            rows = attacks.measurements(result, source=source, radii=radii)
            for row, each in zip(rows[1:], result.rows, strict=False):  # the first is without an attack
                target = self._config.target if each.spec.targeted else None
                row["values"] |= outcome(attacked[each.spec], column, target)
            measured += [Measurement(row["at"] | {"num_samples": samples}, row["values"]) for row in rows]
        return measured

    def _places(self, spec: AttackSpec, clean: Arrays) -> np.ndarray:
        """Which of `clean` is attacked; at a target what is of another class and rightly answered by the mean."""
        if not spec.targeted:
            return np.arange(len(self._many if spec.attack == "fgsm" else self._few))
        labels, answers = (clean[name][: len(self._few)] for name in ("labels", "answers"))
        return np.flatnonzero((labels == answers[:, 1]) & (labels != self._config.target))

    def _kept(self, path: pathlib.Path, rows: np.ndarray, make: Callable[..., Arrays], block: int = _BLOCK) -> Arrays:
        """The arrays of a file, made and written whole if it is not there; a damaged one is refused by its name."""
        if not path.exists():
            start, arrays = time.monotonic(), self._in_blocks(rows, make, block)
            arrays["seconds"] = np.array(time.monotonic() - start)
            make_folder(path.parent, "workdir")
            write_arrays(path, arrays)
        arrays = read_arrays(path, "delete it to have its attack made again")
        if len(arrays.get("labels", ())) != len(rows):
            raise DamagedFileError(
                f"{path} is not of these {len(rows)} images; delete it to have its attack made again"
            )
        return arrays

    def _in_blocks(self, rows: np.ndarray, make: Callable[..., Arrays], block: int = _BLOCK) -> Arrays:
        parts = []
        for own in np.split(rows, range(block, len(rows), block)):
            split = self._source.read_rows(own)
            images = np.asarray(data.to_unit_interval(split.inputs))
            parts.append({"labels": split.labels} | make(own, images, split.labels))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _keys(self, key: Array, rows: np.ndarray) -> Array:
        """An image's keys do not depend on how many are attacked."""
        return losses.per_example_keys(key, self._num_images)[rows]


def outcome(arrays: Arrays, column: int, target: int | None = None) -> dict[str, Any]:
    """What one attack did by one kind of answer, as the papers' tables are read.

    `num_right` before the attack. `success`, the share of these that no longer are, or that are answered with the
    target ("% of successful FGS attacks", "successful target"); `success_of_all`, the same among all n, since the VUB
    paper does not say among which. At a target means and medians of the sizes over successes, and `median_l2_all`, with
    a failure counted as infinitely far.
    """
    labels, answers = arrays["labels"], arrays["answers"][:, column]
    right = arrays["before"][:, column] == labels
    success = right & (answers != labels if target is None else answers == target)
    among = float(success[right].mean()) if right.any() else None
    values: dict[str, Any] = {"num_right": int(right.sum()), "success": among, "success_of_all": float(success.mean())}
    if target is not None:
        sizes = (np.where(success, arrays[norm], np.inf) for norm in ("l2", "linf"))
        summary = evaluation.summarise_perturbations(evaluation.Perturbations(right, success, *sizes))
        values |= {name: value for name, value in summary.items() if name.startswith(("mean", "median"))}
    return values


def findings(attacked: Attacked) -> Sequence[dict[str, Any]]:
    """What the attacks say of their searches, and what looks suspicious about PGD beside the others."""
    found: list[evaluation.Finding] = []
    for spec, arrays in attacked.items():
        if spec is not None and not spec.source:
            success, blocked = map(jnp.asarray, (arrays["success"], arrays["blocked"]))
            found += evaluation.check_search(AttackResult(jnp.zeros(0), success, blocked=blocked), name=spec.label)
    result = _result(attacked, 1)
    found += suite_findings(result.rows, result.right(), at_mean=False, bounds=(0.0, 1.0))
    return [finding._asdict() for finding in found]


def _result(attacked: Attacked, column: int) -> SuiteResult:
    """The attacks as a suite would give them, by one kind of answer."""
    rows, clean = [], np.zeros(0, bool)
    for spec, arrays in attacked.items():
        answers, labels = arrays["answers"][:, column], arrays["labels"]
        stands = (arrays["before"][:, column] == labels) & (answers == labels)
        if spec is None:
            clean = stands
        else:
            rows.append(AttackRow(spec, stands, answers, None, None, {}, float(arrays["seconds"])))
    return SuiteResult(clean, None, {}, rows, [], sum(row.seconds for row in rows))
