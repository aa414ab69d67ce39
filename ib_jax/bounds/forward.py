"""What every bound does first: encode, draw codes, decode, and compare with the labels."""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.types import Array, DecodeFn, EncodeFn, Estimator, Prediction


class Forward(NamedTuple):
    """Codes, the decoder's prediction at each (leading axis S), and what it costs, per example in nats."""

    codes: losses.Codes
    prediction: Prediction
    distortion: Array
    accuracy: Array | None


def forward(
    key: Array, inputs: Array, labels: Array, *, encode_fn: EncodeFn, decode_fn: DecodeFn, num_samples: int
) -> Forward:
    """Runs the model on a batch; with `num_samples=0` at the mean of the encoder, where only the mean is used."""
    encoding = encode_fn(inputs)
    chex.assert_equal_shape_prefix([inputs, *encoding], 1)
    codes = losses.draw_codes(key, encoding, num_samples)
    prediction = decode_fn(codes.samples)
    labels = _checked(labels, prediction)
    distortion = losses.negative_log_likelihood(prediction, labels).mean(0)
    accuracy = None if isinstance(prediction, tuple) else losses.correct(prediction, labels).mean(0)
    return Forward(codes, prediction, distortion, accuracy)


def entropy_of_codes(codes: losses.Codes, estimator: Estimator | None) -> Array:
    """H(Z|X) of each example [B] in nats: in closed form, or over the samples where the divergence is."""
    log_density = codes.log_density
    if estimator == "sampled" and log_density is not None:
        return -log_density.mean(0)
    return losses.gaussian_entropy(codes.encoding)


def _checked(labels: Array, prediction: Prediction) -> Array:
    """Labels of one batch, exactly: what the kernels would broadcast over the samples would be silently wrong here."""
    if not isinstance(prediction, tuple):
        _, *leading, num_classes = prediction.shape
        return losses.check_labels(labels, tuple(leading), num_classes)
    labels = jnp.asarray(labels)
    if labels.shape != prediction.mean.shape[1:]:
        wanted = list(prediction.mean.shape[1:])
        raise ValueError(f"labels must be float {wanted} for a decoder that predicts a Gaussian, got {labels.shape}")
    return labels
