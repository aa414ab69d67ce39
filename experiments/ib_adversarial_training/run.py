"""Trains bottlenecks on attacked images, and attacks what comes out."""

import dataclasses
import functools
import itertools
import pathlib
import re
from collections.abc import Callable, Sequence

import jax
import numpy as np

from experiments.core import networks, objectives, records
from experiments.core.adversary import NONE
from experiments.core.attacks import SOURCE, attack_trained, findings, measurements
from experiments.core.evaluator import PopulationEvaluator
from experiments.core.keys import stream
from experiments.core.population import train_population
from experiments.core.recipe import Recipe, RecipeFunctions, load_dataset
from experiments.core.records import Measurement, Model
from experiments.core.session import Session
from experiments.core.settings import EVALUATION
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse
from experiments.ib_adversarial_training.settings import AdversarialConfig, AttackSettings, SweepSettings
from ib_jax import data, losses
from ib_jax.evaluation import AttackSpec, AttackSuite
from ib_jax.models import sampled_apply
from ib_jax.types import Array, Params

load = load_dataset
FUNCTIONS = RecipeFunctions(networks.stacked, schedule=objectives.constant)
_CW = {"const_per": "nat", "learning_rate": 0.05}  # of Adam; 0.01 in the attack's paper, with 10,000 steps


def recipe_of(config: AdversarialConfig, dataset: data.Dataset) -> Recipe:
    """How a model of these settings is trained."""
    return Recipe(config, dataset, FUNCTIONS)


def groups(config: AdversarialConfig, sweep: SweepSettings) -> list[list[AdversarialConfig]]:
    """The settings of every model; those of a group differ in beta and seed alone."""
    populations = []
    for objective, against in [("cross_entropy", sweep.against[:2]), ("vib", sweep.against)]:
        for adversary in against:
            base = dataclasses.replace(config, objective=objective, adversary=adversary)
            seeds = range(config.seed, config.seed + sweep.num_seeds)
            grid = itertools.product(sweep.betas if base.stochastic else (config.beta,), seeds)
            populations.append([dataclasses.replace(base, beta=beta, seed=seed) for beta, seed in grid])
    return populations


def run(
    config: AdversarialConfig, sweep: SweepSettings, attack: AttackSettings, session: Session
) -> pathlib.Path | None:
    """Trains and attacks what has no record, and makes the report; None if stopped, to be resumed."""
    workdir = pathlib.Path(config.workdir or f"workdirs/{session.experiment}") / config.dataset
    results, dataset, planned = pathlib.Path(sweep.results or workdir / "results"), load(config), groups(config, sweep)
    every, waiting = list(itertools.chain(*planned)), []
    for member in every:
        if (path := _path(results, sweep, member)).exists():
            check_reuse(path, records.read(path).settings, member, attack, stage=EVALUATION)
        else:
            waiting.append(member)
    needed = waiting + [source_of(member, every) for member in waiting]
    models = train_groups(
        [group for group in planned if any(member in needed for member in group)],  # whole: it is one population
        dataset,
        workdir,
        session,
        name_of=lambda member: f"{member.objective}_{member.adversary}",
        make_evaluator=functools.partial(PopulationEvaluator, splits=("train", "test")),
    )
    if models is None:
        return None
    _attack(models, dataset, sweep, attack, results, session)
    session.publish(results)
    return results


def train_groups(
    groups: Sequence[Sequence[AdversarialConfig]],
    dataset: data.Dataset,
    workdir: pathlib.Path,
    session: Session,
    *,
    name_of: Callable[[AdversarialConfig], str],
    make_evaluator: Callable[[Recipe, int, int | None], PopulationEvaluator],
) -> list[TrainedModel] | None:
    """Trains groups of models that differ in beta, learning rate and seed, each in its folder; None if stopped."""
    models: list[TrainedModel] = []
    for group in groups:
        name = name_of(group[0])
        trained = train_population(
            recipe_of(group[0], dataset),
            group,
            workdir / name,
            session,
            vary=("beta", "learning_rate", "seed"),
            title=f"{len(group)} models of {name}",
            make_evaluator=make_evaluator,
        )
        if trained is None:
            return None
        models += trained
    return models


