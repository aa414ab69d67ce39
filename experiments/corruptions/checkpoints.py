"""Trained image models by their workdirs, whichever of `EXPERIMENTS` made them."""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.core import trained_model
from experiments.core.recipe import Recipe
from experiments.core.workdir import WorkdirError
from ib_jax import data

EXPERIMENTS = ("cifar10_ceb", "imagenet_ceb")


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
        """What its architecture is called, as in the paper: "WRN-28-10", "ResNet50x2-aa"."""
        return str(importlib.import_module(f"experiments.{self.experiment}").network_name(self.config))


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
    results = trained_model.read_results(workdir)
    experiment = results.experiment
    if experiment not in EXPERIMENTS:
        raise WorkdirError(f"{workdir} was made by {experiment!r}; expected one of {', '.join(EXPERIMENTS)}")
    return Finished(
        workdir, experiment, trained_model.read_config(workdir, data_dir=data_dir), dataclasses.asdict(results)
    )


def clean_images(recipe: Recipe) -> data.Source:
    """The clean test images of a model."""
    test = recipe.dataset.test
    return data.ArraySource(test) if isinstance(test, data.Split) else test
