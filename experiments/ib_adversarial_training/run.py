"""Combine the information bottleneck with adversarial training, and attack what comes out: Tables 1, 2 and 3.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): section 6, Tables 1 to 3.
Run:      python -m experiments.ib_adversarial_training                                    digits, no download
          python -m experiments.ib_adversarial_training --preset=small --dataset=mnist     Tables 1 and 2, as measured
          python -m experiments.ib_adversarial_training --preset=small --dataset=cifar10   Table 3, as measured
Does:     trains VIB at each of --betas and cross-entropy, each on clean images alone and with a part of every batch
          replaced by attacks on the model as it stands; models that differ in beta and seed alone as one population.
          Then the paper's attacks with one sample of z, and beside them gradients averaged over samples (EOT), a margin
          loss, images made on another model, and Square, which asks for no gradient. Models and records that are there
          are kept.
Units:    images lie in [0, 1], and so does epsilon. The paper does not say in which units its epsilons, or its rates,
          are; rates are in bits here.
Cost:     small on MNIST some 45 minutes on two busy CPU cores, on CIFAR-10 some 10.
Expect:   the paper: with adversarial training I(X';T') falls from 17.8 to 91 to 5 to 26, and accuracy under the attack
          trained against rises from 58 to 75 % to 87 to 92 %. What was measured here stands in
          experiments/results/ib_adversarial_training/*/table.md.
Leaves:   a record for each model, table.md and figure.png in --results.
"""

import dataclasses
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import app as machine
from experiments.core import flags, records
from experiments.core.app import Session
from experiments.core.attacks import AttackedModel, ModelAttacks, work_of
from experiments.core.evaluator import PopulationEvaluator
from experiments.core.flags import setting
from experiments.core.population import train_population
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.trained_model import TrainedModel
from experiments.ib_adversarial_training import table as ib_adversarial_training_table
from experiments.ib_adversarial_training.attack import make_suite, measured
from experiments.ib_adversarial_training.attack_settings import AttackSettings
from experiments.ib_adversarial_training.recipe import load, recipe_of
from experiments.ib_adversarial_training.settings import ADVERSARIES, FGSM, NONE, PGD, AdversarialConfig
from experiments.mnist_vib.settings import NEVER
from ib_jax import data, training
from ib_jax.evaluation import AttackRow

NAME = "ib_adversarial_training"
VARY = ("beta", "learning_rate", "seed")  # the settings in which the models of a population may differ
STOPPED = 143  # the exit status of a process ended by SIGTERM


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """Which models are trained and attacked together."""

    betas: tuple[float, ...] = setting(
        (1e-1, 1e-2, 1e-3), "Sweep", "A VIB for each.", paper="1e-1,1e-2,1e-3", decides=NEVER
    )
    adversaries: str = setting(
        "none,fgsm,bim,pgd", "Sweep", "VIB is trained against each of these, cross-entropy against the first two.",
        paper="none,fgsm,bim,pgd", decides=NEVER,
    )  # fmt: skip
    num_seeds: int = setting(1, "Sweep", "Models of each kind, with seeds 0, 1, ...", paper="not given", decides=NEVER)
    results: str = setting(
        "", "Sweep", "Folder of records, table and figure. Default: results/ in the workdir.", decides=NEVER
    )

    def __post_init__(self) -> None:
        if not self.betas or not all(beta > 0 for beta in self.betas):
            raise ValueError(f"--betas must be positive, got {self.betas}")
        if self.num_seeds < 1:
            raise ValueError(f"--num_seeds must be at least 1, got {self.num_seeds}")
        if not self.against or not set(self.against) <= set(ADVERSARIES):
            raise ValueError(f"--adversaries must be of {', '.join(ADVERSARIES)}, got {self.adversaries!r}")

    @property
    def against(self) -> tuple[str, ...]:
        """The adversaries by name."""
        return tuple(self.adversaries.split(","))


def preset(name: str, dataset: str) -> dict[str, Any]:
    """The values of a preset that differ from the defaults, of all the settings of this experiment."""
    colour: dict[str, Any] = {"network": "cnn_mlp", "betas": (1e-3,), "adversaries": f"{NONE},{FGSM}"}
    values = colour if dataset == "cifar10" else {}
    if name == "small":
        values |= {"num_epochs": 5, "batch_size": 200, "adversary_steps": 7, "num_seeds": 3}
        if dataset == "cifar10":
            values |= {"num_epochs": 8, "num_train_images": 10_000, "batch_size": 100, "num_seeds": 2}
            values |= {"num_attack_images": 100, "num_eot_samples": 5, "num_square_images": 50, "num_queries": 150}
            values |= {"num_cw_images": 20, "cw_binary_steps": 4, "cw_steps": 50, "honest_epsilons": (8 / 255, 0.1)}
    elif name == "paper":
        values |= {"num_epochs": 100, "adversary_steps": 40, "num_seeds": 3, "num_attack_images": 10_000}
        values |= {"num_cw_images": 1000, "num_square_images": 1000, "num_queries": 5000, "cw_steps": 1000}
    else:
        values |= {
            "betas": (1e-2,),
            "adversaries": f"{NONE},{FGSM},{PGD}",
            "num_attack_images": 100,
            "num_cw_images": 20,
        }
        values |= {"num_queries": 100, "num_square_images": 50, "scale_width": 0.25, "latent_dim": 32}
    return values


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
    config: AdversarialConfig, sweep: SweepSettings, attack: AttackSettings, console: Console, *, command: str = ""
) -> pathlib.Path | None:
    """Trains what is not trained, attacks what has no record, and makes the table and the figure.

    Args:
      config: what all models share.
      sweep: in what they differ.
      attack: what is done to them.
      console: where to show progress and the table.
      command: the command line to write into the records.

    Returns:
      The folder of the records, or None if training was stopped and can be resumed.

    Raises:
      ConfigMismatchError: a folder or a record was made with other settings.
      NonFiniteLossError: training diverged.
    """
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
    table = ib_adversarial_training_table.make(results)
    console.print(Markdown(table))
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
            records.check_config(json.loads(path.read_text())["config"], model.settings, path)
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
            own = {k: v for k, v in dataclasses.asdict(model.settings).items() if k not in ("workdir", "data_dir")}
            record = {
                "experiment": NAME,
                "command": command,
                "environment": records.environment(),
                "config": own,
                "settings": dataclasses.asdict(settings),
                "num_train_images": len(dataset.train.labels),
                "source": _source_of(model, models).settings.name,
                "train": model.summary["train"],
                "test": model.summary["test"],
                "population_seconds": model.seconds,
                **measured(result, settings, stochastic=model.settings.stochastic),
                "attack_seconds": result.seconds,
            }
            records.write_json(path, record)


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


def _values(kind: type) -> Callable[[Any], dict[str, object]]:
    return lambda given: flags.only(kind, preset(given.preset, given.dataset))


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        config = flags.config_from_flags(AdversarialConfig, _values(AdversarialConfig))
        sweep = flags.config_from_flags(SweepSettings, _values(SweepSettings))
        attack = flags.config_from_flags(AttackSettings, _values(AttackSettings))
        finished = run(config, sweep, attack, machine.console(), command=records.command(f"experiments.{NAME}"))
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError, json.JSONDecodeError) as error:
        sys.exit(f"{NAME}: {error}")
    if finished is None:
        sys.exit(STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, AdversarialConfig, __doc__ or "", more=(SweepSettings, AttackSettings))
