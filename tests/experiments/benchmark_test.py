"""The benchmark: how it counts and compares, its loop, and each suite once from end to end; speeds are never tested."""

import contextlib
import dataclasses
import io
import json
import re
import subprocess
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.attack_comparison import AttackedModel
from experiments.benchmark import attacks as attack_suite
from experiments.benchmark import (
    cold,
    distances,
    estimators,
    floor,
    images,
    machine,
    measure,
    mlp,
    reading,
    report,
    run,
    settings,
    speed,
    transforms,
)
from experiments.benchmark.machine import Cost
from experiments.benchmark.measure import Plan, Row
from experiments.benchmark.settings import Config
from experiments.benchmark.tables import Goal, Timed, tables_of
from experiments.cifar10_ceb import FUNCTIONS
from experiments.core import frames, networks, records, render
from experiments.core import worker as core_worker
from experiments.core.records import Measurement, Model, Record
from experiments.core.report import Report
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.worker import WorkerError
from experiments.ib_adversarial_training import Config as AdversarialConfig
from ib_jax import augment, models, training
from ib_jax.types import Array, DiagGaussian

# ---- records ----


def timed_row(name: str, *rates: float, table: str = "", own: int = 1, mfu: float = 0.5, **more: Any) -> Model:
    """A row of a record that took its turns at these images a second; none: it could not be measured."""
    status = "measured" if rates else "it is absent"
    first = {"first_seconds": 1.5, "compile_seconds": 1.0, "own_devices": own, "program_bytes": 2**20, "all_reduces": 1}
    rounds = [
        Measurement({"round": 1}, {"images_per_second": rate, "step_ms": 1.0, "mfu": mfu, "mfu_xla": None})
        for rate in rates
    ]
    values = Measurement({}, first | more.pop("values", {}))
    own_settings = {"table": table, "row": name, "label": f"the {name}", "devices": own, **more}
    details = {"status": status, "process": {"torch": "1", "torchvision": "2", "pillow": "3", "threads": 4}}
    return Model(f"{table} {name}", 0, [values, *rounds] if rates else [], own_settings, details=details)


def record_of(suite: str, *rows: dict[str, Any], config: dict[str, Any] | None = None, **details: Any) -> Record:
    """A record of such rows."""
    sizes: dict[str, Any] = {"repeats": 3, "steps": 10, "batch_size": 10, "precision": "float32", "latent_dim": 2}
    sizes |= {
        "project_flops": 0.0,
        "project_bandwidth": 0.0,
        "min_seconds": 1.0,
        "pictures": 8,
        "global_batch_size": 12,
    }
    peak = {"dtype": "float32", "size": 8, "flops_per_second": 2e9, "best_seen": 3e9}
    known = {"load_average": {"start": 0.0}, "matrix_peak": peak, "peak_memory": {"bytes": 2**30, "of": "the device"}}
    environment = {"devices": ["cpu cpu"], "machine": {"cpu": "a CPU", "cores": 2}, "versions": {"jax": "1"}}
    own: dict[str, Any] = {"environment": {**environment, "commit": "0123456789"}, "file": suite}
    return Record("benchmark", "the command", {**sizes, **(config or {}), "suite": suite}, rows, known | details, **own)


def targets_of(record: Record) -> list[str]:
    return [str(each) for each in report.sections(record) if isinstance(each, Goal)]


def text_of(record: Record) -> str:
    printed = io.StringIO()
    render.show(report.report(frames.frame([record]), [record]), Console(file=printed, width=200))
    return printed.getvalue()


def test_train_is_held_against_eager_and_the_fastest_peer() -> None:
    rows = [timed_row("jax-scan", 220, mfu=0.7), timed_row("jax-loop", 900)]
    rows += [timed_row("eager", 110), timed_row("fused", 200), timed_row("compile")]
    flops = {"matmul": 1e9, "xla": None}
    record = record_of("train", *rows, flops_per_step=flops)
    assert targets_of(record) == [
        "share of the float32 matrix peak: 0.70, target 0.65: met",
        "JAX / eager PyTorch with plain Adam: 2.00, target 2.5: missed",
        "JAX / the best PyTorch (the fused): 1.10, target 1: met",
    ]
    assert "it is absent" in text_of(record)
    assert "Matrix products of one step: 1.000 GFLOP." in text_of(record)
    assert not targets_of(record_of("train", *rows, config={"precision": "bfloat16"}, flops_per_step=flops))


def test_a_ratio_is_of_the_rounds_and_its_median_and_range_are_shown() -> None:
    rows = [timed_row("jax-scan", 100, 300, 100), timed_row("eager", 100, 100, 200)]
    record = record_of("train", *rows, flops_per_step={"matmul": 1, "xla": 2})
    assert "JAX / eager PyTorch with plain Adam: 1.00, target 2.5: missed" in targets_of(record)
    assert "1.00 (0.50-3.00)" in text_of(record)


def sweep_record(**config: float) -> Record:
    rows = []
    for table, one, all_, devices in (("wide", 100, 100, 1), ("narrow", 100, 800, 4)):
        rows.append(timed_row("single", one, table=table, mfu=0.8 if table == "wide" else 0.25))
        rows.append(timed_row("at-once-1", 900, table=table, chosen=False))
        rows.append(timed_row("at-once-2", all_, table=table, own=devices, chosen=True))
    network = {"latent_dim": 2, "hidden_width": 8, "num_parameters": 9, "bytes_per_step": 1000}
    networks = dict.fromkeys(("wide", "narrow"), network | {"flops_per_step": {"matmul": 500, "xla": 700}})
    return record_of("sweep", *rows, config=config, tables=networks)


