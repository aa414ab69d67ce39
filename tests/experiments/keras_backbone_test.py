"""Networks of keras.applications as pure functions: Keras' own numbers, and gradients down to the pixels."""

import dataclasses
import importlib.util
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core import feature_cache
from experiments.core.settings import SettingError
from experiments.imagenet_features import backbone as keras_backbone
from experiments.imagenet_features.settings import FeaturesConfig

SIZE, LAYER = 32, "conv_pw_2_relu"
CONFIG = FeaturesConfig(backbone="MobileNet", weights="none", image_size=SIZE, alpha=0.25, layer=LAYER)


@pytest.fixture(scope="module")
def keras():
    if importlib.util.find_spec("keras") is None:  # importing it here would choose a backend
        pytest.skip("keras is not installed")
    return keras_backbone.import_keras()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((64, SIZE, SIZE, 3), np.float32)


@pytest.fixture(scope="module", autouse=True)
def plain_programs():
    """A random network of 27 normalisations amplifies roundings to 1e-4, also those between Keras' own `predict` and
    `__call__`. Programs without optimisations of the same inputs give the same numbers, and compile faster."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def mobilenet(keras, images):
    """The Keras model of a random MobileNet with the images' statistics, and the backbone made of it."""
    made, wrap = [], keras_backbone.wrap
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_backbone, "wrap", lambda model, *args, **kw: made.append(model) or wrap(model, *args, **kw))
        backbone = keras_backbone.load(CONFIG, 7, images)
    return made[0], backbone


@pytest.mark.slow
def test_features_and_logits_are_those_of_keras(keras, mobilenet, images):
    model, early = mobilenet
    images = images[:6]
    preprocessed = np.asarray(jax.jit(keras_backbone.preprocessing("MobileNet"))(images))
    last = model.get_layer("conv_preds").input
    taps = keras.Model(model.input, [last, model.get_layer(LAYER).output, model.output])
    penultimate, maps, logits = taps.predict(preprocessed, verbose=0)
    whole = keras_backbone.wrap(model, keras_backbone.preprocessing("MobileNet"), name="n", preprocessing_name="p")
    both = jax.jit(lambda v, x: (whole.features(v, x), whole.logits(v, x)))
    found = both(whole.variables, images)
    np.testing.assert_allclose(found[0], penultimate.reshape(6, -1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], logits, rtol=1e-5, atol=1e-6)
    assert (whole.num_features, whole.num_classes) == (256, 7)
    found = jax.jit(early.features)(early.variables, images)
    np.testing.assert_allclose(found, maps.mean((1, 2)), rtol=1e-5, atol=1e-6)
    assert early.num_features == 32
    assert early.logits is None  # random weights have no answers
    assert early.name == "MobileNet, alpha 0.25, layer conv_pw_2_relu"
    assert early.preprocessing == "keras.applications.mobilenet.preprocess_input(255 x)"


@pytest.mark.slow
def test_random_weights_take_the_statistics_of_the_images(keras, mobilenet, images):
    model, _ = mobilenet
    norms = [model.get_layer(name).output for name in ("conv1_bn", "conv_pw_2_bn")]
    for maps in keras.Model(model.input, norms).predict(2 * images - 1, verbose=0):
        np.testing.assert_allclose(maps.mean((0, 1, 2)), 0.0, atol=1e-3)
        np.testing.assert_allclose(maps.std((0, 1, 2)), 1.0, atol=0.1)


@pytest.mark.slow
def test_weights_of_a_file_are_loaded(mobilenet, images, tmp_path):
    model, early = mobilenet
    path = tmp_path / "own.weights.h5"
    model.save_weights(path)
    loaded = keras_backbone.load(dataclasses.replace(CONFIG, weights=str(path)), 7)
    assert loaded.num_classes == 7
    assert feature_cache.digest(loaded.variables) != feature_cache.digest(early.variables)  # more of the network
    again = keras_backbone.wrap(
        model, keras_backbone.preprocessing("MobileNet"), name="", preprocessing_name="", layer=LAYER
    )
    assert feature_cache.digest(loaded.variables) == feature_cache.digest(again.variables)


