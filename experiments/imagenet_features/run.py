"""Trains heads on a pretrained network's features, and attacks the images."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from experiments.core import feature_cache, heads, records, runner, trained_model
from experiments.core.attacks import AttackedModel, ModelAttacks, suite_keys
from experiments.core.feature_cache import FeatureCache, Source
from experiments.core.heads import HeadConfig
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model
from experiments.core.session import Session
from experiments.core.settings import EVALUATION
from experiments.core.workdir import check_reuse, check_workdir, write_config
from experiments.imagenet_features.attack import Attacks, findings
from experiments.imagenet_features.backbone import Backbone, Images, import_keras, load, open_images
from experiments.imagenet_features.settings import BACKBONE, DETERMINISTIC, FeaturesConfig
from ib_jax import data
from ib_jax.attacks.runner import ApplyFn
from ib_jax.models import sampled_apply
from ib_jax.types import Params

_NUM_CALIBRATION = 256  # images whose statistics normalise random weights


def run(config: FeaturesConfig, session: Session) -> pathlib.Path | None:
    """Computes what is missing: features, heads, attacks; and makes the table and the figure.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, the workdir if only a share of the features was asked for, or None if training was
      stopped.

    Raises:
      WorkdirError: the workdir or a record was made with other settings.
      BackboneUnavailableError: Keras or weights are not there.
      DatasetUnavailableError: the images are not there.
    """
    workdir = pathlib.Path(config.workdir)
    check_workdir(workdir, config, stage=EVALUATION)
    images = open_images(config)
    backbone = load_backbone(config, images)
    results, waiting = pathlib.Path(config.results or workdir / "results"), {}
    for head in compared(config, backbone.num_features, with_backbone=backbone.num_classes == images.num_classes):
        path = results / f"{key_of(head)}.json"
        if path.exists():
            check_reuse(path, records.read(path).settings, config, stage=EVALUATION)
        else:
            waiting[head] = path
    if config.num_workers == 1:
        write_config(workdir, config)
    caches, details = compute_features(config, images, backbone, session)
    if config.num_workers > 1:
        return workdir
    comparison = Comparison(config, images, backbone, caches, session)
    sources = [comparison.source_of(head.seed if head else 0) for head in waiting]
    for head in dict.fromkeys([*waiting, *sources]):
        if head is not None and runner.train(comparison.recipe(head), workdir / head.key, session) is None:
            return None
    for head, path in waiting.items():
        records.write(path, session.record([comparison.measure(head)], config, details=details))  # last: it is done
    session.publish(results, figures=config.figures)
    return results


def compared(config: FeaturesConfig, num_features: int, *, with_backbone: bool) -> list[HeadConfig | None]:
    """Everything that is attacked: the network itself, which is None, and the heads."""
    objectives = (DETERMINISTIC, *config.compared)
    made = [heads.heads_of(config, num_features, name, epochs_per_eval=config.num_epochs) for name in objectives]
    return [*[None] * with_backbone, *(head for each in made for head in each)]


def load_backbone(config: FeaturesConfig, images: Images) -> Backbone:
    """The network of a configuration; random weights are normalised by the first training images."""
    source, count = images.splits["train"]
    first = source.read_rows(np.arange(min(_NUM_CALIBRATION, count))).inputs
    return load(config, images.num_classes, np.asarray(data.to_unit_interval(first)))


def compute_features(
    config: FeaturesConfig, images: Images, backbone: Backbone, session: Session
) -> tuple[Mapping[str, FeatureCache], dict[str, Any]]:
    """Computes the features that are missing, or this worker's share of them; the caches, and details for records."""
    network = {
        "name": backbone.name,
        "weights": "trained here" if config.trained else config.weights,
        "weights_digest": feature_cache.digest(backbone.variables),
        "preprocessing": backbone.preprocessing,
        "image_size": config.image_size,
        "num_features": backbone.num_features,
        "keras": "" if config.trained else import_keras().__version__,
    }
    sources = {}
    for split, (source, count) in images.splits.items():
        statement = feature_cache.data_statement(source, name=config.dataset, split=split, num_images=count)
        compute = feature_cache.of_images(backbone.features, source, batch_size=config.feature_batch_size)
        sources[split] = Source(statement, count, compute)
    caches = feature_cache.fill_caches(
        config,
        {"network": network},
        backbone.variables,
        backbone.num_features,
        sources,
        session.console,
        unit="images",
        share=(config.worker, config.num_workers),
    )
    used = {split: source.statement for split, source in sources.items()}
    return caches, {"backbone": network, "data": used, "target_class": config.target}


