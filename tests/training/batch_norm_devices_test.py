"""Batch normalisation over eight devices: the steps of one, and the same statistics on each."""

import subprocess
import sys

import pytest

from tests.forced_devices import forced_devices

pytestmark = pytest.mark.standard

PROGRAM = """
import dataclasses
import jax, numpy as np
from experiments import image_recipe
from experiments.cifar10_ceb_config import Cifar10Config
from experiments.recipe import Recipe
from ib_jax import data, training
from ib_jax.training import parallel

rng = np.random.default_rng(0)
split = data.Split(rng.integers(0, 255, (32, 8, 8, 3)).astype(np.uint8), rng.integers(0, 10, 32).astype(np.int32))
dataset = data.Dataset("random", split, None, split, 10)
config = Cifar10Config(norm="batch", augment="flip_crop", batch_size=16, rho=2.0, schedule="constant", num_epochs=2)
recipe = Recipe(config, dataset, image_recipe.CIFAR10)
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


def test_eight_devices_take_the_steps_of_one():
    subprocess.run([sys.executable, "-c", PROGRAM], env=forced_devices(8), check=True, timeout=300)
