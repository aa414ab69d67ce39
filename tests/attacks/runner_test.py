"""The runner gives what the attack gives, and pays for examples only while they are at work."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses
from ib_jax.attacks.problem import Problem
from ib_jax.loops import compiles_whole

RNG = np.random.default_rng(0)
PARAMS = {"w1": RNG.normal(size=(6, 16)).astype(np.float32) * 2, "w2": RNG.normal(size=(16, 4)).astype(np.float32)}
INPUTS = RNG.uniform(size=(45, 6)).astype(np.float32)
KEY = jax.random.key(0)


def apply_fn(params, keys, inputs):
    return jnp.tanh((inputs - 0.5) @ params["w1"]) @ params["w2"]


LABELS = np.asarray(apply_fn(PARAMS, None, INPUTS).argmax(-1))
LOGITS = functools.partial(apply_fn, PARAMS)


@pytest.mark.standard
@pytest.mark.parametrize(
    "attack",
    [
        attacks.pgd(0.2, num_steps=7),
        attacks.pgd(0.15, num_steps=7, num_restarts=2, early_stop=True),
        attacks.carlini_wagner(num_steps=20, num_binary_steps=3),
        attacks.autoattack(0.1, num_steps=8, num_targets=2, num_queries=12),
        attacks.fmn(num_steps=20),
        attacks.hop_skip_jump(num_queries=60, num_directions=9),
    ],
    ids=["pgd", "restarts", "cw", "autoattack", "fmn", "hop_skip_jump"],
)
def test_a_runner_gives_what_the_attack_gives(attack):
    run = attacks.Runner(attack, apply_fn, batch_size=20, steps_per_call=3)
    result = run(PARAMS, KEY, INPUTS, LABELS)
    whole = jax.jit(lambda *batch: attack(KEY, LOGITS, *batch))(INPUTS, LABELS)
    np.testing.assert_array_equal(result.success, whole.success)
    np.testing.assert_allclose(result.inputs, whole.inputs, atol=1e-4)
    if whole.member is not None:
        np.testing.assert_array_equal(result.member, whole.member)


def test_no_number_of_standing_rows_has_programs_of_its_own(caplog):
    run = attacks.Runner(attacks.pgd(0.1, num_steps=3, early_stop=True, num_restarts=2), apply_fn, batch_size=45)
    radii = np.full((2, 45), [[0.02], [0.1]], np.float32)
    first = run(PARAMS, KEY, INPUTS, LABELS, epsilon=radii[0])
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        second = run(PARAMS, KEY, INPUTS, LABELS, epsilon=radii[1])
    fallen = [(result.member == 0).sum() for result in (first, second)]
    assert fallen[0] != fallen[1]  # so that the second start attacks another number of rows
    assert not [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()]


@pytest.mark.parametrize("attack", [attacks.pgd(0.15, num_steps=7, early_stop=True), attacks.deepfool()])
def test_a_batch_that_shrinks_from_the_host_gives_the_same(attack, monkeypatch):
    """As on a GPU."""
    blocks = attacks.Runner(attack, apply_fn, batch_size=45)(PARAMS, KEY, INPUTS, LABELS)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    run = attacks.Runner(attack, apply_fn, batch_size=45, steps_per_call=3)
    sizes = run(PARAMS, KEY, INPUTS, LABELS)
    (driver,) = run._drivers.values()
    assert (driver._in_blocks._cache_size(), driver._advance._cache_size() > 1) == (0, True)
    np.testing.assert_array_equal(blocks.success, sizes.success)
    np.testing.assert_allclose(blocks.inputs, sizes.inputs, atol=1e-5)


def test_a_member_is_one_program_however_many_examples_still_stand():
    run = attacks.Runner(attacks.pgd(0.1, num_steps=7, num_restarts=4, early_stop=True), apply_fn, batch_size=45)
    result = run(PARAMS, KEY, INPUTS, LABELS)
    assert 0 < (result.member > 0).sum() < (result.member != 0).sum() < 45
    assert [driver._in_blocks._cache_size() for driver in run._drivers.values()] == [1]


class Counter:
    """An apply function that counts the rows it is asked about, at run time."""

    def __init__(self):
        self.rows = []

    def __call__(self, params, keys, inputs):
        jax.debug.callback(lambda: self.rows.append(inputs.shape[0]))
        return apply_fn(params, keys, inputs)


def test_examples_that_are_done_are_not_paid_for():
    """Half of the examples fall at once: from then on half the rows are asked, and at the end very few."""
    radii = np.where(np.arange(64) < 60, 5.0, 0.0).astype(np.float32)
    inputs, labels = np.resize(INPUTS, (64, 6)), np.resize(LABELS, 64)
    counter = Counter()
    run = attacks.Runner(attacks.pgd(0.0, num_steps=30, early_stop=True), counter, batch_size=64, steps_per_call=5)
    result = run(PARAMS, KEY, inputs, labels, epsilon=radii)
    jax.effects_barrier()
    assert result.success[:60].mean() > 0.9
    assert not result.success[60:].any()
    assert 16 in counter.rows
    assert sum(counter.rows) < 0.6 * 64 * 31


def test_other_parameters_and_radii_run_without_compiling_again():
    traces = []

    def traced(params, keys, inputs):
        traces.append(inputs.shape)
        return apply_fn(params, keys, inputs)

    run = attacks.Runner(attacks.pgd(0.1, num_steps=3), traced, batch_size=45)
    run(PARAMS, KEY, INPUTS, LABELS)
    (driver,) = run._drivers.values()
    programs, traced_once = [driver._run], len(traces)
    run(jax.tree.map(lambda leaf: 2 * leaf, PARAMS), KEY, INPUTS, LABELS, epsilon=0.3)
    run(PARAMS, KEY, INPUTS, LABELS, epsilon=np.linspace(0, 1, 45, dtype=np.float32))
    assert [program._cache_size() for program in programs] == [1]
    assert len(traces) == traced_once


def test_sizes_are_eighths_of_the_batch_size_and_then_halves():
    run = attacks.Runner(attacks.fgsm(0.1), apply_fn, batch_size=1000)
    rows = (1000, 876, 875, 501, 500, 126, 125, 64, 63, 17, 1)
    assert [run.size(count) for count in rows] == [1000, 1000, 875, 625, 500, 250, 125, 125, 63, 32, 16]
    run = attacks.Runner(attacks.fgsm(0.1), apply_fn, batch_size=20)
    assert [run.size(count) for count in (20, 17, 16, 1)] == [20, 20, 16, 16]
    assert attacks.Runner(attacks.fgsm(0.1), apply_fn, batch_size=3).size(1) == 3


@pytest.mark.parametrize(
    ("batch_size", "blocks"),
    [
        (1000, {1000: (8, 125), 17: (8, 125), 16: (1, 16), 1: (1, 16)}),
        (8000, {8000: (8, 1000), 126: (8, 1000), 125: (1, 125), 1: (1, 125)}),
        (45, {45: (3, 15), 17: (3, 15), 16: (1, 16), 3: (1, 16)}),
        (20, {20: (2, 10), 17: (2, 10), 3: (1, 16)}),
        (3, {3: (1, 3), 1: (1, 3)}),
    ],
)
def test_blocks_hold_all_rows_and_are_of_few_sizes(batch_size, blocks):
    run = attacks.Runner(attacks.fgsm(0.1), apply_fn, batch_size=batch_size)
    assert {rows: run.blocks(rows) for rows in blocks} == blocks
    assert all(count * block >= rows for rows in range(1, batch_size + 1) for count, block in [run.blocks(rows)])


def test_no_examples_and_bad_settings():
    run = attacks.Runner(attacks.fgsm(0.1), apply_fn)
    assert run(PARAMS, KEY, INPUTS[:0], LABELS[:0]).inputs.shape == (0, 6)
    with pytest.raises(ValueError, match="labels must be int"):
        run(PARAMS, KEY, INPUTS, LABELS[:3])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        attacks.Runner(attacks.fgsm(0.1), apply_fn, batch_size=0)
    with pytest.raises(ValueError, match=r"attack must be an attack of ib_jax.attacks other than transfer"):
        attacks.Runner(attacks.transfer(attacks.fgsm(0.1), LOGITS), apply_fn)


def convolutional(params, keys, inputs):
    images = inputs.reshape(-1, 2, 3, 1)
    maps = jax.lax.conv_general_dilated(
        images, params["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.tanh(maps).reshape(-1, 12) @ params["w"]


def test_convolutions_on_the_cpu_are_stepped_from_the_host_and_give_the_same():
    params = {"kernel": RNG.normal(size=(3, 3, 1, 2)).astype(np.float32), "w": RNG.normal(size=(12, 3))}
    logits_fn = jax.jit(functools.partial(convolutional, params))  # found inside a jit too
    keys = losses.per_example_keys(KEY, 45)
    problem = Problem(keys, jnp.asarray(INPUTS), jnp.asarray(LABELS), None, None, None)
    assert compiles_whole(logits_fn, problem.keys, problem.inputs) == (jax.default_backend() != "cpu")
    assert compiles_whole(LOGITS, problem.keys, problem.inputs)
    labels = np.asarray(logits_fn(None, INPUTS).argmax(-1))
    for attack in (attacks.pgd(0.2, num_steps=5), attacks.apgd(0.2, num_steps=9)):
        result = attacks.Runner(attack, convolutional, batch_size=45)(params, KEY, INPUTS, labels)
        whole = jax.jit(lambda attack=attack: attack(KEY, logits_fn, INPUTS, labels))()
        np.testing.assert_allclose(result.inputs, whole.inputs, atol=1e-5)
        np.testing.assert_array_equal(result.success, whole.success)
