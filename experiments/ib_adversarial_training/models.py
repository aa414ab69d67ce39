"""Trains models that differ in numbers alone as one population, and gives them back with what was measured of them."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from experiments.core import records
from experiments.core.image_sweep import Layout
from experiments.core.population import Measure, Programs
from experiments.core.population_measure import TermsMeasure
from experiments.core.recipe import Recipe
from experiments.core.workdir import check_workdir
from experiments.ib_adversarial_training.settings import AdversarialConfig
from ib_jax import training
from ib_jax.types import Params


class Trained(NamedTuple):
    """A trained model.

    Attributes:
      config: its settings.
      params: the averaged parameters.
      row: its numbers, as of `Programs.run`: `diverged_at`, `history`, and what `make_measure` found.
      seconds: training time of its population, evaluation in it.
      evaluations: the epoch and what its measure found in it, for each evaluation during training.
    """

    config: AdversarialConfig
    params: Params
    row: Mapping[str, Any]
    seconds: float
    evaluations: Sequence[Mapping[str, Any]] = ()


def train_population(
    recipe: Recipe[AdversarialConfig],
    members: Sequence[AdversarialConfig],
    folder: pathlib.Path,
    console: Console,
    *,
    title: str,
    make_measure: Callable[[Recipe[Any], int, int | None], Measure] | None = None,
) -> list[Trained] | None:
    """Trains members that differ in beta, learning rate and seed alone, or takes them from the folder.

    Args:
      recipe: of all of them, but for these settings.
      members: the settings of each.
      folder: of the population; a second call goes on, or finds it trained.
      console: where to show progress.
      title: what the population is called on the terminal.
      make_measure: see `Programs`; by default the errors and information of the test images, and of the training ones
        at the end.

    Returns:
      The models in the order of `members`; None if stopped, to be resumed.

    Raises:
      WorkdirError: the folder holds a population with other settings.
      NonFiniteLossError: all members of a program diverged.
    """
    check_workdir(folder, members[0])
    settings = {
        name: np.array([getattr(member, name) for member in members], np.int32 if name == "seed" else np.float32)
        for name in ("beta", "learning_rate", "seed")
    }
    programs = Programs(
        recipe, settings, folder, Layout(), console, title=title, make_measure=make_measure or _errors_and_information
    )
    records.write_json(folder / "config.json", recipe.config.__dict__)
    rows = programs.run()
    if rows is None:
        console.print(f"Stopped and saved in {folder}. The same command goes on.", highlight=False)
        return None
    states, decay = programs.trained(), recipe.config.average_decay
    return [
        Trained(member, training.averaged_params(state, decay), row, programs.seconds, evaluations)
        for member, state, row, evaluations in zip(members, states, rows, programs.evaluations(), strict=True)
    ]


def _errors_and_information(recipe: Recipe[Any], num_members: int, members_at_once: int | None) -> TermsMeasure:
    return TermsMeasure(recipe, num_members, members_at_once, ("train", "test"))
