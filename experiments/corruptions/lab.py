"""Trained models beside each other: their test images, answers and attacks, each structure compiled once."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core import corrupted_images, image_attacks, trained_model
from experiments.core.attacks import AttackedModel, ModelAttacks
from experiments.core.corrupted_images import BATCH_SIZE, Predict
from experiments.core.settings import SettingError
from experiments.core.workdir import WorkdirError
from experiments.corruptions import checkpoints as image_checkpoints
from experiments.corruptions.checkpoints import Finished
from experiments.corruptions.settings import CorruptionSettings
from ib_jax import data, evaluation
from ib_jax.evaluation import AttackRow, AttackSuite

_LEAST = 8  # pixels a side that the corruptions need
_SMALL = 64  # up to here images are corrupted as CIFAR's are


class Lab:
    """Models of one data set and image size.

    Args:
      models: finished ones.
      settings: of the evaluation.

    Raises:
      ValueError: the models are of several data sets or image sizes, or of images that cannot be corrupted.
    """

    def __init__(self, models: Sequence[Finished], settings: CorruptionSettings):
        self._models, self._settings = models, settings
        self._recipes = {
            model.workdir: trained_model.open_recipe(model.workdir, data_dir=settings.data_dir) for model in models
        }
        self._predicts: dict[Any, Any] = {}
        self._attacks = ModelAttacks(self._suite, lambda model: self._attacked(self._source_of(self._model(model))))
        first = models[0]
        self.dataset, self._data_dir = first.config.dataset, first.config.data_dir or None
        self._clean = image_checkpoints.clean_images(self._recipes[first.workdir])
        self._shape, kind = self._clean[0].inputs.shape, self._clean[0].inputs.dtype
        for model in models:
            shape = self._recipes[model.workdir].example.shape[1:]
            if (model.config.dataset, shape) != (self.dataset, self._shape):
                raise WorkdirError(
                    f"{model.workdir} was trained on {model.config.dataset}, {_size(shape)}, but {first.workdir} is "
                    f"tested on {self.dataset}, {_size(self._shape)}: evaluate them in two runs"
                )
        if kind != np.uint8 or self._shape[2] != 3 or min(self._shape[:2]) < _LEAST:
            raise WorkdirError(
                f"{first.workdir} was trained on {self.dataset}, {kind} images of {_size(self._shape)}; the "
                f"corruptions are made for colour images, uint8 of at least {_LEAST} x {_LEAST} x 3"
            )
        self.constants = "cifar10" if self._shape[0] <= _SMALL else "imagenet"
        self.num_images = min(settings.num_images or len(self._clean), len(self._clean))

    def clean(self, count: int) -> Iterator[data.Split]:
        """The first clean images, in batches."""
        return _batches(data.Subset(self._clean, np.arange(min(count, len(self._clean)))))

    def corrupted(self) -> Callable[[str, int], Iterator[data.Split]]:
        """The corrupted images: (corruption, severity) -> batches.

        Raises:
          SettingError: the published images are of another size.
        """
        if not self._settings.published:
            return corrupted_images.made(_together(self.clean(self.num_images)), self.constants, self._settings.seed)
        source = data.open_corrupted(self.dataset, self._settings.names[0], 1, data_dir=self._data_dir)
        if (shape := source[0].inputs.shape) != self._shape:
            raise SettingError(
                f"--published: the published images are {_size(shape)}, but {self._models[0].workdir} was trained on "
                f"{_size(self._shape)}: leave --published out"
            )
        return corrupted_images.published(self.dataset, data_dir=self._data_dir, count=self.num_images)

    def imagenet_a_errors(self, models: Sequence[Finished]) -> dict[str, float]:
        """Errors on all of ImageNet-A, among its 200 classes, by workdir."""
        source = data.open_split("imagenet_a", "test", data_dir=self._data_dir, image_size=self._shape[0])
        classes = data.imagenet_a_classes()

        def among(predict: Predict) -> Predict:
            return lambda images: evaluation.restrict_to_classes(predict(images), classes)

        predicts = {str(model.workdir): among(self.predict(model)) for model in models}
        return corrupted_images.error_of(predicts, _batches(source))

    def predict(self, model: Finished) -> Predict:
        """Logits at the mean of the code, as in the paper."""
        kind, network = _structure(model), self._recipes[model.workdir].model
        if kind not in self._predicts:
            self._predicts[kind] = jax.jit(lambda own, images: network.decode(own, network.encode(own, images).mean))
        return functools.partial(self._predicts[kind], self._attacks.params(self._attacked(model)))

    def attack(self, model: Finished, report: Callable[[AttackRow], None]) -> dict[str, Any]:
        """Every attack on a model, for its record."""
        result, settings = self._attacks.attack(self._attacked(model), report=report), self._settings.attacks()
        found = image_attacks.record_of(result, settings, stochastic=model.config.stochastic)
        return {"source": self._source_of(model).config.name, **found, "seconds": result.seconds}

    def work(self, models: Sequence[Finished]) -> float:
        """What attacking some models costs, in images times passes forth and back."""
        return self._attacks.work(map(self._attacked, models))

    def _attacked(self, model: Finished) -> AttackedModel:
        config, recipe = model.config, self._recipes[model.workdir]
        load = functools.partial(trained_model.restore_params, recipe, model.workdir)
        return AttackedModel(str(model.workdir), config.seed, _structure(model), config.stochastic, load)

    def _model(self, attacked: AttackedModel) -> Finished:
        return next(model for model in self._models if str(model.workdir) == attacked.name)

    def _suite(self, attacked: AttackedModel) -> AttackSuite:
        """The attacks on models of that structure."""
        model, settings = self._model(attacked), self._settings.attacks()
        recipe = self._recipes[model.workdir]
        return image_attacks.make_suite(
            settings,
            recipe.model,
            stochastic=model.config.stochastic,
            split=_together(self.clean(settings.num_attack_images)),
            num_classes=recipe.dataset.num_classes,
            num_eval_samples=model.config.num_eval_samples,
        )

    def _source_of(self, model: Finished) -> Finished:
        """On which model images for transfer are made: cross-entropy, and for it a bottleneck; alone: on itself."""
        others = [other for other in self._models if other.config.name != model.config.name]
        others.sort(
            key=lambda other: (
                other.config.stochastic,
                other.network != model.network,
                other.config.seed != model.config.seed,
            )
        )
        return (others or [model])[0]


def _structure(model: Finished) -> tuple[str, Any]:
    """Equal for models that differ in their parameters alone."""
    return model.experiment, dataclasses.replace(model.config, rho=0.0, seed=0, workdir="")


def _batches(source: data.Source) -> Iterator[data.Split]:
    return data.batches(source, BATCH_SIZE, num_threads=os.cpu_count() or 1)


def _together(batches: Iterator[data.Split]) -> data.Split:
    inputs, labels = zip(*batches, strict=True)
    return data.Split(np.concatenate(inputs), np.concatenate(labels))


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
