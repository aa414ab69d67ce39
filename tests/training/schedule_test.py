import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, training


def values(schedule, steps):
    return np.array([schedule.value(schedule.init(), jnp.int32(step)) for step in steps])


def test_linear_gamma_is_the_papers_listing():
    """lerp(step, 0, 12000, gamma(100), gamma(3))."""
    schedule = training.linear_gamma(3.0, 12_000)
    for step in (1, 600, 6_000, 11_999, 12_000, 50_000):
        share = min(1.0, step / 12_000)
        gamma = (1 - share) * np.exp(-100.0) + share * np.exp(-3.0)
        # float32 keeps the line to a rounding of its end, not of its first steps
        np.testing.assert_allclose(np.exp(-values(schedule, [step])), gamma, rtol=1e-5, atol=1e-7 * np.exp(-3.0))
    assert values(schedule, [0])[0] == 100.0


def test_linear_rho_is_linear_in_rho():
    schedule = training.linear_rho(-1.0, 100, initial_rho=20.0)
    np.testing.assert_allclose(values(schedule, [0, 50, 75, 100, 1000]), [20.0, 9.5, 4.25, -1.0, -1.0], rtol=1e-5)


def run_gate(schedule, accuracies):
    """rho at each step, when the steps have these accuracies."""

    def body(state, step_and_accuracy):
        step, accuracy = step_and_accuracy
        return schedule.update(state, step, {"accuracy": accuracy}), schedule.value(state, step)

    accuracies = jnp.asarray(accuracies, jnp.float32)
    return jax.jit(lambda: jax.lax.scan(body, schedule.init(), (jnp.arange(len(accuracies)), accuracies)))()


def test_the_gate_opens_after_the_way_down_and_once_accuracy_exceeds_the_threshold():
    schedule = training.gated_rho(2.0, steps_per_epoch=10)  # a running mean over one step
    late = np.where(np.arange(60) < 33, 0.15, 0.9)
    state, rho = run_gate(schedule, late)
    np.testing.assert_allclose(rho[:20], np.linspace(100, 10, 21)[:20], rtol=1e-5)
    np.testing.assert_allclose(rho[20:34], 10.0)
    assert int(state.opened) == 34  # the step after the first with 0.9
    np.testing.assert_allclose(rho[34:45], np.linspace(10, 2, 11), rtol=1e-5)
    np.testing.assert_allclose(rho[45:], 2.0)
    _, rho = run_gate(schedule, np.full(60, 0.9))  # good from the start: it opens at the end of the way down
    np.testing.assert_allclose(rho[:31], [*np.linspace(100, 10, 21)[:20], *np.linspace(10, 2, 11)], rtol=1e-5)
    state, rho = run_gate(schedule, np.full(60, 0.2))  # not above
    assert int(state.opened) == -1
    np.testing.assert_allclose(rho[20:], 10.0)


def test_one_lucky_batch_does_not_open_the_gate():
    schedule = training.gated_rho(2.0, steps_per_epoch=200)
    accuracies = np.full(600, 0.1)
    accuracies[[450, 500]] = 1.0
    assert int(run_gate(schedule, accuracies)[0].opened) == -1
    accuracies[550:] = 1.0
    assert 550 < int(run_gate(schedule, accuracies)[0].opened) < 560


def loss_fn(params, keys, inputs, labels, rho):
    loss = jnp.square(params["w"] * inputs - labels) + jnp.exp(-rho) * params["w"] ** 2
    return BoundTerms(loss, loss, accuracy=jnp.full(labels.shape, 0.5))


def make(schedule):
    optimizer = optax.sgd(1e-2)
    step = jax.jit(training.make_train_step(loss_fn, optimizer, schedule=schedule))
    state = training.init_state(jax.random.key(0), {"w": jnp.ones(())}, optimizer, 0.999, schedule)
    batch = training.Batch(jnp.ones(4), jnp.zeros(4))
    return state, lambda state: step(state, batch, jax.random.fold_in(jax.random.key(1), state.step))


def test_the_step_hands_over_rho_and_reports_it():
    state, step = make(training.linear_rho(0.0, 2, initial_rho=50.0))
    state, metrics = step(state)
    assert metrics["rho"] == 50.0
    np.testing.assert_allclose(state.params["w"], 1 - 1e-2 * 2.0, rtol=1e-6)
    state, _ = step(state)
    before = float(state.params["w"])
    state, metrics = step(state)
    assert metrics["rho"] == 0.0
    np.testing.assert_allclose(state.params["w"], before - 1e-2 * 4.0 * before, rtol=1e-6)


def test_the_gates_state_is_part_of_the_checkpoint(tmp_path):
    schedule = training.gated_rho(2.0, steps_per_epoch=4)
    state, step = make(schedule)
    for _ in range(10):
        state, _ = step(state)
    assert int(state.schedule.opened) == 8
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, score=0.0)
        checkpoints.wait()
        restored = checkpoints.restore(make(schedule)[0])
    assert int(restored.schedule.opened) == 8
    (whole, metrics), (resumed, again) = step(state), step(restored)
    assert metrics["rho"] == again["rho"] == 6.0
    np.testing.assert_array_equal(whole.params["w"], resumed.params["w"])
    np.testing.assert_array_equal(whole.schedule, resumed.schedule)


@pytest.mark.parametrize(
    ("make_schedule", "message"),
    [
        (lambda: training.linear_gamma(1.0, 0), "num_steps must be at least 1, got 0"),
        (lambda: training.linear_rho(1.0, -3), "num_steps must be at least 1, got -3"),
        (lambda: training.gated_rho(1.0, steps_per_epoch=0), "steps_per_epoch must be at least 1, got 0"),
        (lambda: training.gated_rho(1.0, steps_per_epoch=5, threshold=1.5), r"threshold must be in \[0, 1\), got 1.5"),
        (lambda: training.gated_rho(1.0, steps_per_epoch=5, epochs_to_gate=0.0), "must be positive, got 0.0 and 1.0"),
    ],
)
def test_bad_settings_are_refused(make_schedule, message):
    with pytest.raises(ValueError, match=message):
        make_schedule()


def test_a_gate_without_accuracy_is_a_clear_error():
    schedule = training.gated_rho(1.0, steps_per_epoch=5)
    with pytest.raises(ValueError, match=r"needs the metric 'accuracy' of the bound, got \['loss'\]"):
        schedule.update(schedule.init(), 0, {"loss": 0.0})
