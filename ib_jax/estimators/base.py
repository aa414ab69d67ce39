"""The estimators' base class, which connects scikit-learn to `training.train`."""

import functools
import math
from typing import Any

import jax
import numpy as np
import optax
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ib_jax import models, training

_CHUNK = 1024  # rows of one call; fewer are filled up to a power of two, so that few sizes are compiled


class Bottleneck(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The base of classifier and regressor: scaling, training, and one noise for all examples of a prediction."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are float32
        tags.input_tags.three_d_array = self.encoder is not None
        return tags

    def transform(self, X: Any) -> np.ndarray:
        """The means of the codes, float32 [N, D]."""
        return self._answers("codes", X)

    @property
    def _n_features_out(self) -> int:
        return self._functions().encoder.code_dim

    def _checked(self, X: Any, y: Any = None, *, reset: bool = False) -> Any:
        """X (and y) as arrays of floats; of any shape [N, ...] with your own encoder."""
        nd = self.encoder is not None
        settings: dict[str, Any] = {"dtype": [np.float64, np.float32], "ensure_2d": not nd, "allow_nd": nd}
        if y is None and not reset:
            return validate_data(self, X, reset=False, **settings)
        numeric = isinstance(self, RegressorMixin)
        return validate_data(self, X, y, reset=reset, y_numeric=numeric, multi_output=numeric, **settings)

    def _begin(self, X: np.ndarray) -> None:
        """The seed, and the range of the training inputs, which an MLP sees as [0, 1]."""
        for name in ("num_epochs", "batch_size", "num_samples"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        for name in ("beta", "penalty", "smoothing"):
            if not (value := getattr(self, name, 0.0)) >= 0 or (name == "smoothing" and value >= 1):
                least = "in [0, 1)" if name == "smoothing" else "at least 0"
                raise ValueError(f"{name} must be {least}, got {value}")
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        axis = 0 if self.encoder is None else None
        self.range_ = np.stack([X.min(axis), X.max(axis)])

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        if self.encoder is not None:  # takes them as they are
            return np.asarray(X, np.float32)
        low, high = self.range_
        return np.asarray((X - low) / np.where(high > low, high - low, 1.0), np.float32)

    def _train(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, **more: Any) -> None:
        """Trains; rows of weight 0 fill the last batch, so that an epoch takes every example once."""
        functions, inputs = self._functions(), self._scaled(X)
        start = {**functions.init(jax.random.key(self.seed_), inputs[:1]), **more}
        batch_size = min(self.batch_size, 8 * math.ceil(len(y) / 8))
        filled = np.resize(np.arange(len(y)), batch_size * math.ceil(len(y) / batch_size))
        weights = np.where(np.arange(len(filled)) < len(y), weights[filled], 0.0).astype(np.float32)
        trained = training.train(
            functions.loss_fn,
            start,
            training.Batch(inputs[filled], y[filled], jax.numpy.asarray(weights)),
            num_epochs=self.num_epochs,
            batch_size=batch_size,
            optimizer=_adam(self.learning_rate),
            schedule=training.constant(self._strength()),
            seed=self.seed_,
            progress=bool(self.verbose),
            programs=functions.programs,
        )
        self.history_ = [{name: value for name, value in row.items() if name != "rho"} for row in trained.history]
        self.params_ = jax.tree.map(np.asarray, {**trained.params, **more})

    def _answers(self, name: str, X: Any) -> np.ndarray:
        """One function's result for each row, independent of the other rows."""
        check_is_fitted(self)
        inputs = self._scaled(self._checked(X))
        fn, key, parts = getattr(self._functions(), name), jax.random.key(self.seed_), []
        for first in range(0, len(inputs), _CHUNK):
            rows = inputs[first : first + _CHUNK]
            size = max(8, 1 << (len(rows) - 1).bit_length())
            filled = np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])
            parts.append(np.asarray(fn(self.params_, key, filled, self.num_samples))[: len(rows)])
        return np.concatenate(parts)

    def _network(self, scale: Any) -> Any:
        if self.encoder is not None:
            return self.encoder
        if self.latent_dim < 1 or any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden and latent_dim must be at least 1, got {self.hidden} and {self.latent_dim}")
        return models.MLPEncoder(self.latent_dim, tuple(self.hidden), scale)


@functools.lru_cache(maxsize=16)
def _adam(learning_rate: float) -> optax.GradientTransformation:
    return optax.adam(learning_rate)


def checked_weights(sample_weight: Any, count: int) -> np.ndarray:
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (count,) or not (weights >= 0).all() or not weights.any():
        raise ValueError(
            f"sample_weight must be float [{count}], a weight of at least 0 for each example and not all of them zero, "
            f"got shape {list(weights.shape)}, from {weights.min(initial=0.0):g} to {weights.max(initial=0.0):g}"
        )
    return weights
