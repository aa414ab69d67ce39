"""Trained models: written to their workdirs, and opened again.

A workdir holds config.json, metrics.jsonl (a line for each stretch of training), results.json and checkpoints/. A model
of a population that is left in a workdir of its own has the same files.
"""

import dataclasses
import functools
import importlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from experiments.core import records
from experiments.core.evaluator import SPLITS
from experiments.core.recipe import Recipe, data_details, with_checksum
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.workdir import CHECKPOINTS, CONFIG, WorkdirError
from ib_jax import training
from ib_jax.files import read_json
from ib_jax.training import metrics_log
from ib_jax.types import Params

_SIZES = ("num_parameters", "steps", "training_seconds")
"""What the details of a model's record hold of every model; the rest is its summary."""
_DATA = ("dataset", "data_checksum", "data_dir", "num_validation", "num_train_images", "image_size", "input_pipeline")
"""The settings that decide which data are loaded."""


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model.

    Attributes:
      settings: its own.
      load_params: reads the parameters; see `params`.
      summary: by name: what its evaluator measured at the end, such as `test`, as of `evaluation.summarise`; and what
        else is known of it, of a member of a population `diverged_at`.
      history: a row for each stretch of training: `step`, `epoch`, `train`, and `test` where it was evaluated.
      seconds: of training, evaluation in it; of a member's whole population.
      record: what results.json holds, also in a process that does not write it; None for a member of a population.
    """

    settings: Any
    load_params: Callable[[], Params]
    summary: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    seconds: float
    record: Record | None = None

    @functools.cached_property
    def params(self) -> Params:
        """The trained parameters, averaged where an average was kept; read when they are asked for."""
        return self.load_params()

    @property
    def evaluations(self) -> list[Mapping[str, Any]]:
        """The rows of the history in which the model was evaluated."""
        return [row for row in self.history if row.keys() - OF_TRAINING]


OF_TRAINING = {"step", "num_steps", "epoch", "train", "seconds", "images_per_second", "texts_per_second"}
"""What a line of metrics holds of a stretch itself; the rest is its evaluation."""


def write_results(workdir: pathlib.Path, recipe: Recipe, trained: TrainedModel, session: Session) -> Record:
    """Writes results.json of a trained model, its record: the only place that does."""
    shapes = jax.eval_shape(recipe.init).params
    config, summary = trained.settings, dict(trained.summary)
    measurements = [
        *(Measurement({"split": name}, summary.pop(name)) for name in SPLITS if name in summary),
        *_evaluations(trained.evaluations),
        *summary.pop("measurements", ()),
    ]
    sizes = {"num_parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes)), "steps": recipe.num_steps}
    details = {**sizes, "training_seconds": trained.seconds, **data_details(config, recipe.dataset), **summary}
    model = Model(config.name, config.seed, measurements, details=details)
    record = session.record([model], config, file="results")
    records.write(workdir / "results.json", record)
    return record


def _evaluations(rows: Sequence[Mapping[str, Any]]) -> Iterator[Measurement]:
    """What was measured of each split while training."""
    for row in rows:
        for split in ("train", *(name for name in SPLITS[1:] if name in row)):
            yield Measurement({"split": split, "epoch": row["epoch"]}, row[split])


def is_finished(workdir: str | pathlib.Path) -> bool:
    """Whether the model of a workdir is trained to its end and evaluated."""
    return (pathlib.Path(workdir) / "results.json").exists()


def open_model(workdir: str | pathlib.Path, recipe: Recipe | None = None) -> TrainedModel:
    """Opens a finished model.

    Args:
      workdir: its folder.
      recipe: its settings and network; by default as of `open_recipe`.

    Returns:
      The model, its parameters those of the last checkpoint.

    Raises:
      FileNotFoundError, ValueError: as `open_recipe`.
    """
    workdir = pathlib.Path(workdir)
    own = recipe or open_recipe(workdir)
    record = read_results(workdir)
    (model,) = record.models
    splits = {name: values for name in SPLITS if (values := model.values_at(split=name))}
    return TrainedModel(
        own.config,
        lambda: restore_params(own, workdir),
        splits | {name: value for name, value in model.details.items() if name not in _SIZES},
        metrics_log.read(workdir / "metrics.jsonl"),
        model.details["training_seconds"],
        record,
    )


def open_recipe(workdir: str | pathlib.Path, *, data_dir: str = "") -> Recipe:
    """Settings, data and network of a finished model, whichever experiment made it.

    The experiment's package says how: it has `Config`, `load`, (config) -> data set, and `FUNCTIONS` of the recipe. A
    data set that several models share is read once.

    Args:
      workdir: its folder.
      data_dir: where tensorflow-datasets keeps its data, if not where it lay for training.

    Returns:
      Recipe; `config.workdir` is where the model lies now.

    Raises:
      FileNotFoundError: the model is not trained to its end.
      ValueError: no experiment that can be opened made it, or another version did.
    """
    config = read_config(workdir, data_dir=data_dir)
    experiment = read_results(workdir).experiment
    return Recipe(config, _dataset(experiment, _data_settings(config)), _package(experiment).FUNCTIONS)


def read_config(workdir: str | pathlib.Path, *, data_dir: str = "") -> Any:
    """The settings of a finished model; arguments and errors as of `open_recipe`."""
    workdir = pathlib.Path(workdir)
    experiment = read_results(workdir).experiment
    config_class = _package(experiment, where=str(workdir)).Config
    own = read_json(workdir / CONFIG, "copy it again, or train the model anew in another folder")
    unknown = sorted(own.keys() - {field.name for field in dataclasses.fields(config_class)})
    if unknown:
        raise WorkdirError(f"{workdir}/config.json has settings that {experiment} does not know: {', '.join(unknown)}")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    return config_class(**values | {"workdir": str(workdir)} | ({"data_dir": data_dir} if data_dir else {}))


def read_results(workdir: str | pathlib.Path) -> Record:
    """The record of a trained model, results.json.

    Raises:
      FileNotFoundError: the model is not trained to its end.
      RecordError: the file is damaged, or of another version.
    """
    path = pathlib.Path(workdir) / "results.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{workdir} has no results.json: its model is not trained to its end; the command that began it, with "
            f"--workdir={workdir}, goes on"
        )
    return records.read(path)


def restore_params(recipe: Recipe, workdir: str | pathlib.Path) -> Params:
    """The parameters of the last checkpoint in a workdir, averaged where an average was kept.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is of another network.
    """
    folder = pathlib.Path(workdir) / CHECKPOINTS
    if not folder.is_dir():
        raise FileNotFoundError(f"{workdir} has no checkpoint: the folder checkpoints/ is missing")
    with training.Checkpoints(folder, read_only=True) as checkpoints:
        return training.averaged_params(checkpoints.restore(recipe.init()), recipe.config.average_decay)


def _package(experiment: str, where: str = "the workdir") -> Any:
    """The package of an experiment whose models can be opened."""
    try:
        package = importlib.import_module(f"experiments.{experiment}")
    except ModuleNotFoundError:
        package = None
    if not hasattr(package, "FUNCTIONS"):
        raise WorkdirError(f"{where} was made by {experiment!r}, which leaves no model that can be opened")
    return package


def _data_settings(config: Any) -> Any:
    """Settings with the same data, and but for these the defaults: models of a population differ in others."""
    names = (*_DATA, "seed") if config.num_validation else _DATA
    return type(config)(**{name: getattr(config, name) for name in names if hasattr(config, name)})


@functools.lru_cache(maxsize=2)
def _dataset(experiment: str, config: Any) -> Any:
    dataset = _package(experiment).load(config)
    with_checksum(config, dataset)  # refuses data that have changed
    return dataset