def test_a_population_is_held_against_one_model_for_each_device() -> None:
    assert targets_of(sweep_record()) == [
        "the at-once-2 / one model, K = 2, 8 units: 1.00, target 0.95: met",
        "the at-once-2 / one model, K = 2, 8 units, for each of 4 devices: 2.00, target 3: missed",
    ]
    text = text_of(sweep_record())
    assert "units: 1.25 at 100 % of the matrix peak" in text
    assert "4 devices: 4.00 at 100 % of the matrix peak" in text
    assert "8.00 (8.00-8.00)" in text  # the ratio of the table is of the whole population


def test_projection_of_the_papers_sweep() -> None:
    config = {"batch_size": 10, "latent_dim": 2, "project_flops": 1e9, "project_bandwidth": 1e6}
    network = {"flops_per_step": {"matmul": 500, "xla": 700}, "bytes_per_step": 100}
    text = speed.projection(network, config, 60_000.0)
    images = 45 * 200 * 60_000
    assert f"is {70 * images:.3g} FLOP and {10 * images:.3g} bytes" in text
    assert f"{45 * 200 / 3600:.2f} h at the 0 GFLOP/s measured" in text
    assert f"no less than {10 * images / 1e6 / 60:.1f} minutes at 1e+09 FLOP/s and 1e+06 bytes/s" in text  # the slower
    network = {"flops_per_step": {"matmul": 500, "xla": None}, "bytes_per_step": None}
    text = speed.projection(network, config | {"project_flops": 0.0, "project_bandwidth": 0.0}, 60_000.0)
    assert f"is {50 * images:.3g} FLOP" in text
    assert "no less" not in text


def test_efficiency_is_of_as_many_single_devices() -> None:
    made = {"1": Timed(timed_row("1", 100, 200)), "4": Timed(timed_row("4", 400, 200, own=4))}
    assert speed.efficiency(made)["4"].tolist() == [1.0, 0.25]
    rows = [timed_row(str(count), 100, table="weak", own=count, processes=1) for count in (1, 2)]
    devices = {"local": 2, "total": 2, "processes": 1}
    details = {"devices": devices, "strong_left_out": [2], "platform": "cpu", "num_parameters": 1_000_000}
    text = text_of(record_of("scaling", *rows, **details))
    assert "0.50 (0.50-0.50)" in text
    assert "a step reduces 4.0 MB of gradients" in text
    assert "--global_batch_size=12 does not divide over 2 devices" in text


def attacks_record() -> Record:
    def rows(table: str, **rates: float) -> list[Model]:
        values = {"values": {"median_l2_all": None if table == "DeepFool" else 1.5}, "num_images": 7}
        named = {name.replace("_", "-"): rate for name, rate in rates.items()}
        return [timed_row(name, rate, table=table, **values) for name, rate in named.items()]

    made = rows("PGD-20", jax=4.2, jax_early=4.4, torchattacks=1.0, foolbox=2.0)
    made += rows("CW 3 x 100", jax=2.6, foolbox=1.0) + rows("CW 3 x 100, all steps", jax=1.4, foolbox_avx512=1.0)
    made += rows("DeepFool", jax=11.0, foolbox=9.0, torchattacks=1.0)
    made += rows("eight radii", one=4.0, one_early=3.9, curve=1.0)
    network = {"layers": [[64, 16], [16, 10]], "dataset": "digits", "num_epochs": 0, "checkpoint": "random"}
    return record_of("attacks", *made, network=network, clean_accuracy=0.5)


def test_attacks_are_held_against_the_fastest_library_and_eight_radii_against_one() -> None:
    assert targets_of(attacks_record()) == [
        "PGD-20: the jax / the foolbox, as installed: 2.10, target 2.2: missed",
        "PGD-20: the jax-early / the foolbox, as installed: 2.20, target 2.2: met",
        "CW 3 x 100: the jax / the foolbox, as installed: 2.60, target 2.6: met",
        "CW 3 x 100, all steps: the jax / the foolbox-avx512: 1.40, target 1.5: missed",
        "DeepFool: the jax / the torchattacks, as installed: 11.00, target 10: met",
        "time of eight radii / the one: 4.00, target under 4: missed",
        "time of eight radii / the one-early: 3.90, target under 4: met",
    ]
    text = text_of(attacks_record())
    assert "Attacks on 64-16-10, digits, 0 epochs (random), 50.0% right before the attack" in text
    assert "median L2 1.500" in text
    assert "most failed" in text


def test_augmentation_is_held_against_the_fastest_way() -> None:
    rows = [timed_row("jax", 8, table="CIFAR-10", size=32), timed_row("jax-vmap", 9, table="CIFAR-10")]
    rows += [timed_row("pil", 1, table="CIFAR-10"), timed_row("tensor", 2, table="CIFAR-10")]
    record = record_of("augment", *rows)
    assert targets_of(record) == ["CIFAR-10: the jax / the tensor: 4.00, target 5: missed"]
    assert "torchvision 2, PyTorch 1 with 4 threads, Pillow 3." in text_of(record)
    assert not targets_of(record_of("augment", *rows[:2], timed_row("pil", table="CIFAR-10")))


def test_corruptions_have_a_geometric_mean_and_the_least_counts() -> None:
    rows = []
    for name, rate in (("contrast", 40_000.0), ("impulse_noise", 4000.0)):
        speeds = {"jax": rate, "imagecorruptions": 2000.0, "imagecorruptions-cores": 4000.0}
        rows += [timed_row(f"{name} {way}", speed, table="32 x 32", corruption=name) for way, speed in speeds.items()]
    details = {"images": 128, "severity": 3, "constants": "imagenet"}
    record = record_of("corruptions", *rows, **details)
    least = "32 x 32, least of 2 (impulse_noise)"
    assert targets_of(record) == [
        f"JAX / imagecorruptions in one process, {least}: 2.00, target 5: missed",
        f"JAX / imagecorruptions in a process on each core, {least}: 1.00, target 5: missed",
    ]
    assert "one process: 6.3; less than 5: impulse_noise." in text_of(record)
    absent = [timed_row("contrast jax", 1, table="32 x 32", corruption="contrast")]
    absent += [timed_row("contrast imagecorruptions", table="32 x 32", corruption="contrast")]
    assert "imagecorruptions: it is absent" in text_of(record_of("corruptions", *absent, **details))


