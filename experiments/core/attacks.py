"""Attacks on an experiment's trained models: keys from the named streams, transfer between them, rows for records."""

import pathlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.core.keys import stream
from experiments.core.progress import WorkLine
from experiments.core.trained_model import TrainedModel
from ib_jax import attacks, evaluation, training
from ib_jax.evaluation import AttackRow, AttackSuite, SuiteKeys, SuiteResult, TransferSource
from ib_jax.types import Array, Params

SOURCE = "source"
"""What specs call the model on which images for transfer are made; in records it has its own name."""


class AttackedModel(NamedTuple):
    """A trained model, to be attacked.

    Attributes:
      name: what it is called, the same for all seeds.
      seed: of its training; it decides the noise of the attacks and of the answers.
      structure: models of the same one are attacked by one suite, with programs compiled once.
      stochastic: whether its answers are random.
      load: gives its parameters, when they are first needed.
    """

    name: str
    seed: int
    structure: Hashable
    stochastic: bool
    load: Callable[[], Params]


def suite_keys(seed: int) -> SuiteKeys:
    """The keys of the attacks on a model, of its answers, and of the look at its gradients."""
    return SuiteKeys(stream(seed, "attack"), stream(seed, "judge"), stream(seed, "check"))


def random_targets(labels: Array | np.ndarray, num_classes: int) -> np.ndarray:
    """The classes that targeted attacks aim at, the same for every model: int [N], never the label."""
    return np.asarray(attacks.random_targets(stream(0, "targets"), jnp.asarray(labels), num_classes))


class ModelAttacks:
    """Attacks trained models, and shows each the images that were made on another; what is made once is kept.

    Args:
      make_suite: the attacks on models of a model's structure.
      source_of: the model on which the images for transfer to a model are made; None without transfer.
      export: folder for the attacked images, NAME/seedS for each model; "" for nowhere.
    """

    def __init__(
        self,
        make_suite: Callable[[AttackedModel], AttackSuite],
        source_of: Callable[[AttackedModel], AttackedModel] | None = None,
        export: str = "",
    ):
        self._make_suite, self._source_of, self._export = make_suite, source_of, export
        self._suites: dict[Hashable, AttackSuite] = {}
        self._params: dict[tuple[str, int], Params] = {}
        self._sources: dict[tuple[str, int], TransferSource] = {}

    def attack(
        self,
        model: AttackedModel,
        *,
        report: Callable[[AttackRow], None] | None = None,
        folder: str | None = None,
    ) -> SuiteResult:
        """Every attack of its suite on a model; see `AttackSuite.evaluate`."""
        suite, sources = self.suite(model), {}
        if self._source_of is not None and any(spec.source for spec in suite.specs):
            sources[SOURCE] = self._source(self._source_of(model))
        keep: dict[str, Any] = {"keep_images": True} if self._export else {}
        keys = suite_keys(model.seed)
        result = suite.evaluate(self.params(model), keys, sources=sources, folder=folder, report=report, **keep)
        if self._export and training.is_main():
            home, inputs = pathlib.Path(self._export, model.name, f"seed{model.seed}"), suite.inputs
            evaluation.export_images(home, result, inputs, suite.labels, model=model.name, seed=model.seed)
        return result

    def suite(self, model: AttackedModel) -> AttackSuite:
        """The attacks on models of its structure."""
        if model.structure not in self._suites:
            self._suites[model.structure] = self._make_suite(model)
        return self._suites[model.structure]

    def params(self, model: AttackedModel) -> Params:
        """The parameters of a model, on the device."""
        key = model.name, model.seed
        if key not in self._params:
            self._params[key] = jax.device_put(model.load())
        return self._params[key]

    def work(self, models: Iterable[AttackedModel]) -> float:
        """What all attacks on some models cost, roughly, in images times passes forth and back."""
        return sum(work_of(spec, len(suite.labels)) for suite in map(self.suite, models) for spec in suite.specs)

    def _source(self, model: AttackedModel) -> TransferSource:
        key = model.name, model.seed
        if key not in self._sources:
            self._sources[key] = self.suite(model).transfer_source(
                self.params(model), suite_keys(model.seed), stochastic=model.stochastic
            )
        return self._sources[key]


