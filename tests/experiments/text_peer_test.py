"""TextAttack's process: requests, what is missing, and, if TextAttack is there, that it attacks the same model.

It is looked for in the environment whose interpreter $TEXT_PEER_PYTHON names, or else in this one.
"""

import dataclasses
import io
import json
import sys

import numpy as np
import pytest
from rich.console import Console
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from experiments.core import worker as torch_worker
from experiments.core.app import Session
from experiments.imdb_vub import encoder as text_encoder
from experiments.text_attack_comparison import package as textattack_package
from experiments.text_attack_comparison import peer as text_peer
from experiments.text_attack_comparison import run as text_attack_comparison
from experiments.text_attack_comparison import victim as text_victim
from experiments.text_attack_comparison.peer import Request, Task
from experiments.text_attack_comparison.settings import TextComparisonConfig
from ib_jax import data
from ib_jax.attacks import text


def test_a_request_goes_through_json_and_is_checked() -> None:
    request = Request("pwws", "/out.json", "own", 3, 1)
    assert Request(**json.loads(json.dumps(dataclasses.asdict(request)))) == request
    for changes in ({"attack": "bae"}, {"wrapper": "fast"}, {"output": "out.json"}, {"num_texts": -1}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            dataclasses.replace(request, **changes)


def test_the_task_lists_stop_words_in_every_case(tmp_path) -> None:
    task = Task("/model", [[0.0, 1.0]], [0.0, 0.5], 32, ["a film"], [1], ["the", "i'm"])
    text_peer.save_task(tmp_path / "task.json", task)
    saved = json.loads((tmp_path / "task.json").read_text())
    assert saved["stop_words"] == ["I'M", "I'm", "THE", "The", "i'm", "the"]
    assert Task(**saved).kernel == task.kernel
    with pytest.raises(ValueError, match="1 texts, 0 labels"):
        text_peer.save_task(tmp_path / "task.json", dataclasses.replace(task, labels=[]))
    with pytest.raises(ValueError, match="as long as bias, 1"):
        text_peer.save_task(tmp_path / "task.json", dataclasses.replace(task, bias=[0.0]))


def test_what_is_missing_is_named(monkeypatch) -> None:
    assert text_peer.missing("/no/such/python") == "cannot start /no/such/python: No such file or directory"
    monkeypatch.setattr(text_peer, "NEEDED", ("json", "no_such_package"))
    assert text_peer.missing(sys.executable) == "no_such_package not installed (see the extra text-peers of ib-jax)"
    monkeypatch.setattr(text_peer, "NEEDED", ("json",))
    assert text_peer.missing(sys.executable) == ""


def test_the_interpreter_may_be_named(monkeypatch) -> None:
    monkeypatch.delenv("TEXT_PEER_PYTHON", raising=False)
    assert text_peer.interpreter() == sys.executable
    monkeypatch.setenv("TEXT_PEER_PYTHON", "/there/python")
    assert text_peer.interpreter() == "/there/python"
    assert text_peer.interpreter("/here/python") == "/here/python"


def test_absent_packages_are_pretended_for_a_while() -> None:
    with textattack_package._pretended(["no_such_package"]):
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
def victim():
    train = data.load_text("toy_reviews").train
    encoder = text_encoder.load("random", max_length=32, pooling="mean", precision="float32", texts=train.texts[:80])
    return text_victim.train(encoder, train.texts[:80], train.labels[:80])


@pytest.fixture(scope="module")
def peer(victim, tmp_path_factory):
    if reason := text_peer.missing():
        pytest.skip(f"TextAttack: {reason}; $TEXT_PEER_PYTHON names its interpreter")
    folder = tmp_path_factory.mktemp("peer")
    model = text_victim.save_encoder(victim.encoder, "random", folder / "model")
    test = data.load_text("toy_reviews").test
    stop_words = sorted(ENGLISH_STOP_WORDS)
    task = Task(
        str(model), victim.kernel.tolist(), victim.bias.tolist(), 32, list(test.texts[:8]), test.labels[:8].tolist(),
        stop_words,
    )  # fmt: skip
    text_peer.save_task(folder / "task.json", task)
    with text_peer.start(folder / "task.json") as worker:

        def ask(attack, wrapper="lean", **changes):
            request = Request(attack, str(folder / "out.json"), wrapper, **changes)
            return worker(dataclasses.asdict(request)), text_peer.read_results(request.output)

        yield task, ask, worker


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", text_peer.WRAPPERS)
def test_textattack_asks_the_same_model(peer, victim, wrapper) -> None:
    task, ask, worker = peer
    reply, found = ask("deep_word_bug", wrapper)
    pool = victim.pool(4, 32)
    for names in ("original", "before"), ("perturbed", "after"):
        theirs = np.array([getattr(each, f"probabilities_{names[1]}") for each in found])
        np.testing.assert_allclose(pool([getattr(each, names[0]) for each in found]), theirs, atol=1e-5)
    assert [each.original for each in found] == task.texts
    assert reply["seconds"] > reply["model_seconds"] > 0
    assert 8 <= reply["num_scored"] <= sum(each.num_queries for each in found)
    assert {"textattack", "transformers", "threads"} <= set(worker.info)


@pytest.mark.slow
def test_textattack_repeats_itself_and_leaves_stop_words(peer) -> None:
    task, ask, _ = peer
    first, again, other = (ask("deep_word_bug", seed=seed)[1] for seed in (0, 0, 1))
    assert first == again != other
    assert any(each.success for each in first)
    for each in first:
        words = text.split(each.original).words
        assert not {words[index].lower() for index in each.changed} & set(task.stop_words)
    assert len(ask("deep_word_bug", num_texts=3)[1]) == 3


@pytest.mark.slow
def test_pwws_of_both_libraries_is_the_same(peer, victim) -> None:
    try:
        attack = text.pwws(scoring="textattack")
    except (ImportError, LookupError) as error:
        pytest.skip(str(error))
    task, ask, _ = peer
    _, found = ask("pwws")
    pool = victim.pool(4, 32)
    results = text.TextRunner(attack, lambda texts, models: pool(texts))(0, task.texts, np.array(task.labels))
    assert [each.perturbed.lower() for each in results] == [each.perturbed.lower() for each in found]
    assert [each.success for each in results] == [each.success for each in found]
    assert sum(each.success for each in found) >= 2


@pytest.mark.slow
def test_a_comparison_with_textattack(tmp_path) -> None:
    if reason := text_peer.missing():
        pytest.skip(f"TextAttack: {reason}; $TEXT_PEER_PYTHON names its interpreter")
    sizes = {"num_texts": 6, "num_train": 80, "max_length": 32, "length_step": 32, "naive_texts": 1}
    few = {"attacks": "deep_word_bug", "own_texts": 2, "page_texts": 2}
    config = TextComparisonConfig(output=str(tmp_path / "toy.json"), **sizes, **few)
    record = text_attack_comparison.run(config, Session(console=Console(file=io.StringIO())))
    (row,) = record["rows"]
    assert [row["others"][name]["num_texts"] for name in ("lean", "own")] == [6, 2]
    assert row["others"]["lean"]["models_apart"] < 1e-5
    assert (tmp_path / "toy.html").read_text().count("<td>") == 4


@pytest.mark.slow
def test_a_worker_that_fails_is_heard(tmp_path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(torch_worker.WorkerError, match="FileNotFoundError"):
        text_peer.start(tmp_path / "no.json")
