import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import corruption_evaluation, corruption_figures, corruption_peer
from ib_jax import corruptions, evaluation

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 120, (10, 8, 8, 3)).astype(np.uint8)
IMAGES[5:] += 100
LABELS = (np.arange(10) >= 5).astype(np.int32)


def bright(params, keys, inputs):
    """Class 1 for bright images."""
    return (inputs.mean((1, 2, 3)) > params).astype(jnp.int32)


def test_errors_are_those_of_the_corrupted_images():
    names = ("brightness", "contrast")
    heard = []
    found = corruption_evaluation.evaluate(
        bright, 0.36, IMAGES, LABELS, key=KEY, names=names, batch_size=4, report=lambda *news: heard.append(news)
    )
    assert found.clean == 0
    for name in names:
        for severity, error in enumerate(found.errors[name], 1):
            keys = jax.random.split(KEY, 10)
            pictures = np.asarray(corruptions.corrupt(keys, jnp.asarray(IMAGES), name=name, severity=severity))
            assert error == ((pictures.mean((1, 2, 3)) > 0.36 * 255) != LABELS).mean()
    assert found.errors["brightness"][4] == 0.5
    assert found.average == pytest.approx(np.mean(list(found.errors.values())))
    assert found.mce is None
    assert heard[0] == ("brightness", 1, 1, 10)
    assert heard[-1] == ("contrast", 5, 10, 10)


def test_batches_make_no_difference():
    def fickle(params, keys, inputs):
        return jax.vmap(lambda key, x: jnp.argmax(x.mean((0, 1)) + 0.1 * jax.random.normal(key, (3,))))(keys, inputs)

    run = lambda size: corruption_evaluation.evaluate(
        fickle, None, IMAGES, LABELS, key=KEY, names=("gaussian_noise",), batch_size=size
    )
    assert run(3).errors == run(10).errors


def test_all_fifteen_give_an_mce(monkeypatch):
    monkeypatch.setattr(corruptions, "corrupt", lambda keys, images, **settings: images)
    wrong = lambda params, keys, inputs: jnp.zeros(len(inputs), jnp.int32)
    found = corruption_evaluation.evaluate(wrong, None, IMAGES, LABELS, key=KEY)
    assert found.average == 0.5
    assert found.mce == pytest.approx(np.mean([0.5 / error for error in evaluation.ALEXNET_ERRORS.values()]))


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"labels must be one for each image, .* got \(3,\) for 10 images"):
        corruption_evaluation.evaluate(bright, 0.5, IMAGES, LABELS[:3], key=KEY)


def test_contact_sheet(tmp_path, monkeypatch):
    drawn = []

    def corrupt(image, name, severity):
        drawn.append((name, severity))
        return image

    corruption_figures.contact_sheet(tmp_path / "folder" / "sheet.png", IMAGES[0], corrupt)
    assert len(set(drawn)) == 19 * 5
    assert (tmp_path / "folder" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert corruption_figures.photograph(96).shape == (96, 96, 3)


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(corruption_peer.importlib.util, "find_spec", lambda name: None)
    assert "ib-jax[corruptions]" in corruption_peer.missing()
