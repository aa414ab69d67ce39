"""Two processes of two devices train one model as one process of one device does; how they end is in `soak_test`."""

import json
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments.core import records
from tests.forced_devices import forced_devices

pytestmark = pytest.mark.slow

SETTINGS = [
    "--num_epochs=3", "--epochs_per_eval=1", "--hidden_width=16", "--latent_dim=2", "--num_attack_images=0",
    "--num_eval_samples=2", "--nofigures",
]  # fmt: skip


def start(log, workdir, cache, *more, devices=1):
    environment = forced_devices(devices) | {"COLUMNS": "300"}
    command = [sys.executable, "-m", "experiments.mnist_vib", f"--workdir={workdir}", f"--compilation_cache={cache}"]
    with open(log, "w", encoding="utf-8") as file:
        return subprocess.Popen([*command, *SETTINGS, *more], env=environment, stdout=file, stderr=subprocess.STDOUT)


def end(processes, timeout=120):
    """Exit statuses; none is left to itself, and one that waits for a lost one takes no notice of SIGTERM."""
    deadline = time.monotonic() + timeout
    try:
        return [process.wait(timeout=max(0.0, deadline - time.monotonic())) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def numbers(workdir):
    """All that a run leaves but times, by name."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text("utf-8").splitlines()]
    rows = [{name: row[name] for name in row if name not in ("seconds", "images_per_second")} for row in rows]
    test = dict(records.read(workdir / "results.json").models[0].values_at(split="test"))
    last = max(int(path.name) for path in (workdir / "checkpoints").iterdir())
    state = ocp.StandardCheckpointer().restore(workdir.absolute() / "checkpoints" / str(last) / "default")
    leaves = jax.tree_util.tree_leaves_with_path((last, rows, test, state))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process with one device."""
    folder = tmp_path_factory.mktemp("alone")
    assert end([start(folder / "log", folder / "run", folder / "cache")]) == [0]
    return folder


def test_two_processes_end_where_one_does(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        joined = [f"--coordinator_address=localhost:{free.getsockname()[1]}", "--num_processes=2"]
    logs = [tmp_path / f"{index}.log" for index in range(2)]
    pair = [
        start(log, tmp_path / "run", tmp_path / "cache", *joined, f"--process_id={index}", devices=2)
        for index, log in enumerate(logs)
    ]
    assert end(pair) == [0, 0], [log.read_text("utf-8") for log in logs]
    got, expected = numbers(tmp_path / "run"), numbers(alone / "run")
    assert list(got) == list(expected)  # so one row for each step, of process 0
    for name, leaf in expected.items():
        np.testing.assert_allclose(got[name], leaf, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_compilation_cache_is_filled_once(alone):
    compiled = {path.name for path in (alone / "cache").glob("*-cache")}
    assert len(compiled) > 10
    assert end([start(alone / "log", alone / "again", alone / "cache", "--num_epochs=1")]) == [0]
    assert {path.name for path in (alone / "cache").glob("*-cache")} == compiled
