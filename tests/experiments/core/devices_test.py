"""One device, eight, and two processes of four train the same models, alone, against PGD and in a sweep, and resume."""

import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.forced_devices import forced_devices

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
from experiments.core.recipe import Recipe
from experiments.ib_adversarial_training import Config as AdversarialConfig
from experiments.ib_adversarial_training import recipe_of
from experiments.mnist_vib import Config
from ib_jax import data, training

folder, resume, coordinator, process = sys.argv[1:]
training.initialize(*((coordinator, 2, int(process)) if coordinator else ()))
rng = np.random.default_rng(0)
split = data.Split(rng.uniform(size=(80, 4, 4, 1)).astype(np.float32), rng.integers(0, 10, 80).astype(np.int32))
dataset, saved = data.Dataset("random", split, None, split, 10), {}
MEMBERS = {"beta": [0.1, 1e-3, 1e-3, 1e-2, 1.0], "learning_rate": [1e-2, 1e-2, 3e-3, 1e-2, 1e-3]}
MEMBERS["seed"] = [0, 1, 1, 2, 3]


def keep(name, *trees):
    for index, leaf in enumerate(jax.tree.leaves(trees)):
        saved[f"{name}/{index:03d}"] = np.asarray(leaf)


def train(name, state, run, placement):
    with training.Checkpoints(f"{folder}/{name}") as checkpoints:
        settings = {"num_steps": 50, "batch_size": 16, "steps_per_evaluation": 25, "placement": placement}
        settings["score"] = lambda progress: progress.step  # keeps step 25
        state = training.fit(state, run, checkpoints=checkpoints, evaluate=lambda placed: {}, **settings)
    keep(name, state.params if hasattr(state, "params") else state.members)


def train_twice(name, state, run, placement):
    train(f"{name}-whole", state, run, placement)
    if resume and name in ("consistent_ceb", "adversarial", "sweep"):
        with training.Checkpoints(f"{resume}/{name}-whole") as checkpoints:
            state = checkpoints.restore(state, step=25)
        train(f"{name}-resumed", state, run, placement)


for objective in ("consistent_ceb", "dropout"):
    config = Config(objective=objective, latent_dim=4, hidden_width=8, schedule="gated_rho", batch_size=16,
                    num_epochs=10, learning_rate=1e-2)
    state = (recipe := Recipe(config, dataset)).init()
    train_twice(objective, state, recipe.run_from(state), training.REPLICATED)
against = AdversarialConfig(adversary="pgd", adversary_steps=3, num_layers=1, scale_width=1 / 32, latent_dim=4,
                            batch_size=16, num_epochs=10)
state = (recipe := recipe_of(against, dataset)).init()
train_twice("adversarial", state, recipe.run_from(state), training.REPLICATED)
recipe = Recipe(Config(latent_dim=4, hidden_width=8, batch_size=16), dataset)
population = training.init_population(recipe.init, MEMBERS)
sweep, resident = training.shard_epoch(recipe.run_population(2)), recipe.resident()
placement = training.spread_members(5)
train_twice("sweep", population, lambda placed: sweep(placed, resident), placement)
noise = training.map_examples(lambda p, keys, x: jax.vmap(jax.random.normal)(keys), batch_size=10)(
    0.0, jax.random.key(2), np.zeros(37))
keep("noise", noise)
terms = training.map_members(
    lambda hyper, state, keys, x: jax.vmap(jax.random.normal)(keys) * hyper["beta"] + x, batch_size=10, num_members=5,
    key_fn=lambda hyper: jax.random.key(hyper["seed"]))
keep("members", terms(placement.put(population), np.zeros(37, np.float32)))
if training.is_main():
    np.savez(f"{folder}/{training.first_shard()}.npz", **saved)