def images_record(sheet: float | None, platform: str = "gpu") -> Record:
    rows = [
        timed_row("stretch", 100, 200, mfu=0.6),
        timed_row("loop", 100, 100),
        timed_row("population", 270, 360, own=2),
    ]
    rows += [timed_row("runner"), timed_row("pgd-loop", 5, 5)]
    rows = [dataclasses.replace(row, settings={**row.settings, "table": "net"}) for row in rows]
    network = {
        "image_size": 8,
        "batch_size": 4,
        "precision": "bfloat16",
        "steps": 2,
        "num_parameters": 9,
        "whole": True,
    }
    network |= {"flops_per_image": {"products": 1e9, "xla": None}}
    return record_of("images", *rows, data_sheet_peak=sheet, platform=platform, tables={"net": network})


def test_networks_are_held_against_plain_loops_for_each_device() -> None:
    assert targets_of(images_record(4e9)) == [
        "net: training / the loop: 1.50, target 0.9: met",
        "net: the population / the stretch: 1.12, target 0.9: met",  # over the faster single model
        "net: share of the data sheet's matrix peak in training: 0.30, target 0.4: missed",
    ]
    assert targets_of(images_record(None))[-1].startswith("net: share of the measured matrix peak in training: 0.60")
    assert len(targets_of(images_record(None, "cpu"))) == 2
    text = text_of(images_record(4e9))
    assert "it is absent" in text
    assert "4 GFLOP/s in bfloat16, dense" in text


@pytest.mark.parametrize("slower, verdict", [(1.0, "20.50, target under 21: met"), (1.03, "target under 21: missed")])
def test_a_step_against_pgd_20_is_held_against_21_plain_ones(slower: float, verdict: str) -> None:
    rows = [timed_row("plain", 20.5 * 10), timed_row("pgd-20", 10 / slower)]
    (found,) = targets_of(record_of("adversarial", *rows, hidden="2", latent_dim=2))
    assert found.endswith(verdict)


def test_an_estimator_is_held_against_its_peer_by_time_and_by_the_noise_of_folds() -> None:
    rows = [timed_row("bottleneck", 10, 20, values={"seconds": 0.5}), timed_row("mlp", 10, 20, values={"seconds": 0.2})]
    rows = [dataclasses.replace(row, settings={**row.settings, "table": "wine"}) for row in rows]
    own: dict[str, Any] = {"calibration_error": [0.1, 0.1], "rate_bits": [4.0, 6.0], "label_bits": [1.0, 1.5]}
    folds = {"wine": {"bottleneck": {"accuracy": [0.9, 0.8], **own}, "mlp": {"accuracy": [0.9, 0.9]}}}
    record = record_of("estimators", *rows, folds=folds)
    # The differences 0 and -0.1 have a mean of -0.05 and a deviation of 0.0707; times sqrt(1/2 + 1/4), 0.0612.
    assert targets_of(record)[0] == "wine: standard errors by which accuracy is lower: 0.82, target under 2: met"
    text = text_of(record)
    assert "Accuracy less MLPClassifier's: -0.0500 +- 0.0612." in text
    assert re.search(r"0\.100 +5\.00 +1\.25", text)
    assert "wine: further fits / MLPClassifier: 2.50, target under 2: missed" in text


def test_all_records_make_one_file() -> None:
    found = [sweep_record(), attacks_record()]
    text = render.markdown(report.report(frames.frame(found), found))
    assert "## sweep\n\n`the command` on a CPU, 2 cores, 1 device (cpu cpu); jax 1, commit 0123456." in text
    assert "## attacks" in text


# ---- the loop ----


def a_row(name: str, turn: Any, **more: Any) -> Row:
    return Row("table", name, f"the {name}", lambda: turn, 10, **more)


def test_rows_take_turns_and_keep_what_they_say() -> None:
    asked = []

    def turn(name: str) -> Any:
        def run(min_seconds: float) -> tuple[float, dict[str, Any]]:
            asked.append((name, min_seconds))
            return 2.0, {"last_loss": 0.5, "program_bytes": None, "curve": [1, 2]}

        return run

    def absent() -> Any:
        raise WorkerError("not installed")

    rows = [a_row("a", turn("a"), settings={"members": 3}), a_row("b", turn("b"))]
    rows.append(Row("table", "c", "the c", absent, 1))
    plan = Plan(rows, lambda: {"facts": 1}, min_seconds=0.5)
    found, details = measure.measure(plan, Console(quiet=True), repeats=2)
    assert asked == [("a", 0.0), ("b", 0.0), ("a", 0.5), ("b", 0.5), ("a", 0.5), ("b", 0.5)]
    assert details == {"facts": 1}
    first, *rounds = found[0].measurements
    assert first.values["first_seconds"] == 2.0
    assert (first.values["last_loss"], first.values["images"], first.values["own_devices"]) == (0.5, 10, 1)
    assert [each.at for each in rounds] == [{"round": 1}, {"round": 2}]
    assert rounds[0].values == {"seconds": 2.0, "images_per_second": 5.0}
    assert found[0].details == {"status": "measured", "curve": [1, 2]}
    assert found[0].settings["members"] == 3
    assert (found[2].measurements, found[2].details) == ([], {"status": "not installed"})


def test_what_does_not_fit_the_memory_says_so() -> None:
    def failing(message: str) -> Plan:
        def turn(min_seconds: float) -> Any:
            raise jax.errors.JaxRuntimeError(message)

        return Plan([a_row("a", turn)])

    found, _ = measure.measure(failing("RESOURCE_EXHAUSTED: Out of memory"), Console(quiet=True), repeats=1)
    assert found[0].details["status"] == "more than the device's memory"
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        measure.measure(failing("INTERNAL: broken"), Console(quiet=True), repeats=1)


