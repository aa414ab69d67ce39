"""The comparison of attacks on texts: statistics, judge, the naive search, the record, and TextAttack's process.

TextAttack is looked for in the environment whose interpreter $TEXT_PEER_PYTHON names, or else in this one.
"""

import dataclasses
import stat
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.core import frames, records, render
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.worker import Worker, WorkerError
from experiments.imdb_vub import encoder, load_encoder
from experiments.text_attack_comparison import model, textattack
from experiments.text_attack_comparison import run as program
from experiments.text_attack_comparison.model import Evaluator, compare, paired, share_changed
from experiments.text_attack_comparison.report import report
from experiments.text_attack_comparison.run import NaiveResult, first_words, naive_search, run
from experiments.text_attack_comparison.settings import TextComparisonConfig
from experiments.text_attack_comparison.textattack import TextAttack
from ib_jax import data
from ib_jax.attacks import text

SYNONYMS = {
    "good": ["fine", "decent", "well"],
    "fine": ["good", "thin"],
    "film": ["movie", "picture"],
    "plot": ["story", "plan"],
    "dull": ["boring", "blunt", "slow"],
}
TEXTS = [
    "A good film, really good, with a fine plot.",
    "Good! The dull plot is a plot; good film though, GOOD.",
    "dull dull film",
    "",
    "the of and",
    "A fine   film\twith Good, good and  good actors in it.",
    "Fine film, good plot, dull actors: good film and fine plot, dull story.",
    "dull plot actors plot fine plot really actors dull",
]
LABELS = np.array([1, 1, 0, 0, 1, 1, 1, 0])
REVIEWS = data.load_text("toy_reviews")
ATTACKED = data.take_texts(REVIEWS.test, range(8))


def toy_score(texts, models=None):
    """Positive by the characters of each word, so that edits and synonyms matter, each a little differently."""
    answers = []
    for one in texts:
        logit = 0.0
        for word in text.split(one).words:
            letters = sum(ord(char) * (at + 3) for at, char in enumerate(word.lower()))
            known = {"good": 1.4, "fine": 1.1, "dull": -1.7}.get(word.lower(), 0.0)
            logit += known + np.sin(letters) / 4
        answers.append(1 / (1 + np.exp(-logit)))
    positive = np.array(answers)
    return np.stack([1 - positive, positive], -1)


def swaps(word, part):
    return SYNONYMS.get(word.lower(), ())


def outcome_of(evaluator, perturbed, success, num_queries, seconds):
    return evaluator([NaiveResult(*each) for each in zip(perturbed, success, num_queries, strict=True)], seconds)


# The statistics.


def test_rates_are_tossed_coins() -> None:
    ours, theirs = np.array([1] * 6 + [0] * 4, bool), np.array([1] + [0] * 5 + [1] + [0] * 3, bool)
    found = paired(ours, theirs)
    # Five only ours, one only theirs: 2 (1 + 6) / 2^6.
    assert found["p_value"] == pytest.approx(14 / 64)
    assert [found[name] for name in ("num", "ours", "theirs", "difference")] == [10, 0.6, 0.2, pytest.approx(0.4)]
    assert found["standard_error"] == pytest.approx(np.sqrt((6 - 4**2 / 10) / 9 / 10))
    assert paired(np.ones(6, bool), np.zeros(6, bool))["p_value"] == pytest.approx(2 / 64)


def test_means_are_tested_in_pairs() -> None:
    found = paired(np.array([1.0, 2.0, 4.0]), np.array([0.0, 2.0, 2.0]))
    # t = 1 / (1 / sqrt 3) with two degrees of freedom, for which P(|T| > t) = 1 - t / sqrt(2 + t^2).
    assert found["p_value"] == pytest.approx(1 - np.sqrt(3 / 5))
    assert found["difference"] == pytest.approx(1)


