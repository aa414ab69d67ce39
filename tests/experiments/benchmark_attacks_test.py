"""The plumbing of the benchmark of attacks, with a network that is not trained and libraries that only pretend."""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.attack_comparison import peers as attack_peers
from experiments.attack_comparison import victim as attack_victim
from experiments.attack_comparison.victim import Victim
from experiments.benchmark import attack_rows as benchmark_attack_rows
from experiments.benchmark import attacks as benchmark_attacks
from experiments.benchmark import run as benchmark
from experiments.benchmark.attacks_report import AVX512, CW, CW_WHOLE, DEEPFOOL, PGD, RADII, REFERENCES, attack_targets
from experiments.core.app import Session

SIZES: dict[str, Any] = {"repeats": 2, "num_images": 12, "cw_images": 6, "slow_images": 3, "min_seconds": 0.0}
ABSENT = "foolbox-avx512"


def make_victim(**settings: Any) -> Victim:
    """A random network with a ReLU layer, labelled by itself."""
    assert settings["hidden_width"] == 16
    rng = np.random.default_rng(0)
    sizes = ((64, 16), (16, 8), (8, 10))
    layers = [(rng.normal(0, fan_in**-0.5, (fan_in, fan_out)), np.zeros(fan_out)) for fan_in, fan_out in sizes]
    images = rng.uniform(0, 1, (20, 8, 8, 1)).astype(np.float32)

    def apply_fn(params: Any, keys: Any, inputs: jax.Array) -> jax.Array:
        hidden = jax.nn.relu((2 * inputs.reshape(len(inputs), -1) - 1) @ params[0])
        return hidden @ params[1] @ params[2]

    params = [jnp.asarray(kernel, jnp.float32) for kernel, _ in layers]
    labels = np.asarray(apply_fn(params, None, jnp.asarray(images)).argmax(-1))
    described = {"dataset": settings["dataset"], "num_epochs": 0, "checkpoint": "random"}
    return Victim(apply_fn, params, layers, images, labels, described)


