"""Trains networks on attacked images, and counts the entropy of their features."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.progress import WorkLine
from experiments.core.settings import EVALUATION
from experiments.core.workdir import check_reuse, environment
from experiments.feature_entropy import table as feature_entropy_table
from experiments.feature_entropy.measure import Measure
from experiments.feature_entropy.settings import FeatureConfig
from experiments.feature_entropy.train import Trainer, load_averaged

NAME = "feature_entropy"
PLAIN = "none"


def plan(config: FeatureConfig) -> list[tuple[str, float, int]]:
    """Attack, ratio and seed of every model, seed by seed; the model at ratio 0 is the same for all attacks."""
    return [
        (attack, ratio, seed)
        for seed in range(config.num_seeds)
        for attack, ratio in [(PLAIN, 0.0), *((attack, r) for attack in config.attacks for r in config.ratios[1:])]
    ]


def run(config: FeatureConfig, session: Session) -> pathlib.Path:
    """Trains and measures the models that the record lacks, and makes the table and the figure.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the record.

    Raises:
      WorkdirError: the record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    console, command = session.console, session.command
    results = pathlib.Path(config.results)
    path = results / f"{config.dataset}.json"
    record = _begun(path, config, command)
    have = {(row["attack"], row["ratio"], row["seed"]) for row in record["models"]}
    waiting = [model for model in plan(config) if model not in have]
    if waiting:
        _measure(config, waiting, record, path, console)
    table = feature_entropy_table.make(results)
    console.print(Markdown(table))
    console.print(f"Record, table and figure are in {results}.", highlight=False)
    return results


def _begun(path: pathlib.Path, config: FeatureConfig, command: str) -> dict[str, Any]:
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_text())
        check_reuse(path, record["config"], config, stage=EVALUATION)
        return record
    own = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("data_dir", "results")}
    return {
        "experiment": NAME,
        "command": command,
        "environment": environment(),
        "config": own,
        "models": [],
    }


def _measure(
    config: FeatureConfig,
    waiting: Sequence[tuple[str, float, int]],
    record: dict[str, Any],
    path: pathlib.Path,
    console: Console,
) -> None:
    dataset = load_averaged(config)
    trainer = Trainer(config, dataset)
    record["num_train_images"], record["image_shape"] = len(dataset.train.labels), dataset.train.inputs.shape[1:]
    # Nobody's seed: the images made on it are strangers to all.
    measure = Measure(config, trainer, dataset.test, trainer.train(PLAIN, 0.0, config.num_seeds).params)
    reference: dict[int, Any] = {}
    with WorkLine(console, len(waiting)) as line:
        for attack, ratio, seed in waiting:
            if seed not in reference:
                plain = trainer.train(PLAIN, 0.0, seed)
                reference[seed] = plain, measure.features(plain.params)
            plain, features = reference[seed]
            trained = trainer.train(attack, ratio, seed) if ratio else plain
            start = time.monotonic()
            against = config.attacks if attack == PLAIN else (attack,)
            row = {
                "attack": attack,
                "ratio": ratio,
                "seed": seed,
                "history": trained.history,
                **measure.entropies(trained.params, features),
                "robustness": {name: measure.robustness(trained.params, name, seed) for name in against},
                "training_seconds": trained.seconds,
            }
            record["models"].append(row | {"measuring_seconds": time.monotonic() - start})
            records.write_json(path, record)
            line(f"{attack} {ratio:g}, seed {seed}", "measured", 1)
