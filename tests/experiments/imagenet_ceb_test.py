"""ResNets on images in ImageNet's format: trained, stopped, resumed, evaluated; SGD's rate; what is refused."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest

from experiments.core.recipe import Recipe, Streamed
from experiments.core.session import Session
from experiments.core.trained_model import restore_params
from experiments.imagenet_ceb import FUNCTIONS
from experiments.imagenet_ceb import run as imagenet_ceb
from experiments.imagenet_ceb.settings import PRESETS, ImageNetAttacks, ImageNetConfig, SweepSettings
from experiments.imagenet_ceb.settings import scaled as scaled_by_flags
from ib_jax import data, training
from ib_jax.models import resnet

SESSION = Session("imagenet_ceb")
RNG = np.random.default_rng(0)


class Crops:
    """As ImageNet's training images: another crop in each epoch."""

    def __init__(self, images, labels):
        self._images, self._labels = images, labels

    def __len__(self):
        return len(self._labels)

    def at_epoch(self, epoch, /):
        return data.ArraySource(data.Split(np.roll(self._images, epoch, axis=1), self._labels))


def streamed():
    labels = RNG.integers(0, 3, 30).astype(np.int32)
    images = (RNG.integers(0, 100, (30, 16, 16, 3)) + 50 * labels[:, None, None, None]).astype(np.uint8)
    test = data.ArraySource(data.Split(images[24:], labels[24:]))
    return Streamed("imagenet2012", Crops(images[:24], labels[:24]), None, test, 3, (16, 16, 3))


class Stopped(training.StopRequest):
    """A stop that was asked for before the first step."""

    @property
    def requested(self):
        return True

    @requested.setter
    def requested(self, value):
        pass


DATASET = streamed()
TINY = ImageNetConfig(
    **PRESETS["quick"].values
    | {"dataset": "imagenet2012", "input_pipeline": "grain", "width": 1 / 16, "num_epochs": 2, "batch_size": 8},
    image_size=16,
    latent_dim=4,
    augment="flip",
    num_eval_samples=2,
    eval_batch_size=4,
)


@pytest.fixture(autouse=True)
def one_block(monkeypatch):
    """Compiles in a fraction of the time; the networks themselves are in tests/models."""
    monkeypatch.setitem(resnet.BLOCKS, 50, (1,))


@pytest.mark.slow
def test_streamed_images_train_a_resnet_and_a_stopped_run_ends_where_an_uninterrupted_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_ceb, "load", lambda config: DATASET)
    whole, stopped = (dataclasses.replace(TINY, workdir=str(tmp_path / name)) for name in ("whole", "stopped"))
    (record,) = imagenet_ceb.run(whole, SweepSettings(), ImageNetAttacks(), SESSION)
    assert record.models[0].details["steps"] == 6
    assert 0 <= record.models[0].values_at(split="test")["error_mean"] <= 1
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["image_size"] == 16
    with monkeypatch.context() as patch:
        patch.setattr(training, "StopRequest", Stopped)
        assert imagenet_ceb.run(stopped, SweepSettings(), ImageNetAttacks(), SESSION) is None
    imagenet_ceb.run(stopped, SweepSettings(), ImageNetAttacks(), SESSION)
    params = [restore_params(Recipe(own, DATASET, FUNCTIONS), own.workdir) for own in (whole, stopped)]
    jax.tree.map(np.testing.assert_array_equal, *params)


@pytest.mark.slow
def test_rhos_are_trained_one_after_another_and_attacked_together(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet_ceb, "load", lambda config: DATASET)
    config = dataclasses.replace(TINY, workdir=str(tmp_path), num_epochs=1, num_microbatches=0)
    few = ImageNetAttacks(
        linf_epsilons=(16.0,), l2_epsilons=(16.0,), radius=16.0, pgd_steps=2, num_eot_samples=2, num_attack_images=4,
        num_square_images=3, num_queries=3, attack_batch_size=4, num_corrupted_images=0,
    )  # fmt: skip
    found = imagenet_ceb.run(config, SweepSettings(rhos=(1.0, 4.0), baseline=True), few, SESSION)
    names = ["cross_entropy_seed0", "ceb_rho1_seed0", "ceb_rho4_seed0"]
    assert [record.models[0].name for record in found] == [name.removesuffix("_seed0") for name in names]
    assert {record.settings["num_microbatches"] for record in found} == {1}
    assert {path.stem for path in (tmp_path / "results").glob("*.json")} == set(names)


def test_a_batch_is_divided_where_a_device_cannot_hold_its_share(monkeypatch):
    config = dataclasses.replace(TINY, num_microbatches=0)
    whole = Recipe(config, DATASET, FUNCTIONS)
    footprint = whole.footprint()
    assert whole.config.num_microbatches == 1
    memory = int((footprint.shared + 3 * footprint.member) / 0.9 / 0.75) + 2**20  # 3 of 8 images, to the MiB
    monkeypatch.setattr(training, "device_memory", lambda **_: memory)
    fits = (int(0.9 * 0.75 * (memory // 2**20 * 2**20)) - footprint.shared) // footprint.member
    assert Recipe(config, DATASET, FUNCTIONS).config.num_microbatches == next(n for n in (1, 2, 4, 8) if 8 // n <= fits)
    monkeypatch.setattr(training, "device_memory", lambda **_: 0)
    with pytest.raises(ValueError, match="not one example fits a device"):
        Recipe(config, DATASET, FUNCTIONS)


def test_imagenet_is_streamed():
    with pytest.raises(ValueError, match="--input_pipeline must be grain for imagenet2012"):
        ImageNetConfig(dataset="imagenet2012")


def test_scales_shrink_epochs_width_and_the_fall_of_rho():
    given = types.SimpleNamespace(scale_epochs=0.1, scale_width=0.5)
    scaled = scaled_by_flags(PRESETS["paper"].on("imagenet2012"), given)
    assert (scaled["num_epochs"], scaled["width"]) == (27, 0.5)
    assert scaled["anneal_epochs"] * 156 == pytest.approx(1200)  # whatever the batch
    assert scaled["warmup_epochs"] == 0.5
    with pytest.raises(ValueError, match="--scale_width must be positive"):
        ImageNetConfig(scale_width=-1.0)