class Comparison:
    """Heads on the features of one network, and the network itself (None) where it knows the classes."""

    def __init__(
        self,
        config: FeaturesConfig,
        images: Images,
        backbone: Backbone,
        caches: Mapping[str, FeatureCache],
        session: Session,
    ):
        self._config, self._images, self._backbone, self._session = config, images, backbone, session
        self._workdir = pathlib.Path(config.workdir)
        train, test = (cache.read() for cache in caches.values())
        self._features = data.Dataset(config.dataset, train, None, test, images.num_classes)
        self._standardise = heads.Standardise(*caches["train"].moments())
        self._attacks = ModelAttacks(cast(Any, self._suite), lambda model: self._attacked(self.source_of(model.seed)))

    def recipe(self, head: HeadConfig) -> Recipe:
        """The recipe of a head on the features."""
        return heads.head_recipe(head, self._features, self._standardise)

    def source_of(self, seed: int) -> HeadConfig:
        """The deterministic head of another seed, on which the images for transfer to models of a seed are made."""
        return self._head(DETERMINISTIC, 1 if seed == 0 else 0)

    def measure(self, head: HeadConfig | None) -> Model:
        """Attacks a model; what is kept of it is not made again."""
        start, model, name = time.monotonic(), self._attacked(head), key_of(head)
        suite: Any = self._attacks.suite(model)
        attacked: Any = self._attacks.attack(
            model,
            folder=str(self._workdir / name / "attacks"),
            report=lambda spec: self._print(f"  {name}: {spec.label}", style="dim"),  # type: ignore[attr-defined]
        )
        own: dict[str, Any] = {"objective": BACKBONE, "beta": None}
        details: dict[str, Any] = {}
        if head is None:
            test = suite.errors(self._attacks.params(model), suite_keys(model.seed))
        else:
            own, recipe = head.own, self.recipe(head)
            trained = trained_model.open_model(self._workdir / name, recipe)
            test, details = trained.summary["test"], {"steps": recipe.num_steps, "training_seconds": trained.seconds}
        if model.seed == 0:
            details["examples"] = suite.examples(self._attacks.params(model), suite_keys(model.seed), attacked)
        rows = suite.measurements(attacked, source=DETERMINISTIC)
        worst = next(row for row in rows if row.at["attack"] == "worst")
        self._print(
            f"{name}  error {test['error_avg']:.1%}, accuracy on {worst.at['num_images']} images under the worst of "
            f"all attacks at radius {self._config.radius:g} {worst.values['accuracy']:.1%}"
        )
        details |= {"attack_seconds": time.monotonic() - start}
        measurements = [Measurement({"split": "test"}, test), *rows]
        return Model(model.name, model.seed, measurements, own, findings(attacked), details)

    def _head(self, objective: str, seed: int = 0) -> HeadConfig:
        own = {"epochs_per_eval": self._config.num_epochs}
        return HeadConfig.of(self._config, self._backbone.num_features, objective, seed=seed, **own)

    def _attacked(self, head: HeadConfig | None) -> AttackedModel:
        """Bottlenecks share their attacks, whatever they were trained with."""
        if head is None:
            return AttackedModel(BACKBONE, 0, BACKBONE, False, lambda: {"backbone": self._backbone.variables})

        def load() -> Params:
            params = trained_model.restore_params(self.recipe(head), self._workdir / head.key)
            parts = {part: params[part] for part in ("encoder", "decoder")}  # alike for all objectives
            return {"backbone": self._backbone.variables, "head": parts}

        return AttackedModel(head.name, head.seed, "vib" if head.stochastic else DETERMINISTIC, head.stochastic, load)

    def _suite(self, model: AttackedModel) -> Attacks:
        source, count = self._images.splits["evaluation"]
        apply_fn = self._network() if model.structure == BACKBONE else self._through_network(str(model.structure))
        return Attacks(self._config, apply_fn, source, num_images=count, stochastic=model.stochastic)

    def _network(self) -> ApplyFn:
        logits = self._backbone.logits
        assert logits is not None
        return lambda params, keys, images: logits(params["backbone"], images)

    def _through_network(self, objective: str) -> ApplyFn:
        features, head = self._backbone.features, sampled_apply(self.recipe(self._head(objective)).model)
        return lambda params, keys, images: head(params["head"], keys, features(params["backbone"], images))

    def _print(self, text: str, style: str | None = None) -> None:
        self._session.console.print(text, style=style)


def key_of(head: HeadConfig | None) -> str:
    """The name of a model's folder and of its record."""
    return f"{BACKBONE}_seed0" if head is None else head.key
