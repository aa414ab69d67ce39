"""Bottleneck heads on a frozen network, attacked through the network to the pixels.

Paper:    Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): section 4.1, Table 1; and Alemi
          et al., Deep Variational Information Bottleneck (2017): section 4.2.5, Table 2.
Run:      python -m experiments.imagenet_features                    digits, random weights, no download
          python -m experiments.imagenet_features --dataset=cifar10 --num_train_images=10000 --num_eval_images=1000
          python -m experiments.imagenet_features --preset=paper --workdir=DIR                 the VUB paper's
          python -m experiments.imagenet_features --preset=paper --backbone=InceptionResNetV2 --betas=0.01 --workdir=DIR
Needs:    pip install ib-jax[features] (Keras). ImageNet is the user's; Keras downloads --weights=imagenet.
Does:     computes the network's features of all images once and keeps them on disk; trains a deterministic head and
          heads with VIB, VUB and CEB on them; attacks each, and the network itself where it knows the classes: FGSM on
          the evaluation images; PGD, images made on the deterministic head, Square and Carlini-Wagner to one class on a
          share of them. All that is done is kept: after a stop the same command goes on.
Units:    pixels lie in [0, 1], and so do epsilon and distances; the network's preprocessing is part of what is
          attacked. The VUB paper gives no units. Its authors' code adds epsilon to normalised images and does not clip
          them to the pixel range; 0.1 is some 0.0225 of that range then, and both are among the radii. Its
          Carlini-Wagner distances, up to 3917, cannot be L2 norms in [0, 1]: two images of 299 pixels are at most 518
          apart.
Cost:     the default takes two minutes on two CPU cores. The features of ImageNet are 10.5 GB, 2,048 numbers for each
          of 1.3 million images, which training holds on the device.
Leaves:   a record for each model and seed, table.md and figure.png in --results; features and answers in the workdir.
"""

import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import flags, records
from experiments.core.app import Session
from experiments.imagenet_features import backbone as keras_backbone
from experiments.imagenet_features import table as tables
from experiments.imagenet_features.dataset import open_images
from experiments.imagenet_features.lab import Lab, load_backbone
from experiments.imagenet_features.settings import (
    BACKBONE,
    FeaturesConfig,
    Model,
    departures,
    models,
    preset,
    source_of,
)
from experiments.mnist_vib import run as mnist_vib
from ib_jax import data, training


def run(config: FeaturesConfig, console: Console, *, command: str = "") -> pathlib.Path | None:
    """Computes what is missing: features, heads, attacks; and makes the table and the figure.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the records.

    Returns:
      The folder of the records, or None if only a share of the features was asked for, or training was stopped.

    Raises:
      ConfigMismatchError: the workdir was made with other settings.
      BackboneUnavailableError: Keras or weights are not there.
      DatasetUnavailableError: the images are not there.
    """
    workdir = pathlib.Path(config.workdir)
    records.check_workdir(workdir, config)
    images = open_images(config)
    backbone = load_backbone(config, images)
    lab = Lab(config, images, backbone, workdir)
    if config.num_workers > 1:
        lab.fill_caches(console)
        return None
    records.write_json(workdir / "config.json", dataclasses.asdict(config))
    lab.fill_caches(console)
    lab.open_features()
    results = pathlib.Path(config.results or workdir / "results")
    wanted = models(config, with_backbone=backbone.num_classes == images.num_classes)
    waiting = [model for model in wanted if not (results / f"{model.name}.json").exists()]
    session = Session("imagenet_features", command, console)
    needed = dict.fromkeys([*waiting, *(source_of(model) for model in waiting)])
    for model in needed:
        if model.objective != BACKBONE and lab.train(model, session) is None:
            return None
    for number, model in enumerate(waiting):
        start = time.monotonic()
        measured = lab.measure(model, functools.partial(_report, console, model))
        record = {
            "experiment": "imagenet_features",
            "command": command,
            **model._asdict(),
            "departures": departures(config),
            "settings": dataclasses.asdict(config),
            **lab.origin,
            **measured,
            "environment": records.environment(),
            "seconds": time.monotonic() - start,
        }
        records.write_json(results / f"{model.name}.json", record)  # last: a model with a record is done
        accuracy = record["same_images"]["accuracy"]
        console.print(
            f"{model.name} ({number + 1} of {len(waiting)})  error {record['test']['error_avg']:.1%}, accuracy on "
            f"{record['same_images']['num_images']} images under the worst of all attacks at radius {config.radius:g} "
            f"{accuracy['worst']:.1%}  {record['seconds']:.0f} s",
            highlight=False,
        )
    table = tables.make(results, figures=config.figures)
    console.print(Markdown(table))
    console.print(f"Records, table and figure are in {results}.", highlight=False)
    return results


def _report(console: Console, model: Model, attack: str) -> None:
    console.print(f"  {model.name}: {attack}", style="dim", highlight=False)


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        config = flags.config_from_flags(FeaturesConfig, lambda given: preset(given.preset))
        finished = run(config, Console(), command=records.command("experiments.imagenet_features"))
    except (
        training.NonFiniteLossError,
        data.DatasetUnavailableError,
        keras_backbone.BackboneUnavailableError,
        FloatingPointError,
        ValueError,
    ) as error:
        sys.exit(f"imagenet_features: {error}")
    if finished is None and config.num_workers == 1:
        sys.exit(mnist_vib.STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    flags.run_app(main, FeaturesConfig, __doc__ or "")
