"""A run that is killed, at any moment, ends as if it had never been: bit for bit."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.core import records
from ib_jax import training

pytestmark = pytest.mark.slow

SETTINGS = [
    "--num_epochs=12", "--epochs_per_eval=1", "--hidden_width=32", "--latent_dim=2", "--num_attack_images=0",
    "--nofigures", "--steps_per_call=7",
]  # fmt: skip
VOLATILE = ("seconds", "images_per_second")


def command(workdir):
    """With a cache of its own: a kill may leave half an entry, which the tests' cache would keep for ever."""
    cache = f"--compilation_cache={workdir.parent / 'cache'}"
    return [sys.executable, "-m", "experiments.mnist_vib", f"--workdir={workdir}", cache, *SETTINGS]


def log_of(workdir):
    return workdir.with_suffix(".log")


def start(workdir, *, slow_saves=False):
    code = "import runpy; runpy.run_module('experiments.mnist_vib', run_name='__main__', alter_sys=True)"
    if slow_saves:  # so that a kill finds a save half written
        code = (
            "import time\nfrom ib_jax import training\nsave = training.Checkpoints.save\n"
            "def slow_save(self, state, *, score):\n    save(self, state, score=score)\n    time.sleep(0.05)\n"
            "training.Checkpoints.save = slow_save\n" + code
        )
    with open(log_of(workdir), "w", encoding="utf-8") as log:  # a pipe that nobody reads would fill and stop the run
        return subprocess.Popen(
            [sys.executable, "-c", code, *command(workdir)[3:]], stdout=log, stderr=subprocess.STDOUT
        )


def finish(workdir):
    subprocess.run(command(workdir), check=True, capture_output=True, timeout=300)
    return outcome(workdir)


def outcome(workdir):
    files = {path.name: path for path in pathlib.Path(workdir).iterdir() if path.is_file()}
    (model,) = records.read(files["results.json"]).models
    rows = [json.loads(line) for line in files["metrics.jsonl"].read_text().splitlines()]
    rows = [{key: value for key, value in row.items() if key not in VOLATILE} for row in rows]
    with np.load(files["per_example.npz"]) as arrays:
        per_example = {name: arrays[name].tolist() for name in arrays.files}
    test = dict(model.values_at(split="test"))
    return {"test": test, "best_step": model.details["best_step"], "rows": rows, "per_example": per_example}


def parameters(workdir):
    """The last checkpoint's arrays, as they lie on disk."""
    import orbax.checkpoint as ocp

    with training.Checkpoints(pathlib.Path(workdir) / "checkpoints") as checkpoints:
        path = checkpoints.directory / str(checkpoints.last_step()) / "default"
    import jax

    return jax.tree.leaves(ocp.StandardCheckpointer().restore(path))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return finish(workdir), parameters(workdir)


def wait_for(condition, process, workdir, what):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"the run ended before {what}: {log_of(workdir).read_text()}"
        assert time.monotonic() < deadline, f"no {what} within two minutes: {log_of(workdir).read_text()}"
        time.sleep(0.002)


def complete_steps(workdir):
    folder = pathlib.Path(workdir) / "checkpoints"
    return [int(path.name) for path in folder.glob("*") if path.name.isdigit()] if folder.exists() else []


def assert_same_end(workdir, uninterrupted):
    expected, expected_parameters = uninterrupted
    assert finish(workdir) == expected
    for got, wanted in zip(parameters(workdir), expected_parameters, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_killed_between_saves(tmp_path, uninterrupted):
    process = start(tmp_path)
    wait_for(lambda: len(complete_steps(tmp_path)) >= 2, process, tmp_path, "a second checkpoint")
    process.kill()
    process.wait()
    assert 0 < max(complete_steps(tmp_path)) < 12 * 14
    assert_same_end(tmp_path, uninterrupted)


def test_killed_during_a_save(tmp_path, uninterrupted):
    process = start(tmp_path, slow_saves=True)
    unfinished = lambda: list((tmp_path / "checkpoints").glob("*.orbax-checkpoint-tmp"))
    wait_for(lambda: len(complete_steps(tmp_path)) >= 2 and unfinished(), process, tmp_path, "a save under way")
    process.kill()
    process.wait()
    assert_same_end(tmp_path, uninterrupted)


def test_sigterm_saves_says_so_and_goes_on(tmp_path, uninterrupted):
    process = start(tmp_path)
    wait_for(lambda: complete_steps(tmp_path), process, tmp_path, "a checkpoint")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)
    output = log_of(tmp_path).read_text()
    assert process.returncode == 143, output
    assert "Stopped and saved at step" in output
    assert str(tmp_path) in output.replace("\n", "")
    assert not (tmp_path / "results.json").exists()
    assert_same_end(tmp_path, uninterrupted)
