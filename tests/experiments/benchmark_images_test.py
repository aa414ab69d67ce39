"""The benchmark of convolutional networks: its plumbing and its arithmetic; speeds are never tested."""

import io
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.benchmark import image_rows as benchmark_image_rows
from experiments.benchmark import images as benchmark_images
from experiments.benchmark import images_report as benchmark_images_report
from experiments.benchmark import run as benchmark
from experiments.benchmark import table as benchmark_table
from experiments.benchmark.image_rows import ImageBenchmark, Network
from experiments.benchmark.images_report import add_ratios, images_targets, print_images
from experiments.benchmark.turns import Work
from experiments.cifar10_ceb import FUNCTIONS
from experiments.core import networks
from experiments.core.app import Session
from experiments.core.worker import WorkerError
from ib_jax import models
from ib_jax.types import Array, DiagGaussian

STEPS, BATCH, SIZE = 2, 6, 8
FORWARD = 2 * SIZE**2 * 4 * 27 + 2 * 4 * 10  # a convolution of 3 x 3 pixels from 3 channels to 4, and 10 logits
ROWS = ("stretch", "loop", "population", "runner", "pgd-loop")


class _TinyEncoder(nn.Module):
    code_dim: int = 4

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> DiagGaussian:
        mean = nn.relu(nn.Conv(4, (3, 3))(inputs)).mean((1, 2))
        return DiagGaussian(mean, jnp.ones_like(mean))


