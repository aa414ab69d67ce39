"""The benchmark of many devices, on two forced ones and in two processes; speeds are never tested."""

import json
import pathlib
import socket
import subprocess
import sys
from concurrent import futures
from typing import Any

import pytest

from experiments.benchmark import scaling as benchmark_scaling
from tests.forced_devices import forced_devices

SIZES = ("repeats=1", "steps=2", "batch_size=6", "latent_dim=4", "hidden_width=16")
COMMAND = [sys.executable, "-m", "experiments.benchmark", *(f"--{size}" for size in SIZES)]


def start(arguments: list[str], **environment: str) -> subprocess.Popen:
    settings = forced_devices(2) | {"COLUMNS": "160"} | environment
    return subprocess.Popen(
        [*COMMAND, *arguments], env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(*processes: subprocess.Popen) -> list[tuple[int, str, str]]:
    try:
        with futures.ThreadPoolExecutor() as pool:  # all at once: a pipe that nobody reads fills and stops its process
            texts = list(pool.map(lambda process: process.communicate(timeout=300), processes))
        return [(process.returncode, *said) for process, said in zip(processes, texts, strict=True)]
    finally:
        for process in processes:
            process.kill()  # a process that waits for a dead one takes no notice of SIGTERM


def check_rows(record: dict[str, Any], counts: list[int], num_processes: int) -> None:
    rows = record["rows"]
    total = 2 * num_processes
    for name, row in rows.items():
        kind, count = name.split("-")[0], int(name.split("-")[1])
        assert row["batch_size"] == (6 * count if kind == "weak" else 10)
        rates = row["images_per_second"]["rounds"]
        assert rates == [pytest.approx(2 * row["batch_size"] / seconds) for seconds in row["seconds"]]
        alone = rows[f"{kind}-1"]["images_per_second"]["rounds"]
        assert row["efficiency"]["rounds"] == [
            pytest.approx(rate / count / one) for rate, one in zip(rates, alone, strict=True)
        ]
        assert row["processes"] == (num_processes if count == total else 1)
        per_process = row["images_per_second"]["median"] / row["processes"]
        assert row["images_per_second_and_process"] == pytest.approx(per_process)
        assert (row["all_reduces"] > 0) == (count > 1)
        assert row["all_reduce_bytes"] == (4 * record["num_parameters"] if count > 1 else 0)
        assert row["last_loss"] > 0
    assert [int(name.split("-")[1]) for name in rows if name.startswith("weak")] == counts


@pytest.mark.slow
def test_two_devices(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "scaling.json"
    ((code, printed, errors),) = finish(start(["--suite=scaling", "--global_batch_size=10", f"--output={output}"]))
    assert code == 0, errors
    record = json.loads(output.read_text())
    assert list(record["rows"]) == ["weak-1", "weak-2", "strong-1", "strong-2"]
    check_rows(record, [1, 2], 1)
    assert record["devices"] == {"local": 2, "total": 2, "processes": 1}
    assert record["variables"]["PJRT_NPROC"] == "64"
    assert "The devices of a CPU share its cores" in printed
    # the mean loss of two devices is that of the same global batch, whatever their number
    losses = [record["rows"][f"strong-{count}"]["last_loss"] for count in (1, 2)]
    assert losses[0] == pytest.approx(losses[1], rel=0.5)


@pytest.mark.standard
def test_too_few_threads_are_refused() -> None:
    ((code, _, errors),) = finish(start(["--suite=scaling"], PJRT_NPROC="2"))
    assert code == 1
    assert "2 devices of a CPU need at least 4 threads, got 2: set PJRT_NPROC=4" in errors


@pytest.mark.slow
def test_two_processes(tmp_path: pathlib.Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    sizes = ["--suite=scaling", "--global_batch_size=10", f"--coordinator_address={coordinator}", "--num_processes=2"]
    outputs = [tmp_path / f"{index}.json" for index in (0, 1)]
    results = finish(
        *(start([*sizes, f"--process_id={index}", f"--output={output}"]) for index, output in enumerate(outputs))
    )
    assert [code for code, _, _ in results] == [0, 0], results
    assert "Weak scaling" in results[0][1]
    assert "scaling" not in results[1][1]
    assert not outputs[1].exists()
    record = json.loads(outputs[0].read_text())
    check_rows(record, [1, 2, 4], 2)
    assert record["strong_left_out"] == [4]
    assert "--global_batch_size=10 does not divide over 4 devices" in results[0][1]


@pytest.mark.parametrize(
    ("local", "total", "counts"), [(1, 1, [1]), (2, 2, [1, 2]), (8, 32, [1, 2, 4, 8, 32]), (6, 6, [1, 2, 4, 6])]
)
def test_device_counts(local: int, total: int, counts: list[int]) -> None:
    assert benchmark_scaling.device_counts(local, total) == counts


def test_efficiency_is_of_as_many_single_devices() -> None:
    assert benchmark_scaling.efficiency(400.0, 100.0, 4) == 1
    assert benchmark_scaling.efficiency(100.0, 100.0, 4) == 0.25
