"""The benchmark of many devices, on two forced ones and in two processes; speeds are never tested."""

import pathlib
import socket
import subprocess
import sys
from concurrent import futures

import pytest

from experiments.benchmark.tables import tables_of
from experiments.core import records
from tests.forced_devices import forced_devices

SIZES = ("repeats=1", "steps=2", "batch_size=6", "latent_dim=4", "hidden_width=16")
PROGRAM = """
import runpy
from experiments.benchmark import machine
machine.SIZES = (8,)  # of the matrix peak; a product of 4096 rows takes longer than all else here
runpy.run_module("experiments.benchmark", run_name="__main__")
"""
COMMAND = [sys.executable, "-c", PROGRAM, *(f"--{size}" for size in SIZES)]


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


def check_rows(record: records.Record, counts: list[int], num_processes: int, global_batch_size: int) -> None:
    tables = tables_of(record)
    for kind, row in ((kind, row) for kind, rows in tables.items() for row in rows.values()):
        count = row.settings["devices"]
        assert row.settings["batch_size"] == (6 * count if kind == "weak" else global_batch_size)
        assert row.median("images_per_second") == pytest.approx(2 * row.settings["batch_size"] / row.median("seconds"))
        assert row.settings["processes"] == (num_processes if count == 2 * num_processes else 1)
        assert (row.median("all_reduces") > 0) == (count > 1)
        assert row.median("last_loss") > 0
    assert [row.settings["devices"] for row in tables["weak"].values()] == counts


@pytest.mark.slow
def test_two_devices(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "scaling.json"
    ((code, printed, errors),) = finish(start(["--suite=scaling", "--global_batch_size=10", f"--output={output}"]))
    assert code == 0, errors
    record = records.read(output)
    check_rows(record, [1, 2], 1, 10)
    assert record.details["devices"] == {"local": 2, "total": 2, "processes": 1}
    assert record.details["variables"]["PJRT_NPROC"] == "64"
    assert "The devices of a CPU share its cores" in printed
    # the mean loss of two devices is that of the same global batch, whatever their number
    losses = [row.median("last_loss") for row in tables_of(record)["strong"].values()]
    assert losses[0] == pytest.approx(losses[1], rel=0.5)


@pytest.mark.slow
def test_two_processes(tmp_path: pathlib.Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    sizes = ["--suite=scaling", "--global_batch_size=5", f"--coordinator_address={coordinator}", "--num_processes=2"]
    outputs = [tmp_path / f"{index}.json" for index in (0, 1)]
    results = finish(
        *(start([*sizes, f"--process_id={index}", f"--output={output}"]) for index, output in enumerate(outputs))
    )
    assert [code for code, _, _ in results] == [0, 0], results
    assert "Weak scaling" in results[0][1]
    assert "scaling" not in results[1][1]
    assert not outputs[1].exists()
    record = records.read(outputs[0])
    check_rows(record, [1, 2, 4], 2, 5)
    assert record.details["strong_left_out"] == [2, 4]
    assert "--global_batch_size=5 does not divide over 2, 4 devices" in results[0][1]
