"""Trains a population program by program, as many members in each as fit the devices, and measures every member."""

import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from rich.console import Console

from experiments.core import progress as show
from experiments.core import records
from experiments.core.recipe import Recipe
from ib_jax import training
from ib_jax.training import Population

_OF_TRAINING = ("step", "epoch", "seconds", "images_per_second", "train")
"""What a line of metrics holds of a stretch itself; the rest is its evaluation."""


class Layout(Protocol):
    """How many members lie side by side on a device (0: all, -1: what is fastest), in how much memory (0: free)."""

    @property
    def members_at_once(self) -> int: ...
    @property
    def memory_gib(self) -> float: ...


class Measure(Protocol):
    """What is measured of all members of a placed population, during training and at its end."""

    def during_training(self, placed: Population) -> Mapping[str, Any]: ...
    def everything(self, placed: Population) -> Mapping[str, Sequence[Any]]: ...


class Programs:
    """The programs that train the members of a population, one after another.

    Args:
      recipe: of every member but for its own settings.
      settings: the members' hyperparams by name, [M].
      folder: of checkpoints, metrics and what is known of finished programs.
      layout: how the members are laid out.
      console: where to show progress.
      title: what the population is called on the terminal.
      make_measure: from the recipe, the number of members and how many are computed at once to what measures them.
      export: handed every member's settings and last state, if wanted.
    """

    def __init__(
        self,
        recipe: Recipe[Any],
        settings: Mapping[str, np.ndarray],
        folder: pathlib.Path,
        layout: Layout,
        console: Console,
        *,
        title: str,
        make_measure: Callable[[Recipe[Any], int, int | None], Measure],
        export: Callable[[Mapping[str, Any], training.TrainState], None] | None = None,
    ):
        self._recipe, self._settings, self._folder, self._console = recipe, settings, folder, console
        self._make_measure, self._export = make_measure, export
        recipe.epoch(None, 1)  # refuses sizes that do not fit
        num_members = len(settings["seed"])
        first = training.init_population(recipe.init, self._members(range(1)))
        num_parameters = sum(leaf.size for leaf in jax.tree.leaves(first.members.params))
        chosen = training.choose_members_at_once(num_parameters, jax.local_devices()[0].platform, whole=recipe.whole)
        self.members_at_once = chosen if layout.members_at_once < 0 else layout.members_at_once or None
        footprint = training.measure_members(
            recipe.run_population(self.members_at_once),
            jax.tree.map(lambda leaf: np.repeat(leaf, 2, axis=0), first),
            training.Batch(*recipe.dataset.train),
        )
        # Whatever the processes find, they must agree: on process 0's.
        free = training.from_main(int(layout.memory_gib * 1024) or training.device_memory() // 2**20) * 2**20
        self.plan = training.plan_programs(num_members, footprint, free_bytes=free, num_devices=jax.device_count())
        # Begun programs keep their members, whatever memory there is today.
        self._begun = folder / "plan.json"
        size = json.loads(self._begun.read_text())["members_per_program"] if self._begun.exists() else 0
        if (size := training.from_main(size)) not in (0, self.plan.members_per_program):
            message = f"{num_members} members in programs of {size}, as they were begun."
            self.plan = training.Plan(num_members, -(-num_members // size), size, message)
        console.print(f"{title}: {self.plan.message}", highlight=False)

    @property
    def seconds(self) -> float:
        """Training time of all programs, evaluation in it, of earlier starts too."""
        logs = sorted(self._folder.glob("program*/metrics.jsonl"))
        return sum(row["seconds"] for log in logs for row in records.read_jsonl(log))

    def run(self) -> list[dict[str, Any]] | None:
        """Trains what is not trained yet; every member's numbers, or None if stopped."""
        records.write_json(self._begun, {"members_per_program": self.plan.members_per_program})
        members: list[dict[str, Any]] = []
        for index, group in enumerate(self.plan.groups()):
            folder = self._folder / f"program{index}"
            done = folder / "members.json"
            if not done.exists():
                if self.plan.num_programs > 1:
                    self._console.rule(
                        f"program {index + 1} of {self.plan.num_programs}: members {group[0]} to {group[-1]}"
                    )
                found = self._program(folder, self._members(group))
                if found is None:
                    return None
                records.write_json(done, found)
                members += found
            else:
                members += json.loads(done.read_text())
        return members

    def trained(self) -> list[training.TrainState]:
        """Every member's last state, from the checkpoints of programs that are trained."""
        states: list[training.TrainState] = []
        for index, group in enumerate(self.plan.groups()):
            population = training.init_population(self._recipe.init, self._members(group))
            with training.Checkpoints(self._folder / f"program{index}" / "checkpoints") as checkpoints:
                population = checkpoints.restore(population)
            states += [training.member(population, place) for place in range(len(group))]
        return states

    def evaluations(self) -> list[list[dict[str, Any]]]:
        """Every member's evaluations during training: the epoch, and what its measure found then, by name."""
        found: list[list[dict[str, Any]]] = []
        for index, group in enumerate(self.plan.groups()):
            log = records.read_jsonl(self._folder / f"program{index}" / "metrics.jsonl")
            rows = [(row["epoch"], {k: v for k, v in row.items() if k not in _OF_TRAINING}) for row in log]
            found += [
                [
                    {"epoch": epoch}
                    | {part: {name: each[place] for name, each in own.items()} for part, own in row.items()}
                    for epoch, row in rows
                    if row
                ]
                for place in range(len(group))
            ]
        return found

    def _members(self, group: range) -> dict[str, np.ndarray]:
        return {name: values[group.start : group.stop] for name, values in self._settings.items()}

    def _program(self, folder: pathlib.Path, settings: Mapping[str, np.ndarray]) -> list[dict[str, Any]] | None:
        recipe, num_members = self._recipe, len(settings["seed"])
        placement = training.spread_members(num_members)
        population = training.init_population(recipe.init, settings)
        measure = self._make_measure(recipe, num_members, self.members_at_once)
        with training.Checkpoints(folder / "checkpoints") as checkpoints, training.StopRequest() as stop:
            if checkpoints.last_step() is not None:
                population = checkpoints.restore(population)
                self._console.print(f"Going on from step {int(population.step)} of {folder}.", highlight=False)
            population = self._train(folder, population, placement, measure, checkpoints, stop)
        if int(population.step) < recipe.num_steps:
            return None
        history = records.read_jsonl(folder / "metrics.jsonl")
        placed = placement.put(population)
        found = measure.everything(placed)
        own = [{name: values[index].item() for name, values in settings.items()} for index in range(num_members)]
        if self._export is not None:
            for index, settings_of_member in enumerate(own):
                self._export(settings_of_member, training.member(population, index))
        return [
            own[index]
            | {"diverged_at": int(population.diverged_at[index])}
            | {name: value[index] for name, value in found.items()}
            | {"history": _history(history, index)}
            for index in range(num_members)
        ]

    def _train(
        self,
        folder: pathlib.Path,
        population: Population,
        placement: training.Placement,
        measure: Measure,
        checkpoints: training.Checkpoints,
        stop: training.StopRequest,
    ) -> Population:
        recipe, config = self._recipe, self._recipe.config
        log = folder / "metrics.jsonl"
        records.rewind_jsonl(log, int(population.step))
        sweep, resident = training.shard_epoch(recipe.run_population(self.members_at_once)), recipe.resident()
        clock = time.monotonic()

        def report(progress: training.Progress) -> None:
            nonlocal clock
            now = time.monotonic()
            row: dict[str, Any] = {
                "step": progress.step,
                "epoch": progress.step / recipe.steps_per_epoch,
                "seconds": now - clock,
            }
            row |= {"images_per_second": progress.examples_per_second, "train": progress.metrics}
            records.append_jsonl(log, row | dict(progress.evaluation or {}))
            clock = now
            line(progress)

        first, steps_per_epoch = int(population.step), recipe.steps_per_epoch
        with show.ProgressLine(self._console, first_step=first, steps_per_epoch=steps_per_epoch) as line:
            return training.fit(
                population,
                recipe.driven(lambda placed: sweep(placed, resident)),
                num_steps=recipe.num_steps,
                batch_size=config.batch_size,
                checkpoints=checkpoints,
                evaluate=measure.during_training,
                steps_per_evaluation=config.epochs_per_eval * steps_per_epoch,
                placement=placement,
                score=lambda progress: -progress.step,  # only the last one is kept
                report=report,
                stop=lambda: stop.requested,
            )


def _history(rows: Sequence[Mapping[str, Any]], index: int) -> dict[str, list[float]]:
    """A member's mean terms over each stretch of training, by name."""
    names = rows[0]["train"]
    return {"epoch": [row["epoch"] for row in rows]} | {
        name: [row["train"][name][index] for row in rows] for name in names
    }
