"""Heads on frozen features: a whole run on a tiny network, that it goes on where it stood, and tables from records."""

import dataclasses
import functools
import importlib.util
import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.core import feature_fill, records
from experiments.core.app import Session
from experiments.core.heads import Standardise
from experiments.core.settings import departures
from experiments.core.workdir import WorkdirError
from experiments.imagenet_features import backbone as keras_backbone
from experiments.imagenet_features import lab as imagenet_features_lab
from experiments.imagenet_features import run as imagenet_features
from experiments.imagenet_features import settings as names
from experiments.imagenet_features import table as imagenet_features_table
from experiments.imagenet_features.attack import Measurer
from experiments.imagenet_features.dataset import open_images
from experiments.imagenet_features.settings import PRESETS, FeaturesConfig, Model, head_config, models
from experiments.imagenet_features.summary import findings, outcome, rows, same_images
from ib_jax import data, losses

TINY = {
    "image_size": 8, "layer": "", "num_train_images": 160, "num_eval_images": 60, "betas": (1e-2,), "objectives": "ceb",
    "num_epochs": 30, "learning_rate": 5e-3, "fgsm_epsilons": (0.05, 0.1), "radius": 0.05, "num_fgsm_images": 0,
    "cw_share": 0.25, "pgd_steps": 2, "num_queries": 2, "num_eot_samples": 2, "cw_steps": 8, "cw_binary_steps": 2,
    "cw_initial_const": 10.0, "cw_learning_rate": 0.1, "attack_batch_size": 32, "num_eval_samples": 3,
    "feature_batch_size": 32, "shard_size": 100, "figures": False,
}  # fmt: skip
CEB = Model("ceb", 1e-2, 0)


def run(workdir, **settings):
    config = FeaturesConfig(workdir=str(workdir), **TINY | settings)
    return imagenet_features.run(config, Session(console=Console(file=io.StringIO(), width=100), command="as tested"))


def tiny_backbone(config, images, with_logits=False):
    keras = keras_backbone.import_keras()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(24, 4, strides=4, activation="relu")(inputs)
    outputs = keras.layers.Dense(10)(keras.layers.Flatten()(maps))
    preprocess = keras_backbone.preprocessing("MobileNet")
    settings = {"name": "tiny", "preprocessing_name": "2 x - 1", "with_logits": with_logits}
    return keras_backbone.wrap(keras.Model(inputs, outputs), preprocess, **settings)


