"""Members that diverge, among others that do not; and populations that are stopped."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, training

NUM_STEPS, STRETCH = 60, 10
DATA = training.Batch(np.ones(20, np.float32), np.ones(20, np.float32))


def run_member(hyper, state, data):
    """Descent on (w - 1)^2, of which a rate above 1 makes more and more, with a little noise."""

    def loss_fn(params, keys, inputs, labels):
        noise = 1e-3 * jax.vmap(lambda key: jax.random.normal(key, (), jnp.float32))(keys)
        return BoundTerms(*[jnp.square(params["w"] * inputs - labels + noise)] * 2)

    step = training.make_train_step(loss_fn, optax.sgd(hyper["learning_rate"]))
    return training.make_epoch(step, num_examples=20, batch_size=2, num_steps=STRETCH)(state, data)


def start(hyper):
    params = {"w": jnp.float32(0.0)}
    return training.init_state(jax.random.key(hyper["seed"]), params, optax.sgd(0.1), 0.9)


def population_of(*rates):
    return training.init_population(
        start, {"learning_rate": np.array(rates, np.float32), "seed": np.arange(len(rates))}
    )


SWEEP = training.make_sweep(run_member)
QUICK_SWEEP = jax.jit(SWEEP)


def train(population, num_stretches=NUM_STEPS // STRETCH):
    history = [(population, None)]
    for _ in range(num_stretches):
        history.append(QUICK_SWEEP(history[-1][0], DATA))
    return history


def first_bad_step(rate):
    """The step whose loss, the mean of two, overflows float32; without the noise, which is too small to matter."""
    w, step = 0.0, 1
    while 2 * (w - 1.0) ** 2 <= float(np.finfo(np.float32).max):
        w, step = w - rate * 2 * (w - 1.0), step + 1
    return step


@pytest.mark.not_under("debug_nans", reason="a member diverges")
def test_a_diverged_member_stands_where_it_stood_before_the_stretch():
    rates = [0.1, 3.0, 0.2, 30.0]
    history = train(population_of(*rates))
    final, _ = history[-1]
    falls = {1: first_bad_step(3.0), 3: first_bad_step(30.0)}
    assert falls == {1: 29, 3: 12}  # neither at the beginning of a stretch nor at its end
    assert final.diverged_at.tolist() == [-1, 29, -1, 12]
    assert final.members.step.tolist() == [60, 20, 60, 10]
    assert int(final.step) == 60
    for index, fell in falls.items():
        before, _ = history[(fell - 1) // STRETCH]
        for got, expected in zip(jax.tree.leaves(final.members), jax.tree.leaves(before.members), strict=True):
            np.testing.assert_array_equal(got[index], expected[index])
            assert np.isfinite(got[index]).all()
        for number, (_, metrics) in enumerate(history[1:]):
            is_nan = {name: np.isnan(trace[index]).all() for name, trace in metrics.items()}
            assert set(is_nan.values()) == {number >= (fell - 1) // STRETCH}
            assert all(np.isfinite(np.asarray(trace)[[0, 2]]).all() for trace in metrics.values())


@pytest.mark.not_under("debug_nans", reason="a member diverges")
def test_a_member_that_has_diverged_does_not_rise_again():
    population = population_of(0.1, 0.2, 0.3)._replace(diverged_at=np.array([-1, 7, -1], np.int32))
    (_, _), (after, metrics) = train(population, num_stretches=1)
    assert after.diverged_at.tolist() == [-1, 7, -1]
    assert after.members.step.tolist() == [10, 0, 10]
    assert np.isnan(metrics["loss"]).all(1).tolist() == [False, True, False]


@pytest.mark.not_under("debug_nans", reason="a member diverges")
def test_the_others_are_untouched_to_the_bit():
    bad, good = (train(population_of(0.1, rate, 0.2)) for rate in (30.0, 0.3))
    assert bad[-1][0].diverged_at.tolist() == [-1, 12, -1]
    assert good[-1][0].diverged_at.tolist() == [-1, -1, -1]
    for (one, its_metrics), (other, metrics) in zip(bad[1:], good[1:], strict=True):
        both = jax.tree.leaves((one.members, its_metrics)), jax.tree.leaves((other.members, metrics))
        for got, expected in zip(*both, strict=True):
            np.testing.assert_array_equal(np.asarray(got)[[0, 2]], np.asarray(expected)[[0, 2]])


@pytest.mark.not_under("debug_nans", reason="a member diverges")
def test_parameters_that_are_not_finite_are_caught_where_the_loss_still_is():
    def one_step(hyper, state, data):
        def loss_fn(params, keys, inputs, labels):
            return BoundTerms(*[jnp.square(params["w"] * inputs - labels)] * 2)

        step = training.make_train_step(loss_fn, optax.sgd(hyper["learning_rate"]))
        return training.make_epoch(step, num_examples=20, batch_size=20, num_steps=1)(state, data)

    population = population_of(0.1, 3e38)  # 0 + 3e38 * 2 is more than float32 holds
    population, metrics = jax.jit(training.make_sweep(one_step))(population, DATA)
    assert population.diverged_at.tolist() == [-1, 1]
    np.testing.assert_allclose(population.members.params["w"], [0.2, 0.0], rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"], [[1.0], [np.nan]])


def fit(folder, population, stop=lambda: False):
    placement, sweep = training.spread_members(len(population.diverged_at)), training.shard_epoch(SWEEP)
    data, reports = training.replicate(DATA), []
    with training.Checkpoints(folder) as checkpoints:
        if checkpoints.last_step() is not None:
            population = checkpoints.restore(population)
        population = training.fit(
            population, lambda placed: sweep(placed, data), num_steps=NUM_STEPS, batch_size=2, checkpoints=checkpoints,
            evaluate=lambda placed: {}, steps_per_evaluation=STRETCH, placement=placement, report=reports.append,
            stop=stop,
        )  # fmt: skip
    return population, reports


def test_a_population_goes_on_from_a_checkpoint_to_the_same_end(tmp_path):
    population = population_of(0.1, 3.0, 30.0)  # of the two that diverge, one does so before the stop and one after
    stops = iter([False, True])
    stopped, early = fit(tmp_path / "parts", population, stop=lambda: next(stops))
    assert int(stopped.step) == 20
    assert stopped.diverged_at.tolist() == [-1, -1, 12]
    (resumed, late), (whole, reports) = fit(tmp_path / "parts", population), fit(tmp_path / "whole", population)
    assert whole.diverged_at.tolist() == [-1, 29, 12]
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    for got, expected in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    assert [report.step for report in early + late] == [report.step for report in reports] == list(range(10, 61, 10))
    for got, expected in zip(early + late, reports, strict=True):
        np.testing.assert_array_equal(got.metrics["loss"], expected.metrics["loss"])


def test_when_all_have_diverged_training_ends_and_the_last_checkpoint_is_good(tmp_path):
    population = population_of(3.0, 30.0)
    with pytest.raises(training.NonFiniteLossError, match=r"of all \d members .*the last good checkpoint is step 20"):
        fit(tmp_path, population)
    with training.Checkpoints(tmp_path) as checkpoints:
        saved = checkpoints.restore(population)
    assert saved.diverged_at.tolist() == [-1, 12]
    assert saved.members.step.tolist() == [20, 10]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved))
