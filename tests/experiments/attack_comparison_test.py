"""The attacks beside the same ones of other libraries: the evaluation, the comparison, the workers, and the table."""

import io
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.attack_comparison import AttackedModel, AttackEvaluator, Peers, load_model, peers, report, run
from experiments.attack_comparison.settings import DETERMINISTIC, GROUPS, ComparisonConfig, comparisons, deepfool, pgd
from experiments.core import frames, records, render
from experiments.core import worker as torch_worker
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import SettingError

SMALL = {"num_epochs": 20, "hidden_width": 64, "num_queries": 300, "cw_steps": 100, "cw_binary_steps": 4}
SLACK = 2  # images by which the luck of a random start may decide on so few of them
EPSILON = 0.1
LINF = {"eps": EPSILON, "alpha": 0.03, "steps": 5}
OFFICIAL = {"eps": EPSILON, "n_iter": 5, "n_queries": 50}
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "torchattacks fgsm": ("torchattacks.FGSM", {"eps": EPSILON}, "linf"),
    "torchattacks bim": ("torchattacks.BIM", LINF, "linf"),
    "torchattacks pgd": ("torchattacks.PGD", {**LINF, "random_start": True}, "linf"),
    "torchattacks pgd l2": ("torchattacks.PGDL2", {"eps": 1.0, "alpha": 0.3, "steps": 5}, "l2"),
    "torchattacks mifgsm": ("torchattacks.MIFGSM", {**LINF, "decay": 0.9}, "linf"),
    "torchattacks cw": ("torchattacks.CW", {"c": 1.0, "kappa": 0.0, "steps": 10, "lr": 0.05}, ""),
    "torchattacks deepfool": ("torchattacks.DeepFool", {"steps": 10, "overshoot": 0.02}, ""),
    "torchattacks apgd ce": ("torchattacks.APGD", {"eps": EPSILON, "steps": 5, "loss": "ce"}, "linf"),
    "torchattacks apgd dlr": ("torchattacks.APGD", {"eps": 1.0, "norm": "L2", "steps": 5, "loss": "dlr"}, "l2"),
    "torchattacks apgdt": ("torchattacks.APGDT", {"eps": EPSILON, "steps": 5, "n_classes": 10}, "linf"),
    "torchattacks fab": ("torchattacks.FAB", {"eps": EPSILON, "steps": 5}, "linf"),
    "torchattacks square linf": ("torchattacks.Square", {"eps": EPSILON, "n_queries": 50}, "linf"),
    "torchattacks square l2": ("torchattacks.Square", {"eps": 1.0, "norm": "L2", "n_queries": 50}, "l2"),
    "torchattacks autoattack": ("torchattacks.AutoAttack", {"eps": EPSILON, "version": "rand"}, "linf"),
    "foolbox fgsm": ("foolbox.LinfFastGradientAttack", {"eps": EPSILON}, "linf"),
    "foolbox pgd": ("foolbox.LinfPGD", {"eps": EPSILON, "rel_stepsize": 0.3, "steps": 5, "random_start": True}, "linf"),
    "foolbox pgd l2": ("foolbox.L2PGD", {"eps": 1.0, "abs_stepsize": 0.3, "steps": 5, "random_start": False}, "l2"),
    "foolbox cw": (
        "foolbox.L2CarliniWagnerAttack",
        {"binary_search_steps": 2, "steps": 10, "stepsize": 0.05, "initial_const": 1.0, "abort_early": False},
        "",
    ),
    "foolbox hop_skip_jump": ("foolbox.HopSkipJumpAttack", {"steps": 2, "constraint": "l2"}, ""),
    "foolbox deepfool l2": ("foolbox.L2DeepFoolAttack", {"steps": 10, "candidates": 5, "overshoot": 0.02}, ""),
    "foolbox deepfool linf": ("foolbox.LinfDeepFoolAttack", {"steps": 10, "candidates": 5, "eps": EPSILON}, "linf"),
    "pyautoattack linf": ("pyautoattack.AutoAttack", {**OFFICIAL, "norm": "Linf"}, "linf"),
    "pyautoattack l2": (
        "pyautoattack.AutoAttack",
        {**OFFICIAL, "eps": 1.0, "norm": "L2", "attacks": ["apgd-ce", "apgd-t"]},
        "l2",
    ),
}
CASES |= {
    "adv_lib ddn": ("adv_lib.ddn", {"steps": 20, "levels": None}, ""),
    "adv_lib fmn": ("adv_lib.fmn", {"steps": 20, "norm": "inf"}, ""),
    "adv_lib sigma_zero": ("adv_lib.sigma_zero", {"num_steps": 20}, ""),
}
RADII = {"linf": EPSILON, "l2": 1.0}


