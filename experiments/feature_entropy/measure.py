"""What is measured of a model: the entropy of its binned features, on several grids, and how it stands attacks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.keys import stream
from experiments.feature_entropy.settings import FGSM, FeatureConfig
from experiments.feature_entropy.train import Trainer
from ib_jax import attacks, data, evaluation, losses
from ib_jax.types import Params

SHARED, OWN, COMPONENTS, MEDIAN = "shared range", "own range", "components", "median"
GRIDS = (SHARED, OWN, COMPONENTS, MEDIAN)
PLUG_IN, JVHW = "plug_in", "jvhw"
ESTIMATORS: dict[str, Callable[[np.ndarray], float]] = {
    PLUG_IN: evaluation.entropy_plug_in,
    JVHW: evaluation.entropy_jvhw,
}
_ENDS = (1.0, 99.0)  # percentiles between which a unit's own bins lie: one outlier shall not decide them


class Grid(NamedTuple):
    """Numbers to be binned, and the bins of all of them: [N, D], B, and the range."""

    values: np.ndarray
    num_bins: int
    value_range: tuple[float, float]


def grids(features: np.ndarray, reference: np.ndarray, config: FeatureConfig) -> dict[str, Grid]:
    """The features on every grid; but for the first, features times any number fall into the same bins.

    * shared range: all units, from 0 to the 99th percentile of all features of the model trained on clean images with
      the same seed. One resolution for all models, as the paper's one way of counting must have had; a network whose
      features shrink falls into fewer bins without knowing less.
    * own range: all units, each between its own 1st and 99th percentile.
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
    top = float(np.percentile(reference, _ENDS[1])) or 1.0
    projected = principal(features, config.num_components)
    above = (projected > np.median(projected, axis=0)).astype(float)
    return {
        SHARED: Grid(features, config.num_bins, (0.0, top)),
        OWN: Grid(_scaled(features), config.own_bins, (0.0, 1.0)),
        COMPONENTS: Grid(_scaled(projected), config.component_bins, (0.0, 1.0)),
        MEDIAN: Grid(above, 2, (0.0, 1.0)),
    }


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


def entropy_row(grid: Grid, num_resamples: int) -> dict[str, Any]:
    """The entropy of one grid's symbols in bits, with intervals, and what says how much it can tell."""
    found = evaluation.discretise(grid.values, num_bins=grid.num_bins, value_range=grid.value_range)
    counts = evaluation.count_symbols(found.symbols)
    sizes, repeats = np.unique(counts, return_counts=True)
    row: dict[str, Any] = {
        "num_dimensions": grid.values.shape[1],
        "num_bins": grid.num_bins,
        "value_range": grid.value_range,
        "num_images": len(found.symbols),
        "most_bits": float(np.log2(len(found.symbols))),
        "distinct_share": found.distinct_share,
        "single_share": found.single_share,
        "outside_share": found.outside_share,
        # Every estimate follows from how many symbols occur how often.
        "count_of_counts": [[int(size), int(repeat)] for size, repeat in zip(sizes, repeats, strict=True)],
    }
    for name, estimator in ESTIMATORS.items():
        interval = evaluation.bootstrap_entropy(counts, estimator, num_resamples=num_resamples)
        row[name] = [float(evaluation.nats_to_bits(value)) for value in interval]
    return row


