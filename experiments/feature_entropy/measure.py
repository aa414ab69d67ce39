"""What is measured of a model: the entropy of its binned features, on several grids, and how it stands attacks."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.attacks import suite_keys
from experiments.core.records import Measurement
from experiments.feature_entropy.settings import FeatureConfig
from ib_jax import data, evaluation, losses
from ib_jax.evaluation import AttackPrograms, AttackSpec, TransferSource
from ib_jax.models import Classifier
from ib_jax.types import Params

SHARED, OWN, COMPONENTS, MEDIAN = "shared range", "own range", "components", "median"
GRIDS = (SHARED, OWN, COMPONENTS, MEDIAN)
ESTIMATORS = {"plug_in": evaluation.entropy_plug_in, "jvhw": evaluation.entropy_jvhw}
_ENDS = (1.0, 99.0)  # percentiles between which a unit's own bins lie: one outlier shall not decide them


class Grid(NamedTuple):
    """Numbers to be binned, and the bins of all of them: [N, D], B, and the range."""

    values: np.ndarray
    num_bins: int
    value_range: tuple[float, float]


def grids(features: np.ndarray, reference: np.ndarray, config: FeatureConfig) -> dict[str, Grid]:
    """The features on every grid; but for the first, features times any number fall into the same bins.

    * shared range: all units, or means of neighbours if there are more than `num_groups`, from 0 to the 99th percentile
      of all of them in the model trained on clean images with the same seed. One resolution for all models, as the
      paper's one way of counting must have had; a network whose features shrink falls into fewer bins without knowing
      less.
    * own range: the same, each between its own 1st and 99th percentile.
    * components: the first principal components of the features, each unit divided by its standard deviation, on their
      own ranges.
    * median: the same components above or below their own medians: each is one bit, whatever its distribution, so what
      lowers this entropy is that they depend on each other.

    Args:
      features: float [N, D].
      reference: float [N, D], of the model trained on clean images.
      config: bins and components.

    Returns:
      Grid by name, in the order of `GRIDS`.
    """
    top = float(np.percentile(grouped(reference, config.num_groups), _ENDS[1])) or 1.0
    projected = principal(features, config.num_components)
    above = (projected > np.median(projected, axis=0)).astype(float)
    return {
        SHARED: Grid(grouped(features, config.num_groups), config.num_bins, (0.0, top)),
        OWN: Grid(_scaled(grouped(features, config.num_groups)), config.own_bins, (0.0, 1.0)),
        COMPONENTS: Grid(_scaled(projected), config.component_bins, (0.0, 1.0)),
        MEDIAN: Grid(above, 2, (0.0, 1.0)),
    }


def grouped(features: np.ndarray, count: int) -> np.ndarray:
    """Means over at most so many groups of neighbouring units, of sizes as alike as can be: [N, min(count, D)].

    Example:
      >>> grouped(np.array([[1.0, 3.0, 5.0, 7.0, 9.0]]), 2).tolist(), grouped(np.ones((2, 3)), 8).shape
      ([[3.0, 8.0]], (2, 3))
    """
    parts = np.array_split(features, min(count, features.shape[1]), axis=1)
    return np.stack([part.mean(1) for part in parts], axis=1)


def principal(features: np.ndarray, count: int) -> np.ndarray:
    """The first principal components [N, min(count, D)] of features [N, D], each of which has variance one or zero."""
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    spread = centred.std(0)
    standard = centred / np.where(spread > 0, spread, 1.0)
    _, vectors = np.linalg.eigh(standard.T @ standard)
    return standard @ vectors[:, ::-1][:, :count]


def _scaled(values: np.ndarray) -> np.ndarray:
    """Each column from its first percentile, 0, to its last, 1; a column without width is 0."""
    low, high = np.percentile(values, _ENDS, axis=0)
    width = high - low
    return np.where(width > 0, (values - low) / np.where(width > 0, width, 1.0), 0.0)


def entropies(grid: Grid, num_resamples: int) -> tuple[dict[str, dict[str, float]], list[list[int]]]:
    """The entropy of one grid's symbols by each estimator, in bits, with intervals; and under "" what it can tell.

    Returns:
      Values by estimator, and how many symbols occur how often, from which every estimate follows.
    """
    symbols = evaluation.discretise(grid.values, num_bins=grid.num_bins, value_range=grid.value_range)
    counts = evaluation.count_symbols(symbols.symbols)
    values: dict[str, dict[str, float]] = {
        "": {
            "num_dimensions": grid.values.shape[1],
            "num_bins": grid.num_bins,
            "lowest": grid.value_range[0],
            "highest": grid.value_range[1],
            "most_bits": float(np.log2(len(symbols.symbols))),
            "distinct_share": symbols.distinct_share,
            "single_share": symbols.single_share,
            "outside_share": symbols.outside_share,
        }
    }
    for name, estimator in ESTIMATORS.items():
        interval = evaluation.bootstrap_entropy(counts, estimator, num_resamples=num_resamples)
        bits = (float(evaluation.nats_to_bits(value)) for value in interval)
        values[name] = dict(zip(("entropy_bits", "entropy_low_bits", "entropy_high_bits"), bits, strict=True))
    return values, np.stack(np.unique(counts, return_counts=True), axis=1).tolist()


class Measure:
    """Measures models of one structure; every program is compiled once.

    Args:
      config: the settings.
      programs: the attacks on these models.
      model: their network.
      test: the test images, in [0, 1].
      source: parameters of a model trained on clean images with a seed that no measured model has, on which images for
        transfer are made.
      source_name: what it is called in records.
    """

    def __init__(
        self,
        config: FeatureConfig,
        programs: AttackPrograms,
        model: Classifier,
        test: data.Split,
        source: Params,
        source_name: str,
    ):
        self._config, self._test, self._programs = config, test, programs
        self._encode = jax.jit(lambda params, inputs: model.encode(params, inputs).mean)
        self._source = TransferSource(programs, source, suite_keys(0).attack, stochastic=False)
        self._source_name = source_name

    def features(self, params: Params) -> np.ndarray:
        """Features of the last convolution, averaged over the image, [N, D]."""
        inputs = self._test.inputs[: self._config.num_feature_images]
        return np.concatenate(
            [np.asarray(self._encode(params, inputs[first : first + 1000])) for first in range(0, len(inputs), 1000)]
        )

    def entropies(self, params: Params, reference: np.ndarray) -> tuple[list[Measurement], dict[str, Any]]:
        """The entropy on every grid, and the features' mean and spread; and the counts behind the estimates."""
        features = self.features(params)
        values = {
            "feature_mean": float(features.mean(dtype=np.float64)),
            "feature_std": float(features.std(dtype=np.float64)),
            "dead_units": int((features.max(0) <= 0).sum()),
        }
        at: dict[str, Any] = {"split": "test", "num_images": len(features)}
        rows, counts = [Measurement(at, values)], {}
        for grid, made in grids(features, reference, self._config).items():
            by_estimator, counts[grid] = entropies(made, self._config.num_resamples)
            for name, values in by_estimator.items():
                rows.append(Measurement(at | {"grid": grid} | ({"estimator": name} if name else {}), values))
        return rows, counts

    def robustness(self, params: Params, attacks: Sequence[str], seed: int) -> list[Measurement]:
        """How a model stands the attacks it was trained against, also made on another model; PGD and Square; transfer.

        An attack without a radius fools nearly every image, from near or far: how far is what counts in `robustness`.
        """
        config, epsilon = self._config, self._config.epsilon
        rows = []
        for name in attacks:
            spec = dataclasses.replace(config.spec(name), num_images=config.num_attack_images)
            stands, clean, distances = self._stands(params, spec, seed)
            robust = stands | (clean & (distances > config.l2_radius)) if spec.is_minimal else stands
            median = evaluation.median_distance(distances, stands, clean)
            values = {"accuracy": stands.mean(), "robustness": robust.mean(), "median_l2": median}
            rows.append(self._row(spec, len(stands), values))
            spec = dataclasses.replace(spec, source=self._source_name)
            rows.append(self._row(spec, len(stands), {"accuracy": self._stands(params, spec, seed)[0].mean()}))
        attack = functools.partial(AttackSpec, epsilon=epsilon, num_images=config.num_beside)
        pgd = attack("pgd", num_steps=config.pgd_steps)
        transfer = dataclasses.replace(pgd, source=self._source_name)
        together = []
        for spec in (pgd, transfer, attack("square", options={"num_queries": config.num_queries})):
            stands, right, _ = self._stands(params, spec, seed)
            together.append(stands)
            rows.append(self._row(spec, len(stands), {"accuracy": stands.mean()}))
        at: dict[str, Any] = {"split": "test", "attack": "clean", "num_images": len(clean)}
        rows.insert(0, Measurement(at, {"accuracy": float(clean.mean())}))
        at = at | {"num_images": len(right), "together": True}
        rows.append(Measurement(at, {"accuracy": float(right.mean())}))
        at = at | {"attack": "worst", "norm": pgd.norm, "epsilon": epsilon}
        return [*rows, Measurement(at, {"accuracy": float(np.all(together, axis=0).mean())})]

    def _stands(self, params: Params, spec: AttackSpec, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which images stand under an attack and which are right without, and how far in L2 it moves each: [n]."""
        keys, count = suite_keys(seed), spec.count(len(self._test.labels))
        images, labels = (np.asarray(field[:count]) for field in self._test)
        if spec.source:
            moved = self._source.images(spec, images, labels)
        else:
            moved = np.asarray(self._programs.attack(spec, params, keys.attack, images, labels).inputs)
        clean = evaluation.is_right(self._programs.answers(params, keys.judge, images), labels)
        stands = evaluation.standing(self._programs.answers(params, keys.judge, moved), labels, clean)
        return stands, clean, np.asarray(losses.perturbation_norm(jnp.asarray(moved - images), "l2"))

    def _row(self, spec: AttackSpec, count: int, values: Any) -> Measurement:
        at = {"split": "test", **spec.conditions(), "num_images": count}
        return Measurement(at, {name: None if value is None else float(value) for name, value in values.items()})
