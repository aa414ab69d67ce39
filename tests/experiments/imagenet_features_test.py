"""Heads on frozen features: a whole run on a tiny network, which goes on where it stood; and a record's report."""

import dataclasses
import io
import math
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.core import drawing, feature_cache, pictures, records, render, trained_model
from experiments.core.frames import frame, per_model, per_seed
from experiments.core.heads import HeadConfig, Standardise
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.report import Figure, Row
from experiments.core.session import Session
from experiments.core.settings import SettingError, departures
from experiments.core.workdir import WorkdirError
from experiments.imagenet_features import examples
from experiments.imagenet_features import run as program
from experiments.imagenet_features.attack import Attacks, findings, outcome, plan
from experiments.imagenet_features.backbone import Backbone, load, open_images
from experiments.imagenet_features.report import report
from experiments.imagenet_features.settings import PRESETS, FeaturesConfig
from experiments.imagenet_features.verdicts import claims
from ib_jax import data, losses
from ib_jax.evaluation import AttackSpec
from tests.experiments.core import tiny

RECORD = pathlib.Path(__file__).parent / "records" / "imagenet_features.json"
TINY = {
    "image_size": 8, "layer": "", "num_train_images": 160, "num_eval_images": 60, "betas": (1e-2,), "objectives": "ceb",
    "num_epochs": 10, "learning_rate": 5e-3, "fgsm_epsilons": (0.05, 0.1), "radius": 0.05, "num_fgsm_images": 0,
    "cw_share": 0.25, "pgd_steps": 2, "num_queries": 2, "num_eot_samples": 2, "cw_steps": 8, "cw_binary_steps": 2,
    "cw_initial_const": 10.0, "cw_learning_rate": 0.1, "attack_batch_size": 32, "num_eval_samples": 3,
    "feature_batch_size": 32, "shard_size": 100, "figures": False,
}  # fmt: skip
CEB = "ceb_beta0.01_seed0"


def run(workdir, **settings):
    config = FeaturesConfig(workdir=str(workdir), **TINY | settings)
    return program.run(config, Session("imagenet_features", "as tested", Console(file=io.StringIO(), width=100)))


