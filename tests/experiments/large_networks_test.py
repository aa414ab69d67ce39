"""The networks of the paper at full size, on eight forced CPU devices and tiny images: a step, a stop, the rest."""

import subprocess
import sys

import pytest

from tests.forced_devices import forced_devices

PROGRAM = """
import dataclasses, sys
import jax, numpy as np
from experiments import cifar10_ceb, imagenet_ceb
from experiments.cifar10_ceb.settings import PRESETS as CIFAR10
from experiments.core import runner, trained_model
from experiments.core.session import Session
from experiments.core.recipe import Recipe
from experiments.imagenet_ceb.settings import PRESETS as IMAGENET
from ib_jax import data, training

name, workdir = sys.argv[1:]
side, num_classes = (32, 10) if name == "wrn" else (32, 1000)
rng = np.random.default_rng(0)
labels = rng.integers(0, num_classes, 16).astype(np.int32)
split = data.Split(rng.integers(0, 255, (16, side, side, 3)).astype(np.uint8), labels)
dataset = data.Dataset("cifar10", split, None, data.Split(*(field[:8] for field in split)), num_classes)
tiny = {"workdir": workdir, "num_epochs": 1, "batch_size": 8, "steps_per_call": 1, "eval_batch_size": 8,
        "num_eval_samples": 1}
if name == "wrn":
    settings = CIFAR10["paper"].on("cifar10") | tiny
    recipe = Recipe(cifar10_ceb.Config(**settings), dataset, cifar10_ceb.FUNCTIONS)
else:
    depth, width = name.split("x")
    settings = IMAGENET["paper"].on("cifar10") | {"input_pipeline": "resident"} | tiny
    settings |= {"depth": depth, "width": float(width), "precision": "float32", "momentum": 0.0}
    recipe = Recipe(imagenet_ceb.Config(**settings), dataset, imagenet_ceb.FUNCTIONS)


class Once(training.StopRequest):
    requested = property(lambda self: True, lambda self, value: None)


ever, training.StopRequest = training.StopRequest, Once
assert runner.train(recipe, workdir, Session("test")) is None
training.StopRequest = ever
runner.train(recipe, workdir, Session("test"))
(model,) = trained_model.read_results(workdir).models
assert model.details["steps"] == 2 and 0 <= model.values_at(split="test")["error_mean"] <= 1, model
print(model.details["num_parameters"], "parameters on", jax.device_count(), "devices")
"""


@pytest.mark.manual
@pytest.mark.parametrize("name", ["wrn", "50x1", "152x2"])
def test_a_sharded_step_a_stop_and_the_rest(name, tmp_path):
    subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(tmp_path)], env=forced_devices(8), check=True, timeout=1800
    )
