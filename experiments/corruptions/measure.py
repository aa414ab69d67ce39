"""Evaluates trained models that have no record yet; what is done is kept, so that a stopped run goes on from there."""

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from experiments.core import corrupted_images, records
from experiments.core.attacks import work_of
from experiments.core.progress import WorkLine
from experiments.core.settings import EVALUATION
from experiments.core.workdir import WorkdirError, check_reuse, deciding, environment, without_paths
from experiments.corruptions.checkpoints import Finished
from experiments.corruptions.lab import Lab
from experiments.corruptions.settings import CorruptionAttacks, CorruptionSettings
from ib_jax import corruptions, evaluation, training
from ib_jax.evaluation import AttackRow

NAME = "corruptions"
IMAGENET = "imagenet2012"
_HIDDEN = ("workdir", "data_dir")  # of this machine
_BACKWARD = 3.0  # what a pass forth and back costs, in forward ones


def evaluate(
    models: Sequence[Finished],
    settings: CorruptionSettings,
    results: pathlib.Path,
    console: Console,
    *,
    command: str = "",
) -> None:
    """Evaluates every model that has no record, and writes its record.

    Args:
      models: finished ones, of one data set.
      settings: what is measured.
      results: folder of the records.
      console: where to show progress.
      command: the command line, for the records.

    Raises:
      WorkdirError: a record was made with other settings or of another model.
      FileNotFoundError: a model has no checkpoint.
      ValueError: two models would have one record, or they cannot be evaluated together.
    """
    owners: dict[str, Finished] = {}
    for model in models:
        if (other := owners.setdefault(_stem(model), model)) is not model:
            raise WorkdirError(
                f"{other.workdir} and {model.workdir} are both {_stem(model)}: evaluate them in two runs"
            )
    begun = {model.workdir: _begun(model, settings, results, command) for model in models}
    unfinished = {workdir: record for workdir, record in begun.items() if record is not None}
    waiting = [model for model in models if model.workdir in unfinished]
    if not waiting:
        console.print(f"Every model has its record in {results}.", highlight=False)
        return
    _evaluate(Lab(models, settings), waiting, unfinished, settings, results, console)


def _evaluate(
    lab: Lab,
    waiting: Sequence[Finished],
    record: dict[pathlib.Path, dict[str, Any]],
    settings: CorruptionSettings,
    results: pathlib.Path,
    console: Console,
) -> None:
    predicts = {str(model.workdir): lab.predict(model) for model in waiting}  # a checkpoint that is missing stops here
    batches = lab.corrupted()
    count = lab.num_images
    missing = {name: [m for m in waiting if name not in record[m.workdir]["errors"]] for name in settings.names}
    attacked = [model for model in waiting if settings.attack and "robustness" not in record[model.workdir]]
    total = sum(map(len, missing.values())) * len(corruptions.SEVERITIES) * count
    work = total + _BACKWARD * lab.work(attacked)
    with WorkLine(console, work) as line:
        clean = corrupted_images.error_of(predicts, lab.clean(count))
        for model in waiting:
            record[model.workdir] |= {"num_images": count, "constants": lab.constants}
            record[model.workdir]["clean_error"] = clean[str(model.workdir)]
        for name, todo in missing.items():
            if not todo:
                continue
            errors = corrupted_images.errors_of(
                {str(model.workdir): predicts[str(model.workdir)] for model in todo},
                batches,
                names=(name,),
                report=functools.partial(_corrupted, line, len(todo) * count),
            )
            for model in todo:
                record[model.workdir]["errors"][name] = errors[str(model.workdir)][name]
                _keep(record[model.workdir], results, model)
        if settings.imagenet_a and lab.dataset == IMAGENET:
            shifted = lab.imagenet_a_errors(waiting)
            for model in waiting:
                record[model.workdir]["imagenet_a_error"] = shifted[str(model.workdir)]
        for model in waiting:
            if model in attacked:
                record[model.workdir]["robustness"] = lab.attack(
                    model, functools.partial(_attacked, line, model.config.name)
                )
                _keep(record[model.workdir], results, model)
            _finish(record[model.workdir], settings, results, model)


def _corrupted(line: WorkLine, work: float, name: str, severity: int) -> None:
    line("every model", f"{name} {severity}", work)


def _attacked(line: WorkLine, model: str, row: AttackRow) -> None:
    line(model, row.spec.label, _BACKWARD * work_of(row.spec, row.num_images))


def _finish(record: dict[str, Any], settings: CorruptionSettings, results: pathlib.Path, model: Finished) -> None:
    """Adds the summaries and puts the record where it belongs."""
    errors = {name: record["errors"][name] for name in settings.names}
    benchmark = {name: errors[name] for name in corruptions.CORRUPTIONS if name in errors}
    summary: dict[str, Any] = {"errors": errors}
    if len(benchmark) == len(corruptions.CORRUPTIONS):
        summary["average_error"] = evaluation.average_corruption_error(benchmark)
        if record["dataset"] == IMAGENET:
            summary["mce"] = evaluation.mean_corruption_error(benchmark)
    records.write_json(_path(results, model), record | summary)
    if training.is_main():
        _unfinished(results, model).unlink(missing_ok=True)
        if not any(_unfinished(results, model).parent.iterdir()):
            _unfinished(results, model).parent.rmdir()


def _begun(model: Finished, settings: CorruptionSettings, results: pathlib.Path, command: str) -> dict[str, Any] | None:
    """What is known of a model so far, of an earlier run as well; None if it has its record."""
    attacks = [] if settings.attack else [field.name for field in dataclasses.fields(CorruptionAttacks)]
    own = {name: getattr(settings, name) for name in deciding(settings, EVALUATION) if name not in attacks}
    trained = {name: value for name, value in model.results.items() if name not in ("history", "train_history")}
    trained["config"] = {name: value for name, value in trained["config"].items() if name not in _HIDDEN}
    trained["command"] = without_paths(trained["command"])
    config = model.config
    header = {
        "experiment": NAME,
        "command": command,
        "environment": environment(),
        "name": config.name,
        "network": model.network,
        "objective": config.objective,
        "rho": config.rho if config.stochastic else None,
        "seed": config.seed,
        "dataset": config.dataset,
        "settings": own,
        "training": trained,
    }
    header = json.loads(json.dumps(header))  # as it is read back
    for path in (_path(results, model), _unfinished(results, model)):
        if not path.exists():
            continue
        old = json.loads(path.read_text())
        check_reuse(path, old["settings"], settings, stage=EVALUATION, without=attacks)
        if old["training"] != header["training"]:
            raise WorkdirError(
                f"{path} was made of another model than the one in {model.workdir} now; give another --results."
            )
        return None if path == _path(results, model) else old
    return header | {"errors": {}}


def _keep(record: dict[str, Any], results: pathlib.Path, model: Finished) -> None:
    records.write_json(_unfinished(results, model), record)


def _stem(model: Finished) -> str:
    network = re.sub(r"[^\w-]+", "_", model.network)
    return f"{network}_{model.config.name}_seed{model.config.seed}"


def _path(results: pathlib.Path, model: Finished) -> pathlib.Path:
    return results / f"{_stem(model)}.json"


def _unfinished(results: pathlib.Path, model: Finished) -> pathlib.Path:
    return results / "unfinished" / f"{_stem(model)}.json"
