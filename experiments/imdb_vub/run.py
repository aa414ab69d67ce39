"""Trains heads on a text encoder's features, and attacks the texts."""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence

from experiments.core import records
from experiments.core.app import Session
from experiments.core.heads import Standardise, head_recipe
from experiments.core.objectives import strength_name
from experiments.core.population import curves, train_population
from experiments.core.records import Measurement, Model, Record
from experiments.core.settings import EVALUATION, as_dict, departures
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_workdir, environment, write_config
from experiments.imdb_vub import encoder as text_encoder
from experiments.imdb_vub.attack import Answers, HeadAttacks, make_attack
from experiments.imdb_vub.page import AttackedTexts, write_page
from experiments.imdb_vub.settings import VANILLA, Head, TextConfig, heads_of
from ib_jax.attacks.text import TextResult

_SHOWN = 20  # texts on the page
_LOCAL = ("workdir", "results", "data_dir", "cache_dir")  # of this machine


def run(config: TextConfig, session: Session) -> list[Record] | None:
    """Computes what is missing: features, heads, attacks; and makes the records and their report.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The records, one of each objective, or None if training was stopped and can be resumed.

    Raises:
      WorkdirError: the workdir was made with other settings.
      DatasetUnavailableError: the texts are not there.
      HubUnavailableError, CheckpointError: the encoder is not there, or is no BERT.
    """
    workdir = pathlib.Path(config.workdir)
    check_workdir(workdir, config, stage=EVALUATION)
    for name in config.attack_names:
        make_attack(config, name, stochastic=False)  # whatever is missing is missed now, not after an hour
    texts = text_encoder.load_texts(config)
    encoder = text_encoder.encoder_for(config, texts)
    write_config(workdir, config)
    features = text_encoder.compute_features(config, texts, encoder, session.console)
    inputs, heads, classifiers = features.dataset.train.inputs, {}, {}
    for objective in (VANILLA, *config.bottlenecks):
        members = heads_of(config, objective, inputs.shape[-1])
        recipe = head_recipe(members[0], features.dataset, Standardise(inputs.mean(0), inputs.std(0)))
        vary, title = (
            [name for name in (strength_name(objective), "seed") if name],
            f"{len(members)} heads, {objective}",
        )
        trained = train_population(recipe, members, workdir / objective, session, vary=vary, title=title, layout=config)
        if trained is None:
            return None
        heads[objective], classifiers[objective] = trained, recipe.model
    attacked = [head for each in heads.values() for head in each if config.attacked(head.settings)]
    attacks, start = HeadAttacks(config, features, encoder, attacked, classifiers), time.monotonic()
    answers = {name: attacks.attack(name, session.console) for name in config.attack_names}
    seconds, results = time.monotonic() - start, pathlib.Path(config.results or workdir / "results")
    details = {"origin": features.origin, "attack_seconds_of_this_start": seconds}
    make_record = functools.partial(
        Record,
        session.experiment,
        session.command,
        {name: value for name, value in as_dict(config).items() if name not in _LOCAL},
        details=details,
        departures=departures(config),
        environment=environment(),
    )
    made = {name: make_record([_model(head, attacks, answers) for head in each]) for name, each in heads.items()}
    for name, record in made.items():
        records.write(results / f"{name}.json", record)
    _write_page(workdir / "adversarial.html", [head.settings for head in attacked], answers, texts.class_names)
    from experiments.core import render  # pandas and matplotlib take a second to import
    from experiments.imdb_vub.report import report

    make = functools.partial(report, figures=config.figures)
    render.write_report(make, records.load(results), results, session.console)
    session.console.print(f"Records, table and figures are in {results}.", highlight=False)
    return list(made.values())


def _model(head: TrainedModel, attacks: HeadAttacks, answers: Mapping[str, Answers]) -> Model:
    """What a record holds of a head."""
    own, summary = head.settings, dict(head.summary)
    measurements = [Measurement({"split": name}, summary.pop(name)) for name in ("validation", "test")]
    outcomes = {}
    for name, all_of in answers.items():
        if own.key in all_of:
            measurements += attacks.measure(name, all_of, own)
            outcomes[name] = "".join(map(_outcome, all_of[own.key]))
    settings = {"objective": own.objective, "beta": own.beta if own.stochastic else None}
    details = summary | {"outcomes": outcomes, "history": curves(head.history)}
    return Model(own.name, own.seed, measurements, settings, details=details)


def _outcome(answer: TextResult) -> str:
    """What became of a text: "-" skipped, "0" held, "1" fell."""
    return "-" if answer.skipped else str(int(answer.success))


def _write_page(
    path: pathlib.Path, heads: Sequence[Head], answers: Mapping[str, Answers], names: Sequence[str]
) -> None:
    """The paper's Table 3 and more: the first texts under each attack, of the first head of each objective."""
    first = {head.objective: head.key for head in reversed(heads)}
    keys = [head.key for head in heads if first[head.objective] == head.key]
    columns = [AttackedTexts(key, name, all_of[key][:_SHOWN]) for name, all_of in answers.items() for key in keys]
    write_page(path, columns, names, title="Adversarial texts")
