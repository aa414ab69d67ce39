"""Trains VIBs and attacks each in all combinations of samples and confidence."""

import pathlib
import time

import numpy as np

from experiments import mnist_vib
from experiments.carlini_wagner.settings import StudyConfig, plan, trials
from experiments.core import records
from experiments.core.attacks import minimal_values, random_targets, suite_keys
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model
from experiments.core.session import Session
from experiments.core.settings import EVALUATION
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse
from ib_jax import data, evaluation, losses
from ib_jax.evaluation import AttackPrograms
from ib_jax.models import mean_apply, sampled_apply


def run(config: StudyConfig, session: Session) -> pathlib.Path | None:
    """Trains what is not trained, attacks what has no record, and makes the report.

    Returns:
      The folder of the records, or None if a training run was stopped and can be resumed.

    Raises:
      WorkdirError: a workdir or a record was made with other settings.
    """
    results, waiting = pathlib.Path(config.results or pathlib.Path(config.workdir) / "results"), {}
    for name, settings in trials(config).items():
        path = results / f"{name}.json"
        if path.exists():
            check_reuse(path, records.read(path).settings, config, stage=EVALUATION)
        else:
            waiting[name] = settings
    if waiting:
        dataset = data.load(config.dataset)
        trained = mnist_vib.train_each(config, waiting, session, dataset)
        if trained is None:
            return None
        study = Study(config, next(iter(trained.values())), dataset)
        with WorkLine(session.console, len(trained) * study.work) as line:
            for name, model in trained.items():
                measured = study.measure(name, model, line)
                own = {"beta": model.settings.beta, "num_epochs": model.settings.num_epochs}
                values = Measurement({"split": "test"}, model.summary["test"])
                made = Model(name.rpartition("_")[0], model.settings.seed, [values, *measured], settings=own)
                records.write(results / f"{name}.json", session.record([made], config))
    session.publish(results)
    return results


class Study:
    """The attacks on models of one structure, compiled once."""

    def __init__(self, config: StudyConfig, first: TrainedModel, dataset: data.Dataset):
        model = Recipe(first.settings, dataset).model
        self._specs, count = plan(config), min(config.num_cw_images, len(dataset.test.labels))
        self._inputs, self._labels = (
            np.asarray(data.to_unit_interval(dataset.test.inputs[:count])),
            dataset.test.labels[:count],
        )
        self._targets = random_targets(self._labels, dataset.num_classes)
        self._programs = AttackPrograms(
            sampled_apply(model), mean_fn=mean_apply(model), num_eval_samples=config.num_eval_samples
        )
        self.work = sum(spec.passes for spec in self._specs)

    def measure(self, name: str, model: TrainedModel, report: WorkLine) -> list[Measurement]:
        """What each attack makes of the images: success with fresh samples, and what the attack itself took for one."""
        keys, params, rows = suite_keys(model.settings.seed), model.params, []
        before = self._programs.answers(params, keys.judge, self._inputs) == self._labels
        for spec in self._specs:
            start = time.monotonic()
            made = self._programs.attack(spec, params, keys.attack, self._inputs, self._labels, self._targets)
            images = np.asarray(made.inputs)
            answers = evaluation.decided(self._programs.answers(params, keys.judge, images))
            success = answers == self._targets if spec.targeted else answers != self._labels
            distances = np.asarray(losses.perturbation_norm(images - self._inputs, "l2"))
            values = dict(minimal_values(distances, success, before))
            found = float((distances > 0)[before].mean()) if before.any() else np.nan
            values |= {"found": found, "seconds": time.monotonic() - start}
            rows.append(Measurement({"split": "test", **spec.conditions()}, values))
            report(name, spec.label, spec.passes)
        return rows
