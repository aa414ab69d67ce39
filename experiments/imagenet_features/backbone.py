"""A network of `keras.applications` as pure functions of its variables and of images, and the images it is given.

Keras' JAX backend traces a model like any JAX function, so features and logits can be compiled and differentiated with
respect to the pixels. The network's own preprocessing is inside: whatever scale a network was trained on, an attack's
epsilon is a share of the pixel range, 1 being from black to white.
"""

import functools
import math
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import trained_model
from experiments.core.settings import SettingError
from experiments.core.workdir import WorkdirError
from experiments.imagenet_features.settings import IMAGENET2012, FeaturesConfig
from ib_jax import data, promotion
from ib_jax.types import Array, Params

NONE, IMAGENET = "none", "imagenet"
_HELP = "pip install ib-jax[features]"
_CHUNK = 1000  # images enlarged at a time


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


class Images(NamedTuple):
    """Where images are, uint8 [S, S, 3] by their row, and how many of the first are used.

    Attributes:
      splits: "train", what heads are trained on, and "evaluation", what is measured and attacked; of ImageNet the
        validation images.
      num_classes: C.
    """

    splits: Mapping[str, tuple[data.BatchSource, int]]
    num_classes: int


def import_keras() -> Any:
    """The module `keras` on its JAX backend; BackboneUnavailableError says why it is not to be had."""
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


def preprocessing(name: str) -> Callable[[Array], Array]:
    """A network's own preprocessing as a differentiable function of images float [..., S, S, 3] in [0, 1], red first.

    Keras' functions expect [0, 255]; networks that hold their preprocessing in layers of their own take just that.
    """
    preprocess = _find(name)[1].preprocess_input

    def preprocessed(images: Array) -> Array:
        with promotion.of_others():
            return preprocess(255.0 * images, data_format="channels_last")

    return preprocessed


def load(config: FeaturesConfig, num_classes: int, calibration: Array | np.ndarray | None = None) -> Backbone:
    """Loads a network of `keras.applications`, or one that was trained here.

    Args:
      config: its name, weights (random ones are always the same) and layer; or the workdir of the trained one.
      num_classes: C of the network's own logits; with weights "imagenet" they are 1000 in any case.
      calibration: images [N, S, S, 3] in [0, 1] of which random weights take the statistics of their batch
        normalisation. Without, features shrink from layer to layer, in a MobileNet to 1e-18.

    Raises:
      SettingError: there is no such network or layer, or it does not take such images.
      BackboneUnavailableError: as `import_keras`, or the weights can neither be found nor downloaded.
    """
    if config.trained:
        return of_workdir(config.trained, config.image_size)
    name, weights, size = config.backbone, config.weights, config.image_size
    (make, module), keras = _find(name), import_keras()
    if weights == NONE:
        keras.utils.set_random_seed(0)
    try:
        model = make(
            weights=None if weights == NONE else weights,
            input_shape=(size, size, 3),
            classes=1000 if weights == IMAGENET else num_classes,
            classifier_activation=None,
            **({"alpha": config.alpha} if config.alpha else {}),
        )
    except (ValueError, TypeError) as error:
        raise SettingError(f"{name} with weights {weights!r} and images of {size} pixels: {error}") from error
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
    label = f"{name}, alpha {config.alpha:g}" if config.alpha else name
    where, with_logits = f"{module.__name__}.preprocess_input(255 x)", weights != NONE
    return wrap(model, preprocess, name=label, preprocessing_name=where, layer=config.layer, with_logits=with_logits)


def of_workdir(workdir: str, size: int) -> Backbone:
    """An image model of ours at the mean of its code, whose dimensions are the features.

    Raises:
      SettingError: there is no such model, or it takes other images.
    """
    try:
        recipe = trained_model.open_recipe(workdir)
    except (FileNotFoundError, WorkdirError) as error:
        raise SettingError(f"--trained must be the workdir of a finished image model; {error}") from error
    if recipe.example.shape[1:] != (size, size, 3):
        raise SettingError(f"--trained must take images of ({size}, {size}, 3), got {recipe.example.shape[1:]}")
    model, variables = recipe.model, trained_model.restore_params(recipe, workdir)

    def features(variables: Params, images: Array) -> Array:
        return model.encode(variables, images).mean

    num_features = jax.eval_shape(features, variables, recipe.example).shape[-1]
    return Backbone(
        name=f"{type(recipe.config).__name__.removesuffix('Config')} {recipe.config.name}".strip(),
        preprocessing="its own",
        variables=variables,
        features=features,
        logits=lambda variables, images: model.decode(variables, features(variables, images)),
        num_features=num_features,
        num_classes=len(recipe.class_probabilities),
    )


