"""Trains heads on a pretrained network's features, and attacks the images."""

import functools
import pathlib
import time

import numpy as np

from experiments.core import feature_fill, heads, records, runner, trained_model
from experiments.core.feature_cache import FeatureCache
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, as_dict, departures
from experiments.core.workdir import check_reuse, check_workdir, environment, write_config
from experiments.imagenet_features.attack import Attacks, findings
from experiments.imagenet_features.backbone import Backbone, Images, import_keras, load, open_images
from experiments.imagenet_features.settings import BACKBONE, FeaturesConfig, Model, head_config, models
from ib_jax import data
from ib_jax.attacks.runner import ApplyFn
from ib_jax.evaluation import TransferSource
from ib_jax.models import sampled_apply
from ib_jax.types import Params

NAME = "imagenet_features"
LOCAL = (*trained_model.LOCAL, "cache_dir", "results")
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
    console, workdir = session.console, pathlib.Path(config.workdir)
    check_workdir(workdir, config, stage=EVALUATION)
    images = open_images(config)
    backbone = load_backbone(config, images)
    comparison = Comparison(config, images, backbone, Session(NAME, session.command, console))
    results, waiting = pathlib.Path(config.results or workdir / "results"), {}
    for model in models(config, with_backbone=backbone.num_classes == images.num_classes):
        path = results / f"{model.file}.json"
        if path.exists():
            check_reuse(path, records.read(path).settings, config, stage=EVALUATION)
        else:
            waiting[model] = path
    if config.num_workers > 1:
        comparison.fill_caches()
        return workdir
    write_config(workdir, config)
    comparison.fill_caches()
    comparison.open_features()
    for model in dict.fromkeys([*waiting, *(model.source for model in waiting)]):
        if model.objective != BACKBONE and comparison.train(model) is None:
            return None
    for model, path in waiting.items():
        records.write(path, comparison.record(model))  # last: a model with a record is done
    from experiments.core import render  # pandas and matplotlib take a second to import
    from experiments.imagenet_features.report import report

    make = functools.partial(report, figures=config.figures)
    render.write_report(make, records.load(results), results, console)
    console.print(f"Records, table and figure are in {results}.", highlight=False)
    return results


def load_backbone(config: FeaturesConfig, images: Images) -> Backbone:
    """The network of a configuration; random weights are normalised by the first training images."""
    source, count = images.splits["train"]
    first = source.read_rows(np.arange(min(_NUM_CALIBRATION, count))).inputs
    return load(config, images.num_classes, np.asarray(data.to_unit_interval(first)))