def test_a_call_is_repeated_for_the_seconds_asked_for() -> None:
    prepared = iter(range(100))
    seen = []
    turn = measure.timed(seen.append, prepare=lambda: (next(prepared),), average=sum, describe=lambda result: {"n": 1})
    turn(0.0)
    assert seen == [0]
    assert turn(1e-5)[0] >= 1e-5


def test_shares_of_the_peak_are_of_all_devices() -> None:
    found = measure.speeds(2.0, 100, 10, Cost(80.0, 120.0), peak=4 * 20.0)
    assert found == {"seconds": 2.0, "images_per_second": 50.0, "step_ms": 200.0, "mfu": 0.5, "mfu_xla": 0.75}
    assert "mfu" not in measure.speeds(2.0, 100, 0, Cost(), peak=20.0)


def test_all_suites_have_records_of_their_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def plan(config: Config, console: Console, stack: Any) -> Plan:
        asked.append((config.suite, config.peer_names))
        return Plan([], dtype="")

    monkeypatch.setattr(run, "PLANS", dict.fromkeys(settings.SUITES, plan))
    monkeypatch.setattr(report, "report", lambda frame, records: Report("", frame, []))
    found = run.run(Config(suite="all", peers="none", output=str(tmp_path)), Session())
    assert found is not None
    assert [suite for suite, _ in asked] == list(found) == list(settings.SUITES)
    for suite in found:
        assert json.loads((tmp_path / f"{suite}.json").read_text())["settings"]["suite"] == suite
    run.run(Config(suite="all", output=str(tmp_path)), Session())
    assert dict(asked[len(found) :]) == settings.PEERS


# ---- settings ----


def test_peers_are_chosen_by_name_and_suite() -> None:
    assert Config(peers="none").peer_names == ()
    assert Config(peers="auto").peer_names == settings.PEERS["train"]
    assert Config(peers="fused,eager").peer_names == ("fused", "eager")
    assert Config(suite="attacks").peer_names == settings.PEERS["attacks"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"repeats": 0}, {"batch_size": -1}, {"members": 0}, {"global_batch_size": 0}, {"slow_images": 0}),
        *({"project_flops": -1.0}, {"project_flops": float("nan")}, {"precision": "float16"}, {"suite": "speed"}),
        *(
            {"peers": "eager,jax"},
            {"peers": ""},
            {"suite": "sweep", "peers": "eager"},
            {"suite": "all", "peers": "eager"},
        ),
        *({"suite": "attacks", "peers": "eager,foolbox"}, {"image_networks": "vgg"}, {"image_networks": ""}),
        *({"image_size": -1}, {"image_steps": -2}, {"image_precision": "half"}),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"--{list(wrong)[-1]}"):
        Config(**wrong)


def test_the_platform_decides_what_the_flags_leave_open() -> None:
    assert images.networks(Config(), "cpu") == [images.Network("wrn-10-2", 32, 100, "float32", 10)]
    assert images.networks(Config(), "gpu") == [
        images.Network("wrn-28-10", 32, 512, "bfloat16", 20),
        images.Network("resnet-50", 224, 256, "bfloat16", 20),
    ]
    flags: dict[str, Any] = {"image_networks": "resnet-101,wrn-16-4", "image_size": 64, "image_batch_size": 8}
    chosen = images.networks(Config(**flags, image_precision="bfloat16", image_steps=2), "cpu")
    assert chosen == [images.Network(name, 64, 8, "bfloat16", 2) for name in ("resnet-101", "wrn-16-4")]


# ---- FLOPs, devices, programs ----


def test_flops_against_a_hand_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = mlp.recipe_for(Config(latent_dim=3, hidden_width=8), 4)
    assert mlp.layers(recipe.config) == [[784, 8], [8, 8], [8, 6], [3, 10]]
    forward = weights = 784 * 8 + 8 * 8 + 8 * 6 + 3 * 10
    monkeypatch.setattr(machine, "xla_cost", lambda lowered, products, share: Cost(products))
    assert mlp.cost_of(recipe, 4).products == 2 * 4 * (forward + weights + forward - 784 * 8)
    assert Cost(5, 7.0).times(3) == Cost(15, 21.0)


def test_devices_of_a_cpu_share_its_cores_and_need_threads_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.own_arithmetic(1) == 1
    monkeypatch.setenv("PJRT_NPROC", "64")
    machine.check_threads(8)
    monkeypatch.setenv("PJRT_NPROC", "2")
    machine.check_threads(1)
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    with pytest.raises(SettingError, match="2 devices of a CPU need at least 4 threads, got 2: set PJRT_NPROC=4"):
        mlp.scaling(Config(suite="scaling"), Console(quiet=True), contextlib.ExitStack())


def test_the_matrix_peak_is_of_the_best_size_by_its_median() -> None:
    found = machine.best_size([{8: 1.0, 16: 2.0}, {8: 9.0, 16: 2.0}, {8: 1.0, 16: 3.0}])
    assert (found["size"], found["flops_per_second"], found["best_seen"]) == (16, 2.0, 9.0)


def test_xla_flops_of_a_product() -> None:
    lowered = jax.jit(lambda a: a @ a).lower(jnp.ones((8, 8)))
    cost = machine.xla_cost(lowered, 2 * 8**3, share=0.5)
    assert cost.xla == pytest.approx(2 * 8**3, rel=0.1)
    assert cost.num_bytes is not None
    assert cost.num_bytes >= 2 * 4 * 8**2  # a matrix read, one written
    assert machine.xla_cost(lowered, 1e6) == Cost(1e6)


