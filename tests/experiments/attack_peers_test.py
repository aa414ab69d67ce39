"""The libraries that attacks are compared with: requests, and answers on a tiny network."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from experiments.attack_comparison import peers as attack_peers
from experiments.attack_comparison.peers import Request
from experiments.core import worker as torch_worker

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
    "foolbox deepfool l2": ("foolbox.L2DeepFoolAttack", {"steps": 10, "candidates": 5, "overshoot": 0.02}, ""),
    "foolbox deepfool linf": ("foolbox.LinfDeepFoolAttack", {"steps": 10, "candidates": 5, "eps": EPSILON}, "linf"),
    "pyautoattack linf": ("pyautoattack.AutoAttack", {**OFFICIAL, "norm": "Linf"}, "linf"),
    "pyautoattack l2": (
        "pyautoattack.AutoAttack",
        {**OFFICIAL, "eps": 1.0, "norm": "L2", "attacks": ["apgd-ce", "apgd-t"], "n_target_classes": 3},
        "l2",
    ),
}
RADII = {"linf": EPSILON, "l2": 1.0}


def network(layers: list[tuple[np.ndarray, np.ndarray]], images: np.ndarray) -> np.ndarray:
    """Two ReLU layers, a linear code and a linear decoder; the oracle of the worker's network."""
    hidden = 2.0 * images.reshape(len(images), -1) - 1.0
    for index, (kernel, bias) in enumerate(layers):
        hidden = hidden @ kernel + bias
        hidden = np.maximum(hidden, 0.0) if index < 2 else hidden
    return hidden


def make_task(path: pathlib.Path) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """A random network, labelled by itself but for the first image."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(0, fan_in**-0.5, (fan_in, fan_out)), rng.normal(0, 0.1, fan_out))
        for fan_in, fan_out in ((784, 16), (16, 16), (16, 8), (8, 10))
    ]
    images = rng.uniform(0, 1, (7, 28, 28, 1)).astype(np.float32)
    labels = network(layers, images).argmax(-1)
    labels[0] = (labels[0] + 1) % 10
    attack_peers.save_task(path, layers, images, labels)
    return layers, images, labels


def test_a_request_goes_through_json() -> None:
    request = Request("torchattacks.PGD", "/out.npz", {"eps": 0.3, "steps": 20}, num_images=5, batch_size=2, seed=3)
    assert Request(**json.loads(json.dumps(dataclasses.asdict(request)))) == request


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"attack": "torchattacks.PGDD"}, r"attack must be one of torchattacks.FGSM, .*got 'torchattacks.PGDD'"),
        ({"attack": "foolbox.PGD"}, "foolbox.LinfPGD"),
        ({"attack": "PGD"}, "one of"),
        ({"output": "out.npz"}, "absolute path, got 'out.npz'"),
        ({"num_images": -1}, "num_images"),
        ({"batch_size": 0}, "batch_size at least 1, got 0, 0.0 and 0"),
        ({"min_seconds": -1.0}, "min_seconds"),
    ],
)
def test_wrong_requests_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Request(**{"attack": "torchattacks.PGD", "output": "/out.npz", **wrong})


def test_a_library_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_worker.importlib.util, "find_spec", lambda name: None if name == "foolbox" else object())
    assert attack_peers.missing("foolbox") == "not installed (pip install 'ib-jax[peers]')"
    assert attack_peers.missing("torchattacks") == ""


def test_a_task_that_does_not_fit_is_refused(tmp_path: pathlib.Path) -> None:
    layers = [(np.zeros((4, 3)), np.zeros(3)), (np.zeros((3, 2)), np.zeros(2))]
    images, labels = np.zeros((5, 2, 2, 1)), np.zeros(5, int)
    attack_peers.save_task(tmp_path / "task.npz", layers, images, labels)
    for wrong in ((layers[::-1], images, labels), (layers, images[1:], labels), (layers, images[..., 0], labels)):
        with pytest.raises(ValueError, match="do not fit together"):
            attack_peers.save_task(tmp_path / "wrong.npz", *wrong)
    with pytest.raises(ValueError, match=r"got values from -1\.0 to -1\.0"):
        attack_peers.save_task(tmp_path / "wrong.npz", layers, images - 1, labels)
    assert not (tmp_path / "wrong.npz").exists()


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[torch_worker.Worker, pathlib.Path, Any]]:
    folder = tmp_path_factory.mktemp("attack_peers")
    made = make_task(folder / "task.npz")
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # two threads on busy cores wait for each other a hundred times as long
        with attack_peers.start(folder / "task.npz") as worker:
            yield worker, folder, made


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_attack_answers_within_its_ball(case: str, task: tuple[torch_worker.Worker, pathlib.Path, Any]) -> None:
    attack, settings, norm = CASES[case]
    if reason := attack_peers.missing(attack.split(".")[0]):
        pytest.skip(reason)
    worker, folder, (layers, images, labels) = task
    request = Request(attack, str(folder / "out.npz"), settings, num_images=6, batch_size=4)
    reply = worker(dataclasses.asdict(request))
    found = np.load(folder / "out.npz")["images"]
    assert found.shape == (6, 28, 28, 1)
    assert found.dtype == np.float32
    assert (reply["num_images"], reply["not_finite"]) == (6, 0)
    assert reply["seconds"] == reply["rounds"][0] > 0
    assert found.min() >= 0
    assert found.max() <= 1
    moved = (found - images[:6]).reshape(6, -1)
    if norm:
        distance = np.abs(moved).max(-1) if norm == "linf" else np.linalg.norm(moved, axis=-1)
        assert (distance <= RADII[norm] * (1 + 1e-5)).all()
    wrong = network(layers, found).argmax(-1) != labels[:6]
    assert wrong.sum() > 1  # more than the one that was wrong before
    if attack.startswith("pyautoattack"):
        accuracy = reply["robust_accuracy"]
        assert accuracy["clean"] == pytest.approx(5 / 6, abs=1e-4)
        assert accuracy["all"] == pytest.approx(1 - wrong.mean(), abs=1e-4)
        assert accuracy["clean"] >= accuracy["apgd-ce"] >= accuracy["all"]


@pytest.mark.slow
def test_a_seed_decides_and_a_failed_request_leaves_the_worker(
    task: tuple[torch_worker.Worker, pathlib.Path, Any],
) -> None:
    if reason := attack_peers.missing("torchattacks"):
        pytest.skip(reason)
    worker, folder, _ = task
    output = str(folder / "seeded.npz")
    found = []
    for seed in (1, 1, 2):
        settings = {"eps": EPSILON, "alpha": 0.001, "steps": 1}
        reply = worker(dataclasses.asdict(Request("torchattacks.PGD", output, settings, seed=seed, min_seconds=0.01)))
        assert sum(reply["rounds"]) >= 0.01
        assert reply["num_images"] == 7
        found.append(np.load(output)["images"])
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0.01
    with pytest.raises(torch_worker.WorkerError, match="unexpected keyword argument 'radius'"):
        worker(dataclasses.asdict(Request("torchattacks.PGD", output, {"radius": 1})))
    with pytest.raises(torch_worker.WorkerError, match="num_images must be at most 7, got 8"):
        worker(dataclasses.asdict(Request("torchattacks.PGD", output, num_images=8)))
    assert worker(dataclasses.asdict(Request("torchattacks.FGSM", output)))["num_images"] == 7