"""


def start(arguments, local_devices):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], env=forced_devices(local_devices))


def finish(processes):
    try:
        assert [process.wait(timeout=300) for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()  # a process that waits for a dead one takes no notice of SIGTERM


def read(folder):
    with np.load(folder / "0.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp(name) for name in ("eight", "processes", "one")}
    finish([start([str(folders["eight"]), "", "", "0"], 8)])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    arguments = [str(folders["processes"]), str(folders["eight"]), coordinator]
    finish([start([*arguments, str(index)], 4) for index in (0, 1)])
    finish([start([str(folders["one"]), str(folders["processes"]), "", "0"], 1)])
    return {name: read(folder) for name, folder in folders.items()}


def assert_same(got, expected, name):
    leaves = [key for key in expected if key.startswith(f"{name}/")]
    assert leaves
    for key in leaves:
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", ["consistent_ceb", "dropout", "adversarial", "sweep"])
def test_devices_and_processes_give_the_same_parameters(results, name):
    for where in ("eight", "processes"):
        assert_same(results[where], results["one"], f"{name}-whole")


@pytest.mark.parametrize("name", ["consistent_ceb", "adversarial", "sweep"])
def test_a_run_goes_on_with_another_number_of_devices(results, name):
    for where in ("processes", "one"):
        resumed = {key.replace("-resumed", "-whole"): leaf for key, leaf in results[where].items() if "-resumed" in key}
        assert_same(resumed, results["one"], f"{name}-whole")


@pytest.mark.parametrize("name", ["noise", "members"])
def test_evaluation_is_exact_on_any_devices(results, name):
    for where in ("eight", "processes"):
        np.testing.assert_array_equal(results[where][f"{name}/000"], results["one"][f"{name}/000"])


def test_the_members_differ(results):
    weights = next(leaf for key, leaf in results["one"].items() if key.startswith("sweep-whole/") and leaf.ndim == 3)
    for index in range(4):
        assert np.abs(weights[index] - weights[index + 1]).max() > 1e-3


BATCH_NORM = """
import jax, numpy as np
from experiments.core.recipe import Recipe
from experiments.imagenet_ceb import FUNCTIONS, Config
from ib_jax import data, training
from ib_jax.models import resnet
from ib_jax.training import parallel

resnet.BLOCKS[50] = (1,)

rng = np.random.default_rng(0)
split = data.Split(rng.integers(0, 255, (32, 8, 8, 3)).astype(np.uint8), rng.integers(0, 10, 32).astype(np.int32))
dataset = data.Dataset("random", split, None, split, 10)
config = Config(width=1 / 16, latent_dim=4, augment="flip", batch_size=16, rho=2.0, schedule="constant",
                num_epochs=2, warmup_epochs=1.0)
recipe = Recipe(config, dataset, FUNCTIONS)
assert len(jax.local_devices()) == 8
batch, found = training.Batch(*split), []
for axis, devices in ((None, jax.local_devices()[:1]), (parallel.AXIS, None)):
    epoch = recipe.epoch(axis, 1 if axis is None else 8, num_steps=1)
    step = training.shard_epoch(epoch, devices)
    placed, resident = (training.replicate(tree, devices) for tree in (recipe.init(), batch))
    for _ in range(3):
        placed, metrics = step(placed, resident)
        jax.block_until_ready(metrics)
    found.append(training.unreplicate(placed.params))
    for leaf in jax.tree.leaves(placed.params["batch_stats"]):
        shards = [np.asarray(shard.data[0]) for shard in leaf.addressable_shards]
        assert all((shard == shards[0]).all() for shard in shards)
for one, eight in zip(*map(jax.tree.leaves, found), strict=True):
    np.testing.assert_allclose(one, eight, rtol=2e-3, atol=2e-4)
"""


def test_batch_normalisation_over_eight_devices_takes_the_steps_of_one():
    """The statistics are the same on each."""
    subprocess.run([sys.executable, "-c", BATCH_NORM], env=forced_devices(8), check=True, timeout=300)
