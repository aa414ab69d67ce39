"""Attacks the same texts with this library, with a naive search and with TextAttack."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from experiments.core import records
from experiments.core.groups import split
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.worker import WorkerError
from experiments.imdb_vub import AttackedTexts, load_encoder, write_page
from experiments.text_attack_comparison.model import AttackOutcome, Evaluator, TextClassifier, compare, fit
from experiments.text_attack_comparison.settings import ATTACKS, TextComparisonConfig
from experiments.text_attack_comparison.textattack import TextAttack
from ib_jax import data
from ib_jax.attacks import text

RESULTS = pathlib.Path("workdirs/text_attack_comparison")
UNKNOWN = "[UNK]"


def run(config: TextComparisonConfig, session: Session) -> Record:
    """Attacks on both sides, writes the record and the page, and shows the tables."""
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
        measurements.append(Measurement({**at, "num_texts": len(outcome.perturbed)}, {**outcome.values(), **more}))
        of_texts.append(at | outcome.texts())

    def show(library: str, results: Sequence[text.TextResult]) -> None:
        after = evaluator.probabilities([each.perturbed for each in results])
        answers = list(zip(evaluator.clean, after, strict=True))
        columns.append(AttackedTexts(library, attack.title, results, answers).first(config.page_texts))

    with TextAttack(classifier, texts, labels, python=config.peer_python) as textattack:
        for attack in ATTACKS:
            if not {attack.name, "all"} & set(split(config.attacks)):
                continue
            session.console.print(f"{attack.title}: ours")
            try:
                made = attack.make()
            except (ImportError, LookupError) as error:
                not_measured.append(attack.conditions | {"library": "ib_jax", "reason": str(error)})
                continue
            results, ours, more = _ours(config, classifier, made, evaluator)
            add(attack.conditions | {"library": "ib_jax"}, ours, more)
            show("ib_jax", results)
            if config.naive_texts:
                session.console.print(f"{attack.title}: naive search")
                naive = _naive(config, classifier, made, evaluator, order=attack.scoring or "importance")
                add(attack.conditions | {"library": "naive"}, naive, compare(ours, naive))
            for way in config.peer_names if attack.scoring != "paper" else ():  # TextAttack has no such scoring
                session.console.print(f"{attack.title}: TextAttack, {way}")
                at = attack.conditions | {"library": "textattack", "way": way}
                try:
                    reply = textattack(attack.name, way, num_texts=config.texts_of(way), seed=config.seed)
                except WorkerError as error:
                    not_measured.append(at | {"reason": str(error)})
                    continue
                theirs, before = evaluator(reply["results"], reply["seconds"]), np.array(reply["probabilities"])[:, 0]
                more = {name: reply[name] for name in ("model_seconds", "num_scored")} | compare(ours, theirs)
                more["models_apart"] = float(np.abs(before - evaluator.clean[: len(before)]).max())
                add(at, theirs, more)
                if way == config.peer_names[0] and len(before) == len(texts):
                    show("TextAttack", reply["results"])
    encoder, path = classifier.encoder, pathlib.Path(config.output or RESULTS / f"{config.dataset}.json")
    details = {
        "num_layers": encoder.config.num_hidden_layers,
        "width": encoder.config.hidden_size,
        "pooling": encoder.pooling,
        "num_test_texts": len(texts),
        "texts": of_texts,
    }
    model = Model(encoder.name, config.seed, measurements, details=details)
    settings = dataclasses.replace(config, encoder=encoder.name)  # of a folder of this machine the name alone
    measured = {"processes": textattack.info, "not_measured": not_measured}
    record = session.record([model], settings, details=measured, file=path.stem)
    records.write(path, record)
    if config.page_texts and columns:
        title = f"{config.dataset}: adversarial texts of {encoder.name} with a linear head"
        write_page(path.with_suffix(".html"), columns, reviews.class_names, title=title)
    session.publish(path.parent)
    return record


def first_words(texts: Sequence[str], count: int) -> list[str]:
    """Texts cut after so many pieces between white space, each white space a blank; 0 leaves them as they are."""
    return [" ".join(one.split()[:count]) for one in texts] if count else list(texts)


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
    for _ in range(2):  # the first compiles
        begin = time.perf_counter()
        results = [
            naive_search(attack, order, lambda asked: model([asked])[0], seed=config.seed, original=one, label=label)
            for one, label in examples
        ]
    return evaluator(results, time.perf_counter() - begin)


class NaiveResult(NamedTuple):
    """What became of a text: as it is at the end, whether the answer was right and is wrong now, questions asked."""

    perturbed: str
    success: bool
    num_queries: int


def naive_search(
    attack: text.TextAttack, order: str, ask: Callable[[str], np.ndarray], *, seed: int, original: str, label: int
) -> NaiveResult:
    """Attacks one text as one would write it down: one question at a time, nothing kept, untargeted, without a budget.

    It shares with the attacks what words are, which may be touched and what may replace them, and nothing of the
    search. So it shows what pooling and caching save, and that they change no result.

    Args:
      attack: whose candidates, stop words and constraints are taken; one constraint at most.
      order: of the words: "importance", DeepWordBug's; or PWWS's, by "textattack" or the "paper".
      ask: the model, one text -> probabilities float [C].
      seed: of the candidates.
      original: the text.
      label: its class.
    """
    assert len(attack.constraints) <= 1  # a sum for each would be needed
    asked, start = 0, text.split(original)
    replacements = attack.candidates(seed, start)
    limit = min((constraint.limit(start) for constraint in attack.constraints), default=math.inf)

    def score(asked_text: str) -> tuple[float, bool]:
        nonlocal asked
        asked += 1
        probabilities = np.asarray(ask(asked_text), np.float64)
        return 1 - probabilities[label], bool(probabilities.argmax() != label)

    def cost(index: int, new: str) -> float:
        return sum(constraint.cost(start.words[index], new) for constraint in attack.constraints)

    base, wrong = score(original)
    if wrong:
        return NaiveResult(original, False, asked)
    words = [index for index, word in enumerate(start.words) if attack.may_touch(word)]
    if order == "paper":
        words = [index for index in words if replacements(index)]
    saliency = np.array([score(start.with_word(index, UNKNOWN))[0] for index in words])
    weights, best = saliency, {}
    if order != "importance":
        offset = base if order == "paper" else 0.0
        effects = np.zeros(len(words))
        for rank, index in enumerate(words):
            tried = [(score(start.with_word(index, new))[0], new) for new in replacements(index)]
            if tried:
                effect, best[index] = max(tried, key=lambda each: each[0])
                effects[rank] = effect - offset
        weights = scipy.special.softmax(saliency) * effects if len(words) else saliency
    now, value, spent = start, base, 0.0
    for rank in np.argsort(-weights, kind="stable").tolist():
        index = words[rank]
        options = [best[index]] if order == "paper" else replacements(index)
        allowed = [new for new in options if spent + cost(index, new) <= limit]
        choices = [(*score(now.with_word(index, new)), new) for new in allowed]
        if not choices:
            continue
        highest, wrong, new = max(choices, key=lambda each: each[0])
        if order == "paper" or highest > value:
            now, value, spent = now.replace(index, new), highest, spent + cost(index, new)
            if wrong:
                return NaiveResult(now.string, True, asked)
    return NaiveResult(now.string, False, asked)