def network(layers: list[tuple[np.ndarray, np.ndarray]], images: np.ndarray) -> np.ndarray:
    """Two ReLU layers, a linear code and a linear decoder; the oracle of the worker's network."""
    hidden = 2.0 * images.reshape(len(images), -1) - 1.0
    for index, (kernel, bias) in enumerate(layers):
        hidden = hidden @ kernel + bias
        hidden = np.maximum(hidden, 0.0) if index < 2 else hidden
    return hidden


def random_model() -> AttackedModel:
    """A random network, labelled by itself but for the first image."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(0, fan_in**-0.5, (fan_in, fan_out)), rng.normal(0, 0.1, fan_out))
        for fan_in, fan_out in ((784, 16), (16, 16), (16, 8), (8, 10))
    ]
    images = rng.uniform(0, 1, (7, 28, 28, 1)).astype(np.float32)
    labels = network(layers, images).argmax(-1)
    labels[0] = (labels[0] + 1) % 10
    return AttackedModel(lambda params, keys, inputs: jnp.zeros((len(inputs), 10)), {}, layers, images, labels, {})


def tiny_model() -> AttackedModel:
    """A linear network on five images of two pixels: class 0 where the first pixel is the brighter one."""
    kernel, bias = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), np.zeros(2, np.float32)
    images = np.array([[0.8, 0.2], [0.58, 0.42], [0.3, 0.7], [0.9, 0.1], [0.5, 0.4]], np.float32).reshape(5, 2, 1, 1)
    labels = np.array([0, 0, 1, 1, 0])  # the fourth is wrong from the start

    def apply_fn(params: Any, keys: jax.Array, inputs: jax.Array) -> jax.Array:
        return (2 * inputs.reshape(len(inputs), 2) - 1) @ params

    description = {"dataset": "tiny", "objective": "cross_entropy", "num_epochs": 0}
    return AttackedModel(apply_fn, kernel, [(kernel, bias)], images, labels, description)


@pytest.fixture(scope="module")
def evaluator() -> AttackEvaluator:
    return AttackEvaluator(tiny_model(), 5)


def test_the_evaluation_counts_only_what_stays_in_the_ball(evaluator: AttackEvaluator) -> None:
    assert evaluator.correct.tolist() == [True, True, True, False, True]
    moved = evaluator.images.copy()
    moved[0] = np.array([0.4, 0.6]).reshape(2, 1, 1)  # 0.4 away
    moved[1] = np.array([0.45, 0.55]).reshape(2, 1, 1)  # 0.13 away
    moved[2] = np.nan
    moved[4] = 0.0  # the answer of an attack that found nothing
    found = evaluator(moved, norm="linf", epsilon=0.2)
    assert (found["robust_accuracy"], found["outside"]) == (pytest.approx(3 / 5), 3)
    found = evaluator(moved, norm="l2")
    assert (found["robust_accuracy"], found["outside"], found["num_correct"]) == (pytest.approx(2 / 5), 1, 4)
    assert found["median_l2"] == pytest.approx((0.4 + 0.13) / 2 * math.sqrt(2))
    assert found["median_l2_all"] == pytest.approx(0.4 * math.sqrt(2))  # 0.13, 0.4 and two failures
    moved[2] = evaluator.images[2].mean()  # a tie, which goes to the first class
    moved[0] = evaluator.images[0].mean()
    found = evaluator(moved, norm="l2")
    assert (found["num_correct"], found["success_rate"], found["on_boundary"]) == (4, 2 / 4, 1)
    assert found["boundary_success_rate"] == 3 / 4
    few = evaluator.images.copy()
    few[0, 0] = 0.1  # one of its two pixels
    found = evaluator(few, norm="l0")
    assert (found["success_rate"], found["median_l0_all"]) == (1 / 4, math.inf)
    few[1:3] = 1 - few[1:3]
    found = {norm: evaluator(few, norm=norm)[f"median_{norm}_all"] for norm in ("l0", "l1", "l2")}
    assert found == {"l0": 2, "l1": pytest.approx(0.7), "l2": pytest.approx(0.4 * math.sqrt(2))}
    fewer = evaluator(moved[:2], norm="linf", epsilon=0.2)
    assert (fewer["robust_accuracy"], fewer["num_correct"]) == (0.5, 2)


def test_a_target_is_met_by_a_little_more_or_by_less() -> None:
    for ours, verdict in ((0.2, "met"), (0.304, "met"), (0.305, "met"), (0.306, "missed")):
        found = report.compare([ours], [0.3], tolerance=0.005, relative=False)
        assert found == (pytest.approx(ours - 0.3), 0.0, verdict)
    for ours, theirs, verdict in ((1.0, 2.0, "met"), (2.03, 2.0, "met"), (2.05, 2.0, "missed")):
        found = report.compare([ours], [theirs], tolerance=0.02, relative=True)
        assert found == (pytest.approx(ours / theirs - 1), 0.0, verdict)
    assert report.compare([math.inf], [2.0], tolerance=0.02, relative=True).verdict == "missed"
    for ours in (1.0, math.inf):
        found = report.compare([ours], [math.inf], tolerance=0.02, relative=True)
        assert (math.isnan(found.value), found.verdict) == (True, "met")


def test_a_margin_of_several_starts_has_its_noise() -> None:
    ours, theirs = [0.32, 0.30, 0.34], [0.30, 0.31, 0.29]
    found = report.compare(ours, theirs, tolerance=0.005, relative=False)
    error = math.sqrt((0.02**2 + 0.01**2) / 3)  # of the difference of two means of three
    assert found == (pytest.approx(0.02), pytest.approx(error), "within chance")
    found = report.compare(ours, [0.2, 0.2], tolerance=0.005, relative=False)
    assert (found.noise, found.verdict) == (pytest.approx(0.02 / math.sqrt(3)), "missed")
    found = report.compare([2.0, 2.2], [2.0], tolerance=0.02, relative=True)
    assert (found.value, found.noise) == (pytest.approx(0.05), pytest.approx(0.05))


def test_every_attack_is_compared_under_each_librarys_names() -> None:
    made = comparisons(ComparisonConfig())
    assert {each.group for each in made} == set(GROUPS)
    assert all(each.peers for each in made)
    assert {library.partition(".")[0] for each in made for library in each.peers} == set(peers.LIBRARIES)
    assert {each.group for each in comparisons(ComparisonConfig(attacks="cw,fab"))} == {"cw", "fab"}
    l2 = next(each for each in made if (each.group, each.norm, each.epsilon) == ("pgd", "l2", 1.0))
    steps = {"eps": 1.0, "steps": 40, "random_start": True}
    assert l2.peers == {
        "torchattacks.PGDL2": steps | {"alpha": 2.5 / 40},
        "foolbox.L2PGD": steps | {"abs_stepsize": 2.5 / 40},
    }
    deepfool = next(each for each in made if each.group == "deepfool")
    assert deepfool.peers["torchattacks.DeepFool"] == {"steps": 50, "overshoot": 0.02}  # it takes all classes
    assert {"pgd": 0.005, "autoattack": 0.003, "cw": 0.02, "fgsm": 0.005}.items() <= {
        each.group: each.conditions["tolerance"] for each in made
    }.items()
    assert set(DETERMINISTIC) < set(GROUPS)


@pytest.mark.parametrize(
    "wrong", [{"attacks": "pgd,jsma"}, {"attacks": ""}, {"num_images": 0}, {"cw_steps": 0}, {"num_starts": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="--"):
        ComparisonConfig(**wrong)


def test_the_record_and_its_table_without_the_other_libraries(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, evaluator: AttackEvaluator
) -> None:
    monkeypatch.setattr(peers, "missing", lambda library, avx512: f"{library} is away")
    monkeypatch.setattr(run, "AttackEvaluator", lambda model, num_images: evaluator)
    output, printed = tmp_path / "tiny.json", io.StringIO()
    monkeypatch.setattr(run, "comparisons", lambda config: [pgd(0.1, num_steps=2), deepfool()])
    config = ComparisonConfig(output=str(output), num_starts=2, seed=5)
    run.run(config, Session("attack_comparison", "the command", Console(file=printed, width=200)), tiny_model())
    record = records.read(output)
    assert (record.command, record.departures) == ("the command", [])
    assert not {"output", "data_dir"} & set(record.settings)
    assert record.details["clean_accuracy"] == pytest.approx(4 / 5)
    assert [start.seed for start in record.models] == [5, 6]
    attacks = [{each.at["attack"] for each in start.measurements} for start in record.models]
    assert attacks == [{"pgd", "deepfool"}, {"pgd"}]  # the other draws nothing
    ours = {
        (each.at["attack"], each.at["norm"]): each.values
        for each in record.models[0].measurements
        if each.at["library"] == report.OURS
    }
    assert ours["pgd", "linf"]["robust_accuracy"] == pytest.approx(2 / 5)  # those 0.3 and 0.2 from the boundary
    assert ours["deepfool", "l2"]["median_l2_all"] == pytest.approx(0.08 * math.sqrt(2), rel=0.03)
    table = (tmp_path / "table.md").read_text()
    assert "## tiny, first 5 test images, 80.0% classified right" in table
    assert "2 starts; no other library" in table
    assert "| PGD-2, L-inf | 0.1 | 40.0% | foolbox.LinfPGD | foolbox is away | - | - |" in table
    assert "Targets met: 0 of 0." in table
    assert "no other library" in printed.getvalue()


def test_the_table_of_a_record() -> None:
    def start(seed: int, *measured: tuple[dict[str, Any], str, dict[str, Any]]) -> Model:
        network = {"dataset": "mnist", "objective": "cross_entropy", "num_epochs": 20}
        listed = [Measurement({"library": library, **at}, values) for at, library, values in measured]
        return Model("cross_entropy", seed, listed, network)

    ball = {"attack": "pgd", "num_steps": 40, "norm": "linf", "epsilon": 0.1, "tolerance": 0.005}
    free = {"attack": "deepfool", "norm": "l2", "tolerance": 0.02}
    close = {"median_l2_all": 1.25, "not_finite": 3, "on_boundary": 7, "num_correct": 983}
    close |= {"boundary_median_l2_all": 1.2}
    failed = {"median_l2_all": None, "on_boundary": 0, "num_correct": 983, "boundary_median_l2_all": None}
    first = start(
        0,
        (ball, report.OURS, {"robust_accuracy": 0.25, "outside": 0}),
        (ball, "foolbox.LinfPGD", {"robust_accuracy": 0.3, "outside": 2}),
        (free, report.OURS, {"median_l2_all": 1.3, "boundary_median_l2_all": 1.3}),
        (free, "torchattacks.DeepFool", close),
        (free, "foolbox.X", failed),
    )
    second = start(
        1, (ball, report.OURS, {"robust_accuracy": 0.35}), (ball, "foolbox.LinfPGD", {"robust_accuracy": 0.28})
    )
    versions = {"torch": "2.13.0", "foolbox": "3.3.4", "threads": 2}
    details = {"peers": versions, "num_images": 1000, "clean_accuracy": 0.983}
    found = [Record("attack_comparison", "", {}, [first, second], details)]
    table = render.markdown(report.report(frames.frame(found), found))
    assert "## mnist, first 1000 test images, 98.3% classified right" in table
    assert "2 starts; torch 2.13.0, foolbox 3.3.4" in table
    assert "| PGD-40, L-inf | 0.1 | 30.0% | foolbox.LinfPGD | 29.0% | +1.0 ± 5.1 points | within chance |" in table
    assert "| DeepFool, L2 | smallest | 1.3000 | torchattacks.DeepFool | 1.2500 | +4.0 % | **missed** |" in table
    assert "| DeepFool, L2 | smallest | 1.3000 | foolbox.X | infinite | - | met |" in table
    assert "Targets met: 1 of 3. Missed within chance: 1." in table
    assert "torchattacks.DeepFool: 7 of 983 images end on the boundary itself" in table
    assert "their median would be 1.2000, ours beside it +8.3 %, the target missed." in table
    assert "PGD-40, L-inf, radius 0.1, foolbox.LinfPGD: 2 images outside" in table
    assert "DeepFool, L2, smallest, torchattacks.DeepFool: 3 images with a NaN" in table


def test_a_workdir_without_a_finished_run_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="not trained to its end"):
        load_model(tmp_path)


def test_a_library_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_worker.importlib.util, "find_spec", lambda name: None if name == "foolbox" else object())
    assert peers.missing("foolbox") == "not installed (pip install 'ib-jax[peers]')"
    assert peers.missing("torchattacks") == ""
    monkeypatch.setattr(torch_worker.importlib.util, "find_spec", lambda name: None if name == "adv_lib" else object())
    assert peers.missing("adv_lib") == "not installed (pip install --no-deps adv-lib, see pyproject.toml)"


@pytest.fixture(scope="module")
def others() -> Iterator[Peers]:
    pytest.importorskip("torch")
    model = random_model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # two threads on busy cores wait for each other a hundred times as long
        with Peers(model, AttackEvaluator(model, len(model.labels))) as others:
            yield others


def ask(others: Peers, attack: str, **request: Any) -> tuple[dict[str, Any], np.ndarray]:
    """The worker's reply, and the images that it left."""
    output = others.folder / "images.npz"
    reply = others.ask({"attack": attack, "output": str(output), "settings": {}, **request})
    return reply, np.load(output)["images"]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_attack_answers_within_its_ball(case: str, others: Peers) -> None:
    attack, settings, norm = CASES[case]
    if reason := peers.missing(attack.split(".")[0]):
        pytest.skip(reason)
    model = random_model()
    reply, found = ask(others, attack, settings=settings, num_images=6, batch_size=4)
    assert found.shape == (6, 28, 28, 1)
    assert found.dtype == np.float32
    assert reply["not_finite"] == 0
    assert reply["seconds"] > 0
    assert found.min() >= 0
    assert found.max() <= 1
    moved = (found - model.images[:6]).reshape(6, -1)
    if norm:
        distance = np.abs(moved).max(-1) if norm == "linf" else np.linalg.norm(moved, axis=-1)
        assert (distance <= RADII[norm] * (1 + 1e-5)).all()
    wrong = network(model.layers, found).argmax(-1) != model.labels[:6]
    assert wrong.sum() > 1  # more than the one that was wrong before
    if attack.startswith("pyautoattack"):
        accuracy = reply["by_its_own_account"]
        assert accuracy["clean"] == pytest.approx(5 / 6, abs=1e-4)
        assert accuracy["all"] == pytest.approx(1 - wrong.mean(), abs=1e-4)
        assert accuracy["clean"] >= accuracy["apgd-ce"] >= accuracy["all"]


