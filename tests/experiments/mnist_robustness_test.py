"""The attacks on VIB: what a record says, that runs go on where they stood, and the table and figures from records."""

import dataclasses
import io
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.core import records
from experiments.core.app import Session
from experiments.core.workdir import WorkdirError
from experiments.mnist_robustness import attack as mnist_robustness_attacks
from experiments.mnist_robustness import figures as robustness_figures
from experiments.mnist_robustness import run as mnist_robustness
from experiments.mnist_robustness import settings as names
from experiments.mnist_robustness import table as mnist_robustness_table
from experiments.mnist_robustness.settings import Model, RobustnessConfig, models, plan, run_settings, source_of
from experiments.mnist_robustness.summary import check_attacks, minimal_row, pack, same_images, unpack
from experiments.mnist_vib import run as mnist_vib

TINY = {
    "betas": (1e-2,), "num_seeds": 1, "num_epochs": 2, "fgsm_epsilons": (0.35,), "pgd_epsilons": (0.1, 0.3),
    "num_fgsm_images": 16, "num_attack_images": 12, "num_square_images": 10, "num_cw_images": 8, "num_queries": 3,
    "cw_steps": 4, "cw_binary_steps": 2, "num_eot_samples": 2, "num_cw_eot_samples": 2, "num_eval_samples": 3,
}  # fmt: skip
NAMES = ["cross_entropy_seed0", "dropout_seed0", "vib_beta0.01_seed0"]
FIGURES = ["figure3.png", "figure3_eot.png", "figure5.png", "figure6.png", "figure_honest.png"]


