"""Trains bottlenecks on attacked images, and attacks what comes out."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

from experiments.core import records
from experiments.core.attacks import AttackedModel, ModelAttacks, findings, measurements, work_of
from experiments.core.evaluator import PopulationEvaluator
from experiments.core.population import train_population
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, as_dict, departures
from experiments.core.trained_model import LOCAL, TrainedModel
from experiments.core.workdir import check_reuse, environment
from experiments.ib_adversarial_training.model import VARY, load, make_suite, recipe_of
from experiments.ib_adversarial_training.settings import NONE, AdversarialConfig, AttackSettings, SweepSettings
from ib_jax import data
from ib_jax.evaluation import AttackRow


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
    from experiments.core import render  # pandas and matplotlib take a second to import
    from experiments.ib_adversarial_training.report import report

    render.write_report(report, records.load(results), results, session.console)
    session.console.print(f"Records, table and figure are in {results}.", highlight=False)
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
    trained = {(model.settings.name, model.settings.seed): model for model in models}
    sources = {which: source_of(model.settings, [each.settings for each in models]) for which, model in trained.items()}

    def attacked(config: AdversarialConfig) -> AttackedModel:
        which = config.name, config.seed
        return AttackedModel(*which, config.stochastic, config.stochastic, lambda: trained[which].params)

    suites = ModelAttacks(
        lambda model: make_suite(attack, recipe_of(trained[model.name, model.seed].settings, dataset)),
        lambda model: attacked(sources[model.name, model.seed]),
    )
    waiting = {which: model for which, model in trained.items() if not _path(results, model.settings).exists()}
    with WorkLine(session.console, suites.work(attacked(model.settings) for model in waiting.values())) as line:
        for (name, seed), model in waiting.items():

            def show(row: AttackRow, title: str = f"{name} seed {seed}") -> None:
                line(title, row.spec.label, work_of(row.spec, row.num_images))

            result = suites.attack(attacked(model.settings), report=show)
            radii = [("linf", epsilon) for epsilon in attack.honest_epsilons]
            measured = measurements(result, source=sources[name, seed].name, radii=radii, in_bits=("rate",))
            rows = [{"at": {"split": split}, "values": model.summary[split]} for split in ("train", "test")] + measured
            seconds = {"population_seconds": model.seconds, "attack_seconds": result.seconds}
            own = Model(name, seed, [Measurement(**row) for row in rows], findings=findings(result), details=seconds)
            record = Record(
                session.experiment,
                session.command,
                {key: value for key, value in as_dict(model.settings, attack).items() if key not in LOCAL},
                [own],
                details={"num_train_images": len(dataset.train.labels), "num_attacked": len(result.right())},
                departures=departures(model.settings, attack),
                environment=environment(),
            )
            records.write(_path(results, model.settings), record)
