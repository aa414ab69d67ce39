"""One call trains as the layers below do: resident or streamed, resumed or not, whatever the parameters are."""

import json
import pathlib
import signal
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from ib_jax import BoundTerms, DiagGaussian, bounds, data, losses, training
from tests.forced_devices import forced_devices

ROOT = pathlib.Path(__file__).parents[2]
KEY = jax.random.key(0)
INPUTS = np.asarray(jax.random.normal(KEY, (20, 3)))
LABELS = INPUTS.argmax(-1).astype(np.int32)
SGD = optax.sgd(0.1)


def loss_fn(params, keys, inputs, labels, *rho):
    encode = lambda x: DiagGaussian(x @ params["w"], jnp.full((len(x), 3), 0.5))
    strength = {"rho": rho[0]} if rho else {"beta": 0.01}
    prior = losses.standard_normal(3)
    return bounds.vib(keys, inputs, labels, encode_fn=encode, decode_fn=lambda z: z, prior=prior, **strength)


def train(loss_fn=loss_fn, params=None, examples=(INPUTS, LABELS), **settings):
    start = {"w": jnp.zeros((3, 3))} if params is None else params
    return training.train(loss_fn, start, examples, **{"num_epochs": 3, "batch_size": 8, "optimizer": SGD} | settings)


def same(first, second):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("schedule", [None, training.linear_rho(2.0, 4)])
def test_it_takes_the_steps_of_the_layers_below(schedule):
    step = training.make_train_step(loss_fn, SGD, average_decay=0.9, schedule=schedule)
    epoch = jax.jit(training.make_epoch(step, num_examples=20, batch_size=8, num_steps=2))
    state = training.init_state(jax.random.key(5), {"w": jnp.zeros((3, 3))}, SGD, 0.9, schedule)
    for _ in range(3):
        state, metrics = epoch(state, training.Batch(INPUTS, LABELS))
    trained = train(seed=5, average_decay=0.9, schedule=schedule)
    for got, expected in ((trained.state.params, state.params), (trained.params, training.averaged_params(state, 0.9))):
        np.testing.assert_allclose(got["w"], expected["w"], rtol=1e-5, atol=1e-7)
    assert [(row["epoch"], row["step"]) for row in trained.history] == [(1, 2), (2, 4), (3, 6)]
    np.testing.assert_allclose(trained.history[-1]["loss"], metrics["loss"].mean(), rtol=1e-5)


def test_a_source_gives_the_steps_of_arrays():
    source = data.ArraySource(data.Split(INPUTS, LABELS))
    same(train(examples=source).state.params, train().state.params)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    settings = {"validation": (INPUTS[:5], LABELS[:5])}
    first = train(workdir=tmp_path, num_epochs=1, **settings)
    resumed, whole = train(workdir=tmp_path, **settings), train(**settings)
    assert len(first.history) == 1
    assert resumed.history == whole.history
    same((resumed.params, resumed.state.params), (whole.params, whole.state.params))
    with pytest.raises(ValueError, match=r"workdir .* holds a run with .*'seed': 0"):
        train(workdir=tmp_path, seed=1)
    with pytest.raises(ValueError, match="num_epochs must reach step 6"):
        train(workdir=tmp_path, num_epochs=2)


def test_a_signal_saves_and_the_same_call_goes_on(tmp_path):
    def stop_once(step, row):
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="stopped and saved at step 4"):
        train(workdir=tmp_path, callbacks=[stop_once])
    same(train(workdir=tmp_path).params, train().params)


class Equinox(eqx.Module):
    linear: eqx.nn.Linear
    activation: object = jnp.tanh
    count: int = 7

    def __call__(self, inputs):
        return self.activation(jax.vmap(self.linear)(inputs))


class Nnx(nnx.Module):
    def __init__(self):
        self.linear = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
        self.count = nnx.Variable(jnp.int32(7))

    def __call__(self, inputs):
        return jnp.tanh(self.linear(inputs))


@pytest.mark.parametrize("module", [Equinox(eqx.nn.Linear(3, 3, key=KEY)), Nnx()], ids=["equinox", "nnx"])
def test_modules_come_back_trained_and_what_is_no_float_as_it_was(module, tmp_path):
    def module_loss(module, keys, inputs, labels):
        logits = module(inputs)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return BoundTerms(loss, loss)

    trained = train(module_loss, module, optimizer=optax.sgd(1.0), num_epochs=9, workdir=tmp_path).params
    assert type(trained) is type(module)
    assert int(trained.count if isinstance(trained, Equinox) else trained.count[...]) == 7
    right = lambda module: (module(INPUTS).argmax(-1) == LABELS).mean()
    assert right(trained) > right(module)


