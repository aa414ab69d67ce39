"""A network of `keras.applications` as pure functions of its variables and of images in [0, 1].

Keras' JAX backend traces a model like any JAX function, so features and logits can be compiled and differentiated with
respect to the pixels. The network's own preprocessing is inside: whatever scale a network was trained on, an attack's
epsilon is a share of the pixel range, 1 being from black to white.
"""

import math
import os
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.settings import SettingError
from ib_jax.types import Array, Params

NONE, IMAGENET = "none", "imagenet"
_HELP = "pip install ib-jax[features]"


class BackboneUnavailableError(RuntimeError):
    """Keras is missing or runs on another backend, or the weights are not to be had; the message says what to do."""


class Backbone(NamedTuple):
    """A pretrained network in inference mode.

    Attributes:
      name: of the network.
      preprocessing: what is done to images in [0, 1] first.
      variables: pytree of arrays.
      features: (variables, images float [B, S, S, 3] in [0, 1]) -> [B, F], what the network's last layer is applied to:
        in all but the VGGs a global average over positions, or a layer on top of one. Of an earlier layer, the average
        of its outputs over positions.
      logits: (variables, images) -> [B, C] of the network itself, before its softmax; None for random weights, whose
        answers mean nothing.
      num_features: F.
      num_classes: C; 0 without logits.
    """

    name: str
    preprocessing: str
    variables: Params
    features: Callable[[Params, Array], Array]
    logits: Callable[[Params, Array], Array] | None
    num_features: int
    num_classes: int