@pytest.mark.slow
def test_a_seed_decides_and_a_failed_request_leaves_the_worker(others: Peers) -> None:
    if reason := peers.missing("torchattacks"):
        pytest.skip(reason)
    found = []
    for seed in (1, 1, 2):
        settings = {"eps": EPSILON, "alpha": 0.001, "steps": 1}
        found.append(ask(others, "torchattacks.PGD", settings=settings, seed=seed, min_seconds=0.01)[1])
    assert len(found[0]) == 7
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0.01
    with pytest.raises(torch_worker.WorkerError, match="unexpected keyword argument 'radius'"):
        ask(others, "torchattacks.PGD", settings={"radius": 1})
    with pytest.raises(torch_worker.WorkerError, match="num_images must be at most 7, got 8"):
        ask(others, "torchattacks.PGD", num_images=8)
    assert ask(others, "torchattacks.FGSM")[0]["not_finite"] == 0


@pytest.mark.slow
def test_every_attack_is_as_strong_as_in_the_other_libraries(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in peers.LIBRARIES:
        if reason := peers.missing(library):
            pytest.skip(f"{library}: {reason}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two threads on busy cores wait for each other a hundred times as long
    config = ComparisonConfig(output=str(tmp_path / "digits.json"), num_starts=1, **SMALL)  # type: ignore[arg-type]
    printed = io.StringIO()
    record = run.run(config, Session("attack_comparison", console=Console(file=printed, width=200)))
    assert record is not None
    (start,), missed = record.models, []
    ours: dict[str, Any] = {}
    for at, values in ((each.at, each.values) for each in start.measurements):
        if at["library"] == report.OURS:
            ours, minimal = values, "epsilon" not in at
            assert values["outside"] == 0
            continue
        assert values["num_correct"] == ours["num_correct"], at
        measure = f"median_{at['norm']}_all" if minimal else "robust_accuracy"
        slack = 0.0 if minimal else SLACK / record.details["num_images"]
        tolerance = at["tolerance"] + slack
        if report.compare([ours[measure]], [values[measure]], tolerance=tolerance, relative=minimal).verdict != "met":
            missed.append(f"{report.name_of(at)}, {at['library']}")
    assert not missed, printed.getvalue()
    for name, account in start.details.items():  # the network in PyTorch gives the same answers
        if "by_its_own_account" in account:
            clean = account["by_its_own_account"]["clean"]
            assert clean == pytest.approx(record.details["clean_accuracy"], abs=1e-4), name