def test_weights_count_in_training_and_in_validation():
    weights = np.arange(20, dtype=np.float32)
    batch = training.Batch(INPUTS, LABELS, weights)
    one_step = {"batch_size": 20, "num_epochs": 1, "average_decay": 0.0}

    def plain_loss(params, keys, inputs, labels):
        loss = optax.softmax_cross_entropy_with_integer_labels(inputs @ params["w"], labels)
        return BoundTerms(loss, loss)

    trained = train(plain_loss, examples=batch, validation=batch, **one_step)
    loss = lambda w: np.average(plain_loss({"w": w}, None, INPUTS, LABELS).loss, weights=weights)
    grad = jax.grad(lambda w: jnp.average(plain_loss({"w": w}, None, INPUTS, LABELS).loss, weights=weights))
    np.testing.assert_allclose(trained.params["w"], -0.1 * grad(jnp.zeros((3, 3))), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(trained.history[0]["validation_loss"], loss(trained.params["w"]), rtol=1e-5)


def test_callbacks_and_evaluations_see_each_epoch():
    rows = []
    evaluate = lambda params: {"norm": float(jnp.abs(params["w"]).sum())}
    trained = train(callbacks=[lambda step, row: rows.append((step, row["loss"]))], evaluate=evaluate)
    assert rows == [(row["step"], row["loss"]) for row in trained.history]
    assert trained.history[-1]["norm"] == pytest.approx(float(jnp.abs(trained.params["w"]).sum()))
    every_second = train(evaluate=evaluate, epochs_per_evaluation=2).history
    assert ["norm" in row for row in every_second] == [False, True, True]


def test_kept_programs_are_not_traced_again():
    traces, programs = [], {}

    def counted(*args):
        traces.append(1)
        return loss_fn(*args)

    first = train(counted, programs=programs)
    count = len(traces)
    assert count
    assert len(programs) == 1
    same(train(counted, programs=programs).params, first.params)
    other = train(counted, params={"w": jnp.ones((3, 3))}, programs=programs)
    assert len(traces) == count
    same(other.params, train(params={"w": jnp.ones((3, 3))}).params)


def test_a_small_set_is_one_batch_and_an_attacked_one_is_attacked():
    assert train(batch_size=128).state.step == 3
    away = train(perturb=lambda params, keys, inputs, labels: 0.0 * inputs)
    same(away.state.params, train(examples=(0.0 * INPUTS, LABELS)).state.params)


def test_convolutions_are_driven_from_the_host_to_the_same_end():
    def conv_loss(params, keys, inputs, labels):
        features = jax.lax.conv(inputs.reshape(-1, 1, 3, 1), params["w"].reshape(3, 1, 3, 1), (1, 1), "VALID")
        loss = optax.softmax_cross_entropy_with_integer_labels(features.reshape(-1, 3), labels)
        return BoundTerms(loss, loss)

    def dense_loss(params, keys, inputs, labels):
        loss = optax.softmax_cross_entropy_with_integer_labels(inputs @ params["w"].T, labels)
        return BoundTerms(loss, loss)

    found, expected = train(conv_loss), train(dense_loss)
    np.testing.assert_allclose(found.params["w"], expected.params["w"], rtol=1e-4, atol=1e-6)
    assert len(found.history) == len(expected.history) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_epochs": 0}, "num_epochs must be at least 1, got 0"),
        ({"epochs_per_evaluation": 0}, "epochs_per_evaluation must be at least 1, got 0"),
        ({"params": {"w": 3}}, "params must hold an array of floats"),
        ({"examples": INPUTS}, r"data must be \(inputs, labels\), a Batch or a source, got ndarray"),
        ({"examples": (INPUTS, LABELS[:5])}, "labels must have one row for each of the inputs"),
        ({"examples": (np.array([["a"]] * 20), LABELS)}, "data must hold arrays of numbers, got <U1"),
        ({"examples": (INPUTS[:0], LABELS[:0])}, "data must hold at least one example"),
        ({"validation": INPUTS}, r"validation must be \(inputs, labels\)"),
    ],
)
def test_what_will_not_do_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        train(**settings)


@pytest.mark.standard
def test_four_devices_give_the_run_of_one():
    code = """
import json
from tests.training.one_call_test import train
print(json.dumps(train(num_epochs=2).params["w"].ravel().tolist()))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=forced_devices(4), cwd=ROOT, check=True, capture_output=True, text=True)
    found = np.array(json.loads(done.stdout.splitlines()[-1]))
    np.testing.assert_allclose(found, np.asarray(train(num_epochs=2).params["w"]).ravel(), rtol=1e-4, atol=1e-6)
