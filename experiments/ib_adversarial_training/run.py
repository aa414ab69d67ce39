"""Trains bottlenecks on attacked images, and attacks what comes out."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from rich.console import Console

from experiments.core import records
from experiments.core.app import Session
from experiments.core.attacks import AttackedModel, ModelAttacks, findings, measurements, work_of
from experiments.core.evaluator import PopulationEvaluator
from experiments.core.population import train_population
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.settings import as_dict, departures
from experiments.core.trained_model import LOCAL, TrainedModel
from experiments.core.workdir import check_reuse, environment
from experiments.ib_adversarial_training.attack import make_suite
from experiments.ib_adversarial_training.attack_settings import AttackSettings
from experiments.ib_adversarial_training.recipe import load, recipe_of
from experiments.ib_adversarial_training.settings import NONE, AdversarialConfig, SweepSettings
from ib_jax import data
from ib_jax.evaluation import AttackRow, SuiteResult

NAME = "ib_adversarial_training"
VARY = ("beta", "learning_rate", "seed")  # the settings in which the models of a population may differ


def groups(config: AdversarialConfig, sweep: SweepSettings) -> list[list[AdversarialConfig]]:
    """The settings of every model; those of a group differ in beta and seed alone."""
    seeds, found = range(sweep.num_seeds), []
    for objective, against in [("cross_entropy", sweep.against[:2]), ("vib", sweep.against)]:
        for adversary in against:
            base = dataclasses.replace(config, objective=objective, adversary=adversary)
            betas = sweep.betas if base.stochastic else (config.beta,)
            found.append([dataclasses.replace(base, beta=beta, seed=seed) for beta in betas for seed in seeds])
    return found


def run(
    config: AdversarialConfig, sweep: SweepSettings, attack: AttackSettings, session: Session
) -> pathlib.Path | None:
    """Trains what is not trained, attacks what has no record, and makes the table and the figure.

    Args:
      config: what all models share.
      sweep: in what they differ.
      attack: what is done to them.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, or None if training was stopped and can be resumed.

    Raises:
      WorkdirError: a folder or a record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    console, command = session.console, session.command
    workdir = pathlib.Path(config.workdir or f"workdirs/{NAME}") / config.dataset
    results, dataset = pathlib.Path(sweep.results or workdir / "results"), load(config)
    models: list[TrainedModel] = []
    for group in groups(config, sweep):
        title = f"{len(group)} models of {group[0].objective} against {group[0].adversary}"
        folder = workdir / f"{group[0].objective}_{group[0].adversary}"
        recipe, session = recipe_of(group[0], dataset), Session(NAME, command, console)
        trained = train_population(
            recipe, group, folder, session, vary=VARY, title=title, make_evaluator=_errors_and_information
        )
        if trained is None:
            return None
        models += trained
    _attack(models, dataset, attack, results, console, command)
    from experiments.core import render  # pandas and matplotlib take a second to import
    from experiments.ib_adversarial_training.report import report

    render.write_report(report, records.load(results), results, console)
    console.print(f"Records, table and figure are in {results}.", highlight=False)
    return results


def _errors_and_information(recipe: Recipe, num_members: int, members_at_once: int | None) -> PopulationEvaluator:
    return PopulationEvaluator(recipe, num_members, members_at_once, ("train", "test"))


def _attack(
    models: Sequence[TrainedModel],
    dataset: data.Dataset,
    settings: AttackSettings,
    results: pathlib.Path,
    console: Console,
    command: str,
) -> None:
    paths = [results / f"{model.settings.name}_seed{model.settings.seed}.json" for model in models]
    waiting = []
    for model, path in zip(models, paths, strict=True):
        if path.exists():
            check_reuse(path, records.read(path).settings, model.settings)
        else:
            waiting.append((model, path))
    by_name = {_named(model): model for model in models}
    suites = ModelAttacks(
        lambda model: make_suite(settings, recipe_of(by_name[model[:2]].settings, dataset)),
        lambda model: attacked(_source_of(by_name[model[:2]], models)),
    )
    with WorkLine(console, suites.work(attacked(model) for model, _ in waiting)) as line:
        for model, path in waiting:
            result = suites.attack(attacked(model), report=functools.partial(_report, line, model.settings))
            source, count = _source_of(model, models).settings.name, len(dataset.train.labels)
            made = _record(model, result, settings, source=source, num_train_images=count, command=command)
            records.write(path, made)


def _record(
    model: TrainedModel,
    result: SuiteResult,
    attack: AttackSettings,
    *,
    source: str,
    num_train_images: int,
    command: str,
) -> Record:
    """A model's record: its errors, information and rates, and what every attack left of it."""
    radii = [("linf", epsilon) for epsilon in attack.honest_epsilons]
    rows = [
        *({"at": {"split": split}, "values": model.summary[split]} for split in ("train", "test")),
        *measurements(result, source=source, radii=radii, in_bits=("rate",)),
    ]
    details = {"population_seconds": model.seconds, "attack_seconds": result.seconds}
    measured = Model(*_named(model), [Measurement(**row) for row in rows], findings=findings(result), details=details)
    settings = {name: value for name, value in as_dict(model.settings, attack).items() if name not in LOCAL}
    sizes = {"num_train_images": num_train_images, "num_attacked": len(result.right())}
    found = departures(model.settings, attack)
    return Record(NAME, command, settings, [measured], sizes, departures=found, environment=environment())


def _named(model: TrainedModel) -> tuple[str, int]:
    return model.settings.name, model.settings.seed


def attacked(model: TrainedModel) -> AttackedModel:
    """A trained model, to be attacked; those of one kind of code share a suite."""
    stochastic = model.settings.stochastic
    return AttackedModel(*_named(model), stochastic, stochastic, lambda: model.params)


def _report(line: WorkLine, config: AdversarialConfig, row: AttackRow) -> None:
    line(f"{config.name} seed {config.seed}", row.spec.label, work_of(row.spec, row.num_images))


def _source_of(model: TrainedModel, models: Sequence[TrainedModel]) -> TrainedModel:
    """On which model the images for transfer are made: cross-entropy of this seed; for it, of another, or VIB."""
    plain = [
        other for other in models if other.settings.objective == "cross_entropy" and other.settings.adversary == NONE
    ]
    if model.settings.objective != "cross_entropy":
        return next(other for other in plain if other.settings.seed == model.settings.seed)
    others = [other for other in plain if other.settings.seed != model.settings.seed]
    return (others or [other for other in models if other.settings.stochastic])[0]