class Comparison:
    """Heads on the features of one network, and the network itself where it knows the classes.

    Args:
      config: the settings.
      images: the data set.
      backbone: the network.
      session: the console, and the command for the records.
    """

    def __init__(self, config: FeaturesConfig, images: Images, backbone: Backbone, session: Session):
        self._config, self._images, self._backbone, self._session = config, images, backbone, session
        self._workdir = pathlib.Path(config.workdir)
        network = {
            "name": backbone.name,
            "weights": config.weights,
            "weights_digest": feature_fill.digest(backbone.variables),
            "preprocessing": backbone.preprocessing,
            "image_size": config.image_size,
        }
        root, num_features = pathlib.Path(config.cache_dir or self._workdir / "features"), backbone.num_features
        self._caches, used = {}, {}
        for split, (source, count) in images.splits.items():
            used[split] = feature_fill.data_statement(source, name=config.dataset, split=split, num_images=count)
            statement = {"network": network, "data": used[split]}
            self._caches[split] = FeatureCache(root, statement, count, num_features, config.shard_size)
        network |= {"num_features": num_features, "keras": import_keras().__version__}
        self._details = {"backbone": network, "data": used, "target_class": config.target}
        self._attacks: dict[str, Attacks] = {}
        self._sources: dict[Model, TransferSource] = {}

    def fill_caches(self) -> None:
        """Computes the features that are missing, or this worker's share of them."""
        for split, cache in self._caches.items():
            source, _ = self._images.splits[split]
            feature_fill.fill(
                cache,
                feature_fill.of_images(self._backbone.features, source, batch_size=self._config.feature_batch_size),
                self._backbone.variables,
                share=(self._config.worker, self._config.num_workers),
                report=feature_fill.printer(self._session.console, f"features of {split}", "images"),
            )

    def open_features(self) -> None:
        """Reads the features into memory."""
        train, test = (cache.read() for cache in self._caches.values())
        self._features = data.Dataset(self._config.dataset, train, None, test, self._images.num_classes)
        self._standardise = heads.Standardise(*self._caches["train"].moments())

    def train(self, model: Model) -> trained_model.TrainedModel | None:
        """As `runner.train`: a head that is trained is opened."""
        return runner.train(self._recipe(model), self._workdir / model.file, self._session)

    def record(self, model: Model) -> Record:
        """Attacks a model."""
        config, start, suite, params = self._config, time.monotonic(), self._suite(model), self._params(model)
        found = suite.run(
            params,
            model.seed,
            functools.partial(self._source, model.source),
            self._workdir / model.file / "attacks",
            lambda attack: self._print(f"  {model.file}: {attack}", style="dim"),
        )
        if model.objective == BACKBONE:
            test, details = suite.errors(params, model.seed), {}
        else:
            trained, recipe = (
                trained_model.open_model(self._workdir / model.file, self._recipe(model)),
                self._recipe(model),
            )
            test, details = trained.summary["test"], {"steps": recipe.num_steps, "training_seconds": trained.seconds}
        rows = suite.measurements(found, source=model.source.name)
        details |= {"attack_seconds": time.monotonic() - start}
        measured = records.Model(
            model.name,
            model.seed,
            [Measurement({"split": "test"}, test), *rows],
            settings={"objective": model.objective, "beta": model.beta},
            findings=findings(found),
            details=details,
        )
        worst = next(row for row in rows if row.at["attack"] == "worst")
        self._print(
            f"{model.file}  error {test['error_avg']:.1%}, accuracy on {worst.at['num_images']} images under the worst "
            f"of all attacks at radius {config.radius:g} {worst.values['accuracy']:.1%}"
        )
        settings = {name: value for name, value in as_dict(config).items() if name not in LOCAL}
        told = [departure._asdict() for departure in departures(config)]
        return Record(NAME, self._session.command, settings, [measured], self._details, told, environment())

    def _recipe(self, model: Model) -> Recipe:
        config = head_config(self._config, model, self._backbone.num_features)
        return heads.head_recipe(config, self._features, self._standardise)

    def _params(self, model: Model) -> dict[str, Params]:
        params: dict[str, Params] = {"backbone": self._backbone.variables}
        if model.objective != BACKBONE:
            head = trained_model.restore_params(self._recipe(model), self._workdir / model.file)
            params["head"] = {part: head[part] for part in ("encoder", "decoder")}  # alike for all objectives
        return params

    def _suite(self, model: Model) -> Attacks:
        """The attacks on a model; bottlenecks share theirs, whatever they were trained with."""
        structure = "bottleneck" if model.stochastic else model.objective
        if structure not in self._attacks:
            source, count = self._images.splits["evaluation"]
            apply_fn = self._network() if model.objective == BACKBONE else self._head(model)
            made = Attacks(self._config, apply_fn, source, num_images=count, stochastic=model.stochastic)
            self._attacks[structure] = made
        return self._attacks[structure]

    def _network(self) -> ApplyFn:
        logits = self._backbone.logits
        assert logits is not None
        return lambda params, keys, images: logits(params["backbone"], images)

    def _head(self, model: Model) -> ApplyFn:
        features, head = self._backbone.features, sampled_apply(self._recipe(model).model)
        return lambda params, keys, images: head(params["head"], keys, features(params["backbone"], images))

    def _source(self, model: Model) -> TransferSource:
        """A head as one on which images are made; kept for the next that they are shown to."""
        if model not in self._sources:
            self._sources[model] = self._suite(model).transfer_source(self._params(model), model.seed)
        return self._sources[model]

    def _print(self, text: str, style: str | None = None) -> None:
        self._session.console.print(text, style=style, highlight=False)
