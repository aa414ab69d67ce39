"""Heads on a frozen encoder end to end, tiny: trained, attacked, resumed, in table and figures; and what is refused."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments.core.app import Session
from experiments.core.settings import departures
from experiments.core.workdir import WorkdirError
from experiments.imdb_vub import features as imdb_vub_features
from experiments.imdb_vub import heads as imdb_vub_heads
from experiments.imdb_vub import run as imdb_vub
from experiments.imdb_vub import summary as imdb_vub_summary
from experiments.imdb_vub import table as imdb_vub_table
from experiments.imdb_vub.attack import HeadAttacks
from experiments.imdb_vub.settings import PRESETS, VANILLA, Model, TextConfig, models_of
from ib_jax import attacks, data, losses, models

pytest.importorskip("tokenizers")
QUIET = Session(command="python -m x")
TINY = TextConfig(
    objectives="vib,vub", betas=(1e-3, 0.5), num_seeds=2, num_epochs=2, epochs_per_eval=2, batch_size=50, max_length=24,
    num_validation=100, num_attacked=3, attacked_at_once=2, num_score_samples=2, num_judge_samples=3,
    num_eval_samples=3, latent_dim=4, encoder_batch_size=32,
)  # fmt: skip
SYNONYMS = {"good": ("fine", "decent"), "film": ("movie",), "awful": ("dreadful",), "acting": ("playing",)}


@pytest.fixture(scope="module", autouse=True)
def small():
    """A handful of made-up reviews, a BERT of hardly any size, and synonyms without WordNet."""
    train, test = data.load_text("toy_reviews").train, data.load_text("toy_reviews").test
    texts = data.TextDataset(
        "toy", data.take_texts(train, range(300)), None, data.take_texts(test, range(40)), ("n", "p")
    )
    config = models.BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imdb_vub_features, "load_texts", lambda config: texts)
        patch.setattr("experiments.imdb_vub.encoder._RANDOM_CONFIG", config)
        pwws = attacks.text.pwws
        found = lambda word, part: SYNONYMS.get(word.lower(), ())
        patch.setattr(attacks.text, "pwws", lambda **settings: pwws(synonyms=found, **settings))
        yield texts


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = dataclasses.replace(TINY, workdir=str(tmp_path_factory.mktemp("imdb")), attacks="deep_word_bug,pwws")
    return config, imdb_vub.run(config, QUIET)


def read(results, objective):
    return json.loads((results / f"{objective}.json").read_text())


@pytest.mark.slow
def test_records_hold_every_head_and_attack(finished):
    config, results = finished
    assert sorted(path.name for path in results.iterdir()) == [
        "cross_entropy.json", "figure3.png", "robustness.png", "table.md", "vib.json", "vub.json",
    ]  # fmt: skip
    record = read(results, "vub")
    assert [(one["beta"], one["seed"]) for one in record["members"]] == [(1e-3, 0), (1e-3, 1), (0.5, 0), (0.5, 1)]
    assert record["command"] == "python -m x"
    assert "workdir" not in record["settings"]
    for one in record["members"]:
        assert {"test", "validation", "history"} <= set(one)
        assert len(one["history"]["rate"]) == 2
        for name in ("deep_word_bug", "pwws"):
            found = one["attacks"][name]
            assert len(found["outcomes"]) == 3
            attacked = 3 - found["outcomes"].count("-")
            assert found["num_skipped"] == 3 - attacked
            if attacked:
                assert found["success_rate"] == pytest.approx(100 * found["outcomes"].count("1") / attacked)
    page = (pathlib.Path(config.workdir) / "adversarial.html").read_text()
    assert "cross_entropy_seed0" in page
    assert "vub_beta0.001_seed0" in page


@pytest.mark.slow
def test_a_head_of_the_population_is_the_head_alone(finished, small):
    """Features of `text_features`, one head's parameters, plain arithmetic: the answers that attacks see."""
    config, _ = finished
    encoder = imdb_vub_features.encoder_for(config, small)
    features = imdb_vub_features.compute(config, small, encoder, QUIET.console)
    tokens = data.pad_tokens(encoder.tokenise(small.test.texts), 24)
    direct = models.text_features(encoder.config, encoder.params, tokens)
    np.testing.assert_allclose(features.dataset.test.inputs, direct, atol=1e-5)
    every = [model for name in (VANILLA, "vib", "vub") for model in models_of(config, name)]
    head_attacks = HeadAttacks(config, features, encoder, every, pathlib.Path(config.workdir))
    key, index = jax.random.key(5), every.index(Model("vub", 0.5, 1))
    found = head_attacks.scores.score(key, 7)(small.test.texts[:5], np.full(5, index))
    (params,) = imdb_vub_heads.restore(pathlib.Path(config.workdir), [every[index]])
    mean, deviation = features.moments
    hidden = (direct[:5] - mean) / deviation
    for name in ("Dense_0", "Dense_1"):
        hidden = np.maximum(hidden @ params["encoder"][name]["kernel"] + params["encoder"][name]["bias"], 0)
    code = hidden @ params["encoder"]["Dense_2"]["kernel"] + params["encoder"]["Dense_2"]["bias"]
    scale = jax.nn.softplus(code[:, 4:] - 5.0)
    z = code[:, :4] + scale * jax.random.normal(key, (7, 4))[:, None]
    logits = z @ params["decoder"]["Dense_0"]["kernel"] + params["decoder"]["Dense_0"]["bias"]
    np.testing.assert_allclose(found, jax.nn.softmax(logits).mean(0), atol=1e-4)