def test_all_reduces_are_counted() -> None:
    text = """
    %a = f32[4]{0} all-reduce(%x), to_apply=%add
    %b = (f32[4]{0}, f32[]) all-reduce-start(%y, %z), to_apply=%add
    %c = (f32[4]{0}, f32[]) all-reduce-done(%b)
    %d = f32[4]{0} fusion(%a), metadata={op_name="all-reduce(no)"}
    """
    assert machine.count_all_reduces(text) == 2


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
    monkeypatch.setattr(training, "choose_members_at_once", lambda num_parameters, platform: chosen)
    monkeypatch.setattr(mlp.jax, "device_count", lambda: devices)
    assert mlp.ways_through(8, 100) == (sizes, size_chosen)


def test_the_steps_of_a_way_train_against_its_attack() -> None:
    small: dict[str, Any] = {"batch_size": 4, "scale_width": 1 / 64, "num_layers": 1, "latent_dim": 2}

    def traced(way: str) -> str:
        config = AdversarialConfig(**small, **({"adversary_fraction": 1.0} | mlp.WAYS[way]))
        recipe = mlp.recipe_of(config, measure.random_dataset(4))
        batch = training.Batch(*recipe.dataset.train)
        return str(jax.make_jaxpr(recipe.epoch(None, 1))(jax.eval_shape(recipe.init), batch))

    plain, fgsm, pgd = map(traced, ("plain", "fgsm", "pgd-5"))
    assert plain.count("dot_general") < min(fgsm.count("dot_general"), pgd.count("dot_general"))
    assert "length=5" in pgd


def test_photographs_are_real_and_the_same_each_time() -> None:
    pictures = transforms.photographs(4, 8)
    assert (pictures.shape, pictures.dtype) == ((4, 8, 8, 3), np.uint8)
    assert pictures.std() > 20
    np.testing.assert_array_equal(pictures, transforms.photographs(4, 8))


def test_a_peer_that_cannot_be_compared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    measure.refuse_peer()
    for wrong, message in (({"precision": "bfloat16"}, "JAX in bfloat16"), ({"reason": "absent"}, "absent")):
        with pytest.raises(WorkerError, match=message):
            measure.refuse_peer(**wrong)
    for name, value, message in (("process_count", 2, "JAX in 2"), ("default_backend", "gpu", "JAX on the gpu")):
        monkeypatch.setattr(jax, name, lambda value=value: value)
        with pytest.raises(WorkerError, match=message):
            measure.refuse_peer()


# ---- networks of images ----


class _TinyEncoder(nn.Module):
    code_dim: int = 4

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> DiagGaussian:
        mean = nn.relu(nn.Conv(4, (3, 3))(inputs)).mean((1, 2))
        return DiagGaussian(mean, jnp.ones_like(mean))


def _tiny(config: Any, shares: np.ndarray, axis_name: str | None) -> models.Classifier:
    return networks.classifier(_TinyEncoder(), config, shares, backward="unit")


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(images.FAMILIES, "wrn", (FUNCTIONS._replace(network=_tiny), 10))
    monkeypatch.setattr(images, "DATA_BYTES", 5000)


@pytest.mark.usefixtures("tiny_images")
def test_work_on_images_and_the_plain_attack_that_climbs_within_its_radius(monkeypatch: pytest.MonkeyPatch) -> None:
    made = images.ImageBenchmark(images.Network("wrn-10-1", 8, 6, "float32", 2))
    forward = 2 * 8**2 * 4 * 27 + 2 * 4 * 10  # a convolution of 3 x 3 pixels from 3 channels to 4, and 10 logits
    assert made.forward_flops() == forward
    assert made.attack_cost() == Cost(6 * 41 * forward)
    monkeypatch.setattr(made, "step_cost", lambda: Cost(6 * 3 * forward))
    population = made.rows()[2]
    assert (population.images, population.steps, population.cost().products) == (24, 2, 3 * forward * 24)
    monkeypatch.setattr(made, "_attacked", lambda attack: attack)
    attack: Any = made.pgd_loop()
    params, inputs, labels = made.recipe.init().params, jnp.full((6, 8, 8, 3), 0.5), jnp.arange(6)
    moved = np.abs(attack(params, inputs, labels) - 0.5)
    assert moved.max() == pytest.approx(8 / 255, rel=1e-4)  # 20 steps of an eighth of the radius reach its end


@pytest.mark.standard
def test_resnet_50_has_the_products_that_are_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "DATA_BYTES", 1)
    made = images.ImageBenchmark(images.Network("resnet-50", 224, 1, "bfloat16", 1))
    assert made.forward_flops() == pytest.approx(2 * 4.09e9, rel=1e-3)  # 4.09 GFLOP of torchvision count a pair as one


# ---- each suite from end to end ----

TINY: dict[str, Any] = {"repeats": 1, "steps": 2, "batch_size": 20, "latent_dim": 4, "hidden_width": 16, "members": 2}
TINY |= {"image_size": 8, "image_batch_size": 6, "image_steps": 2, "image_networks": "wrn-10-1", "pictures": 3}
TINY |= {"num_images": 12, "cw_images": 6, "slow_images": 3, "min_seconds": 0.0}


def measured(tmp_path: Any, suite: str, **more: Any) -> tuple[dict[str, dict[str, Timed]], Any, str]:
    """A tiny run: the rows by table and name, the record's details, and what was printed."""
    printed, output = io.StringIO(), tmp_path / f"{suite}.json"
    config = Config(**(TINY | {"suite": suite, "output": str(output)} | more))
    session = Session("benchmark", "the command", Console(file=printed, width=200))
    run.run(config, session, matmul_sizes=(8, 16))
    record = records.read(output)
    tables = tables_of(record)
    for row in (row for rows in tables.values() for row in rows.values()):
        text = row.settings["corruption"] if suite == "corruptions" else row.label
        assert text in printed.getvalue()
        if row.measured:
            assert len(row.rounds("seconds")) == 1
            rates = [row.median("images") / seconds for seconds in row.rounds("seconds")]
            assert row.rounds("images_per_second") == pytest.approx(rates)
            if not np.isnan(row.median("mfu")):
                available = record.details["matrix_peak"]["flops_per_second"]
                pairs = zip(row.rounds("mfu"), row.rounds("seconds"), strict=True)
                flops = [share * available * seconds for share, seconds in pairs]
                assert flops == pytest.approx([row.median("flops")])
        else:
            assert row.status in printed.getvalue()
    return tables, record.details, printed.getvalue()


