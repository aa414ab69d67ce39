"""The plumbing of the benchmark of augmentation, with small pictures and a torchvision that only pretends."""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from experiments.benchmark import augment as benchmark_augment
from experiments.benchmark import run as benchmark
from experiments.benchmark.augment import PEERS, Task
from experiments.benchmark.augment_report import augment_targets
from experiments.core import worker as torch_worker
from experiments.core.app import Session
from ib_jax import augment

SMALL = {"CIFAR-10": Task("cifar10", "CIFAR10", 8), "ImageNet": Task("imagenet", "IMAGENET", 12)}
OURS = ["jax", "jax-original", "jax-vmap"]


class Pretender:
    """A worker that takes a second for a picture, and fails at tensors."""

    def __init__(self, module: str, arguments: Mapping[str, Any]):
        assert module == "experiments.benchmark.augment_torch"
        self.info = {"torch": "1", "torchvision": "2", "pillow": "3", "threads": 4}
        self.shapes = {name: np.load(path).shape for name, path in arguments["pictures"].items()}

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self.shapes == {"CIFAR-10": (3, 8, 8, 3), "ImageNet": (3, 12, 12, 3)}
        assert request["policy"] == SMALL[request["task"]].peer_policy
        if request["peer"] == "tensor":
            raise torch_worker.WorkerError("no tensors")
        return {"seconds_per_picture": 1.0, "compiled_part": True}

    def __enter__(self) -> "Pretender":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


def run(output: pathlib.Path, reason: str) -> tuple[dict[str, Any], str]:
    """A tiny run: the record as read back from the disk, and what was printed."""
    printed = io.StringIO()
    sizes: dict[str, Any] = {"repeats": 2, "pictures": 3, "min_seconds": 0.0}
    config = benchmark.Config(suite="augment", output=str(output), **sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_augment, "TASKS", SMALL)
        patch.setattr(augment, "auto_augment", lambda policy, **settings: augment.random_flip())  # compiles sooner
        patch.setattr(torch_worker, "Worker", Pretender)
        patch.setattr(torch_worker, "missing", lambda packages, extra: reason)
        benchmark.run(config, Session(console=Console(file=printed, width=180), command="the command"))
    return json.loads(output.read_text()), printed.getvalue()


def test_rows_take_turns_and_are_compared(tmp_path: pathlib.Path) -> None:
    record, printed = run(tmp_path / "augment.json", reason="")
    assert record["worker"] == {"torch": "1", "torchvision": "2", "pillow": "3", "threads": 4, "compiled_part": True}
    for name, task in record["tasks"].items():
        assert f"AutoAugment for {name}, {task['size']} x {task['size']}, batch 3" in printed
        rows = task["rows"]
        assert list(rows) == [*OURS, *PEERS]
        assert rows["tensor"]["status"] == "no tensors"
        for key, row in rows.items():
            assert row["label"] in printed
            if row["status"] == "measured":
                assert row["images_per_second"]["rounds"] == pytest.approx([3 / seconds for seconds in row["seconds"]])
                assert ("jax_is_faster" in row) == (key != "jax")
        assert rows["pil"]["seconds"] == [3.0, 3.0]
        expected = [3.0 / seconds for seconds in rows["jax"]["seconds"]]
        assert rows["pil"]["jax_is_faster"]["rounds"] == pytest.approx(expected)
    assert list(record["targets"]) == ["CIFAR-10: JAX, torchvision's magnitudes / torchvision, PIL"]


def test_it_works_without_torchvision(tmp_path: pathlib.Path) -> None:
    record, printed = run(tmp_path / "augment.json", reason="not installed (pip install 'ib-jax[peers]')")
    assert {record["tasks"]["ImageNet"]["rows"][peer]["status"] for peer in PEERS} == {
        "not installed (pip install 'ib-jax[peers]')"
    }
    assert "not installed" in printed
    assert record["targets"] == {}


def test_the_target_is_against_the_fastest_way() -> None:
    def row(speed: float, ratio: float) -> dict[str, Any]:
        return {"label": f"{speed}", "images_per_second": {"median": speed}, "jax_is_faster": {"median": ratio}}

    rows: dict[str, dict[str, Any]] = {"jax": {"label": "JAX"}, "jax-vmap": row(9.0, 1.0)}
    rows |= {"pil": row(1.0, 8.0), "tensor": row(2.0, 4.0)}
    (goal,) = augment_targets({"CIFAR-10": {"rows": rows}}).values()
    assert goal == {"target": 5.0, "measured": 4.0, "met": False}


def test_photographs_are_real_and_the_same_each_time() -> None:
    pictures = benchmark_augment.photographs(4, 8)
    assert pictures.shape == (4, 8, 8, 3)
    assert pictures.dtype == np.uint8
    assert pictures.std() > 20
    np.testing.assert_array_equal(pictures, benchmark_augment.photographs(4, 8))


@pytest.mark.slow
def test_torchvisions_ways(tmp_path: pathlib.Path) -> None:
    if reason := torch_worker.missing(("torch", "torchvision"), "peers"):
        pytest.skip(reason)
    np.save(tmp_path / "pictures.npy", benchmark_augment.photographs(3, 8))
    pictures = {"CIFAR-10": str(tmp_path / "pictures.npy")}
    with torch_worker.Worker("experiments.benchmark.augment_torch", {"pictures": pictures}) as worker:
        for peer in PEERS:
            reply = worker({"task": "CIFAR-10", "policy": "CIFAR10", "peer": peer, "min_seconds": 0.0})
            assert reply["seconds_per_picture"] > 0
