"""Train against attacks in different ratios, and set the entropy of the features against robustness: Figure 4.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): section 6, Figure 4.
Run:      python -m experiments.feature_entropy                                      digits, no download, quick
          python -m experiments.feature_entropy --preset=small --dataset=mnist       Figure 4, as measured
          python -m experiments.feature_entropy --preset=small --dataset=cifar10     its second row
Does:     trains All-CNN without noise, batch norm and dropout on images of which a ratio is replaced by attacks on the
          model as it stands, by FGSM, DeepFool or CW alike; they are made again every --refresh epochs. T is a function
          of X then, and the entropy of the binned features is I(X;T) of the binned code. It is estimated from test
          images by maximum likelihood (plug-in) and JVHW, on one grid for all models and on three that do not see how
          large features are. Robustness is accuracy under the attack trained against: FGSM at --epsilon; for DeepFool
          and CW, which have no radius, the share of images that nothing nearer than --l2_radius fools.
          PGD, transfer and Square stand beside.
Units:    images lie in [0, 1], radii too; entropies are in bits. The paper gives no unit, no grid, no ratios and no
          radii.
Expect:   the paper: the estimated entropy decreases as the robustness increases, for every attack and data set. What
          was measured here stands in experiments/results/feature_entropy/table.md.
Leaves:   DATASET.json, table.md and figure.png in --results. Models that are in the record are kept.
"""

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import app as machine
from experiments.core import flags, records
from experiments.core.progress import WorkLine
from experiments.feature_entropy import table as feature_entropy_table
from experiments.feature_entropy.measure import Measure
from experiments.feature_entropy.settings import FeatureConfig, preset
from experiments.feature_entropy.train import Trainer, load_averaged
from experiments.mnist_vib.settings import NEVER
from ib_jax import data, training

NAME = "feature_entropy"
PLAIN = "none"


def plan(config: FeatureConfig) -> list[tuple[str, float, int]]:
    """Attack, ratio and seed of every model, seed by seed; the model at ratio 0 is the same for all attacks."""
    return [
        (attack, ratio, seed)
        for seed in range(config.num_seeds)
        for attack, ratio in [(PLAIN, 0.0), *((attack, r) for attack in config.attacks for r in config.ratios[1:])]
    ]


def run(config: FeatureConfig, console: Console, *, command: str = "") -> pathlib.Path:
    """Trains and measures the models that the record lacks, and makes the table and the figure.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the record.

    Returns:
      The folder of the record.

    Raises:
      ConfigMismatchError: the record was made with other settings.
      NonFiniteLossError: training diverged.
    """
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
        fields = [f.name for f in dataclasses.fields(config) if f.metadata["decides"] != NEVER]
        different = [
            f"--{n}: {record['config'].get(n)} there, {getattr(config, n)} now"
            for n in fields
            if record["config"].get(n) != getattr(config, n)
        ]
        if different:
            raise records.ConfigMismatchError(
                f"{path} was made with other settings: {'; '.join(different)}. Give another --results."
            )
        return record
    own = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("data_dir", "results")}
    return {
        "experiment": NAME,
        "command": command,
        "environment": records.environment(),
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


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        values = lambda given: preset(given.preset, given.dataset)  # noqa: E731
        config = flags.config_from_flags(FeatureConfig, values)
        run(config, machine.console(), command=records.command(f"experiments.{NAME}"))
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError, json.JSONDecodeError) as error:
        sys.exit(f"{NAME}: {error}")


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, FeatureConfig, __doc__ or "")
