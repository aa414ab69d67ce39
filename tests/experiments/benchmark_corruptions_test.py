"""The plumbing of the benchmark of corruptions, with a package that only pretends; speeds are never tested."""

import io
import json

import pytest
from rich.console import Console

from experiments.benchmark import corruptions as benchmark_corruptions
from experiments.benchmark import run as benchmark
from experiments.core.app import Session
from experiments.corruptions import peer as corruption_peer


class Pretender:
    """Two cores, each of which takes 2,000 images a second."""

    count = 2

    def images_per_second(self, images, name, severity, seconds):
        return 4000.0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


def run(tmp_path, monkeypatch, missing=""):
    monkeypatch.setattr(benchmark_corruptions, "SIZES", {32: ("contrast", "impulse_noise")})
    monkeypatch.setattr(
        benchmark_corruptions, "ours", lambda images, name: {"contrast": lambda s: 40_000.0}.get(name, lambda s: 4000.0)
    )
    monkeypatch.setattr(corruption_peer, "images_per_second", lambda images, name, severity, seconds: 2000.0)
    monkeypatch.setattr(corruption_peer, "Cores", Pretender)
    monkeypatch.setattr(corruption_peer, "missing", lambda: missing)
    output, printed = tmp_path / "corruptions.json", io.StringIO()
    config = benchmark.Config(suite="corruptions", repeats=2, min_seconds=0.0, output=str(output))
    benchmark.run(config, Session(console=Console(file=printed, width=150), command="the command"))
    return json.loads(output.read_text()), printed.getvalue()


def test_record_and_table(tmp_path, monkeypatch):
    record, printed = run(tmp_path, monkeypatch)
    row = record["rows"]["contrast 32"]
    assert row["images_per_second"]["jax"]["rounds"] == [40_000.0, 40_000.0]
    assert {peer: ratio["median"] for peer, ratio in row["ratios"].items()} == {
        "imagecorruptions": 20.0,
        "imagecorruptions-cores": 10.0,
    }
    means = record["geometric_means"]["32"]
    assert means["imagecorruptions"] == pytest.approx((20 * 2) ** 0.5)
    assert means["imagecorruptions-cores"] == pytest.approx((10 * 1) ** 0.5)
    least = record["targets"]["JAX / imagecorruptions in one process, 32 x 32, least of 2 (impulse_noise)"]
    assert least == {"target": 5.0, "measured": 2.0, "met": False}
    assert "one process: 6.3; less than 5: impulse_noise." in printed


def test_without_the_package(tmp_path, monkeypatch):
    record, printed = run(tmp_path, monkeypatch, missing="no imagecorruptions")
    assert record["rows"]["contrast 32"]["ratios"] == {}
    assert record["targets"] == {}
    assert "imagecorruptions: no imagecorruptions" in printed


def test_ours_counts_images():
    turn = benchmark_corruptions.ours(benchmark_corruptions.pictures(32), "contrast")
    assert turn(0.0) > 0
    assert benchmark_corruptions.pictures(32).shape == (128, 32, 32, 3)
