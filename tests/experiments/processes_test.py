"""Two processes of two devices train one model: one that is told to stop, or is lost, ends both, and they go on."""

import json
import signal
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

NUM_STEPS = 12 * 14
SETTINGS = [
    "--num_epochs=12", "--epochs_per_eval=1", "--hidden_width=16", "--latent_dim=2", "--num_attack_images=0",
    "--num_eval_samples=2", "--nofigures",
]  # fmt: skip


def start(log, workdir, cache, *more, devices=1):
    environment = forced_devices(devices) | {"COLUMNS": "300"}
    command = [sys.executable, "-m", "experiments.mnist_vib", f"--workdir={workdir}", f"--compilation_cache={cache}"]
    with open(log, "w", encoding="utf-8") as file:
        return subprocess.Popen([*command, *SETTINGS, *more], env=environment, stdout=file, stderr=subprocess.STDOUT)


def end(processes, timeout):
    """Exit statuses; none is left to itself, and one that waits for a lost one takes no notice of SIGTERM."""
    deadline = time.monotonic() + timeout
    try:
        return [process.wait(timeout=max(0.0, deadline - time.monotonic())) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def last_step(workdir):
    return max((int(path.name) for path in (workdir / "checkpoints").glob("*") if path.name.isdigit()), default=0)


def live(folder, signum=None):
    """Starts the pair, sends a signal to process 1 after the next checkpoint, and waits for the end of both.

    Returns exit statuses, what process 0 said, the last step saved, and whether there are results.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        joined = [f"--coordinator_address=localhost:{free.getsockname()[1]}", "--num_processes=2"]
    workdir, logs = folder / "run", [folder / "0.log", folder / "1.log"]
    first_step, deadline = last_step(workdir), time.monotonic() + 120
    processes = [
        start(log, workdir, folder / "cache", *joined, f"--process_id={index}", devices=2)
        for index, log in enumerate(logs)
    ]
    if signum is not None:
        while last_step(workdir) == first_step and time.monotonic() < deadline:
            if any(process.poll() is not None for process in processes):
                break
            time.sleep(0.005)
        processes[1].send_signal(signum)
    statuses = end(processes, 60 if signum == signal.SIGKILL else 120)
    return statuses, logs[0].read_text(), last_step(workdir), (workdir / "results.json").exists()


def numbers(workdir):
    """All that a run leaves but times, by name."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    rows = [{name: row[name] for name in row if name not in ("seconds", "images_per_second")} for row in rows]
    test = dict(records.read(workdir / "results.json").models[0].values_at(split="test"))
    state = ocp.StandardCheckpointer().restore(workdir.absolute() / "checkpoints" / str(last_step(workdir)) / "default")
    leaves = jax.tree_util.tree_leaves_with_path((rows, test, state))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process with one device, uninterrupted."""
    folder = tmp_path_factory.mktemp("alone")
    assert end([start(folder / "log", folder / "run", folder / "cache")], 120) == [0]
    return folder


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """How the pair ended: stopped, with a process lost, and of itself."""
    folder = tmp_path_factory.mktemp("pair")
    return live(folder, signal.SIGTERM), live(folder, signal.SIGKILL), live(folder), folder / "run"


def test_a_request_to_stop_to_one_process_stops_both(lives):
    statuses, said, saved, finished = lives[0]
    assert statuses == [143, 143], said
    assert f"Stopped and saved at step {saved}" in said
    assert 0 < saved < NUM_STEPS
    assert not finished


def test_a_lost_process_ends_the_other_with_a_message(lives):
    statuses, said, saved, finished = lives[1]
    assert statuses[1] == -signal.SIGKILL
    assert statuses[0] not in (0, -signal.SIGKILL)  # by itself, within the minute
    assert "another task died" in said or "another process was lost" in said
    assert lives[0][2] < saved < NUM_STEPS
    assert not finished


def test_after_it_all_they_end_where_one_uninterrupted_process_does(lives, alone):
    (statuses, said, saved, finished), workdir = lives[2:]
    assert statuses == [0, 0], said
    assert finished
    assert saved == NUM_STEPS
    got, expected = numbers(workdir), numbers(alone / "run")
    assert list(got) == list(expected)  # so one row for each step, of process 0
    for name, leaf in expected.items():
        np.testing.assert_allclose(got[name], leaf, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_compilation_cache_is_filled_once(alone):
    compiled = {path.name for path in (alone / "cache").glob("*-cache")}
    assert len(compiled) > 10
    assert end([start(alone / "log", alone / "again", alone / "cache", "--num_epochs=1")], 120) == [0]
    assert {path.name for path in (alone / "cache").glob("*-cache")} == compiled
