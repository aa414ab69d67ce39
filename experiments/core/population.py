"""Trains a population program by program, as many members in each as fit the devices, and measures every member."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core import groups, json_files, runner, trained_model
from experiments.core.evaluator import PopulationEvaluator
from experiments.core.recipe import Recipe
from experiments.core.session import Session
from experiments.core.settings import recorded, refusing
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import CHECKPOINTS, check_workdir, write_config
from ib_jax import training
from ib_jax.files import read_json
from ib_jax.training import metrics_log
from ib_jax.types import Params

Layout = groups.Members
"""How many members lie side by side on a device, in how much memory."""
_FASTEST = Layout()


def hyperparams_of(members: Sequence[Any], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The settings in which members differ, by name, [M]."""
    return {
        name: np.array([getattr(member, name) for member in members], np.int32 if name == "seed" else np.float32)
        for name in names
    }


class PopulationTrainer:
    """Trains the members of a population, in one program or several, one after another.

    Args:
      recipe: of every member but for its own settings.
      hyperparams: the members' own by name, [M]; `seed` among them.
      folder: of checkpoints, metrics and what is known of finished programs.
      session: of which the console is used.
      title: what the population is called there.
      members: the settings of each, for what is returned; by default its hyperparams.
      layout: `members_at_once` and `memory_gib`.
      make_evaluator: (recipe, number of members, how many are computed at once) -> `during_training` and `at_end` of
        a placed population.
      export: handed every member's index and last state when its program is trained.
    """

    def __init__(
        self,
        recipe: Recipe,
        hyperparams: Mapping[str, np.ndarray],
        folder: pathlib.Path,
        session: Session,
        *,
        title: str,
        members: Sequence[Any] | None = None,
        layout: Any = _FASTEST,
        make_evaluator: Callable[[Recipe, int, int | None], Any] = PopulationEvaluator,
        export: Callable[[int, training.TrainState], None] | None = None,
    ):
        self._recipe, self._hyperparams, self._folder, self._session = recipe, hyperparams, folder, session
        self._make_evaluator, self._export = make_evaluator, export
        with refusing():
            recipe.epoch(None, 1)
        recipe.check_inputs()
        num_members = len(hyperparams["seed"])
        own = [{name: values[index].item() for name, values in hyperparams.items()} for index in range(num_members)]
        self._own, self._members = own, own if members is None else members
        first = training.init_population(recipe.init, self._of_group(range(1)))
        num_parameters = sum(leaf.size for leaf in jax.tree.leaves(first.members.params))
        chosen = training.choose_members_at_once(num_parameters, jax.local_devices()[0].platform, whole=recipe.whole)
        self.members_at_once = chosen if layout.members_at_once < 0 else layout.members_at_once or None
        self._begun = folder / "plan.json"
        size = read_json(self._begun)["members_per_program"] if self._begun.exists() else 0
        if size := training.from_main(size):  # begun programs keep their members, whatever memory there is today
            message = f"{num_members} members in programs of {size}, as they were begun."
            self.plan = training.Plan(num_members, -(-num_members // size), size, message)
        else:
            self.plan = self._plan(first, layout)
        session.console.print(f"{title}: {self.plan.message}")

    def _plan(self, first: training.Population, layout: Any) -> training.Plan:
        """Into how many programs the members go, by the memory that a population of one, `first`, tells of."""
        recipe = self._recipe
        footprint = training.measure_members(
            recipe.run_population(self.members_at_once),
            jax.tree.map(lambda leaf: np.repeat(leaf, 2, axis=0), first),
            training.Batch(*recipe.dataset.train),
        )
        # Whatever the processes find, they must agree: on process 0's.
        free = training.from_main(int(layout.memory_gib * 1024) or training.device_memory() // 2**20) * 2**20
        return training.plan_programs(len(self._own), footprint, free_bytes=free, num_devices=jax.device_count())

    def train(self) -> list[TrainedModel] | None:
        """Trains what is not trained yet; every member, or None if stopped."""
        json_files.write_json(self._begun, {"members_per_program": self.plan.members_per_program})
        for index, group in enumerate(self.plan.groups()):
            if self._done(index).exists():
                continue
            if self.plan.num_programs > 1:
                title = f"program {index + 1} of {self.plan.num_programs}: members {group[0]} to {group[-1]}"
                self._session.console.rule(title)
            if not self._train_program(index, group):
                message = f"Stopped and saved in {self._folder}. The same command with the same --workdir goes on."
                self._session.console.print(message)
                return None
        return [model for index, group in enumerate(self.plan.groups()) for model in self._models(index, group)]

    @property
    def seconds(self) -> float:
        """Training time of all programs, evaluation in it, of earlier starts too."""
        logs = sorted(self._folder.glob("program*/metrics.jsonl"))
        return float(sum(row["seconds"] for log in logs for row in metrics_log.read(log)))

    def _train_program(self, index: int, group: range) -> bool:
        """Whether the program is trained to its end."""
        recipe, folder, hyperparams = self._recipe, self._done(index).parent, self._of_group(group)
        placement = training.spread_members(len(group))
        evaluator = self._make_evaluator(recipe, len(group), self.members_at_once)
        sweep, resident = training.shard_epoch(recipe.run_population(self.members_at_once)), recipe.resident()
        population, _ = runner.fit(
            recipe,
            training.init_population(recipe.init, hyperparams),
            folder,
            self._session,
            make_run=lambda population: recipe.driven(lambda placed: sweep(placed, resident)),
            evaluate=evaluator.during_training,
            score=lambda progress: -progress.step,  # only the last one is kept
            placement=placement,
        )
        if int(population.step) < recipe.num_steps:
            return False
        found = evaluator.at_end(placement.put(population))
        rows = [
            self._own[member]
            | {"diverged_at": int(population.diverged_at[place])}
            | {name: values[place] for name, values in found.items()}
            for place, member in enumerate(group)
        ]
        if self._export is not None:
            for place, member in enumerate(group):
                self._export(member, training.member(population, place))
        json_files.write_json(self._done(index), {"members": rows})  # last: a program that has it is not trained again
        return True

    def _models(self, index: int, group: range) -> list[TrainedModel]:
        """The members of a program that is trained."""
        rows, folder = read_json(self._done(index))["members"], self._done(index).parent
        log, seconds = metrics_log.read(folder / "metrics.jsonl"), self.seconds
        params = functools.cache(functools.partial(self._params, folder, group))
        return [
            TrainedModel(
                self._members[member],
                lambda place=place: params()[place],  # type: ignore[misc]
                {name: value for name, value in rows[place].items() if name not in (*self._own[member], "history")},
                [_of_member(row, place) for row in log],
                seconds,
            )
            for place, member in enumerate(group)
        ]

    def _params(self, folder: pathlib.Path, group: range) -> list[Params]:
        population = training.init_population(self._recipe.init, self._of_group(group))
        with training.Checkpoints(folder / CHECKPOINTS, read_only=True) as checkpoints:
            population = checkpoints.restore(population)
        decay = self._recipe.config.average_decay
        return [training.averaged_params(training.member(population, place), decay) for place in range(len(group))]

    def _of_group(self, group: range) -> dict[str, np.ndarray]:
        return {name: values[group.start : group.stop] for name, values in self._hyperparams.items()}

    def _done(self, index: int) -> pathlib.Path:
        return self._folder / f"program{index}" / "members.json"


def train_population(
    recipe: Recipe,
    members: Sequence[Any],
    folder: pathlib.Path,
    session: Session,
    *,
    vary: Sequence[str],
    title: str,
    **settings: Any,
) -> list[TrainedModel] | None:
    """Trains members that differ in a few settings alone, or takes them from the folder.

    Args:
      recipe: of all of them, but for these settings.
      members: the settings of each.
      folder: of the population; a second call goes on, or finds it trained.
      session: as `title` and `settings` as of `PopulationTrainer`.
      vary: names of the settings in which they may differ, `seed` among them.

    Returns:
      The models in the order of `members`; None if stopped, to be resumed.

    Raises:
      WorkdirError: the folder holds a population with other settings.
      NonFiniteLossError: all members of a program diverged.
    """
    check_workdir(folder, members[0])
    trainer = PopulationTrainer(
        recipe, hyperparams_of(members, vary), folder, session, title=title, members=members, **settings
    )
    write_config(folder, recipe.config)
    return trainer.train()


def train_in_workdirs(
    recipe: Recipe,
    members: Sequence[Any],
    folder: pathlib.Path,
    session: Session,
    *,
    vary: Sequence[str],
    title: str,
    layout: Any = _FASTEST,
) -> list[TrainedModel] | None:
    """As `train_population`, and leaves each member in its `workdir`, as if it had been trained alone."""
    for member in members:
        check_workdir(pathlib.Path(member.workdir), member)

    def export(index: int, state: training.TrainState) -> None:
        workdir = pathlib.Path(members[index].workdir)
        write_config(workdir, members[index])
        kept = metrics_log.plain(recorded(members[index]))
        with training.Checkpoints(workdir / CHECKPOINTS, settings=kept) as checkpoints:
            if checkpoints.last_step() is None:
                checkpoints.save(state, score=0.0)

    hyperparams = hyperparams_of(members, vary)
    trained = PopulationTrainer(
        recipe, hyperparams, folder, session, title=title, members=members, layout=layout, export=export
    ).train()
    for model in trained or ():  # when all are trained: a member that has results is in no population any more
        workdir = pathlib.Path(model.settings.workdir)
        metrics_log.rewind(workdir / "metrics.jsonl", -1)
        for row in model.history:
            metrics_log.append(workdir / "metrics.jsonl", row)
        summary = {"num_members": len(members), **model.summary, "train_history": curves(model.history)}
        trained_model.write_results(workdir, recipe, dataclasses.replace(model, summary=summary), session)
    return trained


def curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The terms of training over its stretches, by name, and `epoch`."""
    return {"epoch": [row["epoch"] for row in history]} | {
        name: [row["train"][name] for row in history] for name in history[0]["train"]
    }


def _of_member(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    """A member's own of a line of metrics."""
    return {
        name: {term: values[place] for term, values in value.items()} if isinstance(value, Mapping) else value
        for name, value in row.items()
    }
