"""Attacks the same texts with this library, with a naive search and with TextAttack."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.core import records
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.workdir import environment
from experiments.core.worker import WorkerError
from experiments.imdb_vub import AttackedTexts, load_encoder, write_page
from experiments.text_attack_comparison.comparison import AttackOutcome, Evaluator, compare
from experiments.text_attack_comparison.naive_search import NaiveResult, search
from experiments.text_attack_comparison.settings import ComparedAttack, TextComparisonConfig, attacks_of
from experiments.text_attack_comparison.text_classifier import TextClassifier, first_words, fit
from experiments.text_attack_comparison.textattack import TextAttack
from ib_jax import data
from ib_jax.attacks import text

RESULTS = pathlib.Path("experiments/results/text_attack_comparison")
LOCAL = ("data_dir", "output", "peer_python")  # settings of this machine


def run(config: TextComparisonConfig, session: Session) -> Record:
    """Attacks on both sides, shows the tables, and writes them, the record and the page.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the record.

    Returns:
      The record.

    Raises:
      SettingError: there are not as many training texts.
    """
    reviews = data.load_text(config.dataset, data_dir=config.data_dir or None)
    texts = first_words(reviews.test.texts[: config.num_texts], config.num_words)
    labels = reviews.test.labels[: config.num_texts]
    classifier = _classifier(config, reviews.train)
    evaluator = Evaluator(classifier.pool(config.batch_size, config.length_step), texts, labels)
    clean = {"accuracy": float(evaluator.correct.mean())}
    measurements = [Measurement({"attack": "clean", "num_texts": len(texts)}, clean)]
    of_texts: list[dict[str, Any]] = []
    not_measured: list[dict[str, str]] = []
    columns: list[AttackedTexts] = []

    def add(at: dict[str, Any], outcome: AttackOutcome, more: dict[str, Any]) -> None:
        at = attack.conditions | at
        measurements.append(Measurement({**at, "num_texts": len(outcome.perturbed)}, {**outcome.values(), **more}))
        of_texts.append(at | outcome.texts())

    with TextAttack(classifier, texts, labels, python=config.peer_python) as textattack:
        for attack in attacks_of(config):
            session.console.print(f"{attack.title}: ours", highlight=False)
            try:
                made = attack.make()
            except (ImportError, LookupError) as error:
                not_measured.append(attack.conditions | {"library": "ib_jax", "reason": str(error)})
                continue
            results, ours, more = _ours(config, classifier, made, evaluator)
            add({"library": "ib_jax"}, ours, more)
            columns.append(_column("ib_jax", attack, results, evaluator))
            if config.naive_texts:
                session.console.print(f"{attack.title}: naive search", highlight=False)
                naive = _naive(config, classifier, made, evaluator, order=attack.scoring or "importance")
                add({"library": "naive"}, naive, compare(ours, naive))
            for way in config.peer_names if attack.scoring != "paper" else ():  # TextAttack has no such scoring
                session.console.print(f"{attack.title}: TextAttack, {way}", highlight=False)
                at = {"library": "textattack", "way": way}
                try:
                    reply = textattack(attack.name, way, num_texts=config.texts_of(way), seed=config.seed)
                except WorkerError as error:
                    not_measured.append(attack.conditions | at | {"reason": str(error)})
                    continue
                theirs, before = evaluator(reply["results"], reply["seconds"]), np.array(reply["probabilities"])[:, 0]
                more = {name: reply[name] for name in ("model_seconds", "num_scored")} | compare(ours, theirs)
                more["models_apart"] = float(np.abs(before - evaluator.clean[: len(before)]).max())
                add(at, theirs, more)
                if way == config.peer_names[0] and len(before) == len(texts):
                    columns.append(_column("TextAttack", attack, reply["results"], evaluator))
    encoder, path = classifier.encoder, pathlib.Path(config.output or RESULTS / f"{config.dataset}.json")
    details = {
        "num_layers": encoder.config.num_hidden_layers,
        "width": encoder.config.hidden_size,
        "pooling": encoder.pooling,
        "num_test_texts": len(texts),
        "texts": of_texts,
    }
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in LOCAL}
    record = Record(
        "text_attack_comparison",
        session.command,
        settings | {"encoder": encoder.name},
        [Model(encoder.name, config.seed, measurements, details=details)],
        details={"processes": textattack.info, "not_measured": not_measured},
        environment=environment(),
        file=path.stem,
    )
    records.write(path, record)
    if config.page_texts and columns:
        title = f"{config.dataset}: adversarial texts of {encoder.name} with a linear head"
        few = [column.first(config.page_texts) for column in columns]
        write_page(path.with_suffix(".html"), few, reviews.class_names, title=title)
    from experiments.core import render  # pandas and matplotlib take a second to import
    from experiments.text_attack_comparison.report import report

    written = records.load(path.parent)
    tables = report(records.frame(written), written)
    render.show(tables, session.console)
    render.write(tables, path.parent)
    session.console.print(f"The record is {path}.", highlight=False)
    return record


def _classifier(config: TextComparisonConfig, train: data.TextSplit) -> TextClassifier:
    if config.num_train > len(train.texts):
        raise SettingError(f"--num_train must be at most the {len(train.texts)} training texts, got {config.num_train}")
    rows = np.random.default_rng(config.seed).permutation(len(train.texts))[: config.num_train]
    chosen = data.take_texts(train, rows)
    texts = first_words(chosen.texts, config.num_words)
    return fit(load_encoder(config.encoder, texts, max_length=config.max_length), texts, chosen.labels)


def _ours(
    config: TextComparisonConfig, classifier: TextClassifier, attack: text.TextAttack, evaluator: Evaluator
) -> tuple[list[text.TextResult], AttackOutcome, dict[str, Any]]:
    seconds, runs = [], []
    for _ in range(2):  # the first compiles
        pool = classifier.pool(config.batch_size, config.length_step)
        begin = time.perf_counter()
        runner = text.TextRunner(attack, lambda texts, models: pool(texts))  # noqa: B023
        runs.append(runner(config.seed, evaluator.texts, evaluator.labels))
        seconds.append(time.perf_counter() - begin)
    more = {"seconds_with_compiling": seconds[0], "num_scored": pool.num_computed, "repeats": runs[0] == runs[1]}
    return runs[1], evaluator(runs[1], seconds[1]), more


def _naive(
    config: TextComparisonConfig, classifier: TextClassifier, attack: text.TextAttack, evaluator: Evaluator, order: str
) -> AttackOutcome:
    model = classifier.pool(1, config.length_step, max_cached=0)
    examples = list(zip(evaluator.texts, evaluator.labels.tolist(), strict=True))[: config.naive_texts]

    def attacked(text: str, label: int) -> NaiveResult:
        return search(attack, order, lambda asked: model([asked])[0], seed=config.seed, text=text, label=label)

    for _ in range(2):  # the first compiles
        begin = time.perf_counter()
        results = [attacked(*example) for example in examples]
    return evaluator(results, time.perf_counter() - begin)


def _column(
    library: str, attack: ComparedAttack, results: Sequence[text.TextResult], evaluator: Evaluator
) -> AttackedTexts:
    after = evaluator.probabilities([each.perturbed for each in results])
    return AttackedTexts(library, attack.title, results, list(zip(evaluator.clean, after, strict=True)))
