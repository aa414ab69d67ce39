"""Trains several image models as one population, and leaves each in a workdir of its own, as if trained alone."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.core import image_run, records
from experiments.core.image_config import ImageConfig
from experiments.core.population import Programs
from experiments.core.population_measure import TermsMeasure
from experiments.core.recipe import Recipe
from experiments.core.workdir import check_workdir, write_config
from ib_jax import training


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a population lies on the devices; see `experiments.core.population`."""

    members_at_once: int = -1
    memory_gib: float = 0.0


def train_population(
    recipe: Recipe[Any],
    members: Sequence[ImageConfig],
    folder: pathlib.Path,
    console: Console,
    *,
    layout: Layout,
    experiment: str,
    command: str,
) -> bool:
    """Trains members that differ in rho and seed alone.

    Args:
      recipe: of all of them, but for these two settings.
      members: the settings of each, with its workdir.
      folder: of the population while it trains.
      layout: how it lies on the devices.
      console: where to show progress.
      experiment: the module's name, for the records.
      command: the command line, for the records.

    Returns:
      Whether all are trained; False if stopped, to be resumed.

    Raises:
      WorkdirError: a member's workdir holds a run with other settings.
      NonFiniteLossError: all members of a program diverged.
    """
    for member in members:
        check_workdir(member.workdir, member)
    by_setting = {(np.float32(member.rho).item(), member.seed): member for member in members}
    settings = {
        "rho": np.array([member.rho for member in members], np.float32),
        "seed": np.array([member.seed for member in members], np.int32),
    }

    def export(own: Mapping[str, Any], state: training.TrainState) -> None:
        member = by_setting[own["rho"], own["seed"]]
        workdir = pathlib.Path(member.workdir)
        write_config(workdir, member)
        with training.Checkpoints(workdir / "checkpoints") as checkpoints:
            checkpoints.save(state, score=0.0)

    def measure(recipe: Recipe[Any], num_members: int, members_at_once: int | None) -> TermsMeasure:
        return TermsMeasure(recipe, num_members, members_at_once, ("validation", "test"))

    title = f"{len(members)} models of {recipe.config.objective}"
    programs = Programs(recipe, settings, folder, layout, console, title=title, make_measure=measure, export=export)
    found = programs.run()
    if found is None:
        console.print(f"Stopped and saved in {folder}. The same command goes on.", highlight=False)
        return False
    for member, row in zip(members, found, strict=True):
        state = recipe.init()._replace(step=jnp.int32(recipe.num_steps))
        record = image_run.record_of(member, state, experiment=experiment, command=command)
        splits: dict[str, Any] = {name: row[name] for name in ("validation", "test") if name in row}
        more: dict[str, Any] = {
            "training_seconds": programs.seconds,
            "num_members": len(members),
            "diverged_at": row["diverged_at"],
        }
        results: dict[str, Any] = {**record, **more, **splits, "train_history": row["history"]}
        records.write_json(pathlib.Path(member.workdir) / "results.json", results)
    return True
