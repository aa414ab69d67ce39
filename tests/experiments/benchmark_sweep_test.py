"""The benchmark of populations: its plumbing and its arithmetic; speeds are never tested."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from experiments.benchmark import jax_programs as benchmark_jax
from experiments.benchmark import projection as benchmark_projection
from experiments.benchmark import run as benchmark
from experiments.benchmark import sweep as benchmark_sweep
from experiments.benchmark.sweep_report import sweep_targets
from experiments.core.app import Session
from ib_jax import training

TINY: dict[str, Any] = {"repeats": 2, "steps": 2, "batch_size": 20, "latent_dim": 4, "hidden_width": 16, "members": 2}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A tiny run, where one member at a time is chosen: the record as read back, and what was printed."""
    output = tmp_path_factory.mktemp("benchmark") / "sweep.json"
    printed = io.StringIO()
    config = benchmark.Config(suite="sweep", output=str(output), project_flops=1e15, project_bandwidth=1e9, **TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_sweep, "NARROW_SIZES", {"latent_dim": 2, "hidden_width": 8})
        patch.setattr(training, "choose_members_at_once", lambda num_parameters, platform: 1)
        benchmark.run(
            config, Session(console=Console(file=printed, width=140), command="the command"), matmul_sizes=(8,)
        )
    return json.loads(output.read_text()), printed.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide", "narrow"])
def test_record(ran: tuple[dict[str, Any], str], name: str) -> None:
    record, printed = ran
    network = record["networks"][name]
    rows, single = network["rows"], network["rows"]["single"]
    assert list(rows) == ["single", "at-once-1", "at-once-2"]
    assert [key for key, row in rows.items() if row.get("chosen")] == ["at-once-1"]
    for key, row in rows.items():
        models = 1 if key == "single" else 2
        assert row["images_per_second"]["rounds"] == [pytest.approx(models * 40 / each) for each in row["seconds"]]
        assert row["label"] in printed
        assert row["last_loss"] > 0
        assert row["compile_seconds"] > 0
        flops = row["images_per_second"]["median"] / 20 * network["flops_per_step"]["matmul"]
        assert row["mfu"] == pytest.approx(flops / record["matrix_peak"]["flops_per_second"])
        if key != "single":
            pairs = zip(row["images_per_second"]["rounds"], single["images_per_second"]["rounds"], strict=True)
            assert row["over_single"]["rounds"] == [pytest.approx(mine / one) for mine, one in pairs]
    hidden, latent = network["hidden_width"], network["latent_dim"]
    shapes = [(784, hidden), (hidden, hidden), (hidden, 2 * latent), (latent, 10)]
    assert network["num_parameters"] == sum((fan_in + 1) * fan_out for fan_in, fan_out in shapes)
    assert (
        network["flops_per_step"]["matmul"] < network["flops_per_step"]["xla"] < 3 * network["flops_per_step"]["matmul"]
    )
    assert record["peak_memory"]["bytes"] > 0


@pytest.mark.slow
def test_projection(ran: tuple[dict[str, Any], str]) -> None:
    record, printed = ran
    projection, wide = record["projection"], record["networks"]["wide"]
    # so many models, epochs and images at the row's own speed
    row = wide["rows"]["at-once-1"]
    seconds = 45 * 200 * 60_000 / row["images_per_second"]["median"]
    assert projection["measured"]["hours"] == pytest.approx(seconds / 3600)
    assert projection["measured"]["row"] == row["label"]
    assert projection["flops"] == pytest.approx(45 * 200 * 60_000 * wide["flops_per_step"]["xla"] / 20)
    assert projection["bytes"] == pytest.approx(45 * 200 * 60_000 * wide["bytes_per_step"] / 20)
    # a step reads parameters, moments and average at least once: memory is the narrower way by far at these rates
    assert wide["bytes_per_step"] > 4 * 4 * wide["num_parameters"]
    assert projection["given"]["hours"] == pytest.approx(projection["bytes"] / 3.6e12)
    assert projection["flops"] / 3.6e18 < projection["given"]["hours"]
    assert all(assumption in " ".join(printed.split()) for assumption in projection["assumptions"])


def test_projection_without_xla_or_a_given_rate() -> None:
    config = benchmark.Config(suite="sweep", batch_size=10)
    row = {"label": "it", "images_per_second": {"median": 60_000.0}}
    network = {"flops_per_step": {"matmul": 500, "xla": None}, "bytes_per_step": None}
    projection = benchmark_projection.project(network, config, row)
    assert projection["counted_by"] == "matmul"
    assert projection["flops_per_image"] == 50
    assert projection["measured"]["hours"] == pytest.approx(45 * 200 / 3600)
    assert projection["given"] is None


def test_targets_are_of_the_chosen_way_for_each_device() -> None:
    def network(ratio: float, mfu: float, devices: int) -> dict[str, Any]:
        rows = {
            "single": {"mfu": mfu},
            "at-once-1": {"label": "1", "chosen": False, "over_single": {"median": 9.0}},
            "at-once-2": {"label": "2", "chosen": True, "over_single": {"median": ratio}},
        }
        return {"rows": rows, "own_arithmetic": devices, "latent_dim": 2, "hidden_width": 8}

    wide, narrow = sweep_targets({"wide": network(1.0, 0.8, 1), "narrow": network(8.0, 0.25, 4)}).values()
    assert wide == {"target": 0.95, "measured": 1.0, "met": True, "at_peak": 1.25}
    assert narrow == {"target": 3.0, "measured": 2.0, "met": False, "at_peak": 4.0}


@pytest.mark.parametrize(
    ("devices", "chosen", "sizes", "size_chosen"),
    [
        (1, None, {1: 1, 2: 2, 8: None}, 8),
        (1, 4, {1: 1, 2: 2, 4: 4, 8: None}, 4),
        (4, 1, {1: 1, 2: None}, 1),
        (8, None, {1: None}, 1),
        (3, 5, {1: 1, 2: 2, 3: None}, 3),
    ],
)
def test_ways_that_are_the_same_are_measured_once(
    devices: int, chosen: int | None, sizes: dict, size_chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vib = benchmark_jax.train_config(benchmark.Config(batch_size=4, latent_dim=2, hidden_width=4))
    population = benchmark_sweep.SweepBenchmark(vib, 8, 1)
    monkeypatch.setattr(training, "choose_members_at_once", lambda num_parameters, platform: chosen)
    monkeypatch.setattr(benchmark_sweep.jax, "device_count", lambda: devices)
    assert population.ways() == (sizes, size_chosen)