def source_of(config: AdversarialConfig, others: Sequence[AdversarialConfig]) -> AdversarialConfig:
    """On which model the images for transfer are made: cross-entropy of this seed; for it, of another, or VIB."""
    plain = [other for other in others if other.objective == "cross_entropy" and other.adversary == NONE]
    if config.objective != "cross_entropy":
        return next(other for other in plain if other.seed == config.seed)
    apart = [other for other in plain if other.seed != config.seed] or [other for other in others if other.stochastic]
    return apart[0]


def _path(results: pathlib.Path, sweep: SweepSettings, config: AdversarialConfig) -> pathlib.Path:
    variant = re.sub(r"[^-.A-Za-z0-9]+", "_", sweep.variant)
    return results / f"{variant}{'_' if variant else ''}{config.name}_seed{config.seed}.json"


def _attack(
    models: Sequence[TrainedModel],
    dataset: data.Dataset,
    sweep: SweepSettings,
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
        export=attack.export_images,
        waiting=[model for model in models if not _path(results, sweep, model.settings).exists()],
    )
    radii = [("linf", epsilon) for epsilon in attack.honest_epsilons]
    for trained, result, source in attacks:
        own = trained.settings
        rows = [Measurement({"split": split}, trained.summary[split]) for split in ("train", "test")]
        measured = measurements(result, source=source, radii=radii, in_bits=("rate",))
        rows += [Measurement(**row) for row in measured]
        seconds = {"population_seconds": trained.seconds, "attack_seconds": result.seconds}
        variant = {"variant": sweep.variant}
        made = Model(own.name, own.seed, rows, variant, findings=findings(result), details=seconds)
        counts = {"num_train_images": len(dataset.train.labels), "num_attacked": len(result.right())}
        records.write(_path(results, sweep, own), session.record([made], own, attack, details=counts))


def specs_of(settings: AttackSettings, *, stochastic: bool) -> list[AttackSpec]:
    """The attacks on a model, in this order; a deterministic one is spared averages over samples.

    First the paper's, each gradient of one sample of z; then what it lacks: averages over samples (EOT), a margin loss,
    images made on another model, and Square.
    """
    samples = settings.num_eot_samples if stochastic else 1
    pgd = functools.partial(AttackSpec, "pgd", num_steps=settings.pgd_steps)
    cw = functools.partial(AttackSpec, "carlini_wagner", num_steps=settings.cw_steps)
    search = {"num_binary_steps": settings.cw_binary_steps, "initial_const": 0.1}
    specs = [
        *(AttackSpec("fgsm", epsilon) for epsilon in settings.fgsm_epsilons),
        AttackSpec("deepfool", num_steps=settings.deepfool_steps),
        cw(options=_CW | {"num_binary_steps": 1, "initial_const": settings.cw_const}),
        *(AttackSpec("bim", epsilon, num_steps=settings.bim_steps) for epsilon in settings.pgd_epsilons),
        *map(pgd, settings.pgd_epsilons),
        cw(num_images=settings.num_cw_images, options=_CW | search),
        cw(num_eot_samples=samples, num_images=settings.num_cw_images, options=_CW | search),
    ]
    square = functools.partial(AttackSpec, "square", options={"num_queries": settings.num_queries})
    for epsilon in settings.honest_epsilons:
        if samples > 1 or epsilon not in settings.pgd_epsilons:
            specs.append(pgd(epsilon, num_eot_samples=samples))
        specs += [
            pgd(epsilon, num_eot_samples=samples, loss="margin"),
            pgd(epsilon, num_eot_samples=settings.num_eot_samples, source=SOURCE),
            square(epsilon, num_eot_samples=samples, num_images=settings.num_square_images),
        ]
    return list(dict.fromkeys(specs))


def make_suite(settings: AttackSettings, recipe: Recipe) -> AttackSuite:
    """The attacks on models of a recipe's structure, and the rate of their codes on what these make."""
    model, stochastic, test = recipe.model, recipe.config.stochastic, recipe.first_test(settings.num_attack_images)

    def rate(params: Params, inputs: Array) -> Array:
        codes = losses.draw_codes(stream(0, "rate"), model.encode(params, inputs), 1)
        return losses.divergence(codes, model.prior(params))

    return AttackSuite(
        specs_of(settings, stochastic=stochastic),
        sampled_apply(model),
        np.asarray(data.to_unit_interval(test.inputs)),
        test.labels,
        num_eval_samples=recipe.config.num_eval_samples if stochastic else 1,
        measures={"rate": jax.jit(rate)} if stochastic else {},
        batch_size=settings.attack_batch_size,
    )
