"""Evaluate trained models on common corruptions, and on ImageNet-A and under attack, and draw Figure 3's panels.

Paper:    Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.2, Figures 3 and 4, Table 1.
Run:      python -m experiments.corruptions --workdirs=workdirs/cifar10_ceb                 a folder of models
          python -m experiments.corruptions --workdirs=run1,run2 --num_images=200           two models, a first look
          python -m experiments.corruptions --workdirs=DIR --num_images=0 --published       as in the literature
          python -m experiments.corruptions --workdirs=DIR --num_images=0 --attack          with PGD, and what checks it
Reads:    config.json, results.json and checkpoints/ of each workdir, as experiments.cifar10_ceb and
          experiments.imagenet_ceb leave them.
Does:     shows every model the clean images, 15 corruptions (and 4 more) at five severities, corrupted once on the
          device for all models; ImageNet models ImageNet-A, too; with --attack PGD of radius 16 and all that it takes
          to believe it. The models answer from the mean of their code, as in the paper. A model with a record is not
          evaluated again, and a run that was stopped goes on after the last whole corruption.
Expect:   the paper, ResNet50 without AutoAugment: clean error 24.0 % by cross-entropy and 22.8 % by CEB, the latter
          with mCE 77.7 % and 61.5 % on average. mCE is relative to AlexNet for ImageNet models, and for others to the
          cross-entropy model among them, which then has 100 %.
Cost:     96 passes over the images for each model, and corrupting them once. All 50,000 images of ImageNet take 7.5 GB
          of memory, unless they come --published.
Leaves:   a record for each model, table.md and figure3.png in --results.
"""

import json
import pathlib
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import app as machine
from experiments.core import flags, records
from experiments.corruptions import checkpoints as image_checkpoints
from experiments.corruptions import table as corruptions_table
from experiments.corruptions.measure import NAME, evaluate, without_paths
from experiments.corruptions.settings import CorruptionSettings
from ib_jax import data, training


def run(settings: CorruptionSettings, console: Console, *, command: str = "") -> pathlib.Path:
    """Evaluates what has no record, and makes the table and the figure.

    Args:
      settings: which models, and on what.
      console: where to show progress and the table.
      command: the command line to write into the records.

    Returns:
      The folder of the records.

    Raises:
      ConfigMismatchError: a record was made with other settings.
      FileNotFoundError: there is no such workdir, or no finished model in it.
      ValueError: no known experiment made a model, or they cannot be evaluated together.
      DatasetUnavailableError: a data set is not there.
    """
    if not settings.paths:
        raise ValueError("--workdirs must name a trained model's folder, or the folder above several; see --help")

    def tell(text: str) -> None:
        console.print(text, highlight=False)

    found = image_checkpoints.find(settings.paths, tell)
    models = [image_checkpoints.read(workdir, data_dir=settings.data_dir) for workdir in found]
    results = pathlib.Path(settings.results or pathlib.Path(settings.paths[0]) / NAME)
    evaluate(models, settings, results, console, command=command)
    if training.is_main():
        console.print(Markdown(corruptions_table.make(results)))
        tell(f"Records, table and figure are in {results}.")
    return results


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        settings = flags.config_from_flags(CorruptionSettings)
        run(settings, machine.console(), command=without_paths(records.command(f"experiments.{NAME}")))
    except (FileNotFoundError, data.DatasetUnavailableError, ValueError, json.JSONDecodeError) as error:
        sys.exit(f"{NAME}: {error}")


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, CorruptionSettings, __doc__ or "")
