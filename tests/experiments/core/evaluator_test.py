"""What is measured against plain arithmetic; of images in memory, read from a source, and of all members at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from experiments.core.evaluator import SPLITS, Evaluator, OwnRows, PopulationEvaluator
from experiments.core.keys import stream
from experiments.core.recipe import Recipe, Streamed
from ib_jax import data, training
from ib_jax.training import examples
from tests.experiments.core import tiny

RECIPE = tiny.recipe(eval_batch_size=5)  # which divides neither split


@pytest.fixture(scope="module")
def params():
    return RECIPE.init().params


@pytest.fixture(scope="module")
def found(params):
    return Evaluator(RECIPE, SPLITS).at_end(params)


def test_errors_and_rate_are_those_of_plain_arithmetic(params, found):
    assert list(found) == ["train", "validation", "test"]
    inputs, labels = tiny.TEST
    keys = jax.vmap(lambda index: jax.random.fold_in(stream(0, "evaluation"), index))(jnp.arange(len(labels)))
    code = RECIPE.model.encode(params, inputs)
    noise = np.stack([np.asarray(jax.random.normal(key, (2, 3))) for key in keys], 1)
    logits = np.asarray(RECIPE.model.decode(params, np.asarray(code.mean) + np.asarray(code.scale) * noise))
    answers = scipy.special.softmax(logits, -1).mean(0).argmax(-1)
    mean, scale = np.asarray(code.mean, float), np.asarray(code.scale, float)
    rate = (0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).sum(-1).mean() / np.log(2.0)
    assert found["test"]["error_avg"] == pytest.approx((answers != labels).mean())
    assert found["test"]["rate_bits"] == pytest.approx(rate, rel=1e-4)


def test_during_training_and_at_the_end_the_numbers_are_the_same(params, found):
    during = Evaluator(RECIPE).during_training(params)
    assert during == {name: found[name] for name in ("test", "validation")}


def test_images_from_a_source_are_measured_as_those_in_memory(params, found):
    """But for their samples of z: each batch has a key of its own."""
    validation, test = data.ArraySource(tiny.VALIDATION), data.ArraySource(tiny.TEST)
    streamed = Streamed("random", data.ArraySource(tiny.TRAIN), validation, test, 4, (3, 3, 1))
    summary = Evaluator(Recipe(RECIPE.config, streamed)).at_end(params)
    assert set(summary) == {"validation", "test"}
    for name in ("rate_bits", "error_mean"):
        assert summary["test"][name] == pytest.approx(found["test"][name], rel=1e-4)


def test_a_process_reads_the_images_that_its_devices_evaluate(params, monkeypatch):
    """In the place of two processes: the rows of the second alone are asked for, and end where they belong."""
    read = []

    class Noted(data.ArraySource):
        def read_rows(self, rows, /):
            read.extend(rows.tolist())
            return super().read_rows(rows)

    count = len(tiny.TEST.labels)
    assert OwnRows(Noted(tiny.TEST), 5)[1].labels == tiny.TEST.labels[1]
    read.clear()
    monkeypatch.setattr(training, "own_rows", lambda size: slice(size // 2, size))
    shown = list(data.batches(OwnRows(Noted(tiny.TEST), 5), 5))
    own = [row for row in range(count) if row % 5 >= min(5, count - row // 5 * 5) // 2]
    assert read == own
    for field, whole in zip(range(2), tiny.TEST, strict=True):
        joined = np.concatenate([batch[field] for batch in shown])
        np.testing.assert_array_equal(joined[own], whole[own])
        assert not np.delete(joined, own, axis=0).any()


@pytest.mark.parametrize("num_examples", [1, 5, 16, 23])
def test_the_rows_of_all_processes_are_all_rows_each_where_its_devices_look(num_examples, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    placed = examples._batches(np.arange(num_examples), num_examples, 100, 8)[1]  # [device, batch, row]
    found = []
    for process in range(2):
        own = slice(4 * process, 4 * process + 4)
        monkeypatch.setattr(examples, "own_devices", lambda own=own: own)
        rows = np.arange(num_examples)[training.own_rows(num_examples)]
        assert set(rows) == set(placed[own].ravel()) & set(range(num_examples))
        found.extend(rows.tolist())
    assert found == list(range(num_examples))


def test_a_member_is_evaluated_as_alone():
    own = {"seed": np.array([0, 4], np.int32)}
    population = training.init_population(RECIPE.init, own)
    placed = training.spread_members(2).put(population)
    evaluator = PopulationEvaluator(RECIPE, 2, None, SPLITS)
    together, during = evaluator.at_end(placed), evaluator.during_training(placed)
    recipe = tiny.recipe(eval_batch_size=5, seed=4)
    alone = Evaluator(recipe, SPLITS).at_end(training.averaged_params(recipe.init(), recipe.config.average_decay))
    for split in SPLITS:
        assert together[split][1] == pytest.approx(alone[split], rel=1e-4, abs=1e-5)
    assert {name: values[1] for name, values in during["test"].items()} == together["test"][1]
    assert together["test"][0]["rate_bits"] != together["test"][1]["rate_bits"]
