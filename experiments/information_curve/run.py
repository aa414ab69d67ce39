"""Trains and attacks populations over beta, and draws the information curve."""

import dataclasses
import itertools
import pathlib
from typing import Any

from experiments import mnist_vib
from experiments.core import records, runner
from experiments.core.evaluator import SPLITS, PopulationEvaluator
from experiments.core.objectives import strength_name
from experiments.core.population import PopulationTrainer, curves
from experiments.core.recipe import Recipe, data_details, load_dataset, with_checksum
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, GRAIN, SettingError
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse, check_workdir, new_workdir, write_config
from experiments.information_curve.settings import DRAWN, VARIED, CurveConfig, member_settings, of_size
from ib_jax import data
from ib_jax.data import own
from ib_jax.objectives import RESIDUAL_OBJECTIVES
from ib_jax.training import Population


class AttackPopulationEvaluator(PopulationEvaluator):
    """Evaluates and attacks every member of a placed population at once, each as `AttackEvaluator` would alone."""

    def __init__(self, recipe: Recipe, num_members: int, members_at_once: int | None):
        super().__init__(recipe, num_members, members_at_once, SPLITS)
        alone = self._alone = mnist_vib.AttackEvaluator(recipe)
        self._attacks = [
            self._of_members(alone.robust_examples(attack), "robustness", alone.attack_batch_size)
            for attack in alone.attacks
        ]

    def at_end(self, placed: Population) -> dict[str, list[Any]]:
        """By name a value for each member: summaries of all splits, and accuracy under every attack at every radius."""
        found = super().at_end(placed)
        if self._recipe.config.num_attack_images:
            batch = self._alone.attacked_images()
            accuracy = [attacked(placed, batch).mean(1) for attacked in self._attacks]
            clean = self._evaluate(placed, batch[:2]).correct_avg.mean(1)
            found["measurements"] = [
                self._alone.measurements(clean[index], [values[index] for values in accuracy])
                for index in range(len(clean))
            ]
        return found


def run(curve: CurveConfig, config: mnist_vib.Config, session: Session) -> list[Record] | None:
    """Trains every population (or goes on), evaluates and attacks it, and writes records, table and figures.

    Args:
      curve: which strengths, seeds and sizes.
      config: settings of every model, but for those.
      session: of the run.

    Returns:
      The records, one for each K or, of models trained alone, for each of them; None if the run was stopped before its
      end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      NonFiniteLossError: every member of a population diverged.
      SettingError: the settings do not fit each other.
    """
    check(curve, config)
    workdir = pathlib.Path(config.workdir or new_workdir(f"{own.stem(config.dataset)}-curve"))
    results = pathlib.Path(curve.results or workdir / "results")
    dataset = load_dataset(config)
    config = with_checksum(config, dataset)
    check_workdir(workdir, config, curve)
    made = (_alone if curve.alone else _together)(curve, config, dataset, session, workdir=workdir, results=results)
    if made is not None:
        session.publish(results, made)
    return made


def _together(
    curve: CurveConfig,
    config: mnist_vib.Config,
    dataset: data.Dataset,
    session: Session,
    *,
    workdir: pathlib.Path,
    results: pathlib.Path,
) -> list[Record] | None:
    """A population, and a record, for each K."""
    hyperparams, made = member_settings(curve, config), []
    for latent_dim in curve.latent_dims:
        recipe = Recipe(of_size(curve, config, latent_dim), dataset)
        trainer = PopulationTrainer(
            recipe,
            hyperparams,
            workdir / f"K{latent_dim}",
            session,
            title=f"K = {latent_dim}",
            layout=curve,
            make_evaluator=AttackPopulationEvaluator,
        )
        write_config(workdir, config, curve)
        trained = trainer.train()
        if trained is None:
            return None
        num_steps = trained[0].history[-1]["num_steps"]
        details = {
            "plan": trainer.plan.message,
            "members_at_once": trainer.members_at_once,
            "steps": num_steps,
            "training_seconds": trainer.seconds,
            "images_per_second": len(trained) * num_steps * config.batch_size / max(trainer.seconds, 1e-9),
            **data_details(config, dataset),
        }
        models = [_model(recipe, each, dict(each.settings), config.seed) for each in trained]
        made.append(session.record(models, recipe.config, curve, details=details, file=f"K{latent_dim}"))
    for record in made:
        records.write(results / f"{record.file}.json", record)
    return made


