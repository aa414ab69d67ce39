"""Attacks texts with this library and with TextAttack."""

import dataclasses
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from experiments.core import flags, records
from experiments.core.worker import WorkerError
from experiments.imdb_vub import AttackedTexts, load_encoder, write_page
from experiments.text_attack_comparison import table as tables
from experiments.text_attack_comparison.comparison import AttackOutcome, Evaluator, compare
from experiments.text_attack_comparison.naive_search import NaiveResult, search
from experiments.text_attack_comparison.settings import Row, TextComparisonConfig, rows
from experiments.text_attack_comparison.text_classifier import TextClassifier, first_words, fit
from experiments.text_attack_comparison.textattack import TextAttack
from ib_jax import data, hub, models
from ib_jax.attacks import text

RESULTS = pathlib.Path("experiments/results/text_attack_comparison")


def run(config: TextComparisonConfig, console: Console, *, command: str = "") -> dict[str, Any]:
    """Attacks on both sides, prints the table, and writes the record and the page.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the record.

    Returns:
      The record.

    Raises:
      ValueError: a setting will not do.
    """
    reviews = data.load_text(config.dataset, data_dir=config.data_dir or None)
    texts = first_words(reviews.test.texts[: config.num_texts], config.num_words)
    labels = reviews.test.labels[: config.num_texts]
    classifier = _classifier(config, reviews.train)
    evaluator = Evaluator(classifier.pool(config.batch_size, config.length_step), texts, labels)
    path = pathlib.Path(config.output or RESULTS / f"{config.dataset}.json")
    compared: list[dict[str, Any]] = []
    columns: list[AttackedTexts] = []
    with TextAttack(classifier, texts, labels, python=config.peer_python) as textattack:
        for row in rows(config):
            console.print(f"{row.name}: ours", highlight=False)
            fields: dict[str, Any] = {"group": row.group, "name": row.name}
            try:
                attack = row.make()
            except (ImportError, LookupError) as error:
                compared.append(fields | {"status": str(error)})
                continue
            results, ours, more = _ours(config, classifier, attack, evaluator)
            columns.append(_column("ib_jax", row, results, evaluator))
            others: dict[str, Any] = {}
            if config.naive_texts:
                console.print(f"{row.name}: naive search", highlight=False)
                naive = _naive(config, classifier, attack, evaluator, order=row.order)
                others["naive"] = naive.summary() | {"status": "measured", "beside": compare(ours, naive)}
            for way in config.peer_names if row.has_peer else ():
                console.print(f"{row.name}: TextAttack, {way}", highlight=False)
                try:
                    reply = textattack(row.group, way, num_texts=config.texts_of(way), seed=config.seed)
                except WorkerError as error:
                    others[way] = {"status": str(error)}
                    continue
                theirs = evaluator(reply["results"], reply["seconds"])
                before = np.array(reply["probabilities"])[:, 0]
                others[way] = theirs.summary() | {
                    "status": "measured",
                    "model_seconds": reply["model_seconds"],
                    "num_scored": reply["num_scored"],
                    "models_apart": float(np.abs(before - evaluator.clean[: len(before)]).max()),
                    "beside": compare(ours, theirs),
                }
                if way == config.peer_names[0] and len(before) == len(texts):
                    columns.append(_column("TextAttack", row, reply["results"], evaluator))
            compared.append(fields | {"status": "measured", "ours": ours.summary() | more, "others": others})
    encoder = classifier.encoder
    record = {
        "experiment": "text_attack_comparison",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": records.environment(),
        "peers": textattack.info,
        "model": {
            "encoder": encoder.name,
            "layers": encoder.config.num_hidden_layers,
            "width": encoder.config.hidden_size,
            "pooling": encoder.pooling,
            "max_length": encoder.tokenise.max_length,
            "num_train": config.num_train,
        },
        "num_texts": len(texts),
        "clean_accuracy": float(evaluator.correct.mean()),
        "rows": compared,
    }
    records.write_json(path, record)
    if config.page_texts and columns:
        title = f"{config.dataset}: adversarial texts of {encoder.name} with a linear head"
        few = [column.first(config.page_texts) for column in columns]
        write_page(path.with_suffix(".html"), few, reviews.class_names, title=title)
    console.print(Markdown(tables.make(path.parent)))
    console.print(f"The record is {path}.", highlight=False)
    return record


def _classifier(config: TextComparisonConfig, train: data.TextSplit) -> TextClassifier:
    if config.num_train > len(train.texts):
        raise ValueError(f"--num_train must be at most the {len(train.texts)} training texts, got {config.num_train}")
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
    more = {"seconds_with_compiling": seconds[0], "num_computed": pool.num_computed, "repeats": runs[0] == runs[1]}
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


def _column(library: str, row: Row, results: Sequence[text.TextResult], evaluator: Evaluator) -> AttackedTexts:
    after = evaluator.probabilities([each.perturbed for each in results])
    return AttackedTexts(library, row.name, results, list(zip(evaluator.clean, after, strict=True)))
