"""Large evaluations: chunks, devices, progress, and a kill in the middle."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import AttackResult, attacks, evaluation
from tests.forced_devices import forced_devices

RNG = np.random.default_rng(0)
INPUTS = RNG.uniform(size=(23, 4)).astype(np.float32)
WEIGHT = RNG.normal(size=(4, 3)).astype(np.float32)
LABELS = (INPUTS @ WEIGHT).argmax(-1)
KEY = jax.random.key(0)
RUNNER = attacks.Runner(attacks.pgd(0.1, num_steps=3), lambda w, keys, x: x @ w, batch_size=8)


def assert_equal(result, expected):
    np.testing.assert_array_equal(result.success, expected.success)
    np.testing.assert_allclose(result.inputs, expected.inputs, atol=1e-6)


@pytest.fixture(scope="module")
def expected():
    return RUNNER(WEIGHT, KEY, INPUTS, LABELS)


@pytest.mark.parametrize("chunk_size", [5, 23, 100])
def test_chunks_of_any_size_give_the_same(expected, chunk_size):
    assert_equal(evaluation.attack_in_chunks(RUNNER, WEIGHT, KEY, INPUTS, LABELS, chunk_size=chunk_size), expected)


def test_progress_is_reported_after_each_chunk(expected):
    reports = []
    evaluation.attack_in_chunks(RUNNER, WEIGHT, KEY, INPUTS, LABELS, chunk_size=10, report=reports.append)
    assert [report.num_done for report in reports] == [10, 20, 23]
    assert reports[-1].num_fooled == expected.success.sum()
    assert reports[-1].seconds_left == 0.0
    assert reports[0].examples_per_second > 0


class Failing:
    """Runs, and gives up at a call of a certain number."""

    def __init__(self, fail_at):
        self.calls, self.fail_at = 0, fail_at

    def __call__(self, *args):
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("out of memory")
        return RUNNER(*args)


def test_finished_chunks_are_not_made_again(tmp_path, expected):
    call = lambda run: evaluation.attack_in_chunks(run, WEIGHT, KEY, INPUTS, LABELS, chunk_size=5, folder=tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"):
        call(Failing(3))
    resumed, again = Failing(99), Failing(1)
    assert_equal(call(resumed), expected)
    assert resumed.calls == 3
    assert_equal(call(again), expected)
    assert again.calls == 0


def test_a_folder_of_another_evaluation_is_refused(tmp_path):
    settings = {"chunk_size": 5, "folder": tmp_path, "name": "pgd"}
    evaluation.attack_in_chunks(RUNNER, WEIGHT, KEY, INPUTS, LABELS, **settings)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    for weight, inputs, change, message in [
        (2 * WEIGHT, INPUTS, {}, "other parameters, keys or data"),
        (WEIGHT, 1 - INPUTS, {}, "other parameters, keys or data"),
        (WEIGHT, INPUTS, {"name": "fgsm"}, "other name = 'pgd'"),
        (WEIGHT, INPUTS, {"chunk_size": 6}, "other chunk_size = 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluation.attack_in_chunks(RUNNER, weight, KEY, inputs, LABELS, **(settings | change))
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "float64", "int8", "int64", "uint16", "bool"]
)
def test_what_was_kept_comes_back_bit_for_bit(tmp_path, dtype):
    """In any dtype, and with every field of a result."""

    def run(params, keys, inputs, labels, targets):
        odd = np.asarray(labels) % 2 == 1
        return AttackResult(np.asarray(inputs, np.dtype(dtype)), odd, np.asarray(labels), ~odd, odd)

    call = lambda run: evaluation.attack_in_chunks(run, None, KEY, 100 * INPUTS, LABELS, chunk_size=9, folder=tmp_path)
    first, again = call(run), call(None)
    for made, kept in zip(first, again, strict=True):
        assert made.dtype == kept.dtype
        assert made.shape == kept.shape
        assert made.tobytes() == kept.tobytes()
    assert first.inputs.dtype == np.dtype(dtype)


def test_parameters_may_hold_keys(tmp_path):
    """And other keys, or the same numbers of another kind of key, are other parameters."""
    params = lambda *args, **options: {"weight": WEIGHT, "rng": jax.random.key(*args, **options)}
    run = lambda params, *args: RUNNER(params["weight"], *args)
    call = lambda run, params: evaluation.attack_in_chunks(run, params, KEY, INPUTS, LABELS, folder=tmp_path)
    first = call(run, params(1))
    assert_equal(call(None, params(1)), first)
    for other in (params(2), params(1, impl="rbg"), params(1) | {"rng": jax.random.key_data(jax.random.key(1))}):
        with pytest.raises(ValueError, match="other parameters, keys or data"):
            call(run, other)


def test_a_folder_of_an_older_format_is_refused(tmp_path):
    call = lambda: evaluation.attack_in_chunks(RUNNER, WEIGHT, KEY, INPUTS, LABELS, folder=tmp_path)
    call()
    path, refused = tmp_path / "evaluation.json", "holds an evaluation of an older format; name another one"
    statement = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in statement.items() if name != "format"}))
    with pytest.raises(ValueError, match=refused):
        call()
    path.unlink()  # what is left are files that do not say of what types they are
    np.savez(tmp_path / "from_000000000.npz", inputs=INPUTS, success=LABELS > 0)
    with pytest.raises(ValueError, match=refused):
        call()


def test_no_examples_and_bad_input():
    result = evaluation.attack_in_chunks(RUNNER, WEIGHT, KEY, INPUTS[:0], LABELS[:0])
    assert result.inputs.shape == (0, 4)
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        evaluation.attack_in_chunks(RUNNER, WEIGHT, KEY, INPUTS, LABELS, chunk_size=0)
    with pytest.raises(ValueError, match=r"must be of one length, got lengths \[3, 23\]"):
        evaluation.attack_in_chunks(RUNNER, WEIGHT, KEY, INPUTS, LABELS[:3])


def _program(folder, wait):
    """A real evaluation in a process of its own, over as many devices as it is given."""
    return f"""
