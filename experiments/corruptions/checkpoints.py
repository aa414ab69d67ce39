"""Opens trained image models by their workdirs, whichever experiment made them: one line of `EXPERIMENTS` for each."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.cifar10_ceb import run as cifar10_ceb
from experiments.cifar10_ceb.settings import Cifar10Config
from experiments.core import image_recipe, image_run
from experiments.core.image_config import ImageConfig
from experiments.core.recipe import Parts, Recipe, Streamed
from experiments.core.workdir import WorkdirError
from experiments.imagenet_ceb import recipe as imagenet_recipe
from experiments.imagenet_ceb import run as imagenet_ceb
from experiments.imagenet_ceb.settings import ImageNetConfig
from ib_jax import data
from ib_jax.types import Params


class Kind(NamedTuple):
    """An experiment whose models can be opened.

    Attributes:
      config_class: of its settings.
      load: (config) -> the data set that the recipe is made with.
      parts: of its recipes.
      network: (config) -> what the architecture is called, as in the paper: "WRN-28-10", "ResNet50x2-aa".
    """

    config_class: type[ImageConfig]
    load: Callable[[Any], data.Dataset | Streamed]
    parts: Parts
    network: Callable[[Any], str]


def _wide_resnet(config: Cifar10Config) -> str:
    augmented = "" if config.augment == "none" else f", {config.augment}"
    normalised = "" if config.norm == "none" else f", {config.norm} norm"
    return f"WRN-{config.depth}-{config.width}{normalised}{augmented}"


def _resnet(config: ImageNetConfig) -> str:
    wide = "" if config.width == 1 else f"x{config.width:g}"
    augmented = {"autoaugment": "", "flip": "-aa"}.get(config.augment, f", {config.augment} augmented")
    return f"ResNet{config.depth}{wide}{augmented}" + ("" if config.image_size == 224 else f", {config.image_size} px")


EXPERIMENTS: dict[str, Kind] = {
    cifar10_ceb.NAME: Kind(Cifar10Config, cifar10_ceb.load, image_recipe.CIFAR10, _wide_resnet),
    imagenet_ceb.NAME: Kind(ImageNetConfig, imagenet_recipe.load, imagenet_recipe.IMAGENET, _resnet),
}
"""By the name of the experiment."""


class Finished(NamedTuple):
    """A finished model as its workdir describes it; its parameters are not read yet.

    Attributes:
      workdir: its folder.
      experiment: what made it, in `EXPERIMENTS`.
      config: its settings; `workdir` is where it lies now.
      results: the contents of results.json.
    """

    workdir: pathlib.Path
    experiment: str
    config: Any
    results: dict[str, Any]

    @property
    def network(self) -> str:
        """What its architecture is called."""
        return EXPERIMENTS[self.experiment].network(self.config)


def find(paths: Sequence[str], tell: Callable[[str], None] = lambda text: None) -> list[pathlib.Path]:
    """The workdirs that are meant by `paths`: each itself, or the finished ones in it.

    Args:
      paths: workdirs, or folders above the workdirs of a population.
      tell: told of each workdir in such a folder that is left out because it is not finished.

    Returns:
      Workdirs, each once, in the order given and by name.

    Raises:
      FileNotFoundError: a path is no folder, or there is no finished workdir in it.
    """
    found: list[pathlib.Path] = []
    for path in map(pathlib.Path, paths):
        if not path.is_dir():
            raise FileNotFoundError(f"--workdirs names {path}, which is no folder")
        if (path / "config.json").exists():
            found.append(path)
            continue
        inside = sorted(config.parent for config in path.glob("*/config.json"))
        finished = [workdir for workdir in inside if (workdir / "results.json").exists()]
        for workdir in inside:
            if workdir not in finished:
                tell(f"{workdir} is not trained to its end and is left out.")
        if not finished:
            raise FileNotFoundError(
                f"--workdirs names {path}, which holds no config.json and no folder with config.json and results.json: "
                "give a workdir of python -m experiments.cifar10_ceb, or the folder above several"
            )
        found += finished
    return list(dict.fromkeys(found))


def read(workdir: pathlib.Path, *, data_dir: str = "") -> Finished:
    """Reads a workdir's description.

    Args:
      workdir: of a finished model.
      data_dir: where tensorflow-datasets keeps its data, if not where it lay for training.

    Returns:
      Finished.

    Raises:
      FileNotFoundError: the model is not trained to its end.
      ValueError: no experiment of `EXPERIMENTS` made it, or another version did.
    """
    path = workdir / "results.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{workdir} has no results.json: its model is not trained to its end; the command that began it, with "
            f"--workdir={workdir}, goes on"
        )
    results = json.loads(path.read_text())
    experiment = results.get("experiment")
    if experiment not in EXPERIMENTS:
        raise WorkdirError(f"{workdir} was made by {experiment!r}; expected one of {', '.join(EXPERIMENTS)}")
    own = json.loads((workdir / "config.json").read_text())
    config_class = EXPERIMENTS[experiment].config_class
    unknown = sorted(own.keys() - {field.name for field in dataclasses.fields(config_class)})
    if unknown:
        raise WorkdirError(f"{workdir}/config.json has settings that {experiment} does not know: {', '.join(unknown)}")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    values |= {"workdir": str(workdir)} | ({"data_dir": data_dir} if data_dir else {})
    return Finished(workdir, experiment, config_class(**values), results)


def recipe(model: Finished) -> Recipe[Any]:
    """Network and data set of a model; a data set that several models share is read once."""
    kind = EXPERIMENTS[model.experiment]
    # In these the models of a population differ, and the data do not.
    seed = model.config.seed if model.config.num_validation else 0
    shared = dataclasses.replace(model.config, workdir="", objective="ceb", rho=0.0, seed=seed)
    return Recipe(model.config, _load(model.experiment, shared), kind.parts)


def recipe_of(workdir: pathlib.Path, *, data_dir: str = "") -> tuple[Recipe[Any], Params]:
    """A finished model: network, data set and trained parameters, averaged ones where an average was kept.

    Args:
      workdir: its folder, with config.json, results.json and checkpoints/.
      data_dir: as of `read`.

    Returns:
      (recipe, params).

    Raises:
      FileNotFoundError: the model is not trained to its end, or its checkpoint is gone.
      ValueError: no experiment of `EXPERIMENTS` made it, or the checkpoint is of another network.
    """
    own = recipe(read(workdir, data_dir=data_dir))
    return own, params_of(own)


def params_of(recipe: Recipe[Any]) -> Params:
    """The trained parameters of a recipe whose settings name a workdir; errors as of `recipe_of`."""
    checkpoints = pathlib.Path(recipe.config.workdir) / "checkpoints"
    if not checkpoints.is_dir():
        raise FileNotFoundError(f"{recipe.config.workdir} has no checkpoint: the folder checkpoints/ is missing")
    return image_run.trained_params(recipe)


def clean_images(recipe: Recipe[Any]) -> data.Source:
    """The clean test images of a model."""
    test = recipe.dataset.test
    return data.ArraySource(test) if isinstance(test, data.Split) else test


@functools.lru_cache(maxsize=2)
def _load(experiment: str, config: ImageConfig) -> data.Dataset | Streamed:
    return EXPERIMENTS[experiment].load(config)
