"""Trains a bottleneck classifier, attacks it and draws it; and one of many such runs for other experiments."""

import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.core import runner
from experiments.core.recipe import Recipe, load_dataset, with_checksum
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.trained_model import TrainedModel, is_finished
from experiments.core.workdir import command, new_workdir
from experiments.mnist_vib.attack import AttackEvaluator
from experiments.mnist_vib.settings import PRESETS, Config
from ib_jax import data, training
from ib_jax.data import own
from ib_jax.files import write_arrays


def run(config: Config, session: Session) -> Record | None:
    """Trains (or goes on training), evaluates, attacks, draws; the record, or None if stopped before the end.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or new_workdir(own.stem(config.dataset)))
    dataset = load_dataset(config)
    recipe = Recipe(with_checksum(config, dataset), dataset)
    evaluator = AttackEvaluator(recipe)
    title = f"{config.objective} on {dataset.name}, K = {config.latent_dim}"
    title += f", {config.strength}" if config.stochastic else ""
    trained = runner.train(recipe, workdir, session, evaluator=evaluator, title=title, again=True)
    if trained is None:
        return None
    record = trained.record
    assert record is not None
    if training.is_main():
        write_arrays(workdir / "per_example.npz", evaluator.per_example, compressed=True)
    if config.figures:
        session.publish(workdir, [record])
    else:
        session.console.print(f"The record is in {workdir}.")
    return record


def one_of_many(sweep: Any, name: str, session: Session, **settings: Any) -> tuple[Config, Session]:
    """One model of an experiment that trains many by a preset's recipe, as the command line of its own would.

    Args:
      sweep: settings with `preset`, `dataset`, `num_epochs` (0 is the preset's) and `workdir`.
      name: of the model's folder in the workdir.
      session: of the experiment.
      **settings: in which the model differs from the recipe.

    Returns:
      Its settings, with one evaluation at the end and no figures; and the session of mnist_vib that trains it.
    """
    values = PRESETS[sweep.preset].on(sweep.dataset) | settings
    usual = values.get("num_epochs", Config.num_epochs)
    values["num_epochs"] = settings.get("num_epochs", sweep.num_epochs or usual)
    values["epochs_per_eval"] = values["num_epochs"]
    flags = [f"--{flag}={value}" for flag, value in values.items()]
    line = command("experiments.mnist_vib", [f"--preset={sweep.preset}", "--nofigures", *flags])
    config = Config(**values, preset=sweep.preset, figures=False, workdir=str(pathlib.Path(sweep.workdir) / name))
    return config, Session("mnist_vib", line, session.console)


def train_each(
    sweep: Any, trials: Mapping[str, Mapping[str, Any]], session: Session, dataset: data.Dataset
) -> dict[str, TrainedModel] | None:
    """Trains the models of an experiment in turn, each in the folder of its name, or opens those that are trained.

    Args:
      sweep: as of `one_of_many`.
      trials: by name the settings in which a model differs from the recipe.
      session: of the experiment.
      dataset: that all are trained on.

    Returns:
      The models by name, or None if one was stopped before its end and can be resumed.
    """
    trained = {}
    for index, (name, settings) in enumerate(trials.items()):
        config, its_session = one_of_many(sweep, name, session, **settings)
        if not is_finished(config.workdir):
            session.console.rule(f"{name}: model {index + 1} of {len(trials)}")
        found = runner.train(Recipe(config, dataset), config.workdir, its_session, title=name)
        if found is None:
            return None
        trained[name] = found
    return trained
