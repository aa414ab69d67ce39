"""The benchmark's plumbing; speeds are never tested."""

import io
import json
import pathlib
from typing import Any

import pytest
from rich.console import Console

from experiments import benchmark, benchmark_jax, benchmark_report, benchmark_torch, torch_worker

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
        benchmark.run(config, Console(file=printed, width=120), command="the command", matmul_sizes=(8, 16))
    return json.loads(output.read_text()), printed.getvalue()


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
        assert row["label"] in printed
    flops = record["flops_per_step"]
    assert flops["xla"] is None or flops["matmul"] < flops["xla"] < 1.5 * flops["matmul"]
    # the same network, with other orders and other noise
    assert record["rows"]["jax-scan"]["last_loss"] == pytest.approx(record["rows"]["jax-loop"]["last_loss"], rel=0.5)


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
    config = benchmark.mnist_vib_config.Config(latent_dim=3, hidden_width=8)
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


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"batch_size": -1}, {"peers": "eager,jax"}, {"peers": ""}])
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="--"):
        benchmark.Config(**wrong)


def test_mkl_library_is_built(tmp_path: pathlib.Path) -> None:
    if reason := benchmark_torch.missing("eager-avx512"):
        pytest.skip(reason)
    assert torch_worker.build_mkl_library(tmp_path).stat().st_size > 0
