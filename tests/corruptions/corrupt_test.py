"""What holds for every corruption: its contract."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import corruptions
from ib_jax.corruptions import corrupt as one_call
from ib_jax.corruptions.constants import CONSTANTS, strength
from tests.corruptions.pictures import extremes, photographs

NAMES = (*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS)
IMAGES = jnp.asarray(np.concatenate([photographs(16, 3), extremes(16)[3:]]))
KEYS = jax.random.split(jax.random.key(0), len(IMAGES))


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    """uint8 of the same shape; something happens; no image depends on its neighbours, nor on its place."""
    run = jax.jit(functools.partial(corruptions.corrupt, name=name, severity=3, constants="cifar10"))
    found = run(KEYS, IMAGES)
    assert found.shape == IMAGES.shape
    assert found.dtype == jnp.uint8
    changed = (np.asarray(found) != np.asarray(IMAGES)).any((1, 2, 3))
    assert changed[:3].all() or name == "spatter"  # there may be no drop on so small an image
    others = IMAGES.at[1:].set(255 - IMAGES[1:])
    np.testing.assert_array_equal(run(KEYS, others)[0], found[0])
    np.testing.assert_array_equal(run(KEYS[::-1], IMAGES[::-1])[::-1], found)


def test_every_name_has_constants_and_a_function_of_its_own():
    functions = set(corruptions.__all__) - {"CONSTANTS", "CORRUPTIONS", "EXTRA_CORRUPTIONS", "SEVERITIES", "corrupt"}
    assert set(NAMES) == functions
    assert len(corruptions.CORRUPTIONS) == 15
    for table in CONSTANTS.values():
        assert set(table) == functions
        assert all(len(numbers) == 5 for numbers in table.values())


@pytest.mark.parametrize("constants", CONSTANTS)
@pytest.mark.parametrize("name", ["gaussian_noise", "impulse_noise", "contrast", "brightness", "gaussian_blur"])
def test_each_severity_is_stronger(name, constants):
    numbers = [strength(name, severity, constants) for severity in range(1, 6)]
    assert numbers == sorted(numbers, reverse=name == "contrast")


def test_large_batches_go_in_pieces(monkeypatch):
    whole = corruptions.corrupt(KEYS[:4], IMAGES[:4], name="contrast", severity=2)
    monkeypatch.setattr(one_call.__globals__["jax"], "default_backend", lambda: "cpu")
    monkeypatch.setitem(one_call.__globals__, "PIXELS_AT_ONCE", 3 * 256)
    assert "scan" in str(
        jax.make_jaxpr(lambda k, x: corruptions.corrupt(k, x, name="contrast", severity=2))(KEYS[:4], IMAGES[:4])
    )
    np.testing.assert_array_equal(corruptions.corrupt(KEYS[:4], IMAGES[:4], name="contrast", severity=2), whole)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": "rain"}, "name must be one of gaussian_noise, .*, got 'rain'"),
        ({"severity": 0}, "severity must be a whole number from 1 to 5, got 0"),
        ({"severity": 2.5}, "severity must be a whole number from 1 to 5, got 2.5"),
        ({"severity": True}, "severity must be a whole number from 1 to 5, got True"),
        ({"constants": "mnist"}, "constants must be one of cifar10, imagenet, got 'mnist'"),
        ({"images": IMAGES.astype(jnp.float32) / 255.0}, "images must be uint8, values from 0 to 255, got float32"),
        ({"images": IMAGES[..., :1]}, r"images must have shape \[B, H, W, 3\] .* got \(5, 16, 16, 1\)"),
        ({"images": IMAGES[:, :0]}, "H and W at least 1"),
        ({"images": IMAGES[0]}, r"images must have shape \[B, H, W, 3\]"),
        ({"keys": KEYS[:2]}, r"keys must be one for each of the 5 images, got shape \(2,\)"),
        ({"keys": jax.random.key(0)}, "keys must be one for each of the 5 images"),
        ({"keys": jnp.zeros((5, 2), jnp.uint32)}, "keys must be typed PRNG keys"),
        ({"textures": IMAGES}, "textures are for frost alone, got some for contrast"),
    ],
)
def test_errors(changes, message):
    arguments = {"keys": KEYS, "images": IMAGES, "name": "contrast", "severity": 1} | changes
    with pytest.raises(ValueError, match=message):
        corruptions.corrupt(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("constants", CONSTANTS)
@pytest.mark.parametrize("name", NAMES)
def test_all_severities_run_at_batch_128(name, constants):
    size = 32 if constants == "cifar10" else 224
    images = jnp.asarray(np.resize(photographs(size if size == 32 else 100, 4), (128, size, size, 3)))
    keys = jax.random.split(jax.random.key(1), 128)
    for severity in corruptions.SEVERITIES:
        run = jax.jit(functools.partial(corruptions.corrupt, name=name, severity=severity, constants=constants))
        program = run.lower(keys, images).compile()
        assert "custom-call" not in program.as_text() or "callback" not in program.as_text()
        assert program(keys, images).shape == images.shape
