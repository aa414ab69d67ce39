"""Trains VIBs and baselines, and attacks them."""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.core import records, trained_model
from experiments.core.app import Session
from experiments.core.recipe import Recipe
from experiments.core.settings import EVALUATION
from experiments.core.workdir import check_reuse, check_workdir, command, environment
from experiments.mnist_robustness import table as mnist_robustness_table
from experiments.mnist_robustness.attack import Measurer, Victim
from experiments.mnist_robustness.settings import Model, RobustnessConfig, Step, models, plan, run_settings, source_of
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import Config
from ib_jax import data
from ib_jax.models import sampled_apply


def run(config: RobustnessConfig, session: Session) -> pathlib.Path | None:
    """Trains what is not trained, attacks what has no record, and makes the table and the figures.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, or None if a training run was stopped and can be resumed.

    Raises:
      WorkdirError: a workdir or a record was made with other settings; and as `mnist_vib.run`.
    """
    console = session.console
    results = pathlib.Path(config.results or pathlib.Path(config.workdir) / "results")
    waiting = []
    for model in models(config):
        path = results / f"{model.name}.json"
        if path.exists():
            check_reuse(path, json.loads(path.read_text())["settings"], config, stage=EVALUATION)
        else:
            waiting.append(model)
    trained = dict.fromkeys([*waiting, *(source_of(model) for model in waiting)])
    for index, model in enumerate(trained):
        if not _train(config, model, console, f"{model.name}: model {index + 1} of {len(trained)}"):
            return None
    if waiting:
        _attack(config, waiting, results, session)
    table = mnist_robustness_table.make(results)
    console.print(Markdown(table))
    console.print(f"Records, table and figures are in {results}.", highlight=False)
    return results


def _run_config(config: RobustnessConfig, model: Model) -> Config:
    return Config(**run_settings(config, model), workdir=str(pathlib.Path(config.workdir) / model.name))


def _train(config: RobustnessConfig, model: Model, console: Console, title: str) -> bool:
    """Trains a model unless it is trained already; whether it is now."""
    run_config = _run_config(config, model)
    workdir = pathlib.Path(run_config.workdir)
    check_workdir(workdir, run_config)
    if trained_model.is_finished(workdir):
        return True
    console.rule(title)
    settings = {name: value for name, value in run_settings(config, model).items() if name not in ("preset", "figures")}
    arguments = [f"--preset={config.preset}", "--nofigures", *(f"--{name}={value}" for name, value in settings.items())]
    return (
        mnist_vib.run(run_config, Session("mnist_vib", command("experiments.mnist_vib", arguments), console))
        is not None
    )


class _Lab:
    """The test images, and what attacks a model on them: one `Measurer` for each structure of the network."""

    def __init__(self, config: RobustnessConfig):
        self._config, self._dataset = config, data.load(config.dataset)
        self._images = np.asarray(data.to_unit_interval(self._dataset.test.inputs))
        self._measurers: dict[bool, Measurer] = {}
        self._sources: dict[tuple[Model, float], np.ndarray] = {}

    def plan(self, model: Model) -> list[Step]:
        """What is to be done to a model."""
        labels, stochastic = self._dataset.test.labels, _run_config(self._config, model).stochastic
        return plan(self._config, len(labels), self._dataset.num_classes, stochastic=stochastic)

    def victim(self, model: Model) -> Victim:
        """A trained model, from its last checkpoint."""
        config = _run_config(self._config, model)
        return Victim(model.seed, trained_model.restore_params(Recipe(config, self._dataset), config.workdir))

    def measurer(self, model: Model) -> Measurer:
        """The attacks for a model. Dropout's network is the deterministic one, as long as it is not trained."""
        config = _run_config(self._config, model)
        if config.stochastic not in self._measurers:
            self._measurers[config.stochastic] = Measurer(
                self._config,
                sampled_apply(Recipe(config, self._dataset).model),
                stochastic=config.stochastic,
                images=self._images,
                labels=self._dataset.test.labels,
                num_classes=self._dataset.num_classes,
            )
        return self._measurers[config.stochastic]

    def source(self, model: Model, epsilon: float) -> np.ndarray:
        """Images made on a model, kept for the next that they are shown to."""
        if (model, epsilon) not in self._sources:
            self._sources[model, epsilon] = self.measurer(model).source(self.victim(model), epsilon)
        return self._sources[model, epsilon]


def _attack(config: RobustnessConfig, waiting: Sequence[Model], results: pathlib.Path, session: Session) -> None:
    console = session.console
    lab, workdir = _Lab(config), pathlib.Path(config.workdir)
    (workdir / "per_example").mkdir(parents=True, exist_ok=True)
    with _AttackLine(console, [step for model in waiting for step in lab.plan(model)]) as line:
        for model in waiting:
            start, victim, measurer = time.monotonic(), lab.victim(model), lab.measurer(model)
            source = functools.partial(lab.source, source_of(model))
            measured, arrays = measurer.measure(victim, source, functools.partial(line, model))
            trained = records.read(workdir / model.name / "results.json")
            record = {
                "experiment": "mnist_robustness",
                "command": session.command,
                **model._asdict(),
                "source": source_of(model).name,
                "settings": dataclasses.asdict(config),
                "training": dict(trained.settings),
                "test": dict(trained.models[0].values_at(split="test")),
                "environment": environment(),
                **measured,
                "zeros": measurer.zeros(victim) if model.seed == 0 else None,
                "seconds": time.monotonic() - start,
            }
            np.savez_compressed(workdir / "per_example" / f"{model.name}.npz", allow_pickle=False, **arrays)
            records.write_json(results / f"{model.name}.json", record)  # last: a model with a record is done
            line.finish(model, record)


class _AttackLine:
    """One line with the model, the attack and the time left; a plain line for each model in a log."""

    def __init__(self, console: Console, steps: Sequence[Step]):
        columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left:")]
        self._console, self._start = console, time.monotonic()
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("compiling", total=sum(step.work for step in steps))

    def __call__(self, model: Model, step: Step) -> None:
        """Shows a step that is done."""
        self._bar.update(self._task, advance=step.work, description=f"{model.name}: {step.name}")

    def finish(self, model: Model, record: dict[str, Any]) -> None:
        """Says what came out for a model."""
        task = self._bar.tasks[0]
        passed = time.monotonic() - self._start
        left = passed * ((task.total or 0.0) / max(task.completed, 1.0) - 1.0)
        worst = "  ".join(f"{row['epsilon']:g}: {row['accuracy']['worst']:.1%}" for row in record["same_images"])
        self._console.print(
            f"{model.name}  clean {record['clean_accuracy']:.1%}, under the worst of all attacks at radius {worst}"
            f"  {record['seconds']:.0f} s, some {left:,.0f} s left",
            highlight=False,
        )

    def __enter__(self) -> "_AttackLine":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
