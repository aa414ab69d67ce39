"""Runs every attack on both sides, from several starts, and writes the record."""

import pathlib
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.attack_comparison import report
from experiments.attack_comparison.model import AttackedModel, AttackEvaluator, load_model, train_model
from experiments.attack_comparison.peers import Peers
from experiments.attack_comparison.settings import Comparison, ComparisonConfig, comparisons
from experiments.core import records
from experiments.core.keys import stream
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import as_dict
from experiments.core.trained_model import LOCAL
from experiments.core.workdir import environment
from experiments.core.worker import WorkerError
from ib_jax import attacks

RESULTS = pathlib.Path("experiments/results/attack_comparison")
_ACCOUNT = ("by_its_own_account", "warnings", "standing", "status")
"""What an attack says besides numbers; it goes into a model's details."""


def run(config: ComparisonConfig, session: Session, model: AttackedModel | None = None) -> Record | None:
    """Attacks on both sides, prints the table and writes the record.

    Args:
      config: the settings.
      session: where to show progress and the table, and the command for the record.
      model: the network; None for the one that the settings name.

    Returns:
      The record; None if training the network was stopped.
    """
    console = session.console
    model = model or _model(config, session)
    if model is None:
        console.print("Stopped while the network was trained; nothing is attacked.", highlight=False)
        return None
    evaluator, wanted = AttackEvaluator(model, config.num_images), comparisons(config)
    starts: list[Model] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
    with Peers(model, evaluator) as peers, bar:
        for seed in range(config.seed, config.seed + config.num_starts):
            chosen = [each for each in wanted if each.random or seed == config.seed]
            task = bar.add_task("", total=sum(1 + len(each.peers) for each in chosen))
            measured: list[Measurement] = []
            accounts: dict[str, Any] = {}
            for compared in chosen:
                name = report.name_of(compared.conditions)
                for library in (report.OURS, *compared.peers):
                    bar.update(task, description=f"seed {seed}, {name}: {library}")
                    if library == report.OURS:
                        said = _ours(config, compared, seed, model, evaluator)
                    else:
                        said = _theirs(config, compared, library, seed, peers)
                    if account := {key: said.pop(key) for key in _ACCOUNT if key in said}:
                        accounts[f"{name}, {library}"] = account
                    measured.append(Measurement({"library": library, **compared.conditions}, said))
                    bar.advance(task)
                if not console.is_terminal:
                    console.print(f"seed {seed}, {name} done", highlight=False)
            description = dict(model.description)
            starts.append(Model(str(description["objective"]), seed, measured, description, details=accounts))
    record = Record(
        session.experiment,
        session.command,
        {name: value for name, value in as_dict(config).items() if name not in LOCAL},
        starts,
        {
            "peers": peers.info.get("as installed", {}),
            "num_images": len(evaluator.labels),
            "clean_accuracy": float(evaluator.correct.mean()),
        },
        environment=environment(),
    )
    path = pathlib.Path(config.output or RESULTS / f"{model.description['dataset']}.json")
    records.write(path, record)
    from experiments.core import render  # pandas takes a second to import

    render.write_report(report.report, records.load(path.parent), path.parent, console)
    console.print(f"The record is {path}.", highlight=False)
    return record


def _model(config: ComparisonConfig, session: Session) -> AttackedModel | None:
    if config.checkpoint:
        return load_model(config.checkpoint, data_dir=config.data_dir)
    session.console.print(f"Training a network on {config.dataset}, {config.num_epochs} epochs.", highlight=False)
    names = ("dataset", "num_epochs", "hidden_width", "data_dir", "seed")
    return train_model(**{name: getattr(config, name) for name in names})


def _ours(
    config: ComparisonConfig, compared: Comparison, seed: int, model: AttackedModel, evaluator: AttackEvaluator
) -> dict[str, Any]:
    runner = attacks.Runner(compared.attack, model.apply_fn, batch_size=min(config.batch_size, len(evaluator.labels)))
    images, labels = jnp.asarray(evaluator.images), jnp.asarray(evaluator.labels)
    start = time.perf_counter()
    result = runner(model.params, stream(seed, "attack"), images, labels)
    said: dict[str, Any] = {"seconds_with_compiling": time.perf_counter() - start}
    said |= evaluator(np.asarray(result.inputs), norm=compared.norm, epsilon=compared.epsilon)
    return said | ({"standing": compared.attack.standing(result)} if compared.group == "autoattack" else {})


def _theirs(config: ComparisonConfig, compared: Comparison, library: str, seed: int, peers: Peers) -> dict[str, Any]:
    """Nothing but why, where the library is missing or its attack fails."""
    call: dict[str, Any] = {"batch_size": config.batch_size, "seed": seed}
    try:
        said = peers(library, compared.peers[library], norm=compared.norm, epsilon=compared.epsilon, **call)
    except (WorkerError, OSError) as error:
        return {"status": str(error)}
    del said["rounds"]
    return said
