"""Trains heads on a pretrained network's features, and attacks the images."""

import dataclasses
import functools
import pathlib
import time

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.settings import EVALUATION, departures
from experiments.core.workdir import check_workdir, environment, write_config
from experiments.imagenet_features import table as tables
from experiments.imagenet_features.dataset import open_images
from experiments.imagenet_features.lab import Lab, load_backbone
from experiments.imagenet_features.settings import (
    BACKBONE,
    FeaturesConfig,
    Model,
    models,
    source_of,
)


def run(config: FeaturesConfig, session: Session) -> pathlib.Path | None:
    """Computes what is missing: features, heads, attacks; and makes the table and the figure.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, the workdir if only a share of the features was asked for, or None if training was
      stopped.

    Raises:
      WorkdirError: the workdir was made with other settings.
      BackboneUnavailableError: Keras or weights are not there.
      DatasetUnavailableError: the images are not there.
    """
    console, command = session.console, session.command
    workdir = pathlib.Path(config.workdir)
    check_workdir(workdir, config, stage=EVALUATION)
    images = open_images(config)
    backbone = load_backbone(config, images)
    lab = Lab(config, images, backbone, workdir)
    if config.num_workers > 1:
        lab.fill_caches(console)
        return workdir
    write_config(workdir, config)
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
            "departures": [str(departure) for departure in departures(config)],
            "settings": dataclasses.asdict(config),
            **lab.origin,
            **measured,
            "environment": environment(),
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