@pytest.mark.slow
def test_train(tmp_path: Any) -> None:
    tables, details, _ = measured(tmp_path, "train", peers="eager")
    rows, flops = tables[""], details["flops_per_step"]
    assert flops["matmul"] < flops["xla"] < 1.5 * flops["matmul"]
    losses = [rows[name].median("last_loss") for name in ("jax-scan", "jax-loop")]
    assert losses[0] == pytest.approx(losses[1], rel=0.5)  # the same network, with other orders and other noise
    if rows["eager"].measured:
        assert rows["eager"].median("last_loss") == pytest.approx(losses[0], rel=0.5)
        assert rows["eager"].details["process"]["threads"] >= 1


@pytest.mark.slow
def test_sweep(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "NETWORKS", {"wide": {"latent_dim": 2, "hidden_width": 8}})
    monkeypatch.setattr(training, "choose_members_at_once", lambda num_parameters, platform: 1)
    tables, details, printed = measured(tmp_path, "sweep")
    for table, rows in tables.items():
        assert [name for name, row in rows.items() if row.settings.get("chosen")] == ["at-once-1"]
        assert list(rows) == ["single", "at-once-1", "at-once-2"]
        assert [row.median("images") for row in rows.values()] == [40, 80, 80]
        sizes = details["tables"][table]["hidden_width"], details["tables"][table]["latent_dim"]
        shapes = [(784, sizes[0]), (sizes[0], sizes[0]), (sizes[0], 2 * sizes[1]), (sizes[1], 10)]
        assert details["tables"][table]["num_parameters"] == sum((inputs + 1) * outputs for inputs, outputs in shapes)
    assert "The paper's sweep, 45 models" in printed


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_images")
def test_images(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, details, _ = measured(tmp_path, "images")
    rows, network = tables["wrn-10-1"], details["tables"]["wrn-10-1"]
    assert network["num_train_images"] == 3 * 2 * 6  # whole stretches, at least 5000 bytes
    assert network["num_parameters"] == 4 * 28 + 5 * 10 + 10 * 4  # and the backward encoder's means
    losses = {name: row.median("last_loss") for name, row in rows.items()}
    assert losses["runner"] == pytest.approx(losses["pgd-loop"], rel=1e-5)  # both start from the same images
    assert losses["stretch"] == pytest.approx(losses["loop"], rel=0.2)


@pytest.mark.slow
def test_reading(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_SIZE", 40)  # two pieces, for two threads
    monkeypatch.setattr(reading.data, "usable_cores", lambda: 2)
    tables, details, printed = measured(tmp_path, "reading")
    assert {name: list(rows) for name, rows in tables.items()} == {key: ["1", "2", "held"] for key in reading.CROPS}
    assert 80e3 < details["image_bytes"] < 140e3  # as ImageNet's
    for rows in tables.values():
        assert rows["held"].median("seconds") / 64 < 0.5 * rows["1"].median("seconds") / 40  # decoding lets it go
    assert "8,000 images/s need" in printed


class FakePeers:
    """Libraries whose attacks take a second and leave every image as it is; foolbox with AVX-512 is absent."""

    def __init__(self, model: Any, evaluator: Any):
        self.evaluator, self.info = evaluator, {"as installed": {"torch": "0"}}
        self.peak_bytes = 3 * 2**30

    def __call__(self, attack: str, settings: Any, *, avx512: bool, num_images: int, **more: Any) -> dict[str, Any]:
        if avx512 and attack.startswith("foolbox"):
            raise WorkerError("foolbox is absent")
        size = {name: more[name] for name in ("norm", "epsilon")}
        return {"seconds": 1.0, **self.evaluator(self.evaluator.images[:num_images], **size)}

    def __enter__(self) -> "FakePeers":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


def random_model(**settings: Any) -> AttackedModel:
    """A random network with a ReLU layer, labelled by itself."""
    rng = np.random.default_rng(0)
    sizes = ((64, 16), (16, 8), (8, 10))
    layers = [(rng.normal(0, fan_in**-0.5, (fan_in, fan_out)), np.zeros(fan_out)) for fan_in, fan_out in sizes]
    inputs = rng.uniform(0, 1, (20, 8, 8, 1)).astype(np.float32)

    def apply_fn(params: Any, keys: Any, inputs: jax.Array) -> jax.Array:
        return jax.nn.relu((2 * inputs.reshape(len(inputs), -1) - 1) @ params[0]) @ params[1] @ params[2]

    params = [jnp.asarray(kernel, jnp.float32) for kernel, _ in layers]
    labels = np.asarray(apply_fn(params, None, jnp.asarray(inputs)).argmax(-1))
    described = {"dataset": settings["dataset"], "num_epochs": 0, "checkpoint": "random"}
    return AttackedModel(apply_fn, params, layers, inputs, labels, described)


@pytest.mark.slow
def test_attacks(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_suite, "Peers", FakePeers)
    monkeypatch.setattr(attack_suite.attack_comparison, "train_model", random_model, raising=False)
    tables, details, printed = measured(tmp_path, "attacks")
    pgd, deepfool, cw = tables["PGD-20"], tables["DeepFool"], tables["CW 3 x 100"]
    assert list(pgd) == ["jax", "jax-early", "torchattacks", "foolbox", "torchattacks-avx512", "foolbox-avx512"]
    assert list(cw) == ["jax", "foolbox", "foolbox-avx512"]
    assert pgd["foolbox-avx512"].status == "foolbox is absent"
    assert pgd["torchattacks"].median("robust_accuracy") == 1.0
    assert pgd["torchattacks"].median("flops") == 12 * 20 * 4 * (64 * 16 + 16 * 8 + 8 * 10)
    assert np.isnan(pgd["jax-early"].median("mfu"))
    sizes = {name: row.settings["num_images"] for name, row in deepfool.items()}
    assert (sizes["jax"], sizes["torchattacks"], sizes["foolbox"], cw["jax"].settings["num_images"]) == (12, 3, 12, 6)
    assert cw["jax"].median("success_rate") == 1.0
    assert deepfool["jax"].median("median_l2_all") > 0
    assert pgd["jax-early"].median("robust_accuracy") <= pgd["jax"].median("robust_accuracy")
    for name in ("curve", "vmapped"):
        curve = tables["eight radii"][name].details["robust_accuracy"]
        assert len(curve) == 8
        assert curve == sorted(curve, reverse=True)
    assert details["clean_accuracy"] == 1.0
    assert "Attacks on 64-16-8-10, mnist" in printed


@pytest.mark.standard
def test_distances(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_suite, "Peers", FakePeers)
    monkeypatch.setattr(attack_suite.attack_comparison, "train_model", random_model, raising=False)
    monkeypatch.setattr(distances, "STEPS", (2, 20))
    few = {"l2": {"DDN": distances.ATTACKS["l2"]["DDN"]}, "l0": distances.ATTACKS["l0"]}
    monkeypatch.setattr(distances, "ATTACKS", few)
    tables, _, printed = measured(tmp_path, "distances")
    rows = tables["l2"]
    assert list(rows) == ["DDN 2 jax", "DDN 2 adv_lib", "DDN 20 jax", "DDN 20 adv_lib"]
    assert rows["DDN 20 jax"].median("median_l2_all") < np.inf
    lines = dict(distances.lines_of(rows, "l2"))
    assert "DDN, adv_lib" not in lines  # which fools no image: there is no distance to draw
    assert (tmp_path / "distances.json").exists()
    assert "L0, values, median distance" in printed


@pytest.mark.standard
def test_cold(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_suite.attack_comparison, "Peers", FakePeers)
    monkeypatch.setattr(attack_suite.attack_comparison, "train_model", random_model, raising=False)
    title, every = "FGSM, L-inf", cold.chosen()
    monkeypatch.setattr(cold, "chosen", lambda: {title: every[title]})
    tables, _, printed = measured(tmp_path, "cold")
    rows = tables[title]
    assert list(rows)[:2] == [cold.NEW, cold.NEXT]
    assert (
        rows[cold.NEW].median("seconds") > rows[cold.NEXT].median("seconds") > rows[cold.NEXT].median("steady_seconds")
    )
    assert f"{title}, new machine / torchattacks:" in printed
    assert f"{title}, next process / once compiled:" in printed
    taken = rows[cold.NEW].median("peak_bytes")
    assert 2**26 < taken < 2**33
    assert f"{taken / 2**20:,.0f}" in printed
    assert "3,072" in printed


def test_first_calls_are_held_against_the_fastest_library() -> None:
    def row(name: str, *seconds: float, **more: float) -> Model:
        rounds = [Measurement({"round": index}, {"seconds": each}) for index, each in enumerate(seconds)]
        settings = {"table": "PGD", "row": name, "label": f"the {name}", "devices": 1}
        details = {"status": "measured" if seconds else "it is absent"}
        return Model(name, 0, [Measurement({}, more), *rounds] if seconds else [], settings, details=details)

    rows = [row(cold.NEW, 1.0, 1.2), row(cold.NEXT, 0.5, 0.5, steady_seconds=0.4)]
    rows += [row("foolbox", 1.2, 1.2), row("torchattacks", 3.0, 3.0), row("adv_lib")]
    network = {"dataset": "mnist", "layers": [[784, 8], [8, 10]]}
    record = record_of("cold", *rows, network=network, num_images=7)
    assert targets_of(record) == [
        "PGD, new machine / the foolbox: 0.92, target under 1: met",
        "PGD, next process / once compiled: 1.25, target under 1.2: missed",
    ]
    assert "on 7 images of mnist; 784-8-10." in text_of(record)


@pytest.mark.standard
def test_estimators(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "SETS", ("wine",))
    monkeypatch.setattr(estimators, "FOLDS", {"n_splits": 2, "n_repeats": 1})
    tables, details, printed = measured(tmp_path, "estimators")
    assert list(tables["wine"]) == ["bottleneck", "mlp"]
    assert len(details["folds"]["wine"]["bottleneck"]["accuracy"]) == 2
    assert min(details["folds"]["wine"]["bottleneck"]["accuracy"]) > 0.8
    assert "first fit, compiling included / MLPClassifier" in printed


def test_augment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "CIFAR-10": transforms.Task("cifar10", "CIFAR10", 8),
        "ImageNet": transforms.Task("imagenet", "IMAGENET", 12),
    }

    class FakeWorker:
        """A worker that takes a second for a picture, and fails at tensors."""

        def __init__(self, module: str, arguments: Any):
            self.info = {"torch": "1", "torchvision": "2", "pillow": "3", "threads": 4}
            self.peak_bytes = 0
            self.shapes = {name: np.load(path).shape for name, path in arguments["pictures"].items()}

        def __call__(self, request: Any) -> dict[str, Any]:
            assert self.shapes == {"CIFAR-10": (3, 8, 8, 3), "ImageNet": (3, 12, 12, 3)}
            assert request["policy"] == small[request["task"]].peer_policy
            if request["peer"] == "tensor":
                raise WorkerError("no tensors")
            return {"seconds_per_picture": 1.0, "compiled_part": True}

        def __enter__(self) -> "FakeWorker":
            return self

        def __exit__(self, *exception: Any) -> None:
            pass

    monkeypatch.setattr(transforms, "TASKS", small)
    monkeypatch.setattr(augment, "auto_augment", lambda policy, **settings: augment.random_flip())  # compiles sooner
    monkeypatch.setattr(core_worker, "Worker", FakeWorker)
    monkeypatch.setattr(core_worker, "missing", lambda packages, extra: "")
    tables, _, _ = measured(tmp_path, "augment")
    for rows in tables.values():
        assert list(rows) == ["jax", "jax-original", "jax-vmap", *settings.PEERS["augment"]]
        assert rows["tensor"].status == "no tensors"
        assert rows["pil"].rounds("seconds").tolist() == [3.0]


def test_corruptions(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "SIZES", {32: ("contrast",)})
    monkeypatch.setattr(transforms.imagecorruptions, "missing", lambda: "")
    monkeypatch.setattr(transforms.imagecorruptions, "images_per_second", lambda *args: 2000.0)
    tables, details, _ = measured(tmp_path, "corruptions", peers="imagecorruptions")
    rows = tables["32 x 32"]
    assert list(rows) == ["contrast jax", "contrast imagecorruptions"]
    assert rows["contrast jax"].median("images") == details["images"] == len(transforms.crops(32)) == 128
    assert rows["contrast imagecorruptions"].median("images_per_second") == 2000.0


@pytest.mark.slow
def test_torchvisions_ways(tmp_path: Any) -> None:
    if reason := core_worker.missing(("torch", "torchvision"), "peers"):
        pytest.skip(reason)
    np.save(tmp_path / "pictures.npy", transforms.photographs(3, 8))
    pictures = {"CIFAR-10": str(tmp_path / "pictures.npy")}
    with core_worker.Worker(settings.TORCH_WORKER, {"pictures": pictures}) as worker:
        for peer in settings.PEERS["augment"]:
            reply = worker({"task": "CIFAR-10", "policy": "CIFAR10", "peer": peer, "min_seconds": 0.0})
            assert reply["seconds_per_picture"] > 0


def test_a_worker_that_fails_says_why() -> None:
    pytest.importorskip("torch")
    with pytest.raises(WorkerError, match="unexpected keyword argument 'sizes'"):
        core_worker.Worker(settings.TORCH_WORKER, {"sizes": 1})


def test_mkl_library_is_built(tmp_path: Any) -> None:
    if reason := mlp.missing_torch("eager-avx512"):
        pytest.skip(reason)
    assert core_worker.build_mkl_library(tmp_path).stat().st_size > 0


def test_the_goals_of_several_records_are_one_table() -> None:
    records = [attacks_record(), sweep_record()]
    first = report.report(frames.frame(records), records).sections[0]
    assert first.title == "Goals: 5 of 9 met"
    assert [row[-2] for row in first.rows if row[1].startswith("time of")] == ["missed", "met"]
    assert first.rows[-1][2:5] == ["2.00 (2.00-2.00)", "3", "missed"]
    alone = report.report(frames.frame(records[:1]), records[:1]).sections
    assert not any(each.title.startswith("Goals") for each in alone if hasattr(each, "title"))


def test_the_floor_has_the_products_of_the_step() -> None:
    recipe = mlp.recipe_for(Config(batch_size=6, latent_dim=2, hidden_width=16), 6)
    kernels = [jnp.ones(layer) for layer in mlp.layers(recipe.config)]
    alone = machine.product_flops(floor.step_products, kernels, jnp.ones((6, 28 * 28)))
    assert alone == mlp.cost_of(recipe, 6).products
    shapes = [each.shape for each in floor.step_products(kernels, jnp.ones((6, 28 * 28)))]
    assert shapes == [each.shape for each in kernels]


def test_distances_say_who_is_ahead_by_when() -> None:
    def row(label: str, steps: int, seconds: float, first: float, distance: float) -> Model:
        values = {"first_seconds": first, "median_l2_all": distance}
        settings = {"table": "l2", "row": f"{label} {steps}", "label": label, "steps": steps, "num_images": 9}
        rounds = [Measurement({}, values), Measurement({"round": 1}, {"seconds": seconds})]
        return Model(f"{label} {steps}", 0, rounds, settings, details={"status": "measured"})

    cw, fmn = distances.CW, "FMN"
    rows = [row(f"{cw}, JAX", 10, 0.5, 3.0, 2.0), row(f"{cw}, JAX", 30, 3.0, 5.0, 1.0)]
    rows += [row(f"{cw}, foolbox", 10, 0.9, 1.0, 3.0), row(f"{cw}, foolbox", 30, 10.0, 11.0, 1.0)]
    rows += [row(f"{fmn}, JAX", 10, 1.0, 2.0, 1.5)]
    network = {"dataset": "digits", "checkpoint": "random"}
    record = record_of("distances", *rows, config={"num_images": 9}, network=network, clean_accuracy=0.5)
    assert targets_of(record) == [
        f"L2, {cw}, share of time budgets not behind, once compiled: 1.00, target 1: met",
        f"L2, {cw}, share of time budgets not behind, first call: 0.71, target 1: missed",  # not at one and two seconds
        f"{cw}, seconds to the distance that another library finds at last / its own: 0.30, target under 0.333333: met",
    ]


def test_the_memory_of_a_process_is_its_own() -> None:
    held = np.ones(2**26)  # 512 MiB, of this process
    command = "from experiments.core.worker import peak_resident; print(peak_resident())"
    told = subprocess.run([sys.executable, "-c", command], capture_output=True, encoding="utf-8", check=True)
    assert int(told.stdout) < held.nbytes / 2 < core_worker.peak_resident()
