"""Trains bottlenecks on attacked images, and attacks what comes out."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

from experiments.core import records
from experiments.core.attacks import attack_trained, findings, measurements
from experiments.core.evaluator import PopulationEvaluator
from experiments.core.population import train_population
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model
from experiments.core.session import Session
from experiments.core.settings import EVALUATION
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse
from experiments.ib_adversarial_training.model import VARY, load, make_suite, recipe_of
from experiments.ib_adversarial_training.settings import NONE, AdversarialConfig, AttackSettings, SweepSettings
from ib_jax import data


def groups(config: AdversarialConfig, sweep: SweepSettings) -> list[list[AdversarialConfig]]:
    """The settings of every model; those of a group differ in beta and seed alone."""
    populations = []
    for objective, against in [("cross_entropy", sweep.against[:2]), ("vib", sweep.against)]:
        for adversary in against:
            base = dataclasses.replace(config, objective=objective, adversary=adversary)
            grid = itertools.product(sweep.betas if base.stochastic else (config.beta,), range(sweep.num_seeds))
            populations.append([dataclasses.replace(base, beta=beta, seed=seed) for beta, seed in grid])
    return populations


def run(
    config: AdversarialConfig, sweep: SweepSettings, attack: AttackSettings, session: Session
) -> pathlib.Path | None:
    """Trains what is not trained, attacks what has no record, and makes the report; None if stopped, to be resumed."""
    workdir = pathlib.Path(config.workdir or f"workdirs/{session.experiment}") / config.dataset
    results, dataset, planned = pathlib.Path(sweep.results or workdir / "results"), load(config), groups(config, sweep)
    for member in itertools.chain(*planned):
        if (path := _path(results, member)).exists():
            check_reuse(path, records.read(path).settings, member, attack, stage=EVALUATION)
    models: list[TrainedModel] = []
    for group in planned:
        first = group[0]
        trained = train_population(
            recipe_of(first, dataset),
            group,
            workdir / f"{first.objective}_{first.adversary}",
            session,
            vary=VARY,
            title=f"{len(group)} models of {first.objective} against {first.adversary}",
            make_evaluator=_errors_and_information,
        )
        if trained is None:
            return None
        models += trained
    _attack(models, dataset, attack, results, session)
    session.publish(results)
    return results


def source_of(config: AdversarialConfig, others: Sequence[AdversarialConfig]) -> AdversarialConfig:
    """On which model the images for transfer are made: cross-entropy of this seed; for it, of another, or VIB."""
    plain = [other for other in others if other.objective == "cross_entropy" and other.adversary == NONE]
    if config.objective != "cross_entropy":
        return next(other for other in plain if other.seed == config.seed)
    apart = [other for other in plain if other.seed != config.seed] or [other for other in others if other.stochastic]
    return apart[0]


def _errors_and_information(recipe: Recipe, num_members: int, members_at_once: int | None) -> PopulationEvaluator:
    return PopulationEvaluator(recipe, num_members, members_at_once, ("train", "test"))


def _path(results: pathlib.Path, config: AdversarialConfig) -> pathlib.Path:
    return results / f"{config.name}_seed{config.seed}.json"


def _attack(
    models: Sequence[TrainedModel],
    dataset: data.Dataset,
    attack: AttackSettings,
    results: pathlib.Path,
    session: Session,
) -> None:
    """Attacks the models that have no record, and writes theirs."""
    every = [model.settings for model in models]
    attacks = attack_trained(
        models,
        lambda config: make_suite(attack, recipe_of(config, dataset)),
        lambda config: source_of(config, every),
        session.console,
        waiting=[model for model in models if not _path(results, model.settings).exists()],
    )
    radii = [("linf", epsilon) for epsilon in attack.honest_epsilons]
    for trained, result, source in attacks:
        own = trained.settings
        rows = [Measurement({"split": split}, trained.summary[split]) for split in ("train", "test")]
        measured = measurements(result, source=source, radii=radii, in_bits=("rate",))
        rows += [Measurement(**row) for row in measured]
        seconds = {"population_seconds": trained.seconds, "attack_seconds": result.seconds}
        made = Model(own.name, own.seed, rows, findings=findings(result), details=seconds)
        counts = {"num_train_images": len(dataset.train.labels), "num_attacked": len(result.right())}
        records.write(_path(results, own), session.record([made], own, attack, details=counts))
