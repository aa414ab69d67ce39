"""What the papers' presets need of a device and of a host, from shapes: 16 GB and 64 GB, as a TPU v3-8 has them."""

import jax
import pytest
from rich.console import Console

from experiments.core.recipe import Recipe, Streamed
from experiments.core.session import Session
from experiments.core.settings import GRAIN
from ib_jax import data, loops, training
from ib_jax.training.budget import STRETCHES
from tests.experiments import commands_test
from tests.experiments.commands_test import NoImages, ReachedError, commands, program, settings_of, spelled, stand_in

GB = 10**9
DEVICE, HOST, NUM_DEVICES = 16 * GB, 64 * GB, 8
LARGEST = ("imagenet_ceb", ("--preset=paper", "--depth=152", "--width=2", "--rho=2"))


def full_size():
    """The commands of the READMEs and of `--help` that train images by a paper's preset, and the largest network."""
    found = [each for each in [*commands(), LARGEST] if "--preset=paper" in each[1] and not scaled(each[1])]
    return [each for each in found if each[0] not in commands_test.FROZEN | commands_test.ELSEWHERE]


def scaled(given):
    return any(flag.startswith("--scale") for flag in given)


@pytest.fixture
def on_a_tpu(monkeypatch):
    """Eight devices of one host, in name."""
    load = data.load
    monkeypatch.setattr(
        data, "load", lambda name, **own: (stand_in if name in commands_test.NOTHING else load)(name, **own)
    )
    monkeypatch.setattr(data, "open_split", lambda name, split, *, image_size, **own: NoImages(image_size))
    monkeypatch.setattr(data, "open_train", lambda name, *, image_size, **own: NoImages(image_size))
    for count in ("device_count", "local_device_count"):
        monkeypatch.setattr(jax, count, lambda *_: NUM_DEVICES)
    monkeypatch.setattr(training, "device_memory", lambda **_: DEVICE)
    monkeypatch.setattr(training, "host_memory", lambda **_: HOST)
    monkeypatch.setattr(loops, "compiles_whole", lambda *_: True)


def needs(recipe, num_devices):
    """(bytes of a device, bytes of the host) of a run on so many devices, by the arithmetic of `measure_examples`."""
    config, dataset = recipe.config, recipe.dataset
    own = recipe.footprint()
    rows = config.batch_size // num_devices
    device, host = own.shared + own.member * (rows // config.num_microbatches), 0
    image_bytes = recipe.example[0].size * (1 if isinstance(dataset, Streamed) else recipe.example.dtype.itemsize)
    if config.input_pipeline == GRAIN:
        stretch = STRETCHES * recipe.stretch_steps(0) * rows * image_bytes
        return device + stretch, host + num_devices * stretch
    resident = sum(field.nbytes for field in dataset.train)
    return device + resident, 2 * resident + sum(field.nbytes for field in dataset.test)


@pytest.mark.slow
@pytest.mark.parametrize("command", full_size(), ids=spelled)
def test_a_full_size_run_fits_the_machine_that_it_names(command, tmp_path, monkeypatch, on_a_tpu):
    seen = []

    def reached(recipe, *_):
        seen.append(recipe)
        raise ReachedError

    monkeypatch.setattr(Recipe, "run_from", reached)
    monkeypatch.setattr(Recipe, "run_population", reached)
    monkeypatch.setattr(Recipe, "check", lambda recipe: None)
    monkeypatch.chdir(tmp_path)
    settings = settings_of(*command, tmp_path)
    with pytest.raises(ReachedError):
        program(command[0]).run(*settings, session=Session(command[0], "a test", Console(quiet=True)))
    device, host = needs(seen[0], NUM_DEVICES if "imagenet" in command[0] else 1)
    assert device < 0.9 * DEVICE
    assert host < 0.9 * HOST
