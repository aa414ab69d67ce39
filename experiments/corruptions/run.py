"""Shows trained models, whichever of `PACKAGES` made them, corrupted images, and attacks them."""

import functools
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.console import Console

from experiments import cifar10_ceb, imagenet_ceb
from experiments.core import groups, trained_model
from experiments.core.corrupted_images import (
    LEAST_SIDE,
    CorruptedImages,
    Predict,
    batches,
    can_be_corrupted,
    constants_of,
    error_of,
)
from experiments.core.image_models import IMAGENET, ImageModel, first_images, measure_models
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.workdir import WorkdirError
from experiments.corruptions.settings import CorruptionAttacks, CorruptionSettings
from ib_jax import data, evaluation

PACKAGES = {"cifar10_ceb": cifar10_ceb, "imagenet_ceb": imagenet_ceb}


def run(settings: CorruptionSettings, attacks: CorruptionAttacks, session: Session) -> pathlib.Path:
    """Evaluates what has no record, and makes the table and the figure.

    Args:
      settings: which models, and on what.
      attacks: what they are attacked with, if they are.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records.

    Raises:
      WorkdirError: a record was made with other settings, no known experiment made a model, or the models cannot be
        evaluated together.
      FileNotFoundError: there is no such workdir, or no finished model in it.
      SettingError: --workdirs is missing, or the published images are of another size.
      DatasetUnavailableError: a data set is not there.
    """
    paths = groups.split(settings.workdirs)
    if not paths:
        raise SettingError("--workdirs must name a trained model's folder, or the folder above several; see --help")
    results = pathlib.Path(settings.results or pathlib.Path(paths[0]) / "corruptions")
    models = [open_model(workdir, settings.data_dir) for workdir in find_workdirs(paths, session.console)]
    for file in {model.file for model in models}:
        places = [model.config.workdir for model in models if model.file == file]
        if len(places) > 1:
            raise WorkdirError(f"{' and '.join(places)} are both {file}: evaluate them in two runs")
    shifted = settings.imagenet_a and models[0].config.dataset == IMAGENET
    measure_models(
        models,
        [settings, attacks] if settings.attack else [settings],
        results,
        session,
        attack=attacks.for_suite() if settings.attack else None,
        images=lambda: images_of(models, settings),
        natural=functools.partial(imagenet_a_errors, models[0]) if shifted else None,
    )
    session.publish(results)
    return results


def find_workdirs(paths: Sequence[str], console: Console) -> list[pathlib.Path]:
    """The workdirs that are meant by `paths`, each once: each itself, or the finished ones in it; others are named."""
    workdirs: list[pathlib.Path] = []
    for path in map(pathlib.Path, paths):
        if (path / "config.json").exists():
            workdirs.append(path)
            continue
        inside = sorted(config.parent for config in path.glob("*/config.json"))
        finished = [workdir for workdir in inside if trained_model.is_finished(workdir)]
        if not finished:
            raise FileNotFoundError(
                f"--workdirs names {path}, which is no folder, or holds no config.json and no folder with config.json "
                "and results.json: give a workdir of python -m experiments.cifar10_ceb, or the folder above several"
            )
        for workdir in inside:
            if workdir not in finished:
                console.print(f"{workdir} is not trained to its end and is left out.")
        workdirs += finished
    return list(dict.fromkeys(workdirs))


def open_model(workdir: pathlib.Path, data_dir: str = "") -> ImageModel:
    """A finished model as its workdir describes it; neither data nor parameters are read yet.

    Raises:
      FileNotFoundError: the model is not trained to its end.
      WorkdirError: no experiment of `PACKAGES` made it, or another version did.
    """
    experiment = trained_model.read_results(workdir).experiment
    if experiment not in PACKAGES:
        raise WorkdirError(f"{workdir} was made by {experiment!r}; expected one of {', '.join(PACKAGES)}")
    config = trained_model.read_config(workdir, data_dir=data_dir)
    network = str(PACKAGES[experiment].network_name(config))
    prefix = re.sub(r"[^-A-Za-z0-9_]+", "_", network) + "_"
    return ImageModel(config, network, lambda: trained_model.open_recipe(workdir, data_dir=data_dir), prefix)


def images_of(models: Sequence[ImageModel], settings: CorruptionSettings) -> CorruptedImages | None:
    """The images that the models are shown.

    Raises:
      WorkdirError: the models are of several data sets or image sizes, or of images that cannot be corrupted.
      SettingError: the published images are of another size.
    """
    first, dataset, data_dir = models[0], models[0].config.dataset, models[0].config.data_dir or None
    test = first.recipe.dataset.test
    source: data.Source = data.ArraySource(test) if isinstance(test, data.Split) else test
    shape, kind = source[0].inputs.shape, source[0].inputs.dtype
    for model in models:
        own = model.recipe.example.shape[1:]
        if (model.config.dataset, own) != (dataset, shape):
            raise WorkdirError(
                f"{model.config.workdir} was trained on {model.config.dataset}, {_size(own)}, but "
                f"{first.config.workdir} is tested on {dataset}, {_size(shape)}: evaluate them in two runs"
            )
    if not can_be_corrupted(shape, kind):
        raise WorkdirError(
            f"{first.config.workdir} was trained on {dataset}, {kind} images of {_size(shape)}; the corruptions are "
            f"made for colour images, uint8 of at least {LEAST_SIDE} x {LEAST_SIDE} x 3"
        )
    count = min(settings.num_images or len(source), len(source))
    if not settings.published:
        return first_images(first.recipe, count, names=settings.names, seed=settings.seed)
    there = data.open_corrupted(dataset, settings.names[0], 1, data_dir=data_dir)[0].inputs.shape
    if there != shape:
        raise SettingError(
            f"--published: the published images are {_size(there)}, but {first.config.workdir} was trained on "
            f"{_size(shape)}: leave --published out"
        )

    def published(name: str, severity: int) -> Iterator[data.Split]:
        corrupted = data.open_corrupted(dataset, name, severity, data_dir=data_dir)
        return batches(data.Subset(corrupted, np.arange(min(count, len(corrupted)))))

    return CorruptedImages(data.Subset(source, np.arange(count)), published, constants_of(shape[0]), settings.names)


def imagenet_a_errors(model: ImageModel, predicts: Mapping[str, Predict]) -> dict[str, float]:
    """Errors of models on all of ImageNet-A, among its 200 classes; one model says where it is, and its size."""
    side, classes = model.recipe.example.shape[1], data.imagenet_a_classes()
    source = data.open_split("imagenet_a", "test", data_dir=model.config.data_dir or None, image_size=side)

    def among(predict: Predict) -> Predict:
        return lambda images: evaluation.restrict_to_classes(predict(images), classes)

    return error_of({name: among(predict) for name, predict in predicts.items()}, batches(source))


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
