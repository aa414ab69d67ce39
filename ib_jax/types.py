"""The types that encoders, bounds and attacks take and return.

Everything here is a plain pytree or a callable type, so any framework (Flax Linen or NNX, Equinox, Haiku, plain
functions) works without inheritance.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np

Array = jax.Array
"""`jax.Array`; functions that run on the host take NumPy arrays and lists too."""

Params = Any
"""A pytree of arrays."""


class DiagGaussian(NamedTuple):
    r"""A Gaussian with diagonal covariance, :math:`N(\mu, \mathrm{diag}(\sigma^2))`.

    Attributes:
      mean: float [..., D], :math:`\mu`.
      scale: float [..., D], :math:`\sigma`, the standard deviation (not the variance), >= 0. A scale of zero is the
        deterministic limit: samples equal the mean, and the rate against a prior with density is infinite.
    """

    mean: Array
    scale: Array


class Gaussian(NamedTuple):
    r"""A Gaussian with full covariance, :math:`N(\mu, L L^T)`.

    Attributes:
      mean: float [..., D].
      scale_tril: float [..., D, D], L, the Cholesky factor: lower triangular, > 0 on the diagonal (>= 0 for an
        encoder's deterministic limit). Entries above the diagonal are ignored.
    """

    mean: Array
    scale_tril: Array


class GaussianMixture(NamedTuple):
    """A mixture of M Gaussians with diagonal covariance.

    Attributes:
      logits: float [..., M], log weights up to a constant.
      mean: float [..., M, D].
      scale: float [..., M, D], standard deviations, > 0.
    """

    logits: Array
    mean: Array
    scale: Array


class BoundTerms(NamedTuple):
    r"""The terms of a variational bound, per example and in nats. A term that the objective does not have is None.

    Attributes:
      loss: float [B], minimised by training after averaging over the batch.
      distortion: float [B], the expected cross-entropy :math:`E_z[-\log q(y|z)]`, an upper bound on :math:`H(Y|Z)`.
      rate: float [B], :math:`E_z[\log p(z|x) - \log r(z)]`, an upper bound on :math:`I(X;Z)`.
      residual: float [B], :math:`E_z[\log p(z|x) - \log b(z|y)]`, an upper bound on the residual information
        :math:`I(X;Z|Y)`.
      entropy_zx: float [B], :math:`E_z[-\log p(z|x)]`, the differential entropy :math:`H(Z|X)`.
      entropy_zy: float [B], :math:`E_z[-\log b(z|y)]`, an upper bound on :math:`H(Z|Y)`; `residual` is `entropy_zy` -
        `entropy_zx`.
      prediction_entropy: float [B], :math:`E_z[H(q(\cdot|z))]`, the entropy of the decoder.
      accuracy: float [B] in [0, 1], the share of the samples of z at which the label is the most probable class;
        None for a target that is not a class.
    """

    loss: Array
    distortion: Array
    rate: Array | None = None
    residual: Array | None = None
    entropy_zx: Array | None = None
    entropy_zy: Array | None = None
    prediction_entropy: Array | None = None
    accuracy: Array | None = None


class AttackResult(NamedTuple):
    """The result of an attack.

    Attributes:
      inputs: float [B, ...], the perturbed inputs: finite, inside the ball and inside the bounds.
      success: bool [B], whether the attack succeeds on a fresh evaluation of the model.
      member: int [B], the member of an ensemble that gave the result, -1 where none succeeded; None for other attacks.
      blocked: bool [B], whether the search met a gradient or a loss that is not finite, so that it may have missed an
        adversarial example; None if unknown. `evaluation.check_search` reports it.
      undecided: bool [B], whether the model gives no prediction at the result (its logits are NaN, or all are -inf),
        so that the attack neither succeeds nor fails there; None if unknown.
    """

    inputs: Array
    success: Array
    member: Array | None = None
    blocked: Array | None = None
    undecided: Array | None = None

    def decided(self) -> np.ndarray:
        """`success` as NumPy bool [B], if the model gives a prediction for every example; not inside `jit`.

        Raises:
          ValueError: the model gives no prediction for some examples.
        """
        if self.undecided is not None and np.asarray(self.undecided).any():
            rows = np.flatnonzero(self.undecided)
            raise ValueError(
                f"logits_fn answers NaN at {len(rows)} of {len(self.undecided)} attacked examples, the first of them "
                f"{rows[0]}: they neither stand nor fall, so there is no number to report; mend the model "
                "(evaluation.check_model looks for more)"
            )
        return np.asarray(self.success)


AnyGaussian = DiagGaussian | Gaussian
"""A Gaussian with diagonal or with full covariance."""

EncodeFn = Callable[[Array], AnyGaussian]
"""Inputs [B, ...] -> DiagGaussian with fields [B, D], or Gaussian with fields [B, D] and [B, D, D]."""

Prediction = Array | AnyGaussian
"""A decoder's prediction of the target: logits [..., C] of a softmax over classes; or, for a vector-valued target, a
Gaussian of either kind over [..., Y]."""

DecodeFn = Callable[[Array], Any]
"""Codes [..., D] -> Prediction, usually logits [..., C], broadcasting over leading axes."""

Reference = AnyGaussian | GaussianMixture
"""A density over codes that an encoder is compared with: a prior r(z), or a backward encoder b(z|y)."""

Backward = Reference | Callable[[Array], Reference]
"""A backward encoder b(z|y): a table with one density for each class (fields [C, ...]), or a function from labels [B]
(or targets [B, Y]) to densities with fields [B, ...]."""

Estimator = Literal["closed_form", "sampled"]
"""The way to compute the divergence of an encoder from a reference."""

LogitsFn = Callable[[Array, Array], Array]
"""(keys [B], inputs [B, ...]) -> logits [B, C]. Each example has its own key, so that its logits do not depend on its
neighbours in the batch; a deterministic model ignores the keys."""


class Bound(Protocol):
    """A training objective: a pure, jittable function of apply-functions and a batch.

    ``key`` is one PRNG key, or one for each example ([B]). With a key for each example, its terms do not depend on how
    the batch is composed or split over devices.
    """

    def __call__(
        self, key: Array, inputs: Array, labels: Array, *, encode_fn: EncodeFn, decode_fn: DecodeFn
    ) -> BoundTerms: ...


class Attack(Protocol):
    """An adversary: a pure, jittable function.

    ``labels`` are the true labels, int [B]. With ``targets``, int [B], the attack is targeted and succeeds when the
    model predicts the target.
    """

    def __call__(
        self, key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, targets: Array | None = None
    ) -> AttackResult: ...