def test_equal_sides_and_none_do_not_differ() -> None:
    for values in ([0.5], [0.5, 0.5, 0.7]):
        assert paired(np.array(values), np.array(values))["p_value"] == 1
        assert paired(np.array(values) > 0.6, np.array(values) > 0.6)["p_value"] == 1
    for shift in (paired(np.array([0.1]), np.array([0.2])), paired(np.array([0.0, 0.5]), np.array([0.5, 1.0]))):
        assert np.isnan(shift["p_value"])  # nothing to judge by
    for none in (np.array([]), np.zeros(0, bool)):
        found = paired(none, none)
        assert found.pop("num") == 0
        assert np.isnan(list(found.values())).all()


# What an attack achieved.


def test_success_is_counted_by_one_model() -> None:
    texts, labels = ["good film here now", "dull plot", "good good"], np.array([1, 1, 1])
    evaluator = Evaluator(toy_score, texts, labels)
    assert evaluator.correct.tolist() == [True, False, True]
    outcome = outcome_of(
        evaluator, ["dull dull here now", "dull plot", "good good"], [False, True, False], [5, 1, 4], seconds=2.0
    )
    assert outcome.success.tolist() == [True, False, False]
    assert outcome.changed.tolist() == [0.5, 0, 0]
    assert outcome.disagreements == 2
    values = outcome.values()
    assert (values["success_rate"], values["words_changed"], values["mean_queries"]) == (0.5, 0.5, 4.5)
    assert values["queries_per_second"] == 5


def test_of_fewer_texts_ours_cost_their_share_of_queries() -> None:
    evaluator = Evaluator(toy_score, ["good film"] * 4, np.ones(4, int))
    ours = outcome_of(evaluator, ["dull film"] * 4, [True] * 4, [10, 10, 30, 50], seconds=2.0)
    theirs = outcome_of(evaluator, ["dull film", "good film"], [True, False], [10, 10], seconds=5.0)
    beside = compare(ours, theirs)
    assert beside["times_faster"] == pytest.approx(5.0 / (2.0 * 20 / 100))
    assert (beside["identical"], beside["success_num"], beside["words_changed_num"]) == (1, 2, 1)
    assert beside["same_queries"]


def test_words_are_counted_between_white_space() -> None:
    assert share_changed("a b-c  d!\n", "a x-c  d!\n") == 1 / 3
    assert share_changed("", "") == 0
    with pytest.raises(ValueError, match="as many pieces, got 2 and 3"):
        share_changed("a b", "a b c")


# The naive search.