@pytest.fixture(scope="module", autouse=True)
def plain_programs():
    """Most of the time is compiling."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run in which only the CEB head is attacked, for time; the slow test below attacks the others."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras is not installed")
    path = tmp_path_factory.mktemp("features")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imagenet_features, "load_backbone", tiny_backbone)
        patch.setattr(imagenet_features, "models", lambda *args, **kwargs: [CEB])
        run(path)
    return path


def read(workdir, name):
    record = json.loads((workdir / "results" / f"{name}.json").read_text())
    found = {}
    for path in (workdir / name / "attacks").glob("*.npz"):
        with np.load(path) as arrays:
            found[path.stem] = dict(arrays)
    return record, found


@pytest.mark.slow
def test_a_record_sums_up_its_answers(workdir):
    check_record(*read(workdir, CEB.name))


def check_record(record, found):
    assert "dataset digits, in the paper imagenet2012" in record["departures"]
    assert record["target_class"] == 0
    clean = found["clean"]
    labels, before = clean["labels"], clean["answers"]
    assert len(labels) == record["num_images"] == 60
    tried = {(row["attack"], row["epsilon"]) for row in record["attacks"]}
    fgsm = {(attack, epsilon) for attack in ("fgsm_one", "fgsm") for epsilon in (0.05, 0.1)}
    assert tried == fgsm | {("pgd", 0.05), ("transfer", 0.05), ("square", 0.05), ("cw_one", None), ("cw", None)}
    assert len(record["attacks"]) == len(tried)
    for row in record["attacks"]:
        attack = (
            row["attack"] if record["objective"] == "ceb" else names.WITHOUT_NOISE.get(row["attack"], row["attack"])
        )
        arrays = found[attack if row["epsilon"] is None else f"{attack}_{row['epsilon']:g}"]
        assert row["num_images"] == len(arrays["labels"])
        for column, kind in enumerate(("one", "mean")):
            after = arrays["answers"][:, column]
            was = dict(zip(clean["rows"], before[:, column], strict=True))
            right = np.array([was[own] for own in arrays["rows"]]) == arrays["labels"]
            assert row[kind]["accuracy"] == pytest.approx((right & (after == arrays["labels"])).mean())
            if row["epsilon"] is None and kind == "mean":
                # Only images rightly answered, and not yet of the target class, which is 0 here.
                small = (before[:15, 1] == labels[:15]) & (labels[:15] != 0)
                np.testing.assert_array_equal(arrays["rows"], clean["rows"][:15][small])
                hit = after == 0
                assert row[kind]["success"] == pytest.approx(hit.mean())
                assert hit.any()
                assert row[kind]["mean_l2"] == pytest.approx(arrays["l2"][hit].mean(), rel=1e-5)
                assert row[kind]["mean_linf"] == pytest.approx(arrays["linf"][hit].mean(), rel=1e-5)
                assert (arrays["l2"][hit] <= arrays["linf"][hit] * np.sqrt(8 * 8 * 3) + 1e-5).all()
            if row["epsilon"] is not None:
                count = len(after)
                right = before[:count, column] == labels[:count]
                assert row[kind]["num_right"] == right.sum()
                assert row[kind]["success"] == pytest.approx((after != labels[:count])[right].mean())
    accuracy = record["same_images"]["accuracy"]
    assert record["same_images"]["num_images"] == 15
    assert accuracy["worst"] == min(accuracy.values())
    assert accuracy["worst"] < accuracy["clean"]


@pytest.mark.slow
def test_what_is_attacked_is_what_was_trained(workdir):
    """From pixels through the network the answers are those to the cached features, but for other samples of z."""
    record, found = read(workdir, CEB.name)
    wrong = (found["clean"]["answers"] != found["clean"]["labels"][:, None]).mean(0)
    assert record["test"]["error_avg"] == pytest.approx(wrong[1], abs=0.1)
    assert record["test"]["error_avg"] < 0.6
    assert (workdir / "cross_entropy_seed1" / "results.json").exists()  # on it the images for transfer were made
    assert not (workdir / "cross_entropy_seed0").exists()


@pytest.mark.slow
def test_the_network_and_the_deterministic_head_are_attacked_too(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_features, "load_backbone", functools.partial(tiny_backbone, with_logits=True))
    results = run(tmp_path, objectives="")
    assert {path.stem for path in results.glob("*.json")} == {"backbone_seed0", "cross_entropy_seed0"}
    for name in ("backbone_seed0", "cross_entropy_seed0"):
        record, found = read(tmp_path, name)
        check_record(record, found)
        wrong = (found["clean"]["answers"] != found["clean"]["labels"][:, None]).mean(0)
        assert record["test"]["error_avg"] == pytest.approx(wrong[1])  # from pixels as from cached features
        assert record["test"]["error_one"] == pytest.approx(wrong[0])
    assert record["test"]["error_avg"] < 0.5
    # PGD on the head of seed 1, shown to the head of seed 0.
    own, transferred = (
        (found[f"{name}_0.05"]["answers"][:, 1] == found["pgd_0.05"]["labels"]).mean() for name in ("pgd", "transfer")
    )
    clean = (found["clean"]["answers"][:15, 1] == found["clean"]["labels"][:15]).mean()
    assert own <= transferred < clean
    table = (results / "table.md").read_text()
    assert table.count("| tiny | ours |") == table.count("| deterministic | ours |") == 2


@pytest.mark.slow
def test_a_second_run_goes_on_where_the_first_stood(workdir, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("again")

    monkeypatch.setattr(imagenet_features, "load_backbone", tiny_backbone)
    monkeypatch.setattr(imagenet_features, "models", lambda *args, **kwargs: [CEB])
    monkeypatch.setattr(imagenet_features_lab.Lab, "measure", refuse)
    table = (workdir / "results" / "table.md").read_text()
    assert table.count("| CEB, beta = 0.01 | ours, 1 sample |") == 2
    assert run(workdir) == workdir / "results"
    assert (workdir / "results" / "table.md").read_text() == table
    with pytest.raises(AssertionError, match="again"):
        run(workdir, results=str(workdir / "elsewhere"))
    # Without its record, a model's answers are still there: nothing is attacked or trained again.
    monkeypatch.undo()
    monkeypatch.setattr(imagenet_features, "load_backbone", tiny_backbone)
    monkeypatch.setattr(imagenet_features, "models", lambda *args, **kwargs: [CEB])
    monkeypatch.setattr(Measurer, "_run", refuse)
    path = workdir / "results" / "ceb_beta0.01_seed0.json"
    record = json.loads(path.read_text())
    path.unlink()
    run(workdir)
    again = json.loads(path.read_text())
    assert again["attacks"] == record["attacks"]
    assert again["same_images"] == record["same_images"]
    assert again["findings"] == record["findings"]
    with pytest.raises(WorkdirError, match="--num_queries: 2 there, 3 now"):
        run(workdir, num_queries=3)


def test_a_worker_computes_its_share_of_the_features(tmp_path, monkeypatch):
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras is not installed")
    monkeypatch.setattr(imagenet_features, "load_backbone", tiny_backbone)
    made = []
    fill = feature_fill.fill
    monkeypatch.setattr(feature_fill, "fill", lambda cache, *a, **k: made.append(cache) or fill(cache, *a, **k))
    assert run(tmp_path, num_workers=2, worker=1, cache_dir=str(tmp_path / "c"), num_eval_images=20) == tmp_path
    assert [cache.missing() for cache in made] == [[0], [0]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


def test_standardised_features_are_what_the_first_layer_sees():
    features = np.random.default_rng(0).normal(5.0, [1e-3, 1.0, 40.0, 0.0], (500, 4)).astype(np.float32)
    seen = 2 * np.asarray(Standardise(features.mean(0), features.std(0))(features)) - 1  # the encoder's 2 x - 1
    np.testing.assert_allclose(seen.mean(0), 0.0, atol=2e-3)
    np.testing.assert_allclose(seen.std(0), [1, 1, 1, 0], atol=2e-3)


def test_outcomes_by_hand():
    found = {
        "labels": np.array([1, 1, 2, 2]),
        "answers": np.array([[1, 0], [0, 1], [0, 0], [3, 0]]),
        "l2": np.array([3.0, 9.0, 1.0, 2.0]),
        "linf": np.array([0.3, 0.9, 0.1, 0.2]),
        "rows": np.array([4, 7, 5, 6]),
        "seconds": np.array(1.5),
    }
    clean = np.array([[1, 1], [1, 1], [2, 0], [2, 2]])
    free = outcome({name: found[name] for name in ("labels", "answers")}, clean, None, 1)
    assert free == {"accuracy": 0.25, "num_right": 3, "success": pytest.approx(2 / 3), "success_of_all": 0.5}
    aimed = outcome(found, clean, 0, 0)  # by one sample; the target is class 0
    assert (aimed["num_right"], aimed["success"]) == (4, 0.5)
    assert (aimed["mean_l2"], aimed["mean_linf"], aimed["median_l2_all"]) == (5.0, 0.5, 9.0)
    nothing = {name: value[:0] for name, value in found.items() if name != "seconds"}
    without = outcome(nothing, clean[:0], 0, 1)  # a model that is right about none of them is not attacked
    assert without["success"] is None
    assert np.isnan(without["median_l2_all"])

    before = {"rows": np.array([5, 6, 7, 4]), "labels": np.array([2, 2, 1, 1]), "answers": clean[[2, 3, 1, 0]]}
    listed = rows({"clean": before, "fgsm_one_0.1": found, "cw": found}, 0, stochastic=True)
    assert [(row["attack"], row["epsilon"]) for row in listed] == [("fgsm_one", 0.1), ("cw", None)]
    assert listed[0]["mean"]["success"] == pytest.approx(2 / 3)
    assert listed[1]["one"]["mean_l2"] == 5.0

    plain = {"rows": found["rows"], "labels": found["labels"]}
    tried = {"clean": clean, **dict.fromkeys(["fgsm_0.1", "pgd_0.1", "square_0.1"], found["answers"])}
    tried["transfer_0.1"] = np.array([[1, 1], [1, 0], [2, 2], [2, 2]])
    same, stands = same_images({name: plain | {"answers": answers} for name, answers in tried.items()}, 0.1)
    assert same["accuracy"] == {
        "clean": 0.75,
        "fgsm": 0.25,
        "pgd": 0.25,
        "square": 0.25,
        "transfer": 0.5,  # one that was wrong is right by it, and does not count
        "worst": 0.0,
    }
    assert stands["pgd"].tolist() == [False, True, False, False]

    search = {"success": np.array([True, False, False, True]), "blocked": np.array([False, True, False, False])}
    searched = {"clean": before, "pgd_0.1": found | search, "cw": found | search, "fgsm_0.1": found}
    told = [finding for finding in findings(searched, stands | {"fgsm": stands["pgd"]}) if finding.check == "search"]
    assert [finding.message.split()[0] for finding in told] == ["pgd_0.1:", "cw:"]
    assert all(finding.evidence["share_standing"] == 0.25 for finding in told)


def by_hand(objective, beta, seed, error, success):
    def row(attack, epsilon, share, **sizes):
        found = {"accuracy": 0.1, "num_right": 50, "success": share, "success_of_all": share / 2, **sizes}
        return {"attack": attack, "epsilon": epsilon, "num_images": 60, "one": found, "mean": found, "seconds": 1.0}

    attacks = [
        row(attack, epsilon, success) for attack in ("fgsm_one", "fgsm") for epsilon in (0.0225, 0.1, 0.1125, 0.5)
    ]
    far = {"mean_l2": 6.0 + seed, "mean_linf": 0.25, "median_l2_all": None}
    attacks += [row("cw_one", None, 0.5, **far), row("cw", None, 1.0, **far)]
    accuracy = {"clean": 0.8, "fgsm": 0.4, "pgd": 0.3, "transfer": 0.7, "square": 0.5, "worst": 0.2}
    if objective in names.STOCHASTIC:
        accuracy["fgsm_one"] = 0.6
    config = FeaturesConfig(**PRESETS["paper"].values)
    network = {"name": "InceptionV3", "weights": "imagenet", "image_size": 299, "num_features": 2048}
    told = {"black_box": ["Square breaks it."], "search": ["pgd: blocked.", "cw: blocked."]}
    told = [{"check": check, "message": message, "evidence": {}} for check in told for message in told[check]]
    return {
        "objective": objective, "beta": beta, "seed": seed, "departures": departures(config), "target_class": 805,
        "settings": dataclasses.asdict(config), "backbone": network, "num_images": 50000,
        "data": {"train": {"num_images": 1281167}, "evaluation": {"num_images": 50000}},
        "test": {"error_one": error + 0.01, "error_avg": error}, "attacks": attacks,
        "same_images": {"epsilon": 0.0225, "num_images": 500, "accuracy": accuracy},
        "findings": told if objective == "vub" else [],
    }  # fmt: skip


def test_tables_and_figure_are_made_from_records(tmp_path):
    for model, error, success in [
        (Model("backbone"), 0.228, 0.9),
        (Model("cross_entropy"), 0.23, 0.8),
        (Model("vib", 1e-2, 0), 0.25, 0.6),
        (Model("vib", 1e-2, 1), 0.27, 0.7),
        (Model("vib", 1e-1, 0), 0.3, 0.5),
        (Model("vub", 1e-2, 0), 0.24, 0.65),
        (Model("ceb", 1e-2, 0), 0.26, 0.62),
    ]:
        records.write_json(tmp_path / f"{model.name}.json", by_hand(*model, error, success))
    table = imagenet_features_table.make(tmp_path)
    assert (tmp_path / "table.md").read_text() == table
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    lines = table.splitlines()
    for line in (
        "| InceptionV3 | paper | 77.2 | 68.9 | 67.7 |  |  | 788 |",
        "| InceptionV3 | ours | 77.2 | 90.0 (45.0) | 90.0 (45.0) | 90.0 (45.0) | 90.0 (45.0) | 6.00 |",
        "| VIB, beta = 0.01 | paper | 72.8 ± 1 | 53.5 ± 2 | 62.0 ± 1 |  |  | 3318 ± 293 |",
        "| VUB, beta = 0.01 | paper | 75.0 ± 0.05 | 57.6 ± 2 | 64.3 ± 1 |  |  | 1564 ± 218 |",
        "| VIB, beta = 0.01 | paper | 0.567 | 43.27 | 0.92 | - |",
        "| deterministic | paper | 1.0 | 6.45 | 0.18 | - |",
        "| InceptionV3 | paper | 1.0 | 14.43 | 0.44 | - |",
        "| VIB, beta = 0.01 | ours, 1 sample | 0.500 ± 0.000 | 6.50 ± 0.71 | 0.250 ± 0.000 | - |",
        "| deterministic | 80.0 | - | 40.0 | 30.0 | 70.0 | 50.0 | 20.0 |",
        "| CEB, beta = 0.01 | 80.0 | 60.0 | 40.0 | 30.0 | 70.0 | 50.0 | 20.0 |",
        "- VUB, beta = 0.01, `black_box`: Square breaks it.",
        "- VUB, beta = 0.01, `search`: pgd: blocked.",
        "- VUB, beta = 0.01, `search`: cw: blocked.",
    ):
        assert line in lines, line
    (own,) = (
        line for line in lines if line.startswith("| VIB, beta = 0.01 | ours, averaged | 74.0 ± 1.4 | 65.0 ± 7.1")
    )
    assert own.endswith("| 6.50 ± 0.71 |")
    assert "Not the papers' setting" not in table  # these records say that they are in it
    assert "1281167 training images" in lines[0]


def test_the_settings_are_the_papers():
    paper = FeaturesConfig(**PRESETS["paper"].values)
    assert departures(paper) == []
    assert departures(dataclasses.replace(paper, backbone="InceptionResNetV2")) == []
    assert list(map(str, departures(dataclasses.replace(paper, num_epochs=3)))) == ["num_epochs 3, in the paper 100"]
    assert (paper.target, paper.bottlenecks) == (805, ("vib", "vub", "ceb"))
    listed = models(dataclasses.replace(paper, num_seeds=1, betas=(0.1,)), with_backbone=True)
    assert [model.name for model in listed] == [
        "backbone_seed0", "cross_entropy_seed0", "vib_beta0.1_seed0", "vub_beta0.1_seed0", "ceb_beta0.1_seed0"
    ]  # fmt: skip
    head = head_config(paper, Model("ceb", 1e-2, 3), 2048)
    assert (head.hidden_width, head.latent_dim, head.batch_size, head.num_epochs) == (2048, 1024, 32, 100)
    assert (head.learning_rate, head.decay_rate, head.epochs_per_decay, head.seed) == (1e-4, 0.97, 2.0, 3)
    assert float(losses.rho_to_beta(head.rho)) == pytest.approx(1e-2)
    assert head_config(paper, Model("vub", 1e-2, 0), 2048).beta == 1e-2


def test_images_are_enlarged_and_kept_in_256_levels():
    images = open_images(FeaturesConfig(image_size=16, num_train_images=7))
    assert (images.num_train, images.num_evaluation, images.num_classes) == (7, 360, 10)
    found = images.train.read_rows(np.array([3])).inputs
    assert found.shape == (1, 16, 16, 3)
    assert found.dtype == np.uint8
    small = data.load("digits").train.inputs[3, ..., 0]
    np.testing.assert_allclose(found[0, ..., 1].mean() / 255, small.mean(), atol=0.02)
    with pytest.raises(ValueError, match="--image_size must be at least 8, that of the images, got 7"):
        open_images(FeaturesConfig(image_size=7))
    with pytest.raises(ValueError, match=r"--target_class must be in \[0, 10\), got 10"):
        open_images(FeaturesConfig(target_class=10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_epochs": 0}, "--num_epochs must be at least 1, got 0"),
        ({"latent_dim": -1}, "--latent_dim must be at least 0, got -1"),
        ({"worker": 1}, r"--worker must be below --num_workers=1, got 1"),
        ({"cw_share": 0.0}, r"--cw_share must be in \(0, 1\], got 0.0"),
        ({"fgsm_epsilons": ()}, r"--fgsm_epsilons must not be empty"),
        ({"radius": 0.3}, "--radius must be one of --fgsm_epsilons"),
        ({"betas": (1.0,)}, r"--betas must each be in \(0, 1\), got \(1.0,\)"),
        ({"objectives": "vib,svm"}, "--objectives must be of vib, vub, ceb, got svm"),
        ({"cw_learning_rate": 0.0}, "--cw_learning_rate must be positive, got 0.0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FeaturesConfig(**settings)