@pytest.mark.slow
def test_after_a_stop_only_what_is_missing_is_done(finished, monkeypatch):
    """One head's answer and another text's are forgotten, and found again, one text at a time."""
    config, results = finished
    folder = pathlib.Path(config.workdir) / "attacks" / "deep_word_bug"
    answers = json.loads((folder / "text_00001.json").read_text())
    del answers["vib_beta0.001_seed0"]
    (folder / "text_00001.json").write_text(json.dumps(answers))
    (folder / "text_00002.json").unlink()
    before = {name: read(results, name)["members"] for name in ("cross_entropy", "vib", "vub")}

    def never(*args, **kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr("experiments.core.feature_cache.FeatureCache.write", never)
    monkeypatch.setattr("ib_jax.training.fit", never)
    attacked, call = [], attacks.text.TextRunner.__call__

    def counted(self, seed, texts, labels, models):
        attacked.append(len(texts))
        return call(self, seed, texts, labels, models)

    monkeypatch.setattr("ib_jax.attacks.text.TextRunner.__call__", counted)
    again = dataclasses.replace(config, attacked_at_once=1, figures=False)
    assert imdb_vub.run(again, QUIET) == results
    assert attacked == [1, 2, 8]
    assert before == {name: read(results, name)["members"] for name in before}


@pytest.mark.slow
def test_other_settings_are_refused(finished):
    config, _ = finished
    with pytest.raises(WorkdirError, match="--max_length: 24 there, 20 now"):
        imdb_vub.run(dataclasses.replace(config, max_length=20), QUIET)


def test_what_an_attack_needs_is_missed_at_the_start(tmp_path, monkeypatch):
    def missing(**settings):
        raise LookupError("python -m nltk.downloader wordnet")

    monkeypatch.setattr(attacks.text, "pwws", missing)
    config = dataclasses.replace(TINY, workdir=str(tmp_path / "new"), attacks="deep_word_bug,pwws")
    with pytest.raises(LookupError, match="wordnet"):
        imdb_vub.run(config, QUIET)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_table_shows_ours_beside_the_papers_on_imdb(finished):
    _, results = finished
    found = imdb_vub_table.read(results)
    table = imdb_vub_table.render(found)
    assert table.count("| VUB | 0.001 |") == 3
    assert "(93" not in table
    for record in found.values():
        record["origin"]["data"]["test"]["dataset"] = "imdb_reviews"
    table = imdb_vub_table.render(found)
    assert "(93.2 ± 0.5)" in table
    assert "(28.4 ± 1.3)" in table
    assert "| vanilla | - |" in table
    assert "## The paper's claims" in table


def member(beta, seed, error, success=50.0, validation=0.1, words=5.0):
    splits = {split: {"error_one": e, "error_avg": e} for split, e in (("test", error), ("validation", validation))}
    pwws = {"success_rate": success, "words_changed": words}
    return {"beta": beta, "seed": seed, **splits, "attacks": {"pwws": pwws}}


def test_claims_are_tested_between_the_betas_that_validation_chooses():
    vib = [member(0.1, seed, 0.2 + 0.001 * seed, 60.0 + seed, words=4.0 + seed / 10) for seed in range(5)]
    vub = [member(0.1, seed, 0.1, 0.0, validation=0.3) for seed in range(5)]  # best on the test alone: not chosen
    vub += [member(0.01, seed, 0.15 + 0.001 * seed, 70.0 + seed) for seed in range(5)]
    rows = imdb_vub_summary.compare(vib, vub, ["pwws"])
    assert [row["what"] for row in rows] == [
        "accuracy, 1 sample", "accuracy, mean of samples", "success of pwws", "words changed by pwws",
    ]  # fmt: skip
    assert [row["found"] for row in rows] == ["confirmed", "confirmed", "the opposite", "confirmed"]
    assert rows[0]["vub"] == pytest.approx(84.8)
    errors = [[100 * (1 - one["test"]["error_one"]) for one in side] for side in (vib, vub[5:])]
    assert rows[0]["p"] == scipy.stats.ranksums(*errors).pvalue
    same = imdb_vub_summary.compare(vib, vib, ["pwws"])
    assert [row["found"] for row in same] == ["not found"] * 4
    assert np.isnan(imdb_vub_summary.rank_sum([1.0], [2.0]))


def test_settings():
    config = TextConfig(**PRESETS["paper"].values)
    assert [each.name for each in departures(config)] == ["scoring", "num_score_samples", "margin"]
    assert "encoder" in [each.name for each in departures(TextConfig(**PRESETS["small"].values))]
    for change, message in [
        ({"betas": (1.0,)}, r"--betas must each be in \(0, 1\)"),
        ({"objectives": "vib,abc"}, "--objectives must be of vib, vub, ceb, got abc"),
        ({"attacks": "textfooler"}, "--attacks must be of deep_word_bug, pwws, got textfooler"),
        ({"num_attacked": 0}, "--num_attacked must be at least 1"),
        ({"query_budget": -1}, "--query_budget must be at least 0"),
        ({"margin": 1.0}, r"--margin must be in \[0, 1\), got 1.0"),
        ({"learning_rate": 0.0}, "--learning_rate must be positive"),
        ({"train_file": "a.tsv"}, "--train_file and --test_file must be given together"),
    ]:
        with pytest.raises(ValueError, match=message):
            TextConfig(**change)


def test_ceb_is_given_vibs_weight():
    own = imdb_vub.imdb_vub_heads.hyperparams(models_of(dataclasses.replace(TINY, objectives="ceb"), "ceb"))
    betas = np.array([1e-3, 1e-3, 0.5, 0.5])
    np.testing.assert_allclose(np.exp(-own["rho"]), betas / (1 - betas), rtol=1e-5)
    assert float(losses.beta_to_rho(jnp.float32(0.5))) == pytest.approx(0.0, abs=1e-6)


def test_own_files_are_read(tmp_path, monkeypatch):
    monkeypatch.undo()
    for name, rows in (("train", 4), ("test", 2)):
        lines = ["sentence\tlabel", *(f"text {row}\t{row % 2}" for row in range(rows))]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    config = dataclasses.replace(TINY, train_file=str(tmp_path / "train.tsv"), test_file=str(tmp_path / "test.tsv"))
    texts = ORIGINAL(config)
    assert texts.train.texts == ("text 0", "text 1", "text 2", "text 3")
    assert texts.test.labels.tolist() == [0, 1]
    assert len(texts.class_names) == 2


ORIGINAL = imdb_vub_features.load_texts
