"""The comparison of attacks on texts: its statistics, its judge, the naive search, the model and the record."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.core import records, render
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.imdb_vub import features_of_texts, load_encoder
from experiments.text_attack_comparison import naive_search, text_classifier
from experiments.text_attack_comparison.comparison import Evaluator, compare, paired_means, paired_rates, share_changed
from experiments.text_attack_comparison.naive_search import NaiveResult
from experiments.text_attack_comparison.report import report
from experiments.text_attack_comparison.run import run
from experiments.text_attack_comparison.settings import TextComparisonConfig
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
    found = paired_rates(ours, theirs)
    # Five only ours, one only theirs: 2 (1 + 6) / 2^6.
    assert found.p_value == pytest.approx(14 / 64)
    assert (found.num, found.ours, found.theirs, found.difference) == (10, 0.6, 0.2, pytest.approx(0.4))
    assert found.standard_error == pytest.approx(np.sqrt((6 - 4**2 / 10) / 9 / 10))
    assert paired_rates(np.ones(6, bool), np.zeros(6, bool)).p_value == pytest.approx(2 / 64)


def test_means_are_tested_in_pairs() -> None:
    ours, theirs = np.array([1.0, 2.0, 4.0]), np.array([0.0, 2.0, 2.0])
    found = paired_means(ours, theirs)
    # t = 1 / (1 / sqrt 3) with two degrees of freedom, for which P(|T| > t) = 1 - t / sqrt(2 + t^2).
    assert found.p_value == pytest.approx(1 - np.sqrt(3 / 5))
    assert found.difference == pytest.approx(1)


def test_equal_sides_and_none_do_not_differ() -> None:
    for values in ([0.5], [0.5, 0.5, 0.7]):
        assert paired_means(np.array(values), np.array(values)).p_value == 1
        assert paired_rates(np.array(values) > 0.6, np.array(values) > 0.6).p_value == 1
    assert np.isnan(paired_means(np.array([0.1]), np.array([0.2])).p_value)  # nothing to judge by
    for none in (paired_means(np.array([]), np.array([])), paired_rates(np.zeros(0, bool), np.zeros(0, bool))):
        assert none.num == 0
        assert np.isnan(none[1:]).all()


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


@pytest.mark.parametrize("order", naive_search.ORDERS)
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
        found = naive_search.search(attack, order, ask, seed=seed, text=each.original, label=label)
        assert found == (each.perturbed, each.success, each.num_queries)


def test_the_naive_search_knows_its_orders() -> None:
    with pytest.raises(ValueError, match="order must be one of importance"):
        naive_search.search(text.deep_word_bug(), "random", toy_score, seed=0, text="a", label=0)


# The model.


@pytest.fixture(scope="module")
def classifier():
    train = data.load_text("toy_reviews").train
    encoder = load_encoder("random", train.texts[:80], max_length=32)
    return text_classifier.fit(encoder, train.texts[:80], train.labels[:80])


def test_the_head_is_softmax_regression(classifier) -> None:
    train = data.take_texts(data.load_text("toy_reviews").train, range(80))
    compute = features_of_texts(classifier.encoder, train, batch_size=16)
    features, _ = compute(classifier.encoder.params, range(80), jax.devices()[0])
    logits = features.astype(np.float64) @ classifier.kernel.astype(np.float64) + classifier.bias
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = classifier.pool(16, 32)(train.texts)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (found.argmax(-1) == train.labels).mean() > 0.7  # of what it was fitted on
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
    assert text_classifier.first_words(["one  two\nthree", ""], 2) == ["one two", ""]
    assert text_classifier.first_words(["one  two"], 0) == ["one  two"]


# The record.

TINY = TextComparisonConfig(num_texts=6, num_train=80, max_length=32, length_step=32, naive_texts=1, page_texts=2)


def test_a_comparison_without_textattack(tmp_path, monkeypatch) -> None:
    pwws = text.pwws

    def without_wordnet(scoring):
        if scoring == "textattack":
            raise LookupError("WordNet is not on this machine")
        return pwws(scoring=scoring, synonyms=swaps)

    monkeypatch.setattr(text, "pwws", without_wordnet)
    config = dataclasses.replace(TINY, output=str(tmp_path / "toy.json"), peer_python="/no/such/python", peers="lean")
    run(config, Session(command="the command"))
    record = records.read(tmp_path / "toy.json")
    assert record.command == "the command"
    assert not {"output", "peer_python", "data_dir"} & set(record.settings)
    no_python = "cannot start /no/such/python: No such file or directory"
    assert record.details["not_measured"] == [
        {"attack": "deep_word_bug", "library": "textattack", "way": "lean", "reason": no_python},
        {"attack": "pwws", "scoring": "textattack", "library": "ib_jax", "reason": "WordNet is not on this machine"},
    ]
    (model,) = record.models
    for at in ({"attack": "deep_word_bug"}, {"attack": "pwws", "scoring": "paper"}):
        assert model.values_at(**at, library="ib_jax", num_texts=6)["repeats"]
        naive = model.values_at(**at, library="naive", num_texts=1)
        assert (naive["identical"], naive["same_queries"]) == (1, True)
    assert (tmp_path / "toy.html").read_text().count("<td>") == 4
    table = (tmp_path / "table.md").read_text()
    assert "PWWS, TextAttack's scoring, ib_jax: WordNet is not on this machine" in table
    assert "Targets met: 0 of 0." in table
    assert "no TextAttack" in table


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
    model = Model("MiniLM", 0, measurements, details={"num_layers": 6, "width": 384, "num_test_texts": 8})
    processes = {"plain": {"textattack": "0.3.11", "torch": "2.13.0"}}
    record = Record(
        "text_attack_comparison", "", dataclasses.asdict(TINY), [model],
        details={"processes": processes, "not_measured": []}, environment={"machine": {"cpu": "a CPU", "cores": 2}},
    )  # fmt: skip
    made = report(records.frame([record]), [record])
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
