"""Heads on a frozen encoder end to end, tiny: trained, attacked, resumed, in table and figures; and what is refused."""

import dataclasses
import json
import math
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments.core import drawing, frames, records, render
from experiments.core.claims import verdicts
from experiments.core.heads import heads_of
from experiments.core.records import Measurement, Record
from experiments.core.report import Figure
from experiments.core.session import Session
from experiments.core.settings import departures
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import WorkdirError
from experiments.imdb_vub import encoder as text_encoder
from experiments.imdb_vub import run as imdb_vub
from experiments.imdb_vub.attack import HeadAttacks, HeadScores
from experiments.imdb_vub.plane import cycles, estimate
from experiments.imdb_vub.report import report
from experiments.imdb_vub.settings import PRESETS, TextConfig
from ib_jax import attacks, data, losses, models
from ib_jax.types import DiagGaussian

pytest.importorskip("tokenizers")
QUIET = Session("imdb_vub", "python -m x")
RECORD = pathlib.Path(__file__).parent / "records" / "imdb_vub.json"
TINY = TextConfig(
    objectives="vub", betas=(1e-3, 0.5), num_seeds=2, num_epochs=1, epochs_per_eval=1, batch_size=50, max_length=24,
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
        patch.setattr(text_encoder, "load_texts", lambda config: texts)
        patch.setattr(text_encoder, "_RANDOM_CONFIG", config)
        pwws = attacks.text.pwws
        found = lambda word, part: SYNONYMS.get(word.lower(), ())
        patch.setattr(attacks.text, "pwws", lambda **settings: pwws(synonyms=found, **settings))
        patch.setattr(attacks.text, "nltk_stop_words", lambda: frozenset({"the"}))
        yield texts


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    own = {"workdir": str(tmp_path_factory.mktemp("imdb")), "attacks": "deep_word_bug,pwws", "protocol": "both"}
    config = dataclasses.replace(TINY, **own)
    return config, imdb_vub.run(config, QUIET)


def results_of(config):
    return pathlib.Path(config.workdir) / "results"


@pytest.mark.slow
def test_records_hold_every_head_and_attack(finished):
    config, made = finished
    assert [record.file for record in made] == ["cross_entropy", "vub"]
    files = {path.name for path in results_of(config).iterdir()} - {f"{record.file}.json" for record in made}
    assert files == {"table.md", "figure3.png", "robustness.png"}
    record = made[-1]
    found = [(model.name, model.settings["beta"], model.seed) for model in record.models]
    assert found == [(f"vub_beta{beta:g}", beta, seed) for beta in (1e-3, 0.5) for seed in (0, 1)]
    assert (record.command, "workdir" in record.settings) == ("python -m x", False)
    for model in record.models:
        assert len(model.details["history"]["rate"]) == 1
        assert np.isfinite(estimate(model)[0]).all()
        assert estimate(model)[1] == "H(R) - H(Z|X), bits"
        assert {"error_one", "rate_bits"} <= set(model.values_at(split="test"))
        for name, more in (("deep_word_bug", {}), ("pwws", {"scoring": "paper"})):
            at = {"attack": name, "num_score_samples": 2, "query_budget": 0, "margin": 0.2, "num_texts": 3, **more}
            values = model.values_at(**at, num_judge_samples=3)
            outcomes = model.details["outcomes"][name]
            attacked = 3 - outcomes.count("-")
            assert (len(outcomes), values["num_attacked"]) == (3, attacked)
            assert values["success_rate"] == (pytest.approx(outcomes.count("1") / attacked) if attacked else None)
            assert model.values_at(**at, num_judge_samples=1)["num_attacked"] == attacked
            transfer = model.values_at(**at | {"margin": 0.0}, num_judge_samples=3, source="cross_entropy")
            assert transfer["num_attacked"] <= 3
            at |= {"procedure": "paper", "margin": 0.0, "num_score_samples": 1}
            at |= {"scoring": "textattack"} if name == "pwws" else {}
            outcomes = model.details["outcomes"][f"{name}_by_the_paper"]
            found = model.values_at(**at, num_judge_samples=0)
            assert found["num_attacked"] == 3 - outcomes.count("-")
            assert {model.values_at(**at, num_judge_samples=n)["num_attacked"] for n in (1, 3)} == {
                found["num_attacked"]
            }
    assert made[0].models[0].settings == {"objective": "cross_entropy", "beta": None}
    page = (pathlib.Path(config.workdir) / "adversarial.html").read_text()
    assert "cross_entropy_seed0" in page
    assert "vub_beta0.001_seed0" in page


@pytest.mark.slow
def test_a_head_of_the_population_is_the_head_alone(finished, small):
    """Features of `text_features`, one head's parameters, plain arithmetic: the answers that attacks see."""
    config, _ = finished
    encoder = text_encoder.encoder_for(config, small)
    features = text_encoder.compute_features(config, small, encoder, QUIET.console)
    tokens = data.pad_tokens(encoder.tokenise(small.test.texts), 24)
    direct = models.text_features(encoder.config, encoder.params, tokens)
    np.testing.assert_allclose(features.dataset.test.inputs, direct, atol=1e-5)
    by_objective, classifiers = imdb_vub.train_heads(config, features, encoder, QUIET)
    heads = [head for each in by_objective.values() for head in each]
    (index,) = (place for place, head in enumerate(heads) if head.settings.key == "vub_beta0.5_seed1")
    key, params = jax.random.key(5), heads[index].params
    score = HeadAttacks(config, features, encoder, heads, classifiers).scores.score(key, 7)
    found = score(small.test.texts[:5], np.full(5, index))
    inputs = features.dataset.train.inputs
    hidden = (direct[:5] - inputs.mean(0)) / inputs.std(0)
    for name in ("Dense_0", "Dense_1"):
        hidden = np.maximum(hidden @ params["encoder"][name]["kernel"] + params["encoder"][name]["bias"], 0)
    code = hidden @ params["encoder"]["Dense_2"]["kernel"] + params["encoder"]["Dense_2"]["bias"]
    scale = jax.nn.softplus(code[:, 4:] - 5.0)
    z = code[:, :4] + scale * jax.random.normal(key, (7, 4))[:, None]
    logits = z @ params["decoder"]["Dense_0"]["kernel"] + params["decoder"]["Dense_0"]["bias"]
    np.testing.assert_allclose(found, jax.nn.softmax(logits).mean(0), atol=1e-4)


def test_where_the_encoder_has_a_classifier_the_vanilla_row_is_the_network_itself(small, tmp_path):
    """Its errors are those of plain arithmetic, and an attack sees its answers though it has no samples."""
    config = dataclasses.replace(TINY, workdir=str(tmp_path))
    encoder = text_encoder.encoder_for(config, small)
    features = text_encoder.compute_features(config, small, encoder, QUIET.console)
    rng, inputs = np.random.default_rng(0), features.dataset.test.inputs
    kernel, bias = rng.normal(size=(encoder.num_features, 2)).astype(np.float32), np.array([0.5, -0.5], np.float32)
    own = dataclasses.replace(encoder, classifier=(kernel, bias))
    head, model = imdb_vub.network_itself(config, features, own)
    logits = inputs @ kernel + bias
    error = np.mean(logits.argmax(-1) != features.dataset.test.labels)
    assert head.settings.key == "cross_entropy_seed0"
    assert head.summary["test"]["error_avg"] == pytest.approx(error)
    scores = HeadAttacks(config, features, own, [head], {"cross_entropy": model}).scores
    found = scores.score(jax.random.key(0), 3)(features.test_texts, np.zeros(len(features.test_texts), int))
    np.testing.assert_allclose(found, jax.nn.softmax(logits[: len(found)]), atol=1e-4)
    assert imdb_vub.network_itself(config, features, encoder) is None
    wide = dataclasses.replace(encoder, classifier=(np.zeros((encoder.num_features, 5)), np.zeros(5)))
    assert imdb_vub.network_itself(config, features, wide) is None  # it is of other classes


def test_by_the_papers_protocol_a_text_has_one_sample_of_its_own():
    """Its answer is the same again, whatever else is asked, and is that of plain arithmetic with its own draw."""
    model = models.Classifier(
        init=lambda key, inputs: (),
        encode=lambda params, inputs: DiagGaussian(inputs, jnp.ones_like(inputs)),
        encode_train=lambda params, inputs, keys: (DiagGaussian(inputs, jnp.ones_like(inputs)), {}),
        decode=lambda params, codes: codes,
        prior=lambda params: losses.standard_normal(2),
    )
    head = TrainedModel(dataclasses.replace(heads_of(TINY, 2, "vub")[0], latent_dim=2), tuple, {}, [], 0.0)
    pool = lambda texts: np.array([[len(each), 1.0] for each in texts], np.float32)
    key, texts = jax.random.key(3), ["a", "bb", "cc", "a", *(f"text {index}" for index in range(40))]
    score = HeadScores(pool, [head, head], {"vub": model}).score(key, 1, anew=True)
    found = score(texts, np.arange(len(texts)) % 2)
    assert found[0].tolist() == found[3].tolist()
    assert found[1].tolist() != found[2].tolist()
    np.testing.assert_allclose(score(["cc"], np.array([0])), found[[2]], rtol=1e-6)
    draw = jax.random.normal(jax.random.fold_in(key, zlib.crc32(b"cc")), (1, 2))
    np.testing.assert_allclose(found[2], jax.nn.softmax(jnp.array([2.0, 1.0]) + draw[0]), rtol=1e-5)


@pytest.mark.slow
def test_after_a_stop_only_what_is_missing_is_done(finished, monkeypatch):
    """One head's answer and another text's are forgotten, and found again, one text at a time."""
    config, _ = finished
    made = records.load(results_of(config))
    folder = pathlib.Path(config.workdir) / "attacks" / "deep_word_bug"
    answers = json.loads((folder / "text_00001.json").read_text())
    del answers["vub_beta0.001_seed0"]
    (folder / "text_00001.json").write_text(json.dumps(answers))
    (folder / "text_00002.json").unlink()

    def never(*args, **kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr("experiments.core.feature_cache.FeatureCache.write", never)
    monkeypatch.setattr("ib_jax.training.fit", never)
    attacked, call = [], attacks.text.TextRunner.__call__

    def counted(self, seed, texts, labels, models):
        attacked.append(len(texts))
        return call(self, seed, texts, labels, models)

    monkeypatch.setattr("ib_jax.attacks.text.TextRunner.__call__", counted)
    imdb_vub.run(dataclasses.replace(config, attacked_at_once=1, figures=False), QUIET)
    assert attacked == [1, 2, 4]
    assert [record.models for record in records.load(results_of(config))] == [record.models for record in made]
    assert "png" not in (results_of(config) / "table.md").read_text()
    with pytest.raises(WorkdirError, match="--max_length: 24 there, 20 now"):
        imdb_vub.run(dataclasses.replace(config, max_length=20), QUIET)


def test_what_an_attack_needs_is_missed_at_the_start(tmp_path, monkeypatch):
    def missing(**settings):
        raise LookupError("python -m nltk.downloader wordnet")

    monkeypatch.setattr(attacks.text, "pwws", missing)
    config = dataclasses.replace(TINY, workdir=str(tmp_path / "new"), attacks="pwws")
    with pytest.raises(LookupError, match="wordnet"):
        imdb_vub.run(config, QUIET)
    assert not (tmp_path / "new").exists()


@pytest.mark.standard
def test_the_report_of_a_stored_record(tmp_path):
    stored = [records.read(RECORD)]
    made = report(frames.frame(stored), stored)
    plane, robustness = (block for block in made.blocks if isinstance(block, Figure))
    drawing.draw(plane, made.frame, tmp_path / plane.file)
    assert (tmp_path / "figure3.png").stat().st_size > 10_000
    drawn = [
        [len(list(drawing.points(line, made.frame, "beta"))) for line in panel.lines] for panel in robustness.panels
    ]
    assert drawn == [[1, 1, 0], [1, 1, 0] * 2, [1, 1, 0], [1, 1, 0]]  # of VIB, VUB and no CEB; of success transfer, too
    lines = render.markdown(made).splitlines()
    for line in (
        "| vanilla | - | 75.6 ± 0.3 % [93] | 75.6 ± 0.3 % | - | - |",
        "| VUB | 0.001 | 74.3 ± 0.2 % [93.2 ± 0.5] | 75.5 ± 0.1 % | 84.1 ± 3.8 | - |",
        "| VIB | 0.001 | 99.0 ± 0.5 % [35.1 ± 4.4] | 80.4 ± 13.0 % | 24.8 ± 7.5 % | 5.1 ± 0.0 % | 75 |",
        "| VUB: higher accuracy, mean of samples | 2 | VIB 76.0 %, VUB 75.5 %, p = 0.121 | - | 0.364 | **not found** |",
        "| scoring | paper | textattack |",
    ):
        assert line in lines, line
    stored[0].details["origin"]["data"]["test"]["dataset"] = "mine"
    made = report(frames.frame(stored), stored, figures=False)
    assert "[" not in render.markdown(made)  # the paper's numbers are those of IMDB


def test_the_plane_has_the_papers_axes_where_the_entropy_was_kept():
    history = {"epoch": [1.0, 2.0], "rate": [math.log(2), 0.0], "distortion": [0.5, 0.25]}
    of_before = records.Model("vub", 0, [], {"beta": 1e-3}, details={"history": history})
    values, label = estimate(of_before)
    assert (values.tolist(), label) == ([1.0, 0.0], "rate, bits")
    standard = float(losses.gaussian_entropy(losses.standard_normal(3)))
    kept = {"history": history | {"entropy_zx": [standard, standard - math.log(2)]}, "latent_dim": 3}
    values, label = estimate(dataclasses.replace(of_before, details=kept))
    assert values == pytest.approx([0.0, 1.0], abs=1e-6)
    assert label == "H(R) - H(Z|X), bits"


@pytest.mark.parametrize(
    ("rate", "found", "verdict"),
    [
        (lambda t, noise: np.minimum(t % 30, 10), 49.0, "confirmed"),  # five times ten epochs up, less the first
        (lambda t, noise: 9 * np.exp(-t / 30) + 0.3 * np.sin(t / 6) + 0.01 * noise, None, "confirmed"),
        (lambda t, noise: 9 * np.exp(-t / 30), 0.0, "not found"),  # falls all the way
        (lambda t, noise: 9 * np.exp(-t / 30) + 0.2 * noise, None, "not found"),  # levels out in noise
        (lambda t, noise: np.abs(t - 75), 0.0, "not found"),  # falls once and rises once: that is no recurrence
    ],
)
def test_cycles_in_the_plane_are_told_from_noise(rate, found, verdict):
    times, models = np.arange(1.0, 151), []
    for seed in range(3):
        values = rate(times, np.random.default_rng(seed).normal(size=150)) * math.log(2)
        history = {"epoch": times.tolist(), "rate": values.tolist(), "distortion": [0.5] * 150}
        models.append(records.Model("vub", seed, [], {"beta": 1e-3}, details={"history": history}))
    claim = cycles("VUB", models)
    assert verdicts([claim])[0].verdict == verdict
    assert found is None or set(claim.larger) == {found}
    unbounded = records.Model("vub", 0, [], {"beta": 0.0}, details=models[0].details)
    assert cycles("VUB", [unbounded, *models]).text == claim.text  # no logarithm of a beta of 0
    short = {name: values[:20] for name, values in history.items()}
    assert cycles("VUB", [dataclasses.replace(models[0], details={"history": short})]) is None


def head(objective, beta, seed, error, success=0.5, validation=0.1, words=0.05):
    splits = {"test": error, "validation": validation}
    measurements = [
        Measurement({"split": name}, {"error_one": e, "error_avg": e, "calibration_error": e, "cross_entropy": e})
        for name, e in splits.items()
    ]
    at = {"attack": "pwws", "num_judge_samples": 8, "num_score_samples": 4, "margin": 0.0, "num_texts": 9}
    measurements.append(Measurement(at, {"success_rate": success, "words_changed": words}))
    return records.Model(f"{objective}_{beta}", seed, measurements, {"objective": objective, "beta": beta})


def report_of(vib, vub):
    origin = {"encoder": {"name": "e"}, "data": {"test": {"dataset": "imdb_reviews"}}}
    parts = {"cross_entropy": [head("cross_entropy", None, 0, 0.2)], "vib": vib, "vub": vub}
    made = [Record("imdb_vub", "", {}, own, {"origin": origin}, file=name) for name, own in parts.items()]
    return report(frames.frame(made), made, figures=False)


def test_claims_are_tested_between_the_betas_that_validation_chooses():
    vib = [head("vib", 0.1, seed, 0.2 + 0.001 * seed, 0.60 + 0.01 * seed, words=0.04) for seed in range(5)]
    vub = [head("vub", 0.1, seed, 0.1, 0.0, validation=0.3) for seed in range(5)]  # best on the test alone: not chosen
    vub += [head("vub", 0.01, seed, 0.15 + 0.001 * seed, 0.70 + 0.01 * seed) for seed in range(5)]
    made = report_of(vib, vub)
    found = list(made.verdicts)
    assert [(each.claim.text, each.verdict) for each in found] == [
        ("VUB: higher accuracy, 1 sample", "confirmed"),
        ("VUB: higher accuracy, mean of samples", "confirmed"),
        ("VUB: lower success of PWWS", "not found"),
        ("VUB: more words changed by PWWS", "confirmed"),
        ("VUB beside vanilla: higher accuracy, 1 sample", "confirmed"),
        ("VIB beside vanilla: lower success of PWWS", "not found"),
        ("VUB beside vanilla: lower success of PWWS", "not found"),
        ("beta = 0.1: VUB has the lower calibration error", "confirmed"),
        ("beta = 0.1: VIB has the lower cross-entropy", "not found"),
    ]
    assert found[0].claim.ours == "VIB 79.8 %, VUB 84.8 %, p = 0.009"
    assert found[0].claim.paper == pytest.approx(2.2)
    assert [each.claim.ours for each in found[4:7]] == [
        "vanilla 80.0 %, VUB 84.8 %", "vanilla 50.0 %, VIB 62.0 %", "vanilla 50.0 %, VUB 72.0 %"
    ]  # fmt: skip
    assert [each.claim.paper for each in found[4:7]] == pytest.approx([0.2, 58.4, 71.6])
    p_value = scipy.stats.ranksums([0.2, 0.201, 0.202, 0.203, 0.204], [0.15, 0.151, 0.152, 0.153, 0.154]).pvalue
    assert (found[0].claim.p_value, found[0].p_value) == pytest.approx((p_value, 3 * p_value))
    assert [headline.paper for headline in made.headlines] == [93.2, 28.4]
    same = report_of(vib, [dataclasses.replace(m, settings={"objective": "vub", "beta": 0.1}) for m in vib])
    assert {each.verdict for each in same.verdicts} == {"not found"}


def test_what_the_papers_protocol_finds_stands_beside_fresh_samples():
    def found(model):
        at = {"attack": "pwws", "procedure": "paper", "num_score_samples": 1, "margin": 0.0, "num_texts": 9}
        shares = {0: 0.9, 1: 0.4, 8: 0.3}
        more = [Measurement(at | {"num_judge_samples": n}, {"success_rate": share}) for n, share in shares.items()]
        return dataclasses.replace(model, measurements=model.measurements + more)

    vib, vub = ([found(head(name, 1e-3, seed, 0.2)) for seed in range(2)] for name in ("vib", "vub"))
    made = report_of(vib, vub)
    lines = render.markdown(made).splitlines()
    assert "## PWWS, by the paper's protocol" in lines
    assert "| VIB | 0.001 | 90.0 ± 0.0 % [41.6 ± 6.6] | 40.0 ± 0.0 % | 30.0 ± 0.0 % | - | - |" in lines
    assert "| VIB | 0.001 | 50.0 ± 0.0 % [41.6 ± 6.6] | - | - | 5.0 ± 0.0 % | - |" in lines  # ours
    (claim,) = (each.claim for each in made.verdicts if "as found by the paper's protocol" in each.claim.text)
    assert claim.ours.startswith("VIB 90.0 %, VUB 90.0 %")


def test_settings():
    config = TextConfig(**PRESETS["paper"].values)
    assert departures(config) == []
    assert [each.key for each in config.trials] == [
        "deep_word_bug",
        "pwws",
        "deep_word_bug_by_the_paper",
        "pwws_by_the_paper",
    ]
    assert "protocol" in [each.name for each in departures(TextConfig())]
    assert "encoder" in [each.name for each in departures(TextConfig(**PRESETS["small"].values))]
    for change, message in [
        ({"betas": (1.0,)}, r"--betas must each be in \[0, 1\)"),
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
    heads = heads_of(TINY, 16, "ceb")
    betas = np.array([1e-3, 1e-3, 0.5, 0.5])
    np.testing.assert_allclose(np.exp([-head.rho for head in heads]), betas / (1 - betas), rtol=1e-5)
    assert [head.key for head in heads[:2]] == ["ceb_beta0.001_seed0", "ceb_beta0.001_seed1"]
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


ORIGINAL = text_encoder.load_texts
