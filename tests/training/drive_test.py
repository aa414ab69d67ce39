"""Steps driven from the host against the same steps in one compiled loop."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from experiments.core.recipe import Recipe
from experiments.mnist_vib.settings import Config
from ib_jax import data, training

SETTINGS = Config(latent_dim=3, hidden_width=8, batch_size=8, steps_per_call=4, num_epochs=2, learning_rate=1e-2)
RNG = np.random.default_rng(0)
SPLIT = data.Split(RNG.uniform(size=(64, 3, 3, 1)).astype(np.float32), RNG.integers(0, 4, 64).astype(np.int32))
DATASET = data.Dataset("random", SPLIT, None, SPLIT, 4)
BATCH = training.Batch(*SPLIT)
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def recipe(whole, config=SETTINGS, dataset=DATASET):
    made = Recipe(config, dataset)
    assert made.whole  # of dense layers: what is driven here is driven for the test's sake
    made.whole = whole
    return made


def assert_close(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for leaf, its in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(leaf), np.asarray(its), **CLOSE)


def plain(state):
    return state._replace(key=jax.random.key_data(state.key))


def go_on(made, run, state, num_stretches):
    """State and metrics [steps] after several stretches."""
    placed, traces = training.replicate(state), []
    for _ in range(num_stretches):
        placed, metrics = run(placed)
        parts = metrics if isinstance(metrics, list) else [metrics]
        assert len(parts) == (1 if made.whole else made.steps_per_call)
        traces += [training.unreplicate(part) for part in parts]
    joined = {name: np.concatenate([trace[name] for trace in traces]) for name in traces[0]}
    return plain(training.unreplicate(placed)), joined


@pytest.fixture(scope="module")
def made():
    """The compiled and the driven form: recipe and what trains a stretch."""
    recipes = {whole: recipe(whole) for whole in (True, False)}
    return {whole: (each, each.run_from(each.init())) for whole, each in recipes.items()}


def test_driven_steps_are_those_of_the_compiled_loop(made):
    (whole, compiled), (host, driven) = made[True], made[False]
    expected_state, expected = go_on(whole, compiled, whole.init(), 3)
    state, traces = go_on(host, driven, host.init(), 3)  # over an epoch's end
    assert int(state.step) == 12
    assert traces["loss"].shape == (12,)
    assert len(set(expected["loss"].tolist())) == 12
    assert_close(traces, expected)
    assert_close(state, expected_state)


def test_fit_reports_and_saves_the_same(made, tmp_path):
    found = {}
    for whole, (each, run) in made.items():
        reports = []
        with training.Checkpoints(tmp_path / str(whole)) as checkpoints:
            last = training.fit(
                each.init(), run, num_steps=each.num_steps, batch_size=8, checkpoints=checkpoints,
                evaluate=lambda placed: {"step": int(placed.step[0])}, steps_per_evaluation=8, report=reports.append,
                score=lambda progress: progress.step,
            )  # fmt: skip
        rows = [(row.step, row.num_steps, dict(row.metrics), row.evaluation) for row in reports]
        with training.Checkpoints(tmp_path / str(whole)) as checkpoints:
            steps = (checkpoints.last_step(), checkpoints.best_step())
            kept = {step: plain(checkpoints.restore(each.init(), step=step)) for step in steps}
        found[whole] = rows, steps, kept, plain(last)
    assert [row[0] for row in found[False][0]] == [4, 8, 12, 16]
    assert [row[3] for row in found[False][0]] == [None, {"step": 8}, None, {"step": 16}]
    assert found[False][1] == (16, 8)
    for mine, its in zip(found[False], found[True], strict=True):
        assert_close(mine, its)


@pytest.mark.standard
def test_images_read_from_disk_drive_the_same_steps():
    config = Config(dataset="digits", latent_dim=2, hidden_width=8, steps_per_call=2)
    digits = data.load("digits", num_validation=config.num_validation, seed=config.seed)
    found = []
    for pipeline in ("resident", "grain"):
        made = recipe(False, dataclasses.replace(config, input_pipeline=pipeline), digits)
        state = made.init()._replace(step=np.int32(made.steps_per_epoch - 2))  # a run that goes on, over an epoch's end
        found.append(go_on(made, made.run_from(state), state, 2))
    assert found[0][1]["loss"].shape == (4,)
    for mine, its in zip(found[1], found[0], strict=True):
        assert_close(mine, its)


MEMBERS = {"beta": [1e-3, 1e-2, 0.5], "learning_rate": [1e-2, 1e30, 3e-3], "seed": [0, 1, 2]}
"""The second diverges."""


def train_population(whole, members_at_once):
    made = recipe(whole)
    sweep = jax.jit(made.run_population(members_at_once))
    run, population, traces = made.driven(lambda state: sweep(state, BATCH)), start(), []
    for _ in range(2):
        population, metrics = run(population)
        traces += metrics if isinstance(metrics, list) else [metrics]
    return population, {name: np.concatenate([trace[name] for trace in traces], -1) for name in traces[0]}


@functools.cache
def start():
    return training.init_population(Recipe(SETTINGS, DATASET).init, MEMBERS)


@pytest.fixture(scope="module")
def written_out():
    """Members one after another without a loop, driven: as a convolutional network's population on a CPU."""
    return train_population(False, 0)


@pytest.mark.not_under("debug_nans", reason="a member diverges")
@pytest.mark.parametrize("members_at_once", [1, None], ids=["looped", "vmapped"])
def test_members_written_out_are_those_of_a_loop(written_out, members_at_once):
    population, traces = written_out
    assert population.diverged_at.tolist() == [-1, 2, -1]
    assert population.members.step.tolist() == [8, 1, 8]
    np.testing.assert_array_equal(np.isnan(traces["loss"]), [8 * [False], [False] + 7 * [True], 8 * [False]])
    assert_close((population, traces), train_population(False, members_at_once))


@pytest.mark.not_under("debug_nans", reason="a member diverges")
@pytest.mark.parametrize("members_at_once", [1, None], ids=["looped", "vmapped"])
def test_so_are_those_of_compiled_stretches(written_out, members_at_once):
    population, traces = written_out
    compiled, expected = train_population(True, members_at_once)
    # A member that falls goes back to the start of its stretch, which is four steps long here, and one step if driven.
    np.testing.assert_array_equal(population.diverged_at, compiled.diverged_at)
    assert compiled.members.step.tolist() == [8, 0, 8]
    assert np.isnan(expected["loss"][1]).all()
    sound = np.array([0, 2])
    assert_close(
        jax.tree.map(lambda leaf: leaf[sound], (population.members, traces)),
        jax.tree.map(lambda leaf: leaf[sound], (compiled.members, expected)),
    )