def wrap(
    model: Any,
    preprocess: Callable[[Array], Array],
    *,
    name: str,
    preprocessing_name: str,
    layer: str = "",
    with_logits: bool = True,
) -> Backbone:
    """A functional Keras model from images to logits as a Backbone; the variables are copies of what it has now.

    Args:
      model: `keras.Model` whose last layer with weights gives logits.
      preprocess: from images in [0, 1] to what the model takes; differentiable.
      name: of the network.
      preprocessing_name: of what `preprocess` is.
      layer: that gives the features, [H, W, F] or [F]; "" is the input of the last one.
      with_logits: whether the network's own logits mean something.
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
        with promotion.of_others():
            found = part.stateless_call(*variables, preprocess(images), training=False)[0]
        return jax.tree.leaves(found)  # Keras gives a list of one output back without the list

    return Backbone(
        name=f"{name}, layer {layer}" if layer else name,
        preprocessing=preprocessing_name,
        variables=variables,
        features=lambda variables, images: outputs(variables, images)[0].reshape(images.shape[0], num_features),
        logits=(lambda variables, images: outputs(variables, images)[1]) if with_logits else None,
        num_features=num_features,
        num_classes=int(model.output.shape[-1]) if with_logits else 0,
    )


def open_images(config: FeaturesConfig) -> Images:
    """The images of a configuration, without random crops: the features of each are computed once.

    Those of digits and CIFAR-10 are in memory, enlarged to S x S by bilinear interpolation and rounded to 256 levels,
    digits with three equal channels: the enlarged images are what is attacked.

    Raises:
      DatasetUnavailableError: the data set is not there.
      SettingError: the images would have to shrink, or the target class is none.
    """
    size, data_dir = config.image_size, config.data_dir or None
    limits = {"train": config.num_train_images, "evaluation": config.num_eval_images}
    sources: dict[str, Any]
    if config.dataset == IMAGENET2012:
        num_classes, names = 1000, {"train": "train", "evaluation": "validation"}
        open_split = functools.partial(data.open_split, IMAGENET2012, data_dir=data_dir, image_size=size)
        sources = {split: open_split(name) for split, name in names.items()}
    else:
        dataset = data.load(config.dataset, data_dir=data_dir)
        num_classes, whole = dataset.num_classes, {"train": dataset.train, "evaluation": dataset.test}
        sources = {name: data.ArraySource(_enlarge(split, size, limits[name])) for name, split in whole.items()}
    if config.target >= num_classes:
        raise SettingError(f"--target_class must be in [0, {num_classes}), got {config.target}")
    counted = {name: (source, min(limits[name] or len(source), len(source))) for name, source in sources.items()}
    return Images(counted, num_classes)


def _enlarge(split: data.Split, size: int, limit: int) -> data.Split:
    """The first images, or all, uint8 [N, S, S, 3]."""
    labels, (height, width, channels) = split.labels[: limit or None], split.inputs.shape[1:]
    if size < max(height, width):
        raise SettingError(f"--image_size must be at least {max(height, width)}, that of the images, got {size}")
    images = np.empty((len(labels), size, size, 3), np.uint8)
    for first in range(0, len(images), _CHUNK):
        part = np.asarray(data.to_unit_interval(split.inputs[first : min(first + _CHUNK, len(images))]))
        if (height, width) != (size, size):
            part = np.asarray(jax.image.resize(part, (len(part), size, size, channels), "bilinear"))
        images[first : first + _CHUNK] = np.rint(255 * np.clip(part, 0, 1))  # one channel becomes three
    return data.Split(images, labels)


def _calibrate(model: Any, inputs: Array) -> None:
    """Gives every batch normalisation the mean and variance that it meets in a batch."""
    for layer in model.layers:
        if isinstance(layer, import_keras().layers.BatchNormalization):
            layer.momentum = 0.0  # what is measured replaces what was there
    groups = (model.trainable_variables, model.non_trainable_variables)
    train = jax.jit(lambda variables: model.stateless_call(*variables, inputs, training=True)[1])
    measured = train(tuple([variable.value for variable in group] for group in groups))
    for variable, value in zip(groups[1], measured, strict=True):
        variable.assign(value)


def _find(name: str) -> tuple[Callable[..., Any], Any]:
    """What makes a network, and the module with its preprocessing."""
    applications = import_keras().applications
    known = {each: getattr(applications, each) for each in dir(applications)}
    known = {each: make for each, make in known.items() if isinstance(make, types.FunctionType)}
    if name not in known:
        raise SettingError(f"--backbone must be a network of keras.applications, got {name!r}: {', '.join(known)}")
    return known[name], getattr(applications, known[name].__module__.rsplit(".", 1)[-1])
