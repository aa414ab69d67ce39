"""The benchmark's plumbing; speeds are never tested."""

import io
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from experiments.benchmark import device as benchmark_device
from experiments.benchmark import jax_programs as benchmark_jax
from experiments.benchmark import program as benchmark_program
from experiments.benchmark import run as benchmark
from experiments.benchmark import show as benchmark_report
from experiments.benchmark import suites as benchmark_suites
from experiments.benchmark import torch_programs as benchmark_torch
from experiments.benchmark import turns as benchmark_turns
from experiments.core import worker as torch_worker
from experiments.core.app import Session
from experiments.mnist_vib import settings as mnist_vib_config

TINY: dict[str, Any] = {"repeats": 1, "steps": 2, "batch_size": 50, "latent_dim": 16, "hidden_width": 64}


ABSENT = "fused-avx512"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A tiny benchmark with one peer missing: the record as read back from the disk, and what was printed."""
    output = tmp_path_factory.mktemp("benchmark") / "folder" / "train.json"
    printed = io.StringIO()
    config = benchmark.Config(peers=f"eager,{ABSENT}", output=str(output), **TINY)
    really_missing = benchmark_torch.missing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_torch, "missing", lambda peer: "absent" if peer == ABSENT else really_missing(peer))
        benchmark.run(
            config, Session(console=Console(file=printed, width=120), command="the command"), matmul_sizes=(8, 16)
        )
    return json.loads(output.read_text()), printed.getvalue()


@pytest.mark.slow
def test_record(ran: tuple[dict[str, Any], str]) -> None:
    record, printed = ran
    assert record["command"] == "the command"
    assert record["config"]["hidden_width"] == 64
    assert record["environment"]["versions"]["jax"]
    assert record["targets"]["share of the float32 matrix peak"]["target"] == 0.65
    assert record["matrix_peak"]["size"] in (8, 16)
    assert record["matrix_peak"]["best_seen"] >= record["matrix_peak"]["flops_per_second"]
    for name in ("jax-scan", "jax-loop"):
        row = record["rows"][name]
        assert row["status"] == "measured"
        assert row["first_stretch_seconds"] > 0
        assert row["images_per_second"]["rounds"] == [pytest.approx(2 * 50 / row["seconds"][0])]
        rate = row["images_per_second"]["median"] / 50 * record["flops_per_step"]["matmul"]
        assert row["mfu"] == pytest.approx(rate / record["matrix_peak"]["flops_per_second"])
        assert row["flops_per_second"] == pytest.approx(
            rate * record["flops_per_step"]["xla"] / record["flops_per_step"]["matmul"]
        )
        assert row["mfu_xla"] == pytest.approx(row["flops_per_second"] / record["matrix_peak"]["flops_per_second"])
        assert row["step_ms"]["rounds"] == [pytest.approx(1000 * row["seconds"][0] / 2)]
        assert 0 < row["compile_seconds"] < row["first_stretch_seconds"]
        assert row["program_bytes"] > 4 * 784 * 64
        assert row["label"] in printed
    assert record["matrix_peak"]["dtype"] == "float32"
    assert record["peak_memory"]["bytes"] > 2**20
    assert record["peak_memory"]["of"] in printed
    flops = record["flops_per_step"]
    assert flops["xla"] is None or flops["matmul"] < flops["xla"] < 1.5 * flops["matmul"]
    # the same network, with other orders and other noise
    assert record["rows"]["jax-scan"]["last_loss"] == pytest.approx(record["rows"]["jax-loop"]["last_loss"], rel=0.5)


@pytest.mark.slow
def test_peer_takes_its_turns(ran: tuple[dict[str, Any], str]) -> None:
    pytest.importorskip("torch")
    record, printed = ran
    row, jax_row = record["rows"]["eager"], record["rows"]["jax-scan"]
    assert row["status"] == "measured"
    assert row["process"]["threads"] >= 1
    assert row["last_loss"] == pytest.approx(jax_row["last_loss"], rel=0.5)
    assert row["jax_over_peer"]["rounds"] == [pytest.approx(row["seconds"][0] / jax_row["seconds"][0])]
    assert len(record["targets"]) == 3
    assert "target 2.5" in printed


@pytest.mark.slow
def test_a_missing_peer_says_why(ran: tuple[dict[str, Any], str], monkeypatch: pytest.MonkeyPatch) -> None:
    record, printed = ran
    assert record["rows"][ABSENT] == {"label": benchmark_torch.label(ABSENT), "status": "absent"}
    assert "absent" in printed
    monkeypatch.setattr(torch_worker.importlib.util, "find_spec", lambda name: None)
    assert benchmark_torch.missing("eager") == "not installed (pip install 'ib-jax[benchmark]')"


def test_a_worker_that_fails_says_why() -> None:
    pytest.importorskip("torch")
    with pytest.raises(torch_worker.WorkerError, match="unexpected keyword argument 'sizes'"):
        benchmark_torch.start("eager", {"sizes": 1})


def test_peers_are_chosen_by_name() -> None:
    assert benchmark.Config(peers="none").peer_names == ()
    assert benchmark.Config(peers="auto").peer_names == benchmark_torch.PEERS
    assert benchmark.Config(peers="fused,eager").peer_names == ("fused", "eager")


def test_flops_against_a_hand_computation() -> None:
    config = mnist_vib_config.Config(latent_dim=3, hidden_width=8)
    layers = benchmark_jax.layers(config)
    assert layers == [[784, 8], [8, 8], [8, 6], [3, 10]]
    forward = weights = 784 * 8 + 8 * 8 + 8 * 6 + 3 * 10
    inputs = 8 * 8 + 8 * 6 + 3 * 10
    assert benchmark_jax.matmul_flops(layers, 4) == 2 * 4 * (forward + weights + inputs)


def test_targets_take_the_fastest_peer() -> None:
    def row(label: str, speed: float, ratio: float) -> dict:
        return {"label": label, "images_per_second": {"median": speed}, "jax_over_peer": {"median": ratio}}

    rows = {"jax-scan": {"mfu": 0.7}, "eager": row("slow", 1.0, 2.0), "fused": row("fast", 2.0, 1.1)}
    found = benchmark_report.targets(rows)
    assert {name: goal["met"] for name, goal in found.items()} == {
        "share of the float32 matrix peak": True,
        "JAX / eager PyTorch with plain Adam": False,
        "JAX / the best PyTorch (fast)": True,
    }


@pytest.mark.slow
def test_the_precision_is_that_of_products_and_peak(tmp_path: pathlib.Path) -> None:
    config = benchmark.Config(precision="bfloat16", peers="eager", output=str(tmp_path / "it.json"), **TINY)
    record = benchmark.run(config, Session(console=Console(quiet=True)), matmul_sizes=(8,))["train"]
    assert record["matrix_peak"]["dtype"] == "bfloat16"
    assert record["targets"] == {}
    assert record["rows"]["jax-scan"]["status"] == "measured"
    assert record["rows"]["eager"]["status"] != "measured"
    assert benchmark_jax.train_config(config).precision == "bfloat16"


def test_shares_of_the_peak_are_of_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_turns, "own_arithmetic", lambda num_devices: num_devices)
    row: dict[str, Any] = {"seconds": [2.0, 2.0]}
    work = benchmark_turns.Work(steps=10, images=100, matmul_flops=80.0, xla_flops=120.0, devices=4)
    benchmark_turns.add_speed(row, work, {"flops_per_second": 20.0})
    assert row["images_per_second"]["median"] == 50
    assert row["step_ms"]["median"] == 200
    assert (row["mfu"], row["mfu_xla"], row["flops_per_second"]) == (0.5, 0.75, 60)


def test_devices_of_a_cpu_share_its_cores() -> None:
    assert benchmark_device.own_arithmetic(1) == 1
    benchmark_device.check_threads("64", cores=2, num_devices=8)
    benchmark_device.check_threads(None, cores=1, num_devices=1)
    with pytest.raises(ValueError, match="PJRT_NPROC=8"):
        benchmark_device.check_threads("4", cores=64, num_devices=4)


def test_xla_flops_of_a_product() -> None:
    lowered = jax.jit(lambda a: a @ a).lower(jnp.ones((8, 8)))
    cost = benchmark_program.xla_cost(lowered)
    assert cost is not None
    assert cost.flops == pytest.approx(2 * 8**3, rel=0.1)
    assert cost.num_bytes >= 2 * 4 * 8**2  # a matrix read, one written
    assert benchmark_program.xla_cost(lowered, at_least=1e6) is None


def test_all_reduces_are_counted() -> None:
    text = """
    %a = f32[4]{0} all-reduce(%x), to_apply=%add
    %b = (f32[4]{0}, f32[]) all-reduce-start(%y, %z), to_apply=%add
    %c = (f32[4]{0}, f32[]) all-reduce-done(%b)
    %d = f32[4]{0} fusion(%a), metadata={op_name="all-reduce(no)"}
    """
    assert benchmark_program.count_all_reduces(text) == 2


def test_all_suites_have_records_of_their_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measure(config: benchmark.Config, console: Console, sizes: Any) -> dict[str, Any]:
        asked.append((config.suite, config.peer_names))
        return {}

    suites = dict.fromkeys(benchmark.SUITES, (measure, lambda console, record: None))
    monkeypatch.setattr(benchmark, "SUITES", suites)
    found = benchmark.run(
        benchmark.Config(suite="all", peers="none", output=str(tmp_path)), Session(console=Console(quiet=True))
    )
    assert [suite for suite, _ in asked] == list(found) == list(benchmark.SUITES)
    for suite in found:
        assert json.loads((tmp_path / f"{suite}.json").read_text())["config"]["suite"] == suite
    benchmark.run(benchmark.Config(suite="all", output=str(tmp_path)), Session(console=Console(quiet=True)))
    assert dict(asked[len(found) :]) == {suite: benchmark_suites.PEERS.get(suite, ()) for suite in found}


@pytest.mark.parametrize(
    "wrong",
    [
        {"repeats": 0},
        {"batch_size": -1},
        {"members": 0},
        {"global_batch_size": 0},
        {"project_flops": -1.0},
        {"project_flops": float("nan")},
        {"precision": "float16"},
        {"suite": "speed"},
        {"peers": "eager,jax"},
        {"peers": ""},
        {"suite": "sweep", "peers": "eager"},
        {"suite": "all", "peers": "eager"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="--"):
        benchmark.Config(**wrong)


def test_mkl_library_is_built(tmp_path: pathlib.Path) -> None:
    if reason := benchmark_torch.missing("eager-avx512"):
        pytest.skip(reason)
    assert torch_worker.build_mkl_library(tmp_path).stat().st_size > 0