def tiny_backbone(config, images):
    """A layer on four patches of an image, and one on these, without Keras."""
    rng = np.random.default_rng(0)
    variables = {"patches": rng.normal(0, 0.2, (48, 24)), "classes": rng.normal(0, 0.15, (96, 10))}

    def features(variables, images):
        patches = (2 * images - 1).reshape(-1, 2, 4, 2, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 4, 48)
        return jax.nn.relu(patches @ variables["patches"]).reshape(-1, 96)

    logits = lambda variables, images: features(variables, images) @ variables["classes"]
    variables = {name: jnp.asarray(values, jnp.float32) for name, values in variables.items()}
    return Backbone("tiny", "2 x - 1", variables, features, logits, 96, 10)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small network; and plain programs, since most of the time is compiling."""
    monkeypatch.setattr(program, "load_backbone", tiny_backbone)
    monkeypatch.setattr(program, "import_keras", lambda: types.SimpleNamespace(__version__="none"))
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def only_ceb(config, num_features, **settings):
    return [HeadConfig.of(config, num_features, "ceb", 1e-2, epochs_per_eval=config.num_epochs)]


def answers(workdir, key):
    """By attack: what is kept of it."""
    found = {}
    for path in sorted((workdir / key / "attacks").glob("*.npz")):
        with np.load(path) as arrays:
            found[path.stem] = dict(arrays)
    return found


@pytest.mark.slow
def test_a_bottleneck_is_trained_and_attacked_and_a_second_run_goes_on_where_the_first_stood(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "compared", only_ceb)
    assert run(tmp_path) == tmp_path / "results"
    path = tmp_path / "results" / f"{CEB}.json"
    record, found = records.read(path), answers(tmp_path, CEB)
    numbers, (model,) = frame([record]), record.models
    assert (model.name, model.seed, record.settings["num_queries"]) == ("ceb_beta0.01", 0, 2)
    assert {"name": "dataset", "ours": "digits", "paper": "imagenet2012"} in record.departures
    # From pixels through the network the answers are those to the cached features, but for other samples of z.
    clean, test = found["clean"], model.values_at(split="test")
    assert test["error_avg"] == pytest.approx((clean["answers"][:, 1] != clean["labels"]).mean(), abs=0.1)
    assert test["error_avg"] < 0.6
    right = clean["answers"] == clean["labels"][:, None]
    for samples, column in ((1, 0), (3, 1)):
        for name, samples_of_attack in (("00_fgsm", 1), ("02_fgsm", 2)):
            at = {"attack": "fgsm", "epsilon": 0.05, "num_eot_samples": samples_of_attack, "num_samples": samples}
            stands = right[:, column] & (found[name]["answers"][:, column] == clean["labels"])
            assert per_seed(numbers, "accuracy", **at, together=None)[0] == pytest.approx(stands.mean())
            share = per_seed(numbers, "success", **at, together=None)[0]
            assert share == pytest.approx(1 - stands.sum() / right[:, column].sum())
    # Carlini-Wagner: only images rightly answered, and not yet of the target class, which is 0 here.
    cw, small = found["08_carlini_wagner"], right[:15, 1] & (clean["labels"][:15] != 0)
    np.testing.assert_array_equal(cw["labels"], clean["labels"][:15][small])
    hit = cw["answers"][:, 1] == 0
    assert hit.any()
    at = {"attack": "carlini_wagner", "num_eot_samples": 2, "num_samples": 3}
    assert per_seed(numbers, "mean_l2", **at)[0] == pytest.approx(cw["l2"][hit].mean(), rel=1e-5)
    assert (cw["l2"][hit] <= cw["linf"][hit] * np.sqrt(8 * 8 * 3) + 1e-5).all()
    together = numbers[(numbers["together"] == True) & (numbers["metric"] == "accuracy")]  # noqa: E712
    assert len(together) == 7  # clean, twice FGSM, PGD, transfer, Square, worst
    assert together["value"].min() == per_seed(numbers, "accuracy", attack="worst")[0]
    assert set(together["num_images"]) == {15}
    assert (tmp_path / "cross_entropy_seed1" / "results.json").exists()  # on it the images for transfer were made
    assert not (tmp_path / "cross_entropy_seed0").exists()

    def refuse(*args, **kwargs):
        raise AssertionError("again")

    table = (tmp_path / "results" / "table.md").read_text()
    measure = program.Comparison.measure
    monkeypatch.setattr(program.Comparison, "measure", refuse)
    run(tmp_path)
    assert (tmp_path / "results" / "table.md").read_text() == table
    with pytest.raises(AssertionError, match="again"):
        run(tmp_path, results=str(tmp_path / "elsewhere"))
    # Without its record, a model's answers are still there: nothing is attacked or trained again.
    monkeypatch.setattr(program.Comparison, "measure", measure)
    monkeypatch.setattr(Attacks, "_in_blocks", refuse)
    path.unlink()
    run(tmp_path)
    again = records.read(path)
    assert again.models[0].measurements == model.measurements
    assert again.models[0].findings == model.findings
    with pytest.raises(WorkdirError, match="--num_queries: 2 there, 3 now"):
        run(tmp_path, num_queries=3)
    # A record elsewhere is that of its settings, too.
    with pytest.raises(WorkdirError, match=r"ceb_beta0.01_seed0.json .*\n.*--num_queries: 2 there, 3 now"):
        run(tmp_path / "other", num_queries=3, results=str(tmp_path / "results"))


@pytest.mark.slow
def test_the_network_and_the_deterministic_head_are_attacked_too(tmp_path):
    results = run(tmp_path, objectives="")
    assert {path.stem for path in results.glob("*.json")} == {"backbone_seed0", "cross_entropy_seed0"}
    for key in ("backbone_seed0", "cross_entropy_seed0"):
        test = records.read(results / f"{key}.json").models[0].values_at(split="test")
        found = answers(tmp_path, key)
        wrong = (found["clean"]["answers"] != found["clean"]["labels"][:, None]).mean(0)
        assert test["error_avg"] == pytest.approx(wrong[1])  # from pixels as from cached features
        assert test["error_one"] == pytest.approx(wrong[0])
    assert test["error_avg"] < 0.5
    # PGD on the head of seed 1, shown to the head of seed 0.
    own, transferred = (
        (found[name]["answers"][:, 1] == found[name]["labels"]).mean() for name in ("02_pgd", "03_pgd_transfer")
    )
    assert own <= transferred < (found["clean"]["answers"][:15, 1] == found["clean"]["labels"][:15]).mean()
    assert (results / "table.md").read_text().count("| tiny | no noise |") == 4


def test_a_worker_computes_its_share_of_the_features(tmp_path, monkeypatch):
    computed = []
    give = lambda cache, shards, *args: computed.append((cache.num_shards, list(shards))) or iter(())
    monkeypatch.setattr(feature_cache, "computed", give)
    assert run(tmp_path, num_workers=2, worker=1, cache_dir=str(tmp_path / "c"), num_eval_images=20) == tmp_path
    assert computed == [(2, [1])]  # of 160 and of 20 images, 100 in a shard
    assert list(tmp_path.iterdir()) == []


def test_standardised_features_are_what_the_first_layer_sees():
    features = np.random.default_rng(0).normal(5.0, [1e-3, 1.0, 40.0, 0.0], (500, 4)).astype(np.float32)
    seen = 2 * np.asarray(Standardise(features.mean(0), features.std(0))(features)) - 1  # the encoder's 2 x - 1
    np.testing.assert_allclose(seen.mean(0), 0.0, atol=2e-3)
    np.testing.assert_allclose(seen.std(0), [1, 1, 1, 0], atol=2e-3)


def test_outcomes_by_hand():
    clean = np.array([[1, 1], [1, 1], [2, 0], [2, 2]])
    found = {
        "labels": np.array([1, 1, 2, 2]), "answers": np.array([[1, 0], [0, 1], [0, 0], [3, 0]]), "before": clean,
        "l2": np.array([3.0, 9.0, 1.0, 2.0]), "linf": np.array([0.3, 0.9, 0.1, 0.2]),
    }  # fmt: skip
    assert outcome(found, 1) == {"num_right": 3, "success": pytest.approx(2 / 3), "success_of_all": 0.5}
    aimed = outcome(found, 0, 0)  # by one sample; the target is class 0
    assert (aimed["num_right"], aimed["success"]) == (4, 0.5)
    assert (aimed["mean_l2"], aimed["mean_linf"], aimed["median_l2_all"]) == (5.0, 0.5, 9.0)
    wrong = outcome(found | {"before": 9 - clean}, 1)
    assert (wrong["num_right"], wrong["success"], wrong["success_of_all"]) == (0, None, 0.0)


def attacked(config, stood):
    """Answers to four images of class 1: which stand, by the kind of attack, at every radius and number of samples."""
    before, labels = np.ones((4, 2), int), np.ones(4, int)
    told = {"success": np.array([True, False, False, False]), "blocked": np.array([False, True, False, False])}
    found = {None: {"labels": labels, "answers": before, "before": before, "seconds": np.array(1.0)}}
    for spec in plan(config, stochastic=True):
        stands = np.array(stood.get("transfer" if spec.source else spec.attack, (1, 1, 1, 1)))
        own = {} if spec.source or spec.attack != "pgd" else told
        quiet = {"success": ~(stands > 0), "blocked": np.zeros(4, bool)}
        sizes = {"l2": np.ones(4), "linf": np.ones(4)}
        found[spec] = found[None] | quiet | own | sizes | {"answers": np.stack([stands, stands], -1)}
    return found


def test_what_the_attacks_say_of_their_searches_and_of_each_other():
    config = FeaturesConfig(**TINY)
    found = attacked(config, {"pgd": (0, 1, 1, 1), "square": (0, 0, 0, 1), "fgsm": (0, 0, 1, 1)})
    said = {(each["check"], each["message"].split(":")[0]) for each in findings(found)}
    assert ("search", "pgd linf 0.05, 2 steps, 2 samples") in said
    assert any("square" in each["message"] for each in findings(found) if each["check"] != "search")
    suite = Attacks(config, lambda *args: jnp.zeros(10), None, num_images=60, stochastic=True)
    rows = [row for row in suite.measurements(found, "cross_entropy") if row.at.get("together")]
    seen = {
        (row.at["attack"], row.at.get("num_eot_samples"), row.at.get("source")): row.values["accuracy"] for row in rows
    }
    assert seen == {
        ("clean", None, None): 1.0,
        ("fgsm", 1, None): 0.5,
        ("fgsm", 2, None): 0.5,
        ("pgd", 2, None): 0.75,
        ("pgd", 1, "cross_entropy"): 1.0,
        ("square", 2, None): 0.25,
        ("worst", None, None): 0.25,
    }


def test_the_report_of_a_stored_record():
    stored = [records.read(RECORD)]
    made = report(frame(stored), stored)
    (figure,) = (block for block in made.blocks if isinstance(block, Figure))
    drawn = [[len(list(drawing.points(line, made.frame, "beta"))) for line in panel.lines] for panel in figure.panels]
    assert drawn == [[1, 1], [1, 1]]  # of VIB at one beta
    assert [len(panel.levels) for panel in figure.panels] == [1, 1]  # the deterministic head
    lines = render.markdown(made).splitlines()
    for line in (
        "| VIB, beta = 0.01 | 1 sample | 96.7 [72.8 ± 1] | 48.3 | 84.5 | 1.10 [3318 ± 293] |",
        "| VIB, beta = 0.01 | averaged | 96.7 | 44.1 | 83.1 | 1.14 |",
        "| deterministic | no noise | 96.7 | 46.6 | 87.9 | 1.16 |",
        "| VIB, beta = 0.01 | averaged | 43.3 | 81.7 |",
        "| deterministic | no noise | 96.7 | - | 0.400 [1] | 1.16 [6.45] | 0.221 [0.18] | - |",
        "| VIB, beta = 0.01 | 1 sample | 96.7 [80.12] | 39 [45] | 0.300 [0.567] | 1.10 [43.27] | 0.213 [0.92] | - |",
        "| deterministic | no noise | 95.8 | - | 50.0 | 54.2 | 75.0 | 95.8 | 50.0 |",
        "| VIB, beta = 0.01 | averaged | 100.0 | 66.7 | 62.5 | 70.8 | 79.2 | 100.0 | 62.5 |",
        "| VIB, beta = 0.01, averaged | search | 1 of 1 | 1 | pgd linf 0.05, 2 steps: blocked. |",
        "| num_epochs | 30 | 100 |",
    ):
        assert line in lines, line
    (headline,) = made.headlines
    assert headline.paper == "72.8 ± 1"


def test_the_settings_are_the_papers():
    paper = FeaturesConfig(**PRESETS["paper"].values)
    assert departures(paper) == []
    assert departures(dataclasses.replace(paper, backbone="InceptionResNetV2")) == []
    assert list(map(str, departures(dataclasses.replace(paper, num_epochs=3)))) == ["num_epochs 3, in the paper 100"]
    assert [each.name for each in departures(dataclasses.replace(paper, trained="mine"))] == ["trained"]
    assert (paper.target, paper.compared) == (805, ("vib", "vub", "ceb"))
    listed = program.compared(dataclasses.replace(paper, num_seeds=1, betas=(0.1,)), 2048, with_backbone=True)
    assert [*map(program.key_of, listed)] == [
        "backbone_seed0", "cross_entropy_seed0", "vib_beta0.1_seed0", "vub_beta0.1_seed0", "ceb_beta0.1_seed0"
    ]  # fmt: skip
    head = program.compared(paper, 2048, with_backbone=False)[-2]
    assert (head.key, head.objective) == ("ceb_beta0.1_seed3", "ceb")
    assert (head.hidden_width, head.latent_dim, head.batch_size, head.num_epochs) == (2048, 1024, 32, 100)
    assert (head.learning_rate, head.decay_rate, head.epochs_per_decay, head.seed) == (1e-4, 0.97, 2.0, 3)
    assert (head.scale_shift, head.encoder_scale, head.average_decay) == (-5.0, "learned", 0.999)
    assert float(losses.rho_to_beta(head.rho)) == pytest.approx(1e-1)


def test_images_are_enlarged_and_kept_in_256_levels():
    images = open_images(FeaturesConfig(image_size=16, num_train_images=7, num_eval_images=7))
    source, count = images.splits["train"]
    assert (count, images.splits["evaluation"][1], images.num_classes) == (7, 7, 10)
    assert [count for _, count in open_images(FeaturesConfig(image_size=8)).splits.values()] == [1437, 360]
    found = source.read_rows(np.array([3])).inputs
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
        ({"worker": 1}, r"--worker must be below --num_workers=1, got 1"),
        ({"radius": 0.3}, "--radius must be one of --fgsm_epsilons"),
        ({"betas": (1.0,)}, r"--betas must each be in \[0, 1\), got \(1.0,\)"),
        ({"objectives": "vib,svm"}, "--objectives must be of vib, vub, ceb, got svm"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FeaturesConfig(**settings)


def test_examples_are_kept_small_and_drawn_of_the_first_seed(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(size=(2, 200, 200, 3)), np.array([3, 5])
    fgsm, cw = AttackSpec("fgsm", 0.1), AttackSpec("carlini_wagner", targeted=True)
    made = [
        (fgsm, np.clip(images + 0.1, 0, 1), np.array([3, 1])),
        (cw, images + np.array([0.01, 0.0, 0.0]), np.array([0, 0])),
    ]
    kept = examples.keep(images, labels, made)
    assert kept["shape"] == (2, 67, 67, 3)
    np.testing.assert_allclose(kept["attacks"][1]["l2"], 0.01 * 200, rtol=1e-6)  # of the whole image
    np.testing.assert_allclose(pictures.unpack(kept["originals"], kept["shape"]), images[:, ::3, ::3], atol=0.002)
    models = [
        Model("", seed, [], {"objective": name, "beta": beta}, details={"examples": kept})
        for name in ("vib", "vub")
        for beta in (0.1, 0.03, 0.0)
        for seed in (0, 1)
    ]
    figures = examples.figures([Record("imagenet_features", "", {}, models)])
    assert [figure.file for figure in figures] == ["figure_cw.png", "figure_fgs.png"]
    assert figures[1].draw.args[0].keys() == {"VIB, 0.03", "VUB, 0.03"}  # nearest to the paper's 0.01
    for figure in figures:
        drawing.draw(figure, frame([]), tmp_path / figure.file)
        assert (tmp_path / figure.file).stat().st_size > 1000
    assert not examples.figures([Record("imagenet_features", "", {}, [each for each in models if each.seed])])


def test_a_network_that_was_trained_here_is_frozen_at_the_mean_of_its_code(tmp_path, monkeypatch):
    images = np.random.default_rng(0).uniform(size=(20, 8, 8, 3)).astype(np.float32)
    split = data.Split(images, (np.arange(20) % 4).astype(np.int32))
    recipe = Recipe(dataclasses.replace(tiny.CONFIG, objective="vib"), data.Dataset("x", split, None, split, 4))
    params = recipe.init_params(jax.random.key(0))
    monkeypatch.setattr(trained_model, "open_recipe", lambda workdir: recipe)
    monkeypatch.setattr(trained_model, "restore_params", lambda recipe, workdir: params)
    network = load(FeaturesConfig(trained=str(tmp_path), image_size=8), 4)
    assert (network.num_features, network.num_classes, network.name) == (3, 4, "quick_vib_beta0.001_K3")
    mean = recipe.model.encode(params, images).mean
    np.testing.assert_array_equal(network.features(network.variables, images), mean)
    np.testing.assert_array_equal(network.logits(network.variables, images), recipe.model.decode(params, mean))
    with pytest.raises(SettingError, match=r"--trained must take images of \(32, 32, 3\), got \(8, 8, 3\)"):
        load(FeaturesConfig(trained=str(tmp_path)), 4)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"--trained must be the workdir of a finished image model; .*results.json"):
        load(FeaturesConfig(trained=str(tmp_path)), 10)


def test_a_verdict_on_each_statement_of_table_1():
    def row(objective, beta, errors, success, distance):
        values = [
            [
                Measurement({"split": "test"}, {"error_one": error}),
                Measurement({"attack": "fgsm", "epsilon": 0.0225, "num_eot_samples": 1}, {"success": success}),
                Measurement(
                    {"attack": "fgsm", "epsilon": 0.0225, "num_eot_samples": 1, "together": True}, {"success": 1}
                ),
                Measurement({"attack": "carlini_wagner", "num_eot_samples": 1}, {"mean_l2": distance}),
            ]
            for error in errors
        ]
        models = [Model(objective, seed, each, {"objective": objective}) for seed, each in enumerate(values)]
        return Row(
            objective, frame=frame([Record("x", "", {}, models)]), at={"num_eot_samples": 1}, key=(objective, beta)
        )

    def accuracy(part):
        return 1 - per_model(part, "error_one", split="test", attack=None)

    paper = {("backbone", None): (77, 68), ("vib", 0.1): ("73 ± 1", "59 ± 2"), ("vub", 0.1): ("75.5 ± 1", "63")}
    errors = np.arange(5) / 1000
    rows = [
        row("backbone", None, [0.1], 0.8, 0.5),
        row("vib", 0.1, 0.3 + errors, 0.9, 0.75),
        row("vub", 0.1, 0.2 + errors, 0.7, math.nan),  # no success there
    ]
    found = claims(rows, accuracy, [0.0225, 0.1], paper)
    assert [(claim.text, claim.paper) for claim in found] == [
        ("beta = 0.1: VUB is more accurate than VIB", 2.5),
        ("VIB, beta = 0.1: less accurate than the network itself", 4.0),
        ("VIB, beta = 0.1: FGS 0.0225 succeeds less often than on the network itself", 9.0),
        ("VIB, beta = 0.1: Carlini-Wagner needs a larger L2 distance than on the network itself", None),
        ("VUB, beta = 0.1: less accurate than the network itself", 1.5),
        ("VUB, beta = 0.1: FGS 0.0225 succeeds less often than on the network itself", 5.0),
    ]
    assert found[0].p_value == pytest.approx(0.009, abs=1e-3)
    assert [claim.differences.mean() for claim in found] == pytest.approx([10.0, 20.2, -10.0, 0.25, 10.2, 10.0])
    assert claims(rows[:2], accuracy, [0.0225, 0.1], paper)[0].text.startswith("VIB")
    alone = [row(name, 1, [0.1], 1, 1) for name in ("vib", "vub")]
    assert np.isnan(claims(alone, accuracy, [], {})[0].p_value)
