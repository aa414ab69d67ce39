"""Attacks texts with this library and with TextAttack."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.markdown import Markdown

from experiments.core import records
from experiments.core.app import Session
from experiments.core.settings import SettingError
from experiments.core.workdir import environment
from experiments.imdb_vub import encoder as text_encoder
from experiments.text_attack_comparison import markup as text_markup
from experiments.text_attack_comparison import naive_search as naive_text_search
from experiments.text_attack_comparison import outcome as text_attack_outcome
from experiments.text_attack_comparison import table as text_attack_comparison_table
from experiments.text_attack_comparison import theirs as text_attack_theirs
from experiments.text_attack_comparison import victim as text_victim
from experiments.text_attack_comparison.outcome import Judge, Outcome
from experiments.text_attack_comparison.settings import Row, TextComparisonConfig, rows
from ib_jax import data
from ib_jax.attacks import text

RESULTS = pathlib.Path("experiments/results/text_attack_comparison")
UNKNOWN = "[UNK]"


def run(config: TextComparisonConfig, session: Session) -> dict[str, Any]:
    """Attacks on both sides, prints the table, and writes the record and the page.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The record.

    Raises:
      ValueError: a setting will not do.
    """
    console, command = session.console, session.command
    reviews = data.load_text(config.dataset, data_dir=config.data_dir or None)
    texts = text_victim.first_words(reviews.test.texts[: config.num_texts], config.num_words)
    labels = reviews.test.labels[: config.num_texts]
    victim = _victim(config, reviews.train)
    judge = Judge(victim.pool(config.batch_size, config.length_step), texts, labels)
    path = pathlib.Path(config.output or RESULTS / f"{config.dataset}.json")
    compared: list[dict[str, Any]] = []
    columns: list[text_markup.Attacked] = []
    with text_attack_theirs.Peers(config, victim, texts, labels) as peers:
        for row in rows(config):
            console.print(f"{row.name}: ours", highlight=False)
            try:
                attack = row.make()
            except (ImportError, LookupError) as error:
                compared.append({"group": row.group, "name": row.name, "status": str(error)})
                continue
            ours, results, more = _ours(config, victim, attack, judge, texts, labels)
            columns.append(_column("ib_jax", row, results, judge))
            others = {}
            if config.naive_texts:
                console.print(f"{row.name}: naive search", highlight=False)
                others["naive"] = _naive(config, victim, attack, row, judge, ours, texts, labels)
            for peer in config.peer_names if row.has_peer else ():
                console.print(f"{row.name}: TextAttack, {peer}", highlight=False)
                others[peer], found = peers(row, peer, judge, ours)
                if found and len(found) == len(texts) and peer == config.peer_names[0]:
                    columns.append(_column("TextAttack", row, text_attack_theirs.as_results(found, labels), judge))
            fields = {"group": row.group, "name": row.name, "status": "measured"}
            compared.append({**fields, "ours": ours.summary() | more, "others": others})
        versions = peers.info
    record = {
        "experiment": "text_attack_comparison",
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": environment(),
        "peers": versions,
        "model": text_victim.describe(victim, num_train=config.num_train),
        "num_texts": len(texts),
        "clean_accuracy": float(judge.correct.mean()),
        "rows": compared,
    }
    records.write_json(path, record)
    if config.page_texts and columns:
        few = [column._replace(results=column.results[: config.page_texts]) for column in columns]
        few = [column._replace(probabilities=(column.probabilities or ())[: config.page_texts]) for column in few]
        title = f"{config.dataset}: adversarial texts of {victim.encoder.name} with a linear head"
        text_markup.write_page(path.with_suffix(".html"), few, reviews.class_names, title=title)
    console.print(Markdown(text_attack_comparison_table.make(path.parent)))
    console.print(f"The record is {path}.", highlight=False)
    return record


def _victim(config: TextComparisonConfig, train: data.TextSplit) -> text_victim.TextVictim:
    if config.num_train > len(train.texts):
        raise SettingError(f"--num_train must be at most the {len(train.texts)} training texts, got {config.num_train}")
    chosen = data.take_texts(
        train, np.random.default_rng(config.seed).permutation(len(train.texts))[: config.num_train]
    )
    texts = text_victim.first_words(chosen.texts, config.num_words)
    encoder = text_encoder.load(
        config.encoder, max_length=config.max_length, pooling="mean", precision="float32", texts=texts
    )
    return text_victim.train(encoder, texts, chosen.labels)


def _ours(
    config: TextComparisonConfig,
    victim: text_victim.TextVictim,
    attack: text.TextAttack,
    judge: Judge,
    texts: Sequence[str],
    labels: np.ndarray,
) -> tuple[Outcome, list[text.TextResult], dict[str, Any]]:
    seconds, runs = [], []
    for _ in range(2):
        pool = victim.pool(config.batch_size, config.length_step)
        begin = time.perf_counter()
        runs.append(text.TextRunner(attack, lambda asked, models: pool(asked))(config.seed, texts, labels))  # noqa: B023
        seconds.append(time.perf_counter() - begin)
    results = runs[1]
    outcome = judge(
        [each.perturbed for each in results],
        [each.success for each in results],
        [each.num_queries for each in results],
        seconds[1],
    )
    more = {"seconds_with_compiling": seconds[0], "num_computed": pool.num_computed, "repeats": runs[0] == runs[1]}
    return outcome, results, more


def _naive(
    config: TextComparisonConfig,
    victim: text_victim.TextVictim,
    attack: text.TextAttack,
    row: Row,
    judge: Judge,
    ours: Outcome,
    texts: Sequence[str],
    labels: np.ndarray,
) -> dict[str, Any]:
    count = min(config.naive_texts, len(texts))
    model = victim.pool(1, config.length_step, max_cached=0)

    def ask(question: str) -> np.ndarray:
        return model([question])[0]

    for _ in range(2):  # the first compiles
        begin, found = time.perf_counter(), []
        for each, label in zip(texts[:count], labels.tolist(), strict=False):
            search = naive_text_search.attack
            found.append(search(attack, row.order, ask, config.seed, each, label, unknown=UNKNOWN))
    naive = judge(
        [each.perturbed for each in found],
        [each.success for each in found],
        [each.num_queries for each in found],
        time.perf_counter() - begin,
    )
    beside = text_attack_outcome.compare(ours, naive)
    beside["same_queries"] = bool((naive.num_queries == ours.num_queries[:count]).all())
    return naive.summary() | {"status": "measured", "beside": beside}


def _column(library: str, row: Row, results: Sequence[text.TextResult], judge: Judge) -> text_markup.Attacked:
    after = judge.answers([each.perturbed for each in results])
    return text_markup.Attacked(library, row.name, results, list(zip(judge.clean, after, strict=True)))