@pytest.mark.parametrize("order", ["importance", "textattack", "paper"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_naive_search_finds_what_the_attacks_find(order: str, seed: int) -> None:
    if order == "importance":
        attack = text.deep_word_bug(constraints=[text.edit_distance(4)])
    else:
        attack = text.pwws(scoring=order, synonyms=swaps)  # type: ignore[arg-type]
    results = text.TextRunner(attack, toy_score)(seed, TEXTS, LABELS)
    assert sum(each.success for each in results) >= 2
    for each, label in zip(results, LABELS.tolist(), strict=True):
        ask = lambda one: toy_score([one])[0]
        found = naive_search(attack, order, ask, seed=seed, original=each.original, label=label)
        assert found == (each.perturbed, each.success, each.num_queries)


# The record.

TINY = TextComparisonConfig(
    num_texts=3, num_train=80, max_length=32, length_step=32, batch_size=1, naive_texts=1, page_texts=2
)
FITTED = data.take_texts(REVIEWS.train, np.random.default_rng(0).permutation(len(REVIEWS.train.texts))[:80])


@pytest.fixture(scope="module")
def fitted():
    """What a run of TINY attacks, and the features that its head was fitted on."""
    features = []

    def features_of_texts(*args, **settings):
        compute = encoder.features_of_texts(*args, **settings)
        return lambda *args: features.append(compute(*args)) or features[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "features_of_texts", features_of_texts)
        made = model.fit(load_encoder("random", FITTED.texts, max_length=32), FITTED.texts, FITTED.labels)
    return made, features[0][0]


@pytest.fixture(scope="module")
def classifier(fitted):
    return fitted[0]


def test_a_comparison_without_textattack(tmp_path, monkeypatch, classifier) -> None:
    pwws = text.pwws

    def without_wordnet(scoring):
        if scoring == "textattack":
            raise LookupError("WordNet is not on this machine")
        return pwws(scoring=scoring, synonyms=swaps)

    def fit(encoder, texts, labels):
        assert (texts, labels.tolist()) == (list(FITTED.texts), FITTED.labels.tolist())
        return classifier

    monkeypatch.setattr(text, "pwws", without_wordnet)
    monkeypatch.setattr(program, "load_encoder", lambda name, texts, max_length: None)
    monkeypatch.setattr(program, "fit", fit)
    config = dataclasses.replace(TINY, output=str(tmp_path / "toy.json"), peer_python="/no/such/python", peers="lean")
    run(config, Session("text_attack_comparison", "the command"))
    record = records.read(tmp_path / "toy.json")
    assert (record.command, record.departures, record.settings["encoder"]) == ("the command", [], "random")
    assert not {"output", "peer_python", "data_dir"} & set(record.settings)
    no_python = "cannot start /no/such/python: No such file or directory"
    assert record.details["not_measured"] == [
        {"attack": "deep_word_bug", "library": "textattack", "way": "lean", "reason": no_python},
        {"attack": "pwws", "scoring": "textattack", "library": "ib_jax", "reason": "WordNet is not on this machine"},
    ]
    (attacked,) = record.models
    for at in ({"attack": "deep_word_bug"}, {"attack": "pwws", "scoring": "paper"}):
        assert attacked.values_at(**at, library="ib_jax", num_texts=3)["repeats"]
        naive = attacked.values_at(**at, library="naive", num_texts=1)
        assert (naive["identical"], naive["same_queries"]) == (1, True)
    assert (tmp_path / "toy.html").read_text().count("<td>") == 4
    table = (tmp_path / "table.md").read_text()
    assert "PWWS, TextAttack's scoring, ib_jax: WordNet is not on this machine" in table
    assert "Targets met: 0 of 0." in table
    assert "no TextAttack" in table


def test_the_head_is_softmax_regression(fitted) -> None:
    classifier, features = fitted
    logits = features.astype(np.float64) @ classifier.kernel.astype(np.float64) + classifier.bias
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = classifier.pool(TINY.batch_size, TINY.length_step)(FITTED.texts)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (found.argmax(-1) == FITTED.labels).mean() > 0.7  # of what it was fitted on
    assert classifier.kernel.shape == (classifier.encoder.num_features, 2)


def test_an_encoder_is_written_for_the_other_side(classifier, tmp_path) -> None:
    encoder = classifier.encoder
    encoder.save(tmp_path / "model")
    read = load_encoder(str(tmp_path / "model"), (), max_length=32)
    texts = ["The acting was superb."]
    assert read.tokenise(texts)[0].tolist() == encoder.tokenise(texts)[0].tolist()
    assert read.config == encoder.config
    jax.tree.map(np.testing.assert_array_equal, read.params, encoder.params)


def test_texts_are_cut_after_words() -> None:
    assert first_words(["one  two\nthree", ""], 2) == ["one two", ""]
    assert first_words(["one  two"], 0) == ["one  two"]


def test_the_report(tmp_path) -> None:
    evaluator = Evaluator(toy_score, ["good film"] * 8, np.ones(8, int))
    ours = outcome_of(evaluator, ["dull film"] * 8, [True] * 8, [10] * 8, seconds=1.0)
    theirs = outcome_of(evaluator, ["good film"] * 7 + ["dull film"], [False] * 8, [20] * 8, seconds=8.0)
    at, values = {"attack": "pwws", "scoring": "textattack", "num_texts": 8}, theirs.values() | compare(ours, theirs)
    measurements = [
        Measurement({"attack": "clean", "num_texts": 8}, {"accuracy": 1.0}),
        Measurement(at | {"library": "ib_jax"}, ours.values() | {"num_scored": 70, "repeats": False}),
        Measurement(at | {"library": "textattack", "way": "lean"}, values | {"models_apart": 2e-7}),
        Measurement(at | {"library": "naive"}, values),
    ]
    attacked = Model("MiniLM", 0, measurements, details={"num_layers": 6, "width": 384, "num_test_texts": 8})
    processes = {"plain": {"textattack": "0.3.11", "torch": "2.13.0"}}
    record = Record(
        "text_attack_comparison", "", dataclasses.asdict(TINY), [attacked],
        details={"processes": processes, "not_measured": []}, environment={"machine": {"cpu": "a CPU", "cores": 2}},
    )  # fmt: skip
    made = report(frames.frame([record]), [record])
    render.write(made, tmp_path)
    table = (tmp_path / "table.md").read_text()
    for row in (
        "| ib_jax | 8 | 8 | 8 | 100.0 % | 50.0 % | 10 | 1 | 80 |",
        "| TextAttack | 8 | 8 | 1 | 12.5 % | 50.0 % | 20 | 8 | 20 |",
        "| TextAttack | +87.5 | 12.5 | 0.016 | +0.0 | - | 1 | 8 | 1 | 8 | **success rate, seconds** |",
        "| naive search | +87.5 | 12.5 | 0.016 | +0.0 | - | 1 | 8 | 1 | 8 | none |",
        "| TextAttack | - | - | - | 2.0e-07 | 1 | - |",
        "| ib_jax | - | - | 70 | - | 0 | **other results** |",
    ):
        assert f"| PWWS, TextAttack's scoring {row}" in table
    assert "Targets met: 1 of 3." in table
    assert [headline.ours for headline in made.headlines] == [8.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_texts": 0}, "--num_texts must be at least 1"),
        ({"naive_texts": -1}, "--naive_texts must be at least 0"),
        ({"attacks": "pwws,textfooler"}, "--attacks must be of all, deep_word_bug, pwws, got textfooler"),
        ({"peers": "lean,fast"}, "--peers must be of lean, own, lean_avx512, own_avx512, got fast"),
    ],
)
def test_settings_that_will_not_do(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        TextComparisonConfig(**changes)
    config = TextComparisonConfig(num_texts=50, own_texts=10)
    assert (config.texts_of("own_avx512"), config.texts_of("lean")) == (10, 50)


def test_too_few_training_texts() -> None:
    with pytest.raises(SettingError, match=r"--num_train must be at most the \d+ training texts, got 1000000"):
        run(dataclasses.replace(TINY, num_train=1_000_000), Session())


# TextAttack.


def test_the_worker_imports_nothing_but_the_standard_library(tmp_path) -> None:
    """Python without site-packages lacks NumPy, JAX and absl as well: the first thing missed must be PyTorch."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    said = subprocess.run([python, "-c", "import numpy"], capture_output=True, text=True, env={}).stderr
    assert "No module named 'numpy'" in said
    with pytest.raises(WorkerError, match="No module named 'torch'"):
        Worker(textattack.MODULE, {"task": ""}, python=str(python), environment={"PYTHONPATH": ""})


def test_what_is_missing_is_named(monkeypatch) -> None:
    assert textattack.missing("/no/such/python") == "cannot start /no/such/python: No such file or directory"
    monkeypatch.setattr(textattack, "NEEDED", ("json", "no_such_package"))
    assert textattack.missing(sys.executable) == "no_such_package not installed (see the extra text-peers of ib-jax)"
    monkeypatch.setattr(textattack, "NEEDED", ("json",))
    assert textattack.missing(sys.executable) == ""


def test_the_interpreter_may_be_named(monkeypatch) -> None:
    monkeypatch.delenv("TEXT_PEER_PYTHON", raising=False)
    assert textattack.interpreter() == sys.executable
    monkeypatch.setenv("TEXT_PEER_PYTHON", "/there/python")
    assert textattack.interpreter() == "/there/python"
    assert textattack.interpreter("/here/python") == "/here/python"


def test_absent_packages_are_pretended_for_a_while() -> None:
    with textattack.pretended(["no_such_package"]):
        import no_such_package.part

        class Child(no_such_package.part.deeper.Parent):
            pass

        assert not hasattr(no_such_package, "__wrapped__")
    sys.modules.pop("no_such_package.other", None)
    with pytest.raises(ModuleNotFoundError):
        __import__("no_such_package.other")
    for name in [name for name in sys.modules if name.startswith("no_such_package")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def attacker(classifier):
    if reason := textattack.missing():
        pytest.skip(f"TextAttack: {reason}; $TEXT_PEER_PYTHON names its interpreter")
    with TextAttack(classifier, ATTACKED.texts, ATTACKED.labels) as attacker:
        yield attacker


@pytest.mark.slow
@pytest.mark.parametrize("way", ["lean", "own"])
def test_textattack_asks_the_same_model(attacker, classifier, way) -> None:
    reply = attacker("deep_word_bug", way)
    results, pool = reply["results"], classifier.pool(4, 32)
    for side, name in enumerate(("original", "perturbed")):
        theirs = np.array([each[side] for each in reply["probabilities"]])
        np.testing.assert_allclose(pool([getattr(each, name) for each in results]), theirs, atol=1e-5)
    assert [each.original for each in results] == list(ATTACKED.texts)
    assert [each.label for each in results] == ATTACKED.labels.tolist()
    assert [each.prediction_before for each in results] == pool(ATTACKED.texts).argmax(-1).tolist()
    assert reply["seconds"] > reply["model_seconds"] > 0
    assert 8 <= reply["num_scored"] <= sum(each.num_queries for each in results)
    assert {"textattack", "transformers", "threads"} <= set(attacker.info["as installed"])


@pytest.mark.slow
def test_textattack_repeats_itself_and_leaves_stop_words(attacker) -> None:
    first, again, other = (attacker("deep_word_bug", "lean", seed=seed)["results"] for seed in (0, 0, 1))
    assert first == again != other
    assert any(each.success for each in first)
    stop_words = set(textattack.stop_words())
    for each in first:
        words = text.split(each.original).words
        assert not {words[index].lower() for index in each.changed} & stop_words
    assert len(attacker("deep_word_bug", "lean", num_texts=3)["results"]) == 3


@pytest.mark.slow
def test_pwws_of_both_libraries_is_the_same(attacker, classifier) -> None:
    try:
        attack = text.pwws(scoring="textattack")
    except (ImportError, LookupError) as error:
        pytest.skip(str(error))
    theirs, pool = attacker("pwws", "lean")["results"], classifier.pool(4, 32)
    ours = text.TextRunner(attack, lambda texts, models: pool(texts))(0, ATTACKED.texts, ATTACKED.labels)
    assert [each.perturbed.lower() for each in ours] == [each.perturbed.lower() for each in theirs]
    assert [each.success for each in ours] == [each.success for each in theirs]
    assert sum(each.success for each in theirs) >= 2


@pytest.mark.slow
def test_a_comparison_with_textattack(tmp_path) -> None:
    if reason := textattack.missing():
        pytest.skip(f"TextAttack: {reason}; $TEXT_PEER_PYTHON names its interpreter")
    sizes = {"num_texts": 6, "num_train": 80, "max_length": 32, "length_step": 32, "naive_texts": 1}
    few = {"attacks": "deep_word_bug", "own_texts": 2, "page_texts": 2}
    config = TextComparisonConfig(output=str(tmp_path / "toy.json"), **sizes, **few)
    (attacked,) = run(config, Session("text_attack_comparison")).models
    for way, num_texts in (("lean", 6), ("own", 2)):
        at = {"attack": "deep_word_bug", "library": "textattack", "way": way, "num_texts": num_texts}
        assert attacked.values_at(**at)["models_apart"] < 1e-5
    assert (tmp_path / "toy.html").read_text().count("<td>") == 4


@pytest.mark.slow
def test_a_worker_that_fails_is_heard(tmp_path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(WorkerError, match="FileNotFoundError"):
        Worker(textattack.MODULE, {"task": str(tmp_path / "no.json")})