import time
import jax, numpy as np
from ib_jax import attacks, evaluation
rng = np.random.default_rng(0)
inputs, weight = rng.uniform(size=(23, 4)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
runner = attacks.Runner(attacks.pgd(0.1, num_steps=3), lambda w, keys, x: x @ w, batch_size=8)
devices = set()
def run(params, *args):
    time.sleep({wait})
    devices.update(params.devices())
    return runner(params, *args)
result = evaluation.attack_in_chunks(run, weight, jax.random.key(0), inputs, (inputs @ weight).argmax(-1),
                                     chunk_size=2, folder={str(folder)!r})
np.savez({str(folder)!r} + "/../result.npz", inputs=result.inputs, success=result.success)
print(len(devices))
"""


@pytest.mark.standard
def test_a_killed_evaluation_goes_on_over_two_devices(tmp_path, expected):
    folder = tmp_path / "chunks"
    environment = forced_devices(2) | {"PYTHONPATH": str(pathlib.Path(evaluation.__file__).parents[2])}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "cache")  # a kill may leave half an entry
    first = subprocess.Popen([sys.executable, "-c", _program(folder, 0.5)], env=environment)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("from_*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    there = {path: path.stat().st_mtime_ns for path in folder.glob("from_*.npz")}
    assert 3 <= len(there) < 12
    done = subprocess.run(
        [sys.executable, "-c", _program(folder, 0.0)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2"
    assert {path: path.stat().st_mtime_ns for path in there} == there
    with np.load(tmp_path / "result.npz") as arrays:
        assert_equal(AttackResult(arrays["inputs"], arrays["success"]), expected)


def test_perturbations_are_counted_over_what_was_right():
    inputs = jnp.zeros((5, 2))
    moved = jnp.array([[3.0, 4.0], [0.6, 0.8], [0.0, 2.0], [9.0, 9.0], [0.0, 0.0]])
    success = jnp.array([True, True, True, True, False])
    right = jnp.array([True, True, True, False, True])
    found = evaluation.measure_perturbations(inputs, AttackResult(moved, success), right)
    np.testing.assert_allclose(found.l2, [5, 1, 2, np.sqrt(162), np.inf], rtol=1e-6)
    np.testing.assert_allclose(found.linf, [4, 0.8, 2, 9, np.inf], rtol=1e-6)
    summary = evaluation.summarise_perturbations(found)
    assert summary["num_correct"] == 4
    assert summary["success_rate"] == 0.75
    np.testing.assert_allclose(summary["mean_l2"], 8 / 3, rtol=1e-6)
    assert summary["median_l2"] == 2.0
    assert summary["median_l2_all"] == 2.0  # of 1, 2, 5 and infinity the second
    none = evaluation.measure_perturbations(inputs, AttackResult(moved, success), jnp.zeros(5, bool))
    assert np.isnan(evaluation.summarise_perturbations(none)["success_rate"])
    undecided = AttackResult(moved, success, undecided=jnp.array([False, True, False, False, False]))
    with pytest.raises(ValueError, match="answers NaN at 1 of 5 attacked examples"):
        evaluation.measure_perturbations(inputs, undecided, right)
    with pytest.raises(ValueError, match="must be of the same examples"):
        evaluation.measure_perturbations(inputs, AttackResult(moved, success), right[:3])
