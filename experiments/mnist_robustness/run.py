"""Trains VIBs and baselines, and attacks them."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence

from experiments import mnist_vib
from experiments.core import records
from experiments.core.attacks import AttackedModel, ModelAttacks
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, departures, recorded
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse
from experiments.mnist_robustness.attack import Measured, Measurer, make_suite
from experiments.mnist_robustness.settings import RobustnessConfig, Trial, trials
from ib_jax import data
from ib_jax.evaluation import AttackSpec, AttackSuite
from ib_jax.files import write_arrays


def run(config: RobustnessConfig, session: Session) -> pathlib.Path | None:
    """Trains what is not trained, attacks what has no record, and makes the report.

    Returns:
      The folder of the records, or None if a training run was stopped and can be resumed.

    Raises:
      WorkdirError: a workdir or a record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    results = pathlib.Path(config.results or pathlib.Path(config.workdir) / "results")
    waiting = []
    for trial in trials(config):
        path = results / f"{trial.name}.json"
        if path.exists():
            check_reuse(path, records.read(path).settings, config, stage=EVALUATION)
        else:
            waiting.append(trial)
    if waiting:
        dataset, wanted = data.load(config.dataset), dict.fromkeys([*waiting, *(trial.source for trial in waiting)])
        trained = mnist_vib.train_each(
            config, {trial.name: trial.settings(config) for trial in wanted}, session, dataset
        )
        if trained is None:
            return None
        _attack(config, waiting, {trial: trained[trial.name] for trial in wanted}, dataset, results, session)
    session.publish(results)
    return results


def _attack(
    config: RobustnessConfig,
    waiting: Sequence[Trial],
    trained: Mapping[Trial, TrainedModel],
    dataset: data.Dataset,
    results: pathlib.Path,
    session: Session,
) -> None:
    def attacked(trial: Trial) -> AttackedModel:
        found = trained[trial]
        stochastic = found.settings.stochastic  # dropout's network is the deterministic one, as it is not trained
        return AttackedModel(trial.kind, trial.seed, stochastic, stochastic, lambda: found.params)

    def suite(model: AttackedModel) -> AttackSuite:
        settings = next(each.settings for each in trained.values() if each.settings.stochastic == model.stochastic)
        return make_suite(config, Recipe(settings, dataset).model, dataset.test, stochastic=model.stochastic)

    sources = {attacked(trial)[:2]: attacked(trial.source) for trial in waiting}
    measurer = Measurer(config, ModelAttacks(suite, lambda model: sources[model[:2]], config.export_images), dataset)
    folder = pathlib.Path(config.workdir) / "per_example"
    folder.mkdir(parents=True, exist_ok=True)
    with WorkLine(session.console, sum(measurer.work(attacked(trial)) for trial in waiting)) as line:
        for trial in waiting:
            start = time.monotonic()

            def report(spec: AttackSpec, work: float, name: str = trial.name) -> None:
                line(name, spec.label, work)

            measured = measurer.measure(attacked(trial), trial.source.kind, report)
            write_arrays(folder / f"{trial.name}.npz", measured.arrays, compressed=True)
            record = _record(config, trial, trained[trial], measured, session, time.monotonic() - start)
            records.write(results / f"{trial.name}.json", record)  # last: a model with a record is done


def _record(
    config: RobustnessConfig, trial: Trial, trained: TrainedModel, measured: Measured, session: Session, seconds: float
) -> Record:
    swept, num_epochs = recorded(config), trained.settings.num_epochs
    own = {name: value for name, value in recorded(trained.settings).items() if name not in swept}
    model = Model(
        trial.kind,
        trial.seed,
        [Measurement({"split": "test"}, trained.summary["test"]), *measured.measurements],
        settings=own | {"num_epochs": num_epochs, "beta": trial.beta},
        findings=measured.findings,
        details={"source": trial.source.name, "zeros": measured.zeros, "seconds": seconds},
    )
    exact = dataclasses.replace(config, num_epochs=num_epochs)
    found = {each.name: each for each in departures(trained.settings, exact) if each.name != "beta"}  # it is swept
    return dataclasses.replace(session.record([model], config), departures=list(found.values()))