@pytest.mark.parametrize("name", ["ResNet50", "MobileNet", "DenseNet121"])
def test_preprocessing_is_kerass_own_and_differentiable(keras, name, images):
    """ResNet50 swaps channels and subtracts means, MobileNet maps to [-1, 1], DenseNet121 divides by deviations."""
    module = {"ResNet50": "resnet", "MobileNet": "mobilenet", "DenseNet121": "densenet"}[name]
    preprocess = keras_backbone.preprocessing(name)
    expected = getattr(keras.applications, module).preprocess_input(255 * images)
    np.testing.assert_allclose(jax.jit(preprocess)(images), expected, rtol=1e-5, atol=1e-4)

    weights = np.random.default_rng(1).normal(size=(SIZE, SIZE, 3)).astype(np.float32)

    def smooth(x):
        return jnp.tanh((preprocess(x) * weights[None]).sum() / 5000)

    slope = np.asarray(jax.grad(smooth)(jnp.asarray(images[:1])))[0]
    for place in [(0, 0, 0), (5, 9, 1), (31, 2, 2)]:
        step = np.zeros((1, SIZE, SIZE, 3), np.float32)
        step[0][place] = 0.5
        difference = float(smooth(images[:1] + step) - smooth(images[:1] - step))
        assert slope[place] == pytest.approx(difference, rel=0.02)


def test_gradients_reach_the_pixels(keras):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 3))
    maps = keras.layers.Conv2D(5, 3, activation="softplus", kernel_initializer=keras.initializers.RandomNormal(0, 3e-3))
    pooled = keras.layers.GlobalAveragePooling2D()(maps(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(pooled))
    backbone = keras_backbone.wrap(model, keras_backbone.preprocessing("ResNet50"), name="", preprocessing_name="")
    image = jnp.asarray(np.random.default_rng(2).random((1, 4, 4, 3), np.float32))
    total = jax.jit(lambda x: (backbone.logits(backbone.variables, x) * jnp.arange(1.0, 5.0)[None]).sum())
    slope, base = jax.grad(total)(image), np.asarray(image)
    for place in [(0, 0, 0, 0), (0, 1, 2, 1), (0, 3, 3, 2)]:
        step = np.zeros_like(base)
        step[place] = 0.05
        difference = float(total(base + step) - total(base - step)) / 0.1
        assert float(slope[place]) == pytest.approx(difference, rel=0.02, abs=1e-3)
        assert abs(difference) > 1e-3


@pytest.mark.slow
def test_what_cannot_be_loaded_is_refused(keras, mobilenet):
    config = dataclasses.replace(CONFIG, alpha=0.0)
    with pytest.raises(SettingError, match=r"--backbone must be a network .*got 'ResNet51': .*InceptionV3"):
        keras_backbone.load(dataclasses.replace(config, backbone="ResNet51"), 7)
    with pytest.raises(SettingError, match=r"InceptionV3 with weights 'none' and images of 32 pixels: .*least 75x75"):
        keras_backbone.load(dataclasses.replace(config, backbone="InceptionV3"), 7)
    model, _ = mobilenet
    with pytest.raises(ValueError, match=r"layer is 'conv_pw_99'; MobileNet has .*conv_pw_2_relu"):
        keras_backbone.wrap(model, jnp.asarray, name="MobileNet", preprocessing_name="", layer="conv_pw_99")


def test_another_backend_and_no_keras_are_told(monkeypatch):
    other = types.SimpleNamespace(
        __version__="3.12.0", config=None, backend=types.SimpleNamespace(backend=lambda: "torch")
    )
    monkeypatch.setitem(sys.modules, "keras", other)
    with pytest.raises(keras_backbone.BackboneUnavailableError, match=r"backend 'torch' before; this needs 'jax'"):
        keras_backbone.import_keras()
    other.__version__ = "2.15.0"
    with pytest.raises(keras_backbone.BackboneUnavailableError, match=r"must be version 3, got 2.15.0"):
        keras_backbone.import_keras()
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(keras_backbone.BackboneUnavailableError, match=r"pip install ib-jax\[features\]"):
        keras_backbone.import_keras()