def attack_trained(
    models: Sequence[TrainedModel],
    make_suite: Callable[[Any], AttackSuite],
    source_of: Callable[[Any], Any],
    console: Console,
    *,
    waiting: Sequence[TrainedModel] | None = None,
    export: str = "",
) -> Iterator[tuple[TrainedModel, SuiteResult, str]]:
    """Attacks models in turn, with a progress line; their settings have `name`, `seed` and `stochastic`.

    Args:
      models: all that there are.
      make_suite: (settings of a model) -> the attacks on all that are as `stochastic`.
      source_of: (settings of a model) -> those of the one on which the images for transfer to it are made.
      console: the terminal.
      waiting: those that are attacked. Default: all.
      export: as of `ModelAttacks`.

    Yields:
      A model, what came of it, and the name of its source.
    """

    trained = {(model.settings.name, model.settings.seed): model for model in models}

    def attacked(model: TrainedModel) -> AttackedModel:
        own = model.settings
        return AttackedModel(own.name, own.seed, own.stochastic, own.stochastic, lambda: model.params)

    def source(model: AttackedModel) -> AttackedModel:
        settings = source_of(trained[model.name, model.seed].settings)
        return attacked(trained[settings.name, settings.seed])

    suites = ModelAttacks(lambda model: make_suite(trained[model.name, model.seed].settings), source, export)
    waiting = models if waiting is None else waiting
    with WorkLine(console, suites.work(map(attacked, waiting))) as line:
        for each in waiting:
            model = attacked(each)

            def show(row: AttackRow, title: str = f"{model.name} seed {model.seed}") -> None:
                line(title, row.spec.label, work_of(row.spec, row.num_images))

            yield each, suites.attack(model, report=show), source(model).name


def work_of(spec: evaluation.AttackSpec, num_images: int) -> float:
    """What an attack costs, roughly, in images times passes forth and back; one on another model is there already."""
    return spec.count(num_images) * (1.0 if spec.source else spec.passes)


def measurements(
    result: SuiteResult, *, source: str = "", radii: Sequence[tuple[str, float]] = (), in_bits: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows of a suite for a record, each with the conditions `at` which `values` were measured.

    First the images as they are (attack "clean"), then each attack, then at `radii` each of them together with the
    others: on the images that all were tried on, with "worst" for the worst of all.

    Args:
      result: of a suite.
      source: the name of the model on which images for transfer were made.
      radii: (norm, epsilon).
      in_bits: measures that are in nats and are recorded in bits, as NAME_bits.

    Returns:
      Dictionaries with `at` and `values`, in plain scalars.
    """
    specs = {row.spec.label: row.spec for row in result.rows}

    def at(conditions: Mapping[str, Any]) -> dict[str, Any]:
        named = {"source": source} if conditions.get("source") == SOURCE else {}
        return {"split": "test", **conditions, **named}

    rows = []
    for right, at_mean in ((result.clean, False), (result.clean_at_mean, True)):
        if right is not None:
            kind = {"at_mean": True} if at_mean else {}
            values = {"accuracy": float(right.mean()), **_in_bits(result.measures, in_bits)}
            rows.append({"at": at({"attack": "clean", "num_images": len(right), **kind}), "values": values})
    for row in result.rows:
        values = {"accuracy": row.accuracy, **_in_bits(row.measures, in_bits)}
        if row.median_distance is not None:
            values[f"median_{row.spec.norm}"] = row.median_distance
        rows.append({"at": at(row.conditions()), "values": values | {"seconds": row.seconds}})
    for norm, epsilon in radii:
        found = result.together(epsilon, norm)
        for label, accuracy in found.accuracy.items():
            own = specs[label].conditions() if label in specs else {"attack": label, "norm": norm, "epsilon": epsilon}
            conditions = own | {"num_images": found.num_images, "together": True}
            rows.append({"at": at(conditions), "values": {"accuracy": accuracy}})
    return rows


def findings(result: SuiteResult) -> list[dict[str, Any]]:
    """What the checks have to say, for a record."""
    return [finding._asdict() for finding in result.findings]


def _in_bits(measures: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {
        (f"{name}_bits" if name in names else name): float(evaluation.nats_to_bits(value)) if name in names else value
        for name, value in measures.items()
    }


def minimal_values(distances: np.ndarray, success: np.ndarray, before: np.ndarray) -> Mapping[str, float]:
    """Success and sizes among the images that were right `before`; one that was wrong has nothing to perturb.

    Returns:
      `num_right`; `success`, a share; `mean_l2` over the successes, and `median_l2`, in which a failure is infinitely
      far. NaN if no image was right.
    """
    distances, success = distances[before], success[before]
    if not len(success):
        return {"num_right": 0} | dict.fromkeys(("success", "mean_l2", "median_l2"), np.nan)
    return {
        "num_right": len(success),
        "success": float(success.mean()),
        "mean_l2": float(distances[success].mean()) if success.any() else np.inf,
        "median_l2": float(np.median(np.where(success, distances, np.inf))),
    }