def _alone(
    curve: CurveConfig,
    config: mnist_vib.Config,
    dataset: data.Dataset,
    session: Session,
    *,
    workdir: pathlib.Path,
    results: pathlib.Path,
) -> list[Record] | None:
    """A record for each model, written when it is trained; those that are there are not trained again."""
    members, made = member_settings(curve, config), []
    each_own = [
        {name: values[index].item() for name, values in members.items()} for index in range(len(members["seed"]))
    ]
    each_own.sort(key=lambda hyper: hyper["seed"])  # all betas of one seed first, and in their order
    for latent_dim, hyper in itertools.product(curve.latent_dims, each_own):
        name = f"{config.objective}_beta{hyper['beta']:g}_seed{hyper['seed']}"
        folder = workdir / f"K{latent_dim}" / name
        own_config = dataclasses.replace(
            of_size(curve, config, latent_dim), **hyper, workdir=str(folder), figures=False
        )
        path = results / f"K{latent_dim}_{name}.json"
        if path.exists():
            made.append(records.read(path))
            check_reuse(path, made[-1].settings, own_config, stage=EVALUATION)
            continue
        session.console.rule(path.stem)
        recipe = Recipe(own_config, dataset)
        evaluator = mnist_vib.AttackEvaluator(recipe)
        trained = runner.train(recipe, folder, session, evaluator=evaluator, title=path.stem, again=True)
        if trained is None:
            return None
        details = {"steps": recipe.num_steps, "training_seconds": trained.seconds, **data_details(config, dataset)}
        model = _model(recipe, trained, dict(hyper), config.seed)
        made.append(session.record([model], own_config, curve, details=details, file=path.stem, swept=VARIED))
        records.write(path, made[-1])
    return made


def check(curve: CurveConfig, config: mnist_vib.Config) -> None:
    """Refuses settings that a population cannot have.

    Raises:
      SettingError: the message names the flag.
    """
    if not strength_name(config.objective):
        raise SettingError(f"--objective must have a strength to draw a curve over, got {config.objective}")
    if config.objective in RESIDUAL_OBJECTIVES and not all(0 < beta < 1 for beta in curve.betas):
        raise SettingError(f"--betas must be in (0, 1) for {config.objective}, got {curve.betas}; try 1e-9..0.1")
    if config.schedule != "constant" and not all(0 < beta < 1 for beta in curve.betas):
        raise SettingError(f"--betas must be in (0, 1) with --schedule={config.schedule}, got {curve.betas}")
    if config.objective == "label_smoothing" and max(curve.betas) > 1:
        raise SettingError(f"--betas must be at most 1 for label_smoothing, got {curve.betas}")
    if config.input_pipeline == GRAIN:
        raise SettingError("--input_pipeline must be resident: the members of a population share the data on a device")


def _model(recipe: Recipe, trained: TrainedModel, own: dict[str, Any], first_seed: int) -> Model:
    """A member for the record; the numbers of one that diverged are those of the epoch before."""
    config, summary = recipe.config, trained.summary
    measurements = [Measurement({"split": name}, summary[name]) for name in SPLITS if name in summary]
    measurements += [
        row if isinstance(row, Measurement) else Measurement(**row) for row in summary.get("measurements", ())
    ]
    details: dict[str, Any] = {"diverged_at": summary.get("diverged_at", -1), "history": curves(trained.history)}
    if config.latent_dim == 2 and own["beta"] in DRAWN and own["seed"] == first_seed:
        details["codes"] = mnist_vib.drawn_codes(recipe.model, trained.params, recipe.dataset)
    return Model(f"beta{own['beta']:g}", own.pop("seed"), measurements, settings=own, details=details)