def run(workdir, **settings):
    config = RobustnessConfig(workdir=str(workdir), **TINY | settings)
    return mnist_robustness.run(config, Session(console=Console(file=io.StringIO(), width=100), command="as tested"))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished comparison. Most of its time is compiling, so only one of the deterministic models is trained."""
    path = tmp_path_factory.mktemp("robustness")
    train = mnist_vib.run

    def copy_or_train(config, console, *, command):
        first = path / NAMES[0]
        if config.objective == "vib" or not first.exists():
            return train(config, console, command=command)
        shutil.copytree(first, config.workdir)
        records.write_json(pathlib.Path(config.workdir) / "config.json", dataclasses.asdict(config))
        return {}

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_vib, "run", copy_or_train)
        run(path)
    jax.config.update("jax_disable_most_optimizations", before)
    return path


def read(workdir, name):
    record = json.loads((workdir / "results" / f"{name}.json").read_text())
    with np.load(workdir / "per_example" / f"{name}.npz") as arrays:
        return record, dict(arrays)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_record_sums_up_its_answers(workdir, name):
    record, arrays = read(workdir, name)
    assert record["source"] == "cross_entropy_seed1"
    assert record["num_images"] == 16
    labels = arrays["labels"]
    tried = {(row["attack"], row["epsilon"]) for row in record["attacks"]}
    assert len(tried) == len(record["attacks"]) == 3 + 3 + 3 + 2 + 1 + 2 + 2 + 4
    for row in record["attacks"]:
        arrays_of = row["attack"] if "vib" in name else names.WITHOUT_NOISE.get(row["attack"], row["attack"])
        key = arrays_of if row["epsilon"] is None else f"{arrays_of}_{row['epsilon']:g}"
        count = len(arrays[key])
        right, clean = arrays[key] == labels[:count], (arrays["clean"] == labels)[:count]
        assert row["num_images"] == count
        assert row["accuracy"] == pytest.approx((right if "targeted" in key else right & clean).mean())
        if row["epsilon"] is None:
            assert row["num_right"] == clean.sum() > 0
            assert row["success"] == pytest.approx(arrays[f"{key}_success"][clean].mean())
    for same in record["same_images"]:
        accuracy = same["accuracy"]
        assert same["num_images"] == 10
        assert accuracy["worst"] == min([accuracy["worst"], *accuracy.values()])
        at_radius = [arrays[f"{attack}_{same['epsilon']:g}"][:10] for attack in ("fgsm", "pgd", "transfer", "square")]
        assert accuracy["worst"] <= np.all([answers == labels[:10] for answers in at_radius], axis=0).mean()
    zeros = record["zeros"]
    assert zeros["shape"] == [10, 8, 8]
    assert unpack(zeros["originals"], zeros["shape"]).max() <= 1.0
    for attack in ("cw_targeted", "cw_one_targeted"):
        assert len(zeros[attack]["answers"]) == len(zeros[attack]["l2"]) == 10


@pytest.mark.slow
def test_the_trained_model_is_the_one_that_is_attacked(workdir):
    record, arrays = read(workdir, NAMES[0])  # without noise every answer is the same
    with np.load(workdir / NAMES[0] / "per_example.npz") as trained:
        assert (arrays["clean"] == arrays["labels"]).tolist() == trained["correct_avg"][:16].astype(bool).tolist()
    assert record["clean_accuracy"] > 0.8
    assert read(workdir, NAMES[2])[0]["clean_accuracy"] > 0.6


@pytest.mark.slow
def test_what_has_a_record_is_not_trained_or_attacked_again(workdir, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("again")

    monkeypatch.setattr(mnist_vib, "run", refuse)
    monkeypatch.setattr(mnist_robustness_attacks.Measurer, "measure", refuse)
    monkeypatch.setattr(robustness_figures, "draw_all", lambda folder, groups: None)
    table = (workdir / "results" / "table.md").read_text()
    assert run(workdir) == workdir / "results"
    assert (workdir / "results" / "table.md").read_text() == table
    # Without its record a model is attacked again, but not trained.
    with pytest.raises(AssertionError, match="again"):
        run(workdir, results=str(workdir / "elsewhere"))
    with pytest.raises(WorkdirError, match=r"cross_entropy_seed0.json holds a run with other settings"):
        run(workdir, num_queries=4)


@pytest.mark.slow
def test_table_and_figures_are_made_from_records(workdir, tmp_path):
    for name in NAMES:
        record, _ = read(workdir, name)
        for seed in (0, 1):
            betas = (1e-2, 1e-1) if record["beta"] else (None,)
            for beta in betas:
                changed = record | {"beta": beta, "seed": seed, "zeros": record["zeros"] if seed == 0 else None}
                if beta == 1e-1:
                    message = {"check": "black_box", "message": "Square breaks it.", "epsilon": 0.1, "evidence": {}}
                    changed["findings"] = [message]
                records.write_json(tmp_path / f"{Model(record['objective'], beta, seed).name}.json", changed)
    table = mnist_robustness_table.make(tmp_path)
    assert (tmp_path / "table.md").read_text() == table
    for figure in FIGURES:
        assert (tmp_path / figure).stat().st_size > 3000, figure
    for row in ("| deterministic |", "| dropout |", "| VIB, beta = 0.01 |", "| VIB, beta = 0.1 |"):
        assert table.count(row) == 3, row  # two radii and Carlini-Wagner
    assert "| radius 0.1 | clean | FGSM, 1 sample | FGSM | PGD-20 | PGD-20, margin | PGD-40 | transfer |" in table
    assert "± 0.0" in table
    assert "| accuracy under FGSM, epsilon 0.35, deterministic, % | about 5 % |" in table
    assert "- VIB, beta = 0.1, `black_box` (seed 0 at 0.1, seed 1 at 0.1); the first: Square breaks it." in table
    for figure in FIGURES:  # the run drew them too
        assert (workdir / "results" / figure).exists()


def test_the_models_are_those_of_the_brief():
    config = RobustnessConfig(betas=(1e-8, 0.1), num_seeds=2, workdir="w")
    assert [model.name for model in models(config)] == [
        "cross_entropy_seed0", "cross_entropy_seed1", "dropout_seed0", "dropout_seed1",
        "vib_beta1e-08_seed0", "vib_beta1e-08_seed1", "vib_beta0.1_seed0", "vib_beta0.1_seed1",
    ]  # fmt: skip
    assert [source_of(Model("vib", 0.1, seed)).seed for seed in range(3)] == [1, 0, 0]
    settings = run_settings(config, Model("vib", 1e-8, 1))
    assert settings["beta"] == 1e-8
    assert settings["num_epochs"] == settings["epochs_per_eval"] == 20
    assert settings["num_attack_images"] == 0


def test_every_target_multiplies_the_work():
    one, every = (plan(RobustnessConfig(cw_targets=kind), 60, 10, stochastic=True) for kind in ("random", "all"))
    work = [[step.work for step in steps if step.attack == names.CW_TARGETED] for steps in (one, every)]
    assert work[1] == [9 * work[0][0]]
    assert max(step.num_images for step in one) == 60
    deterministic = plan(RobustnessConfig(), 60, 10, stochastic=False)
    assert not {step.attack for step in deterministic} & set(names.WITHOUT_NOISE)


def test_summaries():
    # The last was wrong before: at a distance of 0 it would make the attack look stronger.
    before = np.array([True, True, True, True, False])
    row = minimal_row(np.array([1.0, 2.0, 9.0, 0.0, 0.0]), np.array([True, True, True, False, True]), before)
    assert row == {"num_right": 4, "success": 0.75, "mean_l2": 4.0, "median_l2": 5.5}
    assert minimal_row(np.array([1.0, 2.0]), np.array([True, False]), before[:2])["median_l2"] == np.inf
    nothing = minimal_row(np.zeros(1), np.ones(1, bool), np.zeros(1, bool))
    assert nothing.pop("num_right") == 0
    assert np.isnan(list(nothing.values())).all()
    images = np.linspace(0.0, 1.0, 2 * 3 * 4).reshape(2, 3, 4)
    np.testing.assert_allclose(unpack(pack(images), (2, 3, 4)), images, atol=0.5 / 255 + 1e-9)
    correct = {("clean", 0.0): np.array([True, True, True, False]), ("pgd", 0.1): np.array([True, False, True])}
    same = same_images(correct | {("square", 0.1): np.array([False, True, True])}, 0.1)
    assert same["accuracy"] == {"clean": 1.0, "pgd": 2 / 3, "square": 2 / 3, "worst": 1 / 3}


def test_a_black_box_that_wins_is_reported():
    stands, falls = np.ones(100, bool), np.zeros(100, bool)
    correct = {("clean", 0.0): stands, ("pgd", 0.1): stands, ("pgd", 1.0): falls}
    correct |= {("fgsm", 0.1): stands, ("transfer", 0.1): stands, ("square", 0.1): np.arange(100) < 50}
    findings = check_attacks(correct, (0.1,))
    assert [(finding["check"], finding["epsilon"]) for finding in findings] == [("black_box", 0.1)]
    assert "square" in findings[0]["message"]
    assert check_attacks(correct | {("square", 0.1): stands}, (0.1,)) == []
    assert {"unbounded", "large_radius"} == {f["check"] for f in check_attacks(
        correct | {("square", 0.1): stands, ("pgd", 1.0): stands}, (0.1,)
    )}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": ()}, r"--betas must not be empty"),
        ({"betas": (0.0,)}, r"--betas must each be positive, got \(0.0,\)"),
        ({"num_seeds": 0}, "--num_seeds must be at least 1, got 0"),
        ({"num_cw_images": 0}, "--num_cw_images must be at least 1, got 0"),
        ({"num_eot_samples": 0}, "--num_eot_samples must be at least 1, got 0"),
        ({"cw_learning_rate": 0.0}, "--cw_learning_rate must be positive, got 0.0"),
        ({"pgd_epsilons": (0.2, 0.1)}, r"--pgd_epsilons must increase, got \(0.2, 0.1\)"),
        ({"pgd_epsilons": (0.1, 1.0)}, r"--pgd_epsilons must each be in \(0, 1\)"),
        ({"radius": 0.15}, r"--radius must be one of --pgd_epsilons, \(0.1, 0.2, 0.3\), got 0.15"),
        ({"fgsm_epsilons": (0.0,)}, "--fgsm_epsilons must each be positive"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RobustnessConfig(**settings)