def _tiny(config: Any, shares: np.ndarray, axis_name: str | None) -> models.Classifier:
    return networks.classifier(_TinyEncoder(), config, shares, backward="unit")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A tiny run: the record as read back, and what was printed."""
    output = tmp_path_factory.mktemp("benchmark") / "images.json"
    printed = io.StringIO()
    sizes: dict[str, Any] = {"image_size": SIZE, "image_batch_size": BATCH, "image_steps": STEPS, "repeats": 2}
    config = benchmark.Config(suite="images", image_networks="wrn-10-1", output=str(output), **sizes)
    tiny = FUNCTIONS._replace(network=_tiny)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XLA_FLAGS", raising=False)  # they would belong to the command
        patch.setattr(benchmark_image_rows, "DATA_BYTES", 5000)
        patch.setitem(benchmark_image_rows.FAMILIES, "wrn", (tiny, 10))
        benchmark.run(
            config, Session(console=Console(file=printed, width=170), command="the command"), matmul_sizes=(8,)
        )
    return json.loads(output.read_text()), printed.getvalue()


@pytest.mark.slow
def test_record(ran: tuple[dict[str, Any], str]) -> None:
    record, printed = ran
    network = record["networks"]["wrn-10-1"]
    on_cpu = jax.default_backend() == "cpu"
    assert (network["whole"], network["members_at_once"]) == ((False, 0) if on_cpu else (True, None))
    assert network["num_train_images"] == 3 * STEPS * BATCH  # whole stretches, at least 5000 bytes
    assert network["num_parameters"] == 4 * 28 + 5 * 10 + 10 * 4  # and the backward encoder's means
    assert network["flops_per_image"]["products"] == 3 * FORWARD
    assert network["flops_per_image"]["xla"] > FORWARD
    rows, peak = network["rows"], record["matrix_peak"]["flops_per_second"]
    assert tuple(rows) == ROWS
    for name, row in rows.items():
        attack = name in ("runner", "pgd-loop")
        images = BATCH if attack else STEPS * BATCH * (2 if name == "population" else 1)
        assert row["images_per_second"]["rounds"] == [pytest.approx(images / each) for each in row["seconds"]]
        flops = (41 if attack else 3) * FORWARD * row["images_per_second"]["median"]
        assert row["mfu"] == pytest.approx(flops / peak)
        assert row["last_loss"] > 0
        assert row["label"] in printed
    for name, reference in {"stretch": "loop", "runner": "pgd-loop"}.items():
        pairs = zip(rows[reference]["seconds"], rows[name]["seconds"], strict=True)
        assert rows[name]["over_reference"]["rounds"] == [pytest.approx(its / mine) for its, mine in pairs]
    assert rows["population"]["reference"] in ("stretch", "loop")
    assert record["config"]["image_networks"] == "wrn-10-1"
    assert len(record["targets"]) == 3
    assert record["data_sheet_peak"] is None


@pytest.mark.slow
def test_rows_do_the_same_work_as_their_references(ran: tuple[dict[str, Any], str]) -> None:
    rows = ran[0]["networks"]["wrn-10-1"]["rows"]
    # Both start from the same images; the random draws of training differ.
    assert rows["runner"]["last_loss"] == pytest.approx(rows["pgd-loop"]["last_loss"], rel=1e-5)
    assert rows["stretch"]["last_loss"] == pytest.approx(rows["loop"]["last_loss"], rel=0.2)


def test_the_plain_attack_climbs_within_its_radius(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark_image_rows.FAMILIES, "wrn", (FUNCTIONS._replace(network=_tiny), 10))
    monkeypatch.setattr(benchmark_image_rows, "DATA_BYTES", 1)
    made = ImageBenchmark(Network("wrn-10-1", SIZE, BATCH, "float32", STEPS))
    monkeypatch.setattr(made, "_attacked", lambda attack: attack)
    attack: Any = made.pgd_loop()
    params, inputs, labels = made.recipe.init().params, jnp.full((BATCH, SIZE, SIZE, 3), 0.5), jnp.arange(BATCH)
    moved = np.abs(attack(params, inputs, labels) - 0.5)
    assert moved.max() == pytest.approx(8 / 255, rel=1e-4)  # 20 steps of an eighth of the radius reach its end


def test_ratios_are_of_the_rounds_and_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_images_report, "own_arithmetic", lambda devices: devices)

    def row(*rates: float, devices: int = 1) -> dict[str, Any]:
        median = sum(rates) / len(rates)
        found = {"median": median, "rounds": list(rates)}
        return {"status": "measured", "label": "it", "devices": devices, "images_per_second": found}

    rows = {
        "stretch": row(100, 200),
        "loop": row(100, 100),
        "population": row(360, 360, devices=2),
        "runner": {"status": "more than the device's memory", "label": "it", "devices": 1},
        "pgd-loop": row(5, 5),
    }
    add_ratios(rows)
    assert rows["stretch"]["over_reference"]["rounds"] == [1.0, 2.0]
    assert rows["population"]["over_reference"]["rounds"] == [1.8, 0.9]  # over the faster single model
    assert rows["population"]["reference"] == "stretch"
    assert all("over_reference" not in rows[name] for name in ("loop", "runner", "pgd-loop"))
    del rows["stretch"]["over_reference"]
    rows["loop"]["images_per_second"]["median"] = 500
    add_ratios(rows)
    assert rows["population"]["reference"] == "loop"


def _network(**shares: float) -> dict[str, Any]:
    def row(label: str, **more: Any) -> dict[str, Any]:
        return {"status": "measured", "label": label, **more}

    rows = {
        "stretch": row("it", over_reference={"median": 0.95}, reference="loop", mfu=0.6, **shares),
        "loop": row("a loop"),
        "population": row("two", over_reference={"median": 0.85}, reference="stretch"),
        "runner": {"status": "more than the device's memory", "label": "PGD"},
        "pgd-loop": row("a loop"),
    }
    return {"rows": rows, "precision": "bfloat16"}


def test_targets() -> None:
    found = images_targets({"n": _network(mfu_data_sheet=0.3)}, accelerator=True)
    assert {name: (goal["target"], goal["measured"], goal["met"]) for name, goal in found.items()} == {
        "n: training / a loop": (0.9, 0.95, True),
        "n: the population / it": (0.9, 0.85, False),
        "n: share of the data sheet's matrix peak in training": (0.4, 0.3, False),
    }
    found = images_targets({"n": _network()}, accelerator=True)
    assert found["n: share of the measured matrix peak in training"]["measured"] == 0.6
    assert len(images_targets({"n": _network()}, accelerator=False)) == 2


def test_work_of_a_turn() -> None:
    network = Network("n", 8, 5, "float32", 3)
    assert benchmark_images._work("stretch", network, 10, 700.0, 1) == Work(3, 15, 450, 2100.0, 1)
    assert benchmark_images._work("population", network, 10, None, 2) == Work(3, 30, 900, None, 2)
    assert benchmark_images._work("runner", network, 10, 700.0, 1) == Work(20, 5, 5 * 41 * 10, None, 1)


def test_the_platform_decides_what_the_flags_leave_open() -> None:
    here = benchmark_images.networks(benchmark.Config(), "cpu")
    there = benchmark_images.networks(benchmark.Config(), "gpu")
    assert here == [Network("wrn-10-2", 32, 100, "float32", 10)]
    assert there == [
        Network("wrn-28-10", 32, 512, "bfloat16", 20),
        Network("resnet-50", 224, 256, "bfloat16", 20),
    ]
    flags: dict[str, Any] = {"image_networks": "resnet-101,wrn-16-4", "image_size": 64, "image_batch_size": 8}
    chosen = benchmark.Config(**flags, image_precision="bfloat16", image_steps=2)
    assert benchmark_images.networks(chosen, "cpu") == [
        Network(name, 64, 8, "bfloat16", 2) for name in ("resnet-101", "wrn-16-4")
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_networks": "vgg"},
        {"image_networks": ""},
        {"image_size": -1},
        {"image_steps": -2},
        {"image_precision": "half"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))}"):
        benchmark.Config(**wrong)


def test_resnet_50_has_the_products_that_are_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_image_rows, "DATA_BYTES", 1)
    made = ImageBenchmark(Network("resnet-50", 224, 1, "bfloat16", 1))
    assert made.forward_flops() == pytest.approx(2 * 4.09e9, rel=1e-3)  # 4.09 GFLOP of torchvision count a pair as one


def test_what_does_not_fit_the_memory_says_so() -> None:
    def fail(message: str) -> Any:
        raise jax.errors.JaxRuntimeError(message)

    with pytest.raises(WorkerError, match="more than the device's memory"):
        benchmark_images._starter(lambda: fail("RESOURCE_EXHAUSTED: Out of memory"))()
    with pytest.raises(WorkerError, match="more than the device's memory"):
        benchmark_images._starter(lambda: lambda: fail("RESOURCE_EXHAUSTED: Out of memory"))()()
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        benchmark_images._starter(lambda: lambda: fail("INTERNAL: broken"))()()


@pytest.mark.slow
def test_a_row_without_memory_is_printed(ran: tuple[dict[str, Any], str]) -> None:
    record = json.loads(json.dumps(ran[0]))
    rows = record["networks"]["wrn-10-1"]["rows"]
    rows["population"] = {"label": "two models", "status": "more than the device's memory"}
    record["data_sheet_peak"], rows["stretch"]["mfu_data_sheet"] = 989.4e12, 0.41
    printed = io.StringIO()
    print_images(Console(file=printed, width=170), record)
    assert "more than the device's memory" in printed.getvalue()
    assert "41%" in printed.getvalue()
    assert "989,400 GFLOP/s" in printed.getvalue()


@pytest.mark.slow
def test_the_tables_of_all_records_hold_it(ran: tuple[dict[str, Any], str]) -> None:
    record, printed = ran
    text = benchmark_table.render({"images": record})
    assert "`the command`" in text
    title = next(line for line in printed.splitlines() if line.startswith("wrn-10-1"))
    assert title.rstrip() in text
    assert all(sum(label in line for line in text.splitlines()) >= 1 for label in benchmark_images.LABELS.values())
