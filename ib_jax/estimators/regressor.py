"""The bottleneck regressor as a scikit-learn estimator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from ib_jax.estimators.base import Bottleneck, checked_weights
from ib_jax.estimators.functions import RegressorFunctions, regressor_functions


class BottleneckRegressor(RegressorMixin, Bottleneck):
    r"""A regressor trained through the variational information bottleneck, as a scikit-learn estimator.

    :math:`E[-\log q(y|z)] + \beta D(p(z|x) \| N(0, I))`, q a Gaussian whose mean is linear in z and whose scale is
    learned, for targets scaled to mean 0 and deviation 1.

    Args:
      beta: weight of the rate, in nats per nat; 0 with `noisy=False` is ordinary maximum likelihood.
      noisy: whether codes are drawn; False for the deterministic limit, which has no rate.
      hidden, latent_dim, encoder, learning_rate, num_epochs, batch_size, num_samples, random_state, verbose: as of
        `BottleneckClassifier`.

    Example:
      >>> import numpy as np
      >>> from ib_jax import BottleneckRegressor
      >>> X = np.random.default_rng(0).normal(size=(200, 3))
      >>> BottleneckRegressor(random_state=0).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.8
      True
    """

    def __init__(
        self,
        *,
        beta: float = 1e-3,
        noisy: bool = True,
        hidden: Sequence[int] = (100,),
        latent_dim: int = 16,
        encoder: Any = None,
        learning_rate: float = 1e-3,
        num_epochs: int = 200,
        batch_size: int = 32,
        num_samples: int = 12,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.beta = beta
        self.noisy = noisy
        self.hidden = hidden
        self.latent_dim = latent_dim
        self.encoder = encoder
        self.learning_rate = learning_rate
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.num_samples = num_samples
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BottleneckRegressor":
        """Trains on X, float [N, features], and targets y, float [N] or [N, Y]; examples of weight 0 are left out."""
        X, y = self._checked(X, y, reset=True)
        weights = np.ones(len(y)) if sample_weight is None else checked_weights(sample_weight, len(y))
        kept = weights > 0
        X, targets, weights = X[kept], y[kept].reshape(kept.sum(), -1), weights[kept]
        self._begin(X)
        deviation = targets.std(0)
        self.target_ = np.stack([targets.mean(0), np.where(deviation > 0, deviation, 1.0)])
        self.flat_ = y.ndim == 1
        self._train(X, ((targets - self.target_[0]) / self.target_[1]).astype(np.float32), weights)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The mean of q(y|z) over `num_samples` samples of z, in the units of y, [N] or [N, Y]."""
        scaled = self._answers("targets", X)
        found = self.target_[0] + self.target_[1] * scaled
        return found[:, 0] if self.flat_ else found

    def _strength(self) -> float:
        return float(self.beta)

    def _functions(self) -> "RegressorFunctions":
        return regressor_functions(
            self._network("learned" if self.noisy else "zero"), self.target_.shape[1], self.noisy
        )
