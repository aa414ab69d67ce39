"""TextAttack's process: requests, what is missing, and, if TextAttack is there, that it attacks the same model.

It is looked for in the environment whose interpreter $TEXT_PEER_PYTHON names, or else in this one.
"""

import stat
import subprocess
import sys

import numpy as np
import pytest

from experiments.core.session import Session
from experiments.core.worker import Worker, WorkerError
from experiments.imdb_vub import load_encoder
from experiments.text_attack_comparison import text_classifier, textattack, worker
from experiments.text_attack_comparison.run import run
from experiments.text_attack_comparison.settings import TextComparisonConfig
from experiments.text_attack_comparison.textattack import TextAttack
from ib_jax import data
from ib_jax.attacks import text

REVIEWS = data.load_text("toy_reviews")
TEXTS, LABELS = list(REVIEWS.test.texts[:8]), REVIEWS.test.labels[:8]


def test_the_worker_imports_nothing_but_the_standard_library(tmp_path) -> None:
    """Python without site-packages lacks NumPy, JAX and absl as well: the first thing missed must be PyTorch."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    said = subprocess.run([python, "-c", "import numpy"], capture_output=True, text=True, env={}).stderr
    assert "No module named 'numpy'" in said
    with pytest.raises(WorkerError, match="No module named 'torch'"):
        Worker(worker.__name__, {"task": ""}, python=str(python), environment={"PYTHONPATH": ""})


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
    with worker.pretended(["no_such_package"]):
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
def classifier():
    texts, labels = REVIEWS.train.texts[:80], REVIEWS.train.labels[:80]
    return text_classifier.fit(load_encoder("random", texts, max_length=32), texts, labels)


@pytest.fixture(scope="module")
def attacker(classifier):
    if reason := textattack.missing():
        pytest.skip(f"TextAttack: {reason}; $TEXT_PEER_PYTHON names its interpreter")
    with TextAttack(classifier, TEXTS, LABELS) as attacker:
        yield attacker


@pytest.mark.slow
@pytest.mark.parametrize("way", ["lean", "own"])
def test_textattack_asks_the_same_model(attacker, classifier, way) -> None:
    reply = attacker("deep_word_bug", way)
    results, pool = reply["results"], classifier.pool(4, 32)
    for side, name in enumerate(("original", "perturbed")):
        theirs = np.array([each[side] for each in reply["probabilities"]])
        np.testing.assert_allclose(pool([getattr(each, name) for each in results]), theirs, atol=1e-5)
    assert [each.original for each in results] == TEXTS
    assert [each.label for each in results] == LABELS.tolist()
    assert [each.prediction_before for each in results] == pool(TEXTS).argmax(-1).tolist()
    assert reply["seconds"] > reply["model_seconds"] > 0
    assert 8 <= reply["num_scored"] <= sum(each.num_queries for each in results)
    assert {"textattack", "transformers", "threads"} <= set(attacker.info["plain"])


@pytest.mark.slow
def test_textattack_repeats_itself_and_leaves_stop_words(attacker) -> None:
    first, again, other = (attacker("deep_word_bug", "lean", seed=seed)["results"] for seed in (0, 0, 1))
    assert first == again != other
    assert any(each.success for each in first)
    stop_words = {word.lower() for word in textattack.ENGLISH_STOP_WORDS}
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
    ours = text.TextRunner(attack, lambda texts, models: pool(texts))(0, TEXTS, LABELS)
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
    (model,) = run(config, Session()).models
    for way, num_texts in (("lean", 6), ("own", 2)):
        at = {"attack": "deep_word_bug", "library": "textattack", "way": way, "num_texts": num_texts}
        assert model.values_at(**at)["models_apart"] < 1e-5
    assert (tmp_path / "toy.html").read_text().count("<td>") == 4


@pytest.mark.slow
def test_a_worker_that_fails_is_heard(tmp_path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(WorkerError, match="FileNotFoundError"):
        Worker(worker.__name__, {"task": str(tmp_path / "no.json")})
