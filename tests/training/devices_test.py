"""The same seed gives the same parameters on one, two and eight devices and on two processes, for the real bound."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
from experiments.mnist_vib_config import Config
from experiments.objectives import make_classifier, make_loss, make_schedule
from ib_jax import training
from ib_jax.training import parallel

devices, objective, path, coordinator, process = int(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
if coordinator:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(coordinator, num_processes=2, process_id=process)
assert jax.device_count() == devices
config = Config(objective=objective, latent_dim=4, hidden_width=16, schedule="gated_rho")
shares = np.full(10, 0.1)
model, schedule = make_classifier(config, shares), make_schedule(config, steps_per_epoch=6)
optimizer = training.paper_adam(1e-2, steps_per_decay=5)
step = training.make_train_step(
    make_loss(config, model, shares), optimizer, schedule=schedule, axis_name=parallel.AXIS)
epoch = training.make_epoch(
    step, num_examples=100, batch_size=16, num_steps=6, num_shards=devices, axis_name=parallel.AXIS)
rng = np.random.default_rng(0)
data = training.Batch(
    rng.uniform(size=(100, 4, 4, 1)).astype(np.float32), rng.integers(0, 10, 100).astype(np.int32),
    rng.uniform(size=100).astype(np.float32) if objective == "consistent_ceb" else None)
params = model.init(jax.random.key(0), data.inputs[:1])
state = training.replicate(training.init_state(jax.random.key(1), params, optimizer, 0.999, schedule))
run, data = training.shard_epoch(epoch), training.replicate(data)
for _ in range(5):
    state, metrics = run(state, data)
    jax.block_until_ready(state)
state = training.unreplicate(state)
noise = training.map_examples(lambda p, keys, x: jax.vmap(jax.random.normal)(keys), batch_size=10)(
    0.0, jax.random.key(2), np.zeros(37))
leaves = jax.tree.leaves((state.params, training.averaged_params(state, 0.999)))
trace = np.append(training.unreplicate(metrics)["loss"], jax.tree.leaves(state.schedule))
if process == 0:
    np.savez(path, noise, trace, *map(np.asarray, leaves))
"""


@pytest.fixture(scope="module", params=["vib", "consistent_ceb", "dropout"])
def results(request, tmp_path_factory):
    folder, arrays = tmp_path_factory.mktemp("devices"), {}
    for devices in (1, 2, 8):
        path = folder / f"{devices}.npz"
        run([str(devices), request.param, str(path), "", "0"], devices)
        with np.load(path) as file:
            arrays[devices] = [file[name] for name in file.files]
    return arrays


def start(arguments, local_devices):
    environment = dict(os.environ, XLA_FLAGS=f"--xla_force_host_platform_device_count={local_devices}")
    if local_devices > 1:
        environment["PJRT_NPROC"] = "64"  # with fewer threads the all-reduce can hang
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], env=environment)


def run(arguments, local_devices):
    assert start(arguments, local_devices).wait(timeout=300) == 0


def test_two_processes_of_two_devices_give_the_same_parameters(results, request, tmp_path):
    objective = request.node.callspec.params["results"]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    path = tmp_path / "two_processes.npz"
    processes = [start(["4", objective, str(path), coordinator, str(i)], 2) for i in (0, 1)]
    try:
        assert [process.wait(timeout=200) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()  # a process that waits for a dead one takes no notice of SIGTERM
    with np.load(path) as file:
        for got, expected in zip([file[name] for name in file.files], results[1], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


def test_one_two_and_eight_devices_give_the_same_parameters(results):
    for devices in (2, 8):
        for got, expected in zip(results[devices], results[1], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


def test_the_parameters_have_moved(results):
    params_and_average = results[1][2:]
    half = len(params_and_average) // 2
    pairs = zip(params_and_average[:half], params_and_average[half:], strict=True)
    assert all(np.abs(param - average).max() > 1e-3 for param, average in pairs)