def import_keras() -> Any:
    """Keras on its JAX backend.

    Returns:
      The module `keras`.

    Raises:
      BackboneUnavailableError: it is not installed, or was imported with another backend.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"  # goes before the user's keras.json
    try:
        import keras
    except ImportError as error:
        raise BackboneUnavailableError(f"keras cannot be imported ({error}); {_HELP}") from error
    version, backend = keras.__version__, keras.backend.backend() if hasattr(keras, "config") else ""
    if int(version.split(".")[0]) < 3:
        raise BackboneUnavailableError(f"keras must be version 3, got {version}; {_HELP}")
    if backend != "jax":
        raise BackboneUnavailableError(
            f"keras was imported with the backend {backend!r} before; this needs 'jax': set KERAS_BACKEND=jax before "
            "anything imports keras"
        )
    keras.config.set_image_data_format("channels_last")
    return keras


def names() -> tuple[str, ...]:
    """The networks of `keras.applications`."""
    applications = import_keras().applications
    return tuple(name for name in dir(applications) if isinstance(getattr(applications, name), types.FunctionType))


def preprocessing(name: str) -> Callable[[Array], Array]:
    """A network's own preprocessing as a differentiable function of images in [0, 1].

    Args:
      name: of the network, as in `keras.applications`.

    Returns:
      images float [..., S, S, 3] in [0, 1], red first -> what the network takes. Keras' functions expect [0, 255];
      networks that hold their preprocessing in layers of their own take just that.

    Raises:
      ValueError: there is no such network.
      BackboneUnavailableError: as `import_keras`.
    """
    preprocess = _find(name)[1].preprocess_input
    return lambda images: preprocess(255.0 * images, data_format="channels_last")


def load(
    name: str,
    *,
    weights: str,
    image_size: int,
    num_classes: int,
    alpha: float = 0.0,
    layer: str = "",
    calibration: Array | np.ndarray | None = None,
) -> Backbone:
    """Loads a network of `keras.applications`.

    Args:
      name: such as InceptionV3, InceptionResNetV2 or ResNet50.
      weights: "imagenet" (downloaded by Keras, to ~/.keras/models), "none" for random ones, always the same, or a file
        of weights that Keras can read.
      image_size: S, sides of the images.
      num_classes: C of the network's own logits; with weights "imagenet" they are 1000 in any case.
      alpha: width of a MobileNet, over the usual one; 0 is the network's default.
      layer: name of the layer that gives the features; "" is the input of the last one.
      calibration: images [N, S, S, 3] in [0, 1] of which random weights take the statistics of their batch
        normalisation. Without, features shrink from layer to layer, in a MobileNet to 1e-18.

    Returns:
      Backbone.

    Raises:
      ValueError: there is no such network or layer, or it does not take such images.
      BackboneUnavailableError: as `import_keras`, or the weights can neither be found nor downloaded.
    """
    (make, module), keras = _find(name), import_keras()
    options: dict[str, Any] = {"alpha": alpha} if alpha else {}
    if weights == NONE:
        keras.utils.set_random_seed(0)
    elif weights == IMAGENET:
        num_classes = 1000
    try:
        model = make(
            weights=None if weights == NONE else weights,
            input_shape=(image_size, image_size, 3),
            classes=num_classes,
            classifier_activation=None,
            **options,
        )
    except (ValueError, TypeError) as error:
        raise SettingError(f"{name} with weights {weights!r} and images of {image_size} pixels: {error}") from error
    except Exception as error:
        if weights != IMAGENET:
            raise
        raise BackboneUnavailableError(
            f"the ImageNet weights of {name} are not on this machine and could not be downloaded ({error}). Keras "
            "keeps them in ~/.keras/models: copy them there from another machine, or give a file with --weights"
        ) from error
    preprocess = preprocessing(name)
    if weights == NONE and calibration is not None:
        _calibrate(model, preprocess(jnp.asarray(calibration, jnp.float32)))
    label = f"{name}, alpha {alpha:g}" if alpha else name
    where = f"{module.__name__}.preprocess_input(255 x)"
    return wrap(model, preprocess, name=label, preprocessing_name=where, layer=layer, with_logits=weights != NONE)


def wrap(
    model: Any,
    preprocess: Callable[[Array], Array],
    *,
    name: str,
    preprocessing_name: str,
    layer: str = "",
    with_logits: bool = True,
) -> Backbone:
    """A functional Keras model from images to logits as a Backbone.

    Args:
      model: `keras.Model` whose last layer with weights gives logits.
      preprocess: from images in [0, 1] to what the model takes; differentiable.
      name: of the network.
      preprocessing_name: what `preprocess` is.
      layer: as of `load`.
      with_logits: whether the network's own logits mean something.

    Returns:
      Backbone; the variables are copies of those that the model has now.

    Raises:
      ValueError: there is no such layer, or its outputs are not feature maps [H, W, F] or features [F].
    """
    keras = import_keras()
    layers = {each.name: each for each in model.layers}
    if layer and layer not in layers:
        raise SettingError(f"layer is {layer!r}; {name} has {', '.join(layers)}")
    tap = layers[layer].output if layer else next(each for each in reversed(model.layers) if each.weights).input
    if layer and len(tap.shape) == 4:
        tap = keras.layers.GlobalAveragePooling2D()(tap)
    num_features = math.prod(tap.shape[1:]) if None not in tap.shape[1:] else 0
    if num_features != max(tap.shape[1:], default=0):  # one axis may be longer than 1
        raise SettingError(f"layer {layer!r} of {name} must give [H, W, F] or [F], got {tap.shape[1:]}")
    part = keras.Model(model.inputs, [tap, model.output] if with_logits else [tap])
    variables = tuple(  # copies: Keras' own `predict` and `fit` give their buffers away
        [jnp.array(each.value) for each in group] for group in (part.trainable_variables, part.non_trainable_variables)
    )

    def outputs(variables: Params, images: Array) -> list[Array]:
        # Keras gives a list of one output back without the list.
        return jax.tree.leaves(part.stateless_call(*variables, preprocess(images), training=False)[0])

    return Backbone(
        name=f"{name}, layer {layer}" if layer else name,
        preprocessing=preprocessing_name,
        variables=variables,
        features=lambda variables, images: outputs(variables, images)[0].reshape(images.shape[0], num_features),
        logits=(lambda variables, images: outputs(variables, images)[1]) if with_logits else None,
        num_features=num_features,
        num_classes=int(model.output.shape[-1]) if with_logits else 0,
    )


def _calibrate(model: Any, inputs: Array) -> None:
    """Gives every batch normalisation the mean and variance that it meets in a batch."""
    norms = [layer for layer in model.layers if isinstance(layer, import_keras().layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    groups = (model.trainable_variables, model.non_trainable_variables)
    train = jax.jit(lambda variables: model.stateless_call(*variables, inputs, training=True)[1])
    measured = train(tuple([variable.value for variable in group] for group in groups))
    for variable, value in zip(groups[1], measured, strict=True):
        variable.assign(value)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def _find(name: str) -> tuple[Callable[..., Any], Any]:
    """What makes a network, and the module with its preprocessing."""
    if name not in names():
        raise SettingError(f"backbone is {name!r}; expected one of keras.applications: {', '.join(names())}")
    applications = import_keras().applications
    make = getattr(applications, name)
    return make, getattr(applications, make.__module__.rsplit(".", 1)[-1])
