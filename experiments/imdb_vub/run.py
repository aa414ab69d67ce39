"""Trains heads on a text encoder's features, and attacks the texts."""

import pathlib
import time
from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from experiments.core import records
from experiments.core.evaluator import Evaluator
from experiments.core.heads import HeadConfig, Standardise, head_recipe, heads_of
from experiments.core.objectives import strength_name
from experiments.core.population import curves, train_population
from experiments.core.recipe import VIB, Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_workdir, write_config
from experiments.imdb_vub import encoder as text_encoder
from experiments.imdb_vub.attack import Answers, HeadAttacks, make_attack
from experiments.imdb_vub.encoder import Features, TextEncoder
from experiments.imdb_vub.page import AttackedTexts, write_page
from experiments.imdb_vub.settings import VANILLA, TextConfig, Trial
from ib_jax import losses
from ib_jax.models import Classifier
from ib_jax.types import DiagGaussian

_SHOWN = 20  # texts on the page


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
    for trial in config.trials:
        make_attack(config, trial, stochastic=False)  # whatever is missing is missed now, not after an hour
    texts = text_encoder.load_texts(config)
    encoder = text_encoder.encoder_for(config, texts)
    write_config(workdir, config)
    features = text_encoder.compute_features(config, texts, encoder, session.console)
    trained = train_heads(config, features, encoder, session)
    if trained is None:
        return None
    heads, classifiers = trained
    attacked = [head for each in heads.values() for head in each if config.attacked(head.settings)]
    attacks, start = HeadAttacks(config, features, encoder, attacked, classifiers), time.monotonic()
    answers = {trial: attacks.attack(trial, session.console) for trial in config.trials}
    details = {"origin": features.origin, "attack_seconds_of_this_start": time.monotonic() - start}
    results, made = pathlib.Path(config.results or workdir / "results"), []
    for objective, each in heads.items():
        models = [_model(head, attacks, answers) for head in each]
        made.append(session.record(models, config, details=details, file=objective))
        records.write(results / f"{objective}.json", made[-1])
    _write_page(workdir / "adversarial.html", [head.settings for head in attacked], answers, texts.class_names)
    session.publish(results, figures=config.figures)
    return made


def train_heads(
    config: TextConfig, features: Features, encoder: TextEncoder, session: Session
) -> tuple[dict[str, list[TrainedModel]], dict[str, Classifier]] | None:
    """Trains the heads of each objective as one population, or opens what is trained.

    Where the encoder has a classifier of its own, that is the vanilla one, as in the paper: the network itself.

    Returns:
      By objective the heads, and their functions; None if stopped.
    """
    inputs, heads, classifiers = features.dataset.train.inputs, {}, {}
    standardise = Standardise(inputs.mean(0), inputs.std(0))
    for objective in (VANILLA, *config.compared):
        if objective == VANILLA and (own := network_itself(config, features, encoder)) is not None:
            session.console.print("The vanilla row is the network itself, by the classifier in its checkpoint.")
            heads[VANILLA], classifiers[VANILLA] = [own[0]], own[1]
            continue
        members = heads_of(config, inputs.shape[-1], objective, epochs_per_eval=config.epochs_per_eval)
        recipe = head_recipe(members[0], features.dataset, standardise)
        vary = [name for name in (strength_name(objective), "seed") if name]
        folder, title = pathlib.Path(config.workdir) / objective, f"{len(members)} heads, {objective}"
        trained = train_population(recipe, members, folder, session, vary=vary, title=title, layout=config)
        if trained is None:
            return None
        heads[objective], classifiers[objective] = trained, recipe.model
    return heads, classifiers


def network_itself(
    config: TextConfig, features: Features, encoder: TextEncoder
) -> tuple[TrainedModel, Classifier] | None:
    """The encoder with the classifier that it was fine-tuned with; None if it has none for these classes."""
    if encoder.classifier is None or encoder.classifier[0].shape[1] != features.dataset.num_classes:
        return None
    params = dict(zip(("kernel", "bias"), map(jnp.asarray, encoder.classifier), strict=True))
    model = Classifier(
        init=lambda key, inputs: params,
        encode=lambda params, inputs: DiagGaussian(inputs, jnp.zeros_like(inputs)),
        encode_train=lambda params, inputs, keys: (DiagGaussian(inputs, jnp.zeros_like(inputs)), {}),
        decode=lambda params, codes: codes @ params["kernel"] + params["bias"],
        prior=lambda params: losses.standard_normal(encoder.num_features),
    )
    head = heads_of(config, encoder.num_features, VANILLA)[0]
    evaluator = Evaluator(Recipe(head, features.dataset, VIB._replace(network=lambda *_: model)))
    return TrainedModel(head, lambda: params, evaluator.at_end(params), [], 0.0), model


def _model(head: TrainedModel, attacks: HeadAttacks, answers: Mapping[Trial, Answers]) -> Model:
    """What a record holds of a head."""
    own, summary, outcomes = head.settings, dict(head.summary), {}
    measurements = [Measurement({"split": name}, summary.pop(name)) for name in ("validation", "test")]
    for trial, all_of in answers.items():
        if own.key in all_of:
            measurements += attacks.measure(trial, all_of, own)
            outcomes[trial.key] = "".join("-" if each.skipped else "01"[each.success] for each in all_of[own.key])
    history = curves(head.history) if head.history else {}
    details = summary | {"latent_dim": own.latent_dim, "outcomes": outcomes, "history": history}
    return Model(own.name, own.seed, measurements, own.own, details=details)


def _write_page(
    path: pathlib.Path, heads: Sequence[HeadConfig], answers: Mapping[Trial, Answers], names: Sequence[str]
) -> None:
    """The paper's Table 3 and more: the first texts under each attack, of the first head of each objective."""
    keys = list({head.objective: head.key for head in reversed(heads)}.values())[::-1]
    columns = [AttackedTexts(key, each.key, all_of[key][:_SHOWN]) for each, all_of in answers.items() for key in keys]
    write_page(path, columns, names, title="Adversarial texts")
