"""Trains heads on a text encoder's features, and attacks the texts."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.settings import EVALUATION, departures
from experiments.core.workdir import check_workdir, environment, write_config
from experiments.imdb_vub import features as imdb_vub_features
from experiments.imdb_vub import heads as imdb_vub_heads
from experiments.imdb_vub import summary as imdb_vub_summary
from experiments.imdb_vub import table as tables
from experiments.imdb_vub.attack import Answers, HeadAttacks, make_attack
from experiments.imdb_vub.page import AttackedTexts, write_page
from experiments.imdb_vub.settings import (
    VANILLA,
    Model,
    TextConfig,
    attacked,
    models_of,
    objectives,
    split,
)

_SHOWN = 20  # texts on the page
_HIDDEN = ("workdir", "results", "data_dir", "cache_dir")  # of this machine


def run(config: TextConfig, session: Session) -> pathlib.Path | None:
    """Computes what is missing: features, heads, attacks; and makes the table and the figures.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records, or None if training was stopped and can be resumed.

    Raises:
      WorkdirError: the workdir was made with other settings.
      DatasetUnavailableError: the texts are not there.
      HubUnavailableError, CheckpointError: the encoder is not there, or is no BERT.
    """
    console, command = session.console, session.command
    workdir = pathlib.Path(config.workdir)
    check_workdir(workdir, config, stage=EVALUATION)
    for name in split(config.attacks):
        make_attack(config, name, stochastic=False)  # whatever is missing is missed now, not after an hour
    texts = imdb_vub_features.load_texts(config)
    encoder = imdb_vub_features.encoder_for(config, texts)
    write_config(workdir, config)
    features = imdb_vub_features.compute(config, texts, encoder, console)
    members: dict[str, list[dict[str, Any]]] = {}
    for objective in objectives(config):
        trained = imdb_vub_heads.train(config, objective, features, workdir, console)
        if trained is None:
            console.print("Stopped and saved. The same command goes on.")
            return None
        members[objective] = trained
    head_attacks = HeadAttacks(config, features, encoder, attacked(config), workdir)
    start, answers = time.monotonic(), {}
    for name in split(config.attacks):
        answers[name] = head_attacks.attack(name, console)
    seconds = time.monotonic() - start
    results = pathlib.Path(config.results or workdir / "results")
    for objective, found in members.items():
        record = {
            "experiment": "imdb_vub",
            "command": command,
            "departures": [str(departure) for departure in departures(config)],
            "settings": {name: value for name, value in dataclasses.asdict(config).items() if name not in _HIDDEN},
            "origin": features.origin,
            "environment": environment(),
            "num_attacked": len(features.test_texts),
            "attack_seconds_of_this_start": seconds,
            "members": [
                _member(model, own, head_attacks, answers)
                for model, own in zip(models_of(config, objective), found, strict=True)
            ],
        }
        records.write_json(results / f"{objective}.json", record)
    _page(workdir / "adversarial.html", config, answers, texts.class_names)
    table = tables.make(results, figures=config.figures)
    console.print(Markdown(table))
    console.print(f"Records, table and figures are in {results}.", highlight=False)
    return results


def _member(
    model: Model, own: Mapping[str, Any], head_attacks: HeadAttacks, answers: Mapping[str, Answers]
) -> dict[str, Any]:
    """What a record holds of one head."""
    source = Model(VANILLA, None, 1 if model == Model(VANILLA, None, 0) else 0)
    found_by: dict[str, dict[str, Any]] = {}
    for name, all_of in answers.items():
        if model.name not in all_of:
            continue
        found = imdb_vub_summary.of_attack(all_of[model.name])
        found["success_rate_one_sample"] = head_attacks.success_at_one_sample(all_of[model.name], model)
        crafted = [one.perturbed for one in all_of[source.name]] if source.name in all_of else None
        found["transfer"] = head_attacks.transfer(crafted, model) if crafted else {"success_rate": None}
        found_by[name] = found
    return {**model._asdict(), **own, "beta": model.beta, "attacks": found_by}


def _page(path: pathlib.Path, config: TextConfig, answers: Mapping[str, Answers], class_names: Sequence[str]) -> None:
    """The paper's Table 3 and more: the first texts under each attack, of the first head of each objective."""
    first = {model.objective: model for model in reversed(attacked(config))}
    heads = [first[objective] for objective in objectives(config) if objective in first]
    columns = [
        AttackedTexts(head.name, name, all_of[head.name][:_SHOWN]) for name, all_of in answers.items() for head in heads
    ]
    write_page(path, columns, class_names, title="Adversarial texts")
