"""Trains networks on attacked images, and counts the entropy of their features."""

import dataclasses
import pathlib
import time

import numpy as np

from experiments.core import records
from experiments.core.progress import WorkLine
from experiments.core.records import Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, as_dict, departures
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse, environment
from experiments.feature_entropy.measure import Measure
from experiments.feature_entropy.settings import FeatureConfig
from experiments.feature_entropy.train import Trainer, load_averaged

PLAIN = "none"


def plan(config: FeatureConfig) -> list[tuple[str, float, int]]:
    """Attack, ratio and seed of every model, seed by seed; the model at ratio 0 is the same for all attacks."""
    return [
        (attack, ratio, seed)
        for seed in range(config.num_seeds)
        for attack, ratio in [(PLAIN, 0.0), *((attack, r) for attack in config.attacks for r in config.ratios[1:])]
    ]


def run(config: FeatureConfig, session: Session) -> Record:
    """Trains and measures the models that the record lacks, and makes the report.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the record.

    Returns:
      The record.

    Raises:
      WorkdirError: the record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    results = pathlib.Path(config.results)
    path = results / f"{config.dataset}.json"
    if path.exists():
        record = records.read(path)
        check_reuse(path, record.settings, config, stage=EVALUATION)
    else:
        own = {name: value for name, value in as_dict(config).items() if name not in ("data_dir", "results")}
        record = Record(session.experiment, session.command, own, [], {}, departures(config), environment())
    have = {(model.name, model.seed) for model in record.models}
    waiting = [each for each in plan(config) if (name_of(*each[:2]), each[2]) not in have]
    if waiting:
        _measure(config, waiting, record, path, session)
    from experiments.core import render  # pandas and matplotlib take a second to import
    from experiments.feature_entropy.report import report

    found = records.load(results)
    render.write_report(report, found, results, session.console)
    session.console.print(f"Record, table and figure are in {results}.", highlight=False)
    return records.read(path)


def name_of(attack: str, ratio: float) -> str:
    """What a model is called in records."""
    return f"{attack} {ratio:g}"


def _measure(
    config: FeatureConfig, waiting: list[tuple[str, float, int]], record: Record, path: pathlib.Path, session: Session
) -> None:
    """Writes the record anew with each model."""
    dataset = load_averaged(config)
    trainer = Trainer(config, dataset)
    sizes = {"num_train_images": len(dataset.train.labels), "image_shape": dataset.train.inputs.shape[1:]}
    record = dataclasses.replace(record, details=sizes)
    # Nobody's seed: the images made on it are strangers to all.
    source = trainer.train(PLAIN, 0.0, config.num_seeds).params
    measure = Measure(config, trainer, dataset.test, source, f"{name_of(PLAIN, 0.0)}, seed {config.num_seeds}")
    reference: dict[int, tuple[TrainedModel, np.ndarray]] = {}
    with WorkLine(session.console, len(waiting)) as line:
        for attack, ratio, seed in waiting:
            if seed not in reference:
                plain = trainer.train(PLAIN, 0.0, seed)
                reference[seed] = plain, measure.features(plain.params)
            plain, features = reference[seed]
            trained = trainer.train(attack, ratio, seed) if ratio else plain
            start, against = time.monotonic(), config.attacks if attack == PLAIN else (attack,)
            rows, counts = measure.entropies(trained.params, features)
            rows += measure.robustness(trained.params, against, seed)
            details = {
                "history": trained.history,
                "count_of_counts": counts,
                "training_seconds": trained.seconds,
                "measuring_seconds": time.monotonic() - start,
            }
            own = {"against": PLAIN if attack == PLAIN else config.spec(attack).attack, "ratio": ratio}
            model = Model(name_of(attack, ratio), seed, rows, own, details=details)
            record = dataclasses.replace(record, models=[*record.models, model])
            records.write(path, record)
            line(model.name, f"seed {seed}, measured", 1)