class Measure:
    """Measures models of one structure; every program is compiled once.

    Args:
      config: the settings.
      trainer: whose models are measured.
      test: the test images, in [0, 1].
      source: parameters of a model trained on clean images with a seed that no measured model has, on which images for
        transfer are made.
    """

    def __init__(self, config: FeatureConfig, trainer: Trainer, test: data.Split, source: Params):
        self._config, self._trainer, self._test = config, trainer, test
        model, size = trainer.recipe.model, config.attack_batch_size
        self._encode = jax.jit(lambda params, inputs: model.encode(params, inputs).mean)
        self._answer = jax.jit(lambda *args: losses.predicted_class(trainer.apply(*args)))
        self._pgd = attacks.Runner(
            attacks.pgd(config.epsilon, num_steps=config.pgd_steps), trainer.apply, batch_size=size
        )
        self._square = attacks.Runner(
            attacks.square(config.epsilon, num_queries=config.num_queries), trainer.apply, batch_size=size
        )
        self._beside = self._first(config.num_beside)
        self._source, self._made = source, _attacked(self._pgd, source, stream(0, "attack"), self._beside)
        self._frozen: dict[str, np.ndarray] = {}

    def features(self, params: Params) -> np.ndarray:
        """Features of the last convolution, averaged over the image, [N, D]."""
        inputs = self._first(self._config.num_feature_images).inputs
        return np.concatenate(
            [np.asarray(self._encode(params, inputs[first : first + 1000])) for first in range(0, len(inputs), 1000)]
        )

    def entropies(self, params: Params, reference: np.ndarray) -> dict[str, Any]:
        """The entropy on every grid, and the features' mean and spread."""
        features = self.features(params)
        rows = {
            name: entropy_row(grid, self._config.num_resamples)
            for name, grid in grids(features, reference, self._config).items()
        }
        return {
            "entropy": rows,
            "feature_mean": float(features.mean(dtype=np.float64)),
            "feature_std": float(features.std(dtype=np.float64)),
            "dead_units": int((features.max(0) <= 0).sum()),
        }

    def robustness(self, params: Params, attack: str, seed: int) -> dict[str, Any]:
        """How a model stands the attack it was trained against, and others beside."""
        split, key = self._first(self._config.num_attack_images), stream(seed, "attack")
        images, labels = map(np.asarray, split)
        clean = evaluation.is_right(self.answers(params, images), labels)
        found = _attacked(self._trainer.runners[attack], params, key, split)
        stands = evaluation.standing(self.answers(params, found), labels, clean)
        sizes = np.asarray(losses.perturbation_norm(jnp.asarray(found - images), "l2"))
        far = sizes > self._config.l2_radius
        # An attack without a radius fools nearly every image, from near or far: how far is what counts.
        robust = stands if attack == FGSM else stands | (clean & far)
        if attack not in self._frozen:
            self._frozen[attack] = _attacked(self._trainer.runners[attack], self._source, key, split)
        inputs, own = map(np.asarray, self._beside)
        pgd, square = (_attacked(runner, params, key, self._beside) for runner in (self._pgd, self._square))
        beside = {"pgd": pgd, "transfer": self._made, "square": square}
        right = {"clean": evaluation.is_right(self.answers(params, inputs), own)}
        right |= {
            name: evaluation.standing(self.answers(params, tried), own, right["clean"])
            for name, tried in beside.items()
        }
        right["worst"] = np.all(list(right.values()), axis=0)
        return {
            "clean_accuracy": float(clean.mean()),
            "robustness": float(robust.mean()),
            "attacked_accuracy": float(stands.mean()),
            "median_l2": evaluation.median_distance(sizes, stands, clean),
            "frozen_accuracy": float(
                evaluation.standing(self.answers(params, self._frozen[attack]), labels, clean).mean()
            ),
            "num_images": len(labels),
            "beside": {name: float(stood.mean()) for name, stood in right.items()},
            "num_beside": len(own),
        }

    def answers(self, params: Params, images: np.ndarray) -> np.ndarray:
        """The class answered for each image, int [N]; -1 where there is none."""
        keys, size = losses.per_example_keys(stream(0, "judge"), len(images)), self._config.attack_batch_size
        parts = [slice(first, first + size) for first in range(0, len(images), size)]
        return np.concatenate([np.asarray(self._answer(params, keys[part], images[part])) for part in parts])

    def _first(self, count: int) -> data.Split:
        return data.Split(*(field[:count] for field in self._test))


def _attacked(runner: attacks.Runner, params: Params, key: jax.Array, split: data.Split) -> np.ndarray:
    return np.asarray(runner(params, key, *map(jnp.asarray, split)).inputs)