class Pretender:
    """A worker whose attacks take a second and leave every image as it is; CW's are all-zero."""

    info = {"torch": "0", "threads": 1}  # noqa: RUF012

    def __init__(self, task: pathlib.Path):
        with np.load(task) as file:
            self.images = file["images"]

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        asked = attack_peers.Request(**request)
        images = self.images[: asked.num_images]
        np.savez(asked.output, images=0 * images if "Carlini" in asked.attack else images)
        return {"seconds": 1.0}

    def __enter__(self) -> "Pretender":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A tiny run with one library missing: the record as read back from the disk, and what was printed."""
    output = tmp_path_factory.mktemp("benchmark") / "attacks.json"
    printed = io.StringIO()
    config = benchmark.Config(suite="attacks", output=str(output), hidden_width=16, **SIZES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attack_victim, "trained", make_victim)
        patch.setattr(attack_peers, "start", lambda task, avx512: Pretender(task))
        patch.setattr(
            attack_peers, "missing", lambda name, avx512: "absent" if name + AVX512 * avx512 == ABSENT else ""
        )
        benchmark.run(
            config, Session(console=Console(file=printed, width=180), command="the command"), matmul_sizes=(8, 16)
        )
    return json.loads(output.read_text()), printed.getvalue()


@pytest.mark.slow
def test_record(ran: tuple[dict[str, Any], str]) -> None:
    record, printed = ran
    assert record["command"] == "the command"
    assert record["network"]["checkpoint"] == "random"
    assert record["network"]["layers"] == [[64, 16], [16, 8], [8, 10]]
    assert record["clean_accuracy"] == 1.0
    assert set(record["processes"]) == {"as installed", "AVX-512 forced"}
    assert list(record["tasks"]) == [PGD, CW, CW_WHOLE, DEEPFOOL, RADII]
    assert "Attacks on 64-16-8-10, mnist" in printed
    for task, found in record["tasks"].items():
        assert found["references"] == REFERENCES[task]
        for name, row in found["rows"].items():
            assert row["label"] in printed
            if row["status"] == "measured":
                assert len(row["seconds"]) == 2
                assert row["first_call_seconds"] > 0
                rates = [row["num_images"] / seconds for seconds in row["seconds"]]
                assert row["images_per_second"]["rounds"] == pytest.approx(rates)
                assert ("ratios" in row) == (name not in found["references"])


@pytest.mark.slow
def test_libraries_take_their_turns(ran: tuple[dict[str, Any], str]) -> None:
    record, printed = ran
    tasks = record["tasks"]
    rows = tasks[PGD]["rows"]
    assert list(rows) == ["jax", "jax-early", "torchattacks", "torchattacks-avx512", "foolbox", "foolbox-avx512"]
    assert rows["torchattacks"]["seconds"] == [1.0, 1.0]
    assert rows["torchattacks"]["outcome"] == {"robust_accuracy": 1.0}
    for reference in ("jax", "jax-early"):
        expected = [1 / seconds for seconds in rows[reference]["seconds"]]
        assert rows["torchattacks"]["ratios"][reference]["rounds"] == pytest.approx(expected)
    peak = record["matrix_peak"]["flops_per_second"]
    flops = 20 * 4 * (64 * 16 + 16 * 8 + 8 * 10)
    assert rows["torchattacks"]["mfu"] == pytest.approx(flops * 12 / peak)
    assert "mfu" not in rows["jax-early"]
    assert rows[ABSENT] == {"label": "foolbox, AVX-512", "num_images": 12, "status": "absent"}
    assert "absent" in printed
    assert list(tasks[CW]["rows"]) == ["jax", "foolbox", "foolbox-avx512"]
    assert tasks[CW]["rows"]["foolbox"]["outcome"] == {"success_rate": 0.0, "median_l2_all": None}
    slow, ours = tasks[DEEPFOOL]["rows"]["torchattacks"], tasks[DEEPFOOL]["rows"]["jax"]
    assert (slow["num_images"], ours["num_images"], tasks[DEEPFOOL]["rows"]["foolbox"]["num_images"]) == (3, 12, 12)
    assert slow["ratios"]["jax"]["rounds"] == pytest.approx([4 / seconds for seconds in ours["seconds"]])


@pytest.mark.slow
def test_attacks_do_what_they_should(ran: tuple[dict[str, Any], str]) -> None:
    tasks = ran[0]["tasks"]
    assert tasks[CW]["rows"]["jax"]["outcome"]["success_rate"] == 1.0
    assert tasks[DEEPFOOL]["rows"]["jax"]["outcome"]["median_l2_all"] > 0
    pgd = tasks[PGD]["rows"]
    assert pgd["jax-early"]["outcome"]["robust_accuracy"] <= pgd["jax"]["outcome"]["robust_accuracy"]
    for name in ("curve", "vmapped"):
        accuracy = tasks[RADII]["rows"][name]["outcome"]["robust_accuracy"]
        assert len(accuracy) == len(benchmark_attack_rows.EPSILONS) == 8
        assert accuracy == sorted(accuracy, reverse=True)


@pytest.mark.slow
def test_targets_name_the_fastest_library_and_what_it_is_measured_against(ran: tuple[dict[str, Any], str]) -> None:
    record, printed = ran
    assert list(record["targets"]) == [
        "PGD-20: JAX, all steps / torchattacks, as installed",
        "PGD-20: JAX, early stop / torchattacks, as installed",
        "PGD-20: JAX, all steps / torchattacks, AVX-512",
        "PGD-20: JAX, early stop / torchattacks, AVX-512",
        "CW 3 x 100: JAX / foolbox, as installed",
        "CW 3 x 100, all steps: JAX / foolbox, as installed",
        "DeepFool: JAX / torchattacks, as installed",
        "DeepFool: JAX / torchattacks, AVX-512",
        "time of eight radii / one radius, all steps",
        "time of eight radii / one radius, early stop",
    ]
    assert "target under 5" in printed


def test_a_goal_is_met_from_it_on_and_eight_radii_below_theirs() -> None:
    def row(speed: float, ratio: float, references: tuple[str, ...] = ("jax",)) -> dict[str, Any]:
        ratios = {reference: {"median": ratio} for reference in references}
        return {"label": f"{speed}", "images_per_second": {"median": speed}, "ratios": ratios}

    both = ("jax", "jax-early")
    rows: dict[str, dict[str, Any]] = {
        PGD: {"torchattacks": row(1.0, 3.0, both), "foolbox": row(2.0, 2.1, both)},
        CW: {"foolbox": row(1.0, 2.6)},
        CW_WHOLE: {"foolbox-avx512": row(1.0, 1.4)},
        DEEPFOOL: {"foolbox": row(9.0, 1.0), "torchattacks": row(1.0, 11.0)},
        RADII: {"curve": row(1.0, 5.0, ("one", "one-early"))},
    }
    found = attack_targets({task: {"rows": rows[task], "references": REFERENCES[task]} for task in rows})
    assert [goal["measured"] for goal in found.values()] == [2.1, 2.1, 2.6, 1.4, 11.0, 5.0, 5.0]
    assert [goal["met"] for goal in found.values()] == [False, False, True, False, True, False, False]


def test_settings_are_the_same_on_both_sides() -> None:
    for (task, library), (attack, settings) in benchmark_attack_rows.PEER_ATTACKS.items():
        assert attack.startswith(f"{library}.")
        ours = benchmark_attack_rows.SETTINGS[task]
        assert settings["steps"] == ours["num_steps"]
        if task in (CW, CW_WHOLE):
            assert settings["abort_early"] == ours["abort_early"]
            assert settings["stepsize"] == ours["learning_rate"]
            assert settings["initial_const"] == ours["initial_const"]
            assert settings["binary_search_steps"] == ours["num_binary_steps"]


def test_each_suite_has_peers_of_its_own() -> None:
    assert benchmark.Config(suite="attacks").peer_names == benchmark_attack_rows.PEERS
    with pytest.raises(ValueError, match=r"--peers must be of torchattacks, .*got eager"):
        benchmark.Config(suite="attacks", peers="eager,foolbox")
    with pytest.raises(ValueError, match="--slow_images must be at least 1"):
        benchmark.Config(slow_images=0)


def test_flops_against_a_hand_computation() -> None:
    assert benchmark_attacks.matmul_flops([(784, 8), (8, 10)]) == 2 * 2 * (784 * 8 + 8 * 10)
