"""A recipe that trains in a moment: an MLP of a few units on random images of three pixels a side."""

import dataclasses

import numpy as np

from experiments.core import networks
from experiments.core.recipe import Recipe
from experiments.mnist_vib import Config
from ib_jax import data, models, training

CONFIG = Config(
    latent_dim=3, hidden_width=8, batch_size=10, steps_per_call=2, num_epochs=3, epochs_per_eval=1, learning_rate=1e-2,
    num_eval_samples=2, eval_batch_size=10, num_attack_images=0, figures=False,
)  # fmt: skip
_RNG = np.random.default_rng(0)


def split(count):
    images = _RNG.uniform(size=(count, 3, 3, 1)).astype(np.float32)
    return data.Split(images, _RNG.integers(0, 4, count).astype(np.int32))


TRAIN, VALIDATION, TEST = split(40), split(9), split(13)
DATASET = data.Dataset("random", TRAIN, VALIDATION, TEST, 4)
BATCH = training.Batch(*TRAIN)


def recipe(**settings):
    return Recipe(dataclasses.replace(CONFIG, **settings), DATASET)


class StopAfter(training.StopRequest):
    """A stop that is asked for after so many stretches; a class, for `training.StopRequest`."""

    stretches = 0

    def __init__(self):
        super().__init__()
        self.left = self.stretches

    @property
    def requested(self):
        self.left -= 1
        return self.left < 0

    @requested.setter
    def requested(self, value):
        pass


def stop_after(monkeypatch, stretches):
    """Every run stops after so many stretches; `monkeypatch.undo` ends it."""
    monkeypatch.setattr(training, "StopRequest", type("Stop", (StopAfter,), {"stretches": stretches - 1}))


def image_network(config, class_probabilities, axis_name):
    """In place of the networks of the image experiments, which take long to compile."""
    encoder = models.MLPEncoder(latent_dim=4, hidden=(4,), scale=config.encoder_scale)
    return networks.classifier(encoder, config, class_probabilities, backward="unit")
