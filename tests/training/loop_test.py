import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, training
from ib_jax.training import parallel

OPTIMIZER = optax.sgd(0.1)
DATA = training.Batch(np.ones((8, 1), np.float32), np.ones(8, np.int32))


def make_loss(limit):
    def loss_fn(params, keys, inputs, labels):
        distortion = jnp.square(inputs[:, 0] * params["w"] - labels.astype(jnp.float32))
        rate = jnp.where(params["w"] > limit, jnp.nan, 1.0) * jnp.ones(len(labels), jnp.float32)
        return BoundTerms(distortion + rate, distortion, rate)

    return loss_fn


def fit(tmp_path, *, num_steps=12, limit=jnp.inf, **kwargs):
    params = {"w": jnp.zeros(())}
    step = training.make_train_step(make_loss(limit), OPTIMIZER, axis_name=parallel.AXIS)
    epoch = training.make_epoch(step, num_examples=8, batch_size=4, num_steps=2, axis_name=parallel.AXIS)
    state = training.init_state(jax.random.key(0), params, OPTIMIZER, 0.999)
    with training.Checkpoints(tmp_path) as checkpoints:
        if checkpoints.last_step() is not None:
            state = checkpoints.restore(state)
        run, data = training.shard_epoch(epoch), training.replicate(DATA)
        settings = {"evaluate": lambda placed: {"w": float(placed.params["w"][0])}, "steps_per_evaluation": 4}
        return training.fit(
            state, lambda placed: run(placed, data), num_steps=num_steps, batch_size=4, checkpoints=checkpoints,
            **(settings | kwargs),
        )  # fmt: skip


def test_reports_evaluations_and_checkpoints_come_when_due(tmp_path):
    reports = []
    state = fit(tmp_path, num_steps=10, report=reports.append)
    assert int(state.step) == 10
    assert [report.step for report in reports] == [2, 4, 6, 8, 10]
    assert [report.evaluation is not None for report in reports] == [False, True, False, True, True]
    np.testing.assert_allclose(reports[0].metrics["distortion"], (1.0 + 0.64) / 2, rtol=1e-5)
    np.testing.assert_allclose(reports[0].metrics["loss"], 1 + (1.0 + 0.64) / 2, rtol=1e-5)
    assert all(report.examples_per_second > 0 for report in reports)
    with training.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.last_step() == 10


def test_a_stopped_run_is_saved_and_goes_on_to_the_same_end(tmp_path):
    calls = iter([False, False, True])
    stopped = fit(tmp_path / "a", stop=lambda: next(calls))
    assert int(stopped.step) == 6
    resumed, whole = fit(tmp_path / "a"), fit(tmp_path / "b")
    for got, expected in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("stopped_at", [4, 6])  # where an evaluation is due, and where none is
def test_a_stop_changes_neither_the_evaluations_nor_the_best_checkpoint(tmp_path, stopped_at):
    reports, settings = [], {"score": lambda progress: -1.0 if progress.evaluation is None else progress.step}
    calls = iter(step == stopped_at for step in (2, 4, 6))
    fit(tmp_path, stop=lambda: next(calls), report=reports.append, **settings)
    fit(tmp_path, report=reports.append, **settings)
    assert [(report.step, report.evaluation is not None) for report in reports] == [
        (step, step % 4 == 0) for step in (2, 4, 6, 8, 10, 12)
    ]
    with training.Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.best_step(), checkpoints.last_step()) == (4, 12)


def test_a_finished_run_is_not_trained_again(tmp_path):
    fit(tmp_path)
    reports = []
    assert int(fit(tmp_path, report=reports.append).step) == 12
    assert not reports


def test_a_loss_that_is_not_finite_stops_with_step_term_and_checkpoint(tmp_path):
    # w is 0, 0.2, 0.36, 0.488, 0.59: the fifth step's rate is the first that is not finite.
    with pytest.raises(training.NonFiniteLossError, match=r"nan at step 5; not finite: rate; .* checkpoint is step 4"):
        fit(tmp_path, limit=0.5)
    with training.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.last_step() == 4


def test_the_score_decides_which_checkpoint_is_best(tmp_path):
    fit(tmp_path, score=lambda progress: abs(progress.step - 8))
    with training.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best_step() == 8


def test_sigterm_is_a_request_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with training.StopRequest() as stop:
        assert not stop.requested
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)  # a second signal does not wait
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_epoch_is_compiled_once(tmp_path, caplog):
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        fit(tmp_path, num_steps=8)
    # Only the epoch takes a whole replicated state: one key for each device.
    starts = f"Compiling jit(_fun) with global shapes and types (ShapedArray(int32[{jax.device_count()}])"
    compilations = [record for record in caplog.records if starts in record.getMessage()]
    assert len(compilations) == 1
