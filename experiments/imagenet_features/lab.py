"""Network, features and heads of `experiments.imagenet_features`, and how they are put together to be attacked."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from experiments.core import feature_cache, feature_fill, heads, runner, trained_model
from experiments.core.app import Session
from experiments.core.recipe import Recipe
from experiments.core.trained_model import TrainedModel
from experiments.imagenet_features import backbone as keras_backbone
from experiments.imagenet_features import summary
from experiments.imagenet_features.attack import Measurer, Victim
from experiments.imagenet_features.backbone import Backbone
from experiments.imagenet_features.dataset import Images
from experiments.imagenet_features.settings import (
    BACKBONE,
    CLEAN,
    FeaturesConfig,
    Model,
    head_config,
    source_of,
)
from ib_jax import data, models
from ib_jax.attacks.runner import ApplyFn
from ib_jax.types import Params

_NUM_CALIBRATION = 256  # images whose statistics normalise random weights


def load_backbone(config: FeaturesConfig, images: Images) -> Backbone:
    """The network of a configuration."""
    count = min(_NUM_CALIBRATION, images.num_train)
    return keras_backbone.load(
        config.backbone,
        weights=config.weights,
        image_size=config.image_size,
        num_classes=images.num_classes,
        alpha=config.alpha,
        layer=config.layer,
        calibration=np.asarray(data.to_unit_interval(images.train.read_rows(np.arange(count)).inputs)),
    )


class Lab:
    """Images, network and features of a comparison, and what is done with them.

    Args:
      config: the settings.
      images: the data set.
      backbone: the network.
      workdir: folder of heads and answers.
    """

    def __init__(self, config: FeaturesConfig, images: Images, backbone: Backbone, workdir: pathlib.Path):
        self._config, self._images, self._backbone, self._workdir = config, images, backbone, workdir
        self._splits = {
            "train": (images.train, images.num_train),
            "evaluation": (images.evaluation, images.num_evaluation),
        }
        network = {
            "name": backbone.name,
            "weights": config.weights,
            "weights_digest": feature_fill.digest(backbone.variables),
            "preprocessing": backbone.preprocessing,
            "image_size": config.image_size,
        }
        root = pathlib.Path(config.cache_dir or workdir / "features")
        self._caches = {
            split: feature_cache.FeatureCache(
                root,
                {
                    "network": network,
                    "data": feature_fill.data_statement(source, name=config.dataset, split=split, num_images=count),
                },
                num_images=count,
                num_features=backbone.num_features,
                shard_size=config.shard_size,
            )
            for split, (source, count) in self._splits.items()
        }
        keras_version = keras_backbone.import_keras().__version__
        self.origin = {
            "backbone": network | {"num_features": backbone.num_features, "keras": keras_version},
            "data": {split: dict(cache.statement["data"]) for split, cache in self._caches.items()},
        }
        self._measurers: dict[str, Measurer] = {}
        self._crafted: dict[Model, np.ndarray] = {}

    def fill_caches(self, console: Console) -> None:
        """Computes the features that are missing, or this worker's share of them."""
        for split, cache in self._caches.items():

            def report(progress: feature_fill.FeatureProgress, split: str = split) -> None:
                console.print(
                    f"features of {split}: {progress.num_done:,} of {progress.num_examples:,} images  "
                    f"{progress.examples_per_second:,.0f} images/s  {progress.seconds_left:,.0f} s left",
                    highlight=False,
                )

            source, _ = self._splits[split]
            feature_fill.fill(
                cache,
                feature_fill.of_images(self._backbone.features, source, batch_size=self._config.feature_batch_size),
                self._backbone.variables,
                share=(self._config.worker, self._config.num_workers),
                report=report,
            )

    def open_features(self) -> None:
        """Reads the features into memory."""
        train, test = (self._caches[split].read() for split in ("train", "evaluation"))
        self._features = data.Dataset(self._config.dataset, train, None, test, self._images.num_classes)
        self._standardise = heads.Standardise(*self._caches["train"].moments())

    def train(self, model: Model, session: Session) -> TrainedModel | None:
        """As `runner.train`."""
        return runner.train(self._recipe(model), self._workdir / model.name, session)

    def measure(self, model: Model, report: Callable[[str], None]) -> dict[str, Any]:
        """Attacks a model; what goes into its record."""
        config, measurer, victim = self._config, self._measurer(model), self._victim(model)
        crafted = functools.partial(self._transferred, source_of(model))
        found = measurer.measure(victim, crafted, self._workdir / model.name / "attacks", report)
        same, stands = summary.same_images(found, config.radius)
        return {
            **self._test(model, measurer, victim),
            "num_images": len(found[CLEAN]["labels"]),
            "target_class": config.target,
            "attacks": summary.rows(found, config.target, stochastic=model.stochastic),
            "same_images": same,
            "findings": [finding._asdict() for finding in summary.findings(found, stands)],
        }

    def _test(self, model: Model, measurer: Measurer, victim: Victim) -> dict[str, Any]:
        if model.objective != BACKBONE:
            trained = trained_model.open_model(self._workdir / model.name, self._recipe(model))
            sizes = {"steps": self._recipe(model).num_steps, "training_seconds": trained.seconds}
            return {"test": trained.summary["test"]} | sizes
        found = measurer.answers(victim, np.arange(self._images.num_evaluation))
        wrong = (found["answers"] != found["labels"][:, None]).mean(0)
        return {"test": {"error_one": float(wrong[0]), "error_avg": float(wrong[1])}}

    def _recipe(self, model: Model) -> Recipe:
        config = head_config(self._config, model, self._backbone.num_features)
        return heads.head_recipe(config, self._features, self._standardise)

    def _victim(self, model: Model) -> Victim:
        params: dict[str, Params] = {"backbone": self._backbone.variables}
        if model.objective != BACKBONE:
            head = trained_model.restore_params(self._recipe(model), self._workdir / model.name)
            params["head"] = {part: head[part] for part in ("encoder", "decoder")}  # alike for all objectives
        return Victim(model, params)

    def _measurer(self, model: Model) -> Measurer:
        """The attacks for a model; bottlenecks share theirs, whatever they were trained with."""
        kind = "bottleneck" if model.stochastic else model.objective
        if kind not in self._measurers:
            apply_fn = self._network() if model.objective == BACKBONE else self._head(model)
            self._measurers[kind] = Measurer(
                self._config,
                apply_fn,
                stochastic=model.stochastic,
                source=self._images.evaluation,
                num_images=self._images.num_evaluation,
            )
        return self._measurers[kind]

    def _network(self) -> ApplyFn:
        logits = self._backbone.logits
        assert logits is not None
        return lambda params, keys, images: logits(params["backbone"], images)

    def _head(self, model: Model) -> ApplyFn:
        features, head = self._backbone.features, models.sampled_apply(self._recipe(model).model)
        return lambda params, keys, images: head(params["head"], keys, features(params["backbone"], images))

    def _transferred(self, source: Model) -> np.ndarray:
        """Images made on a model, kept for the next that they are shown to."""
        if source not in self._crafted:
            self._crafted[source] = self._measurer(source).crafted(self._victim(source))
        return self._crafted[source]
