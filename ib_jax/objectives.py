"""Training objectives by name: builds the loss that a train step differentiates."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from ib_jax import bounds
from ib_jax.types import Array, BoundTerms, Params

if TYPE_CHECKING:  # avoids importing flax, which the names do not need
    from ib_jax.models import Classifier

RATE_OBJECTIVES = ("vib", "vub")
"""Those that weigh the rate, a bound on I(X;Z), by beta."""

RESIDUAL_OBJECTIVES = ("ceb", "consistent_ceb")
"""Those that weigh the residual, a bound on I(X;Z|Y), by rho."""

BOTTLENECKS = RATE_OBJECTIVES + RESIDUAL_OBJECTIVES
"""All that draw samples of a code."""

_BOUNDS: dict[str, Callable[..., BoundTerms]] = {
    "vib": bounds.vib,
    "vub": bounds.vub,
    "ceb": bounds.ceb,
    "consistent_ceb": bounds.consistent_ceb,
    "cross_entropy": bounds.cross_entropy,
    "dropout": bounds.cross_entropy,
    "confidence_penalty": bounds.confidence_penalty,
    "label_smoothing": bounds.label_smoothing,
}
OBJECTIVES = tuple(_BOUNDS)
"""The names that `make_loss` takes. "dropout" is the cross-entropy of an encoder with dropout."""


def strength_of(objective: str) -> str:
    """The argument that sets how strongly an objective regularises; empty if there is none.

    Example:
      >>> from ib_jax import objectives
      >>> [objectives.strength_of(name) for name in ("vub", "ceb", "label_smoothing", "cross_entropy")]
      ['beta', 'rho', 'smoothing', '']
    """
    if objective in BOTTLENECKS:
        return "beta" if objective in RATE_OBJECTIVES else "rho"
    return {"confidence_penalty": "penalty", "label_smoothing": "smoothing"}.get(objective, "")


def make_loss(
    objective: str, model: "Classifier", class_probabilities: Array, *, num_samples: int = 1
) -> Callable[..., Any]:
    """Makes the loss of a classifier under an objective, for `training.make_train_step`; bind its strength first.

    Args:
      objective: one of `OBJECTIVES`.
      model: from `models.make_classifier`; with a backward encoder for CEB, without a decoder for consistent CEB.
      class_probabilities: p(y), float [C]; may be traced.
      num_samples: samples of z of a bottleneck, for each example.

    Returns:
      ``(params, keys [B], inputs, labels, **strength)`` -> BoundTerms, in nats; with batch normalisation (BoundTerms,
      statistics). The strength is the argument that `strength_of` names, or `rho` for any bottleneck.

    Raises:
      ValueError: the objective is unknown.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models, objectives
      >>> model = models.make_classifier(models.MLPEncoder(latent_dim=2, hidden=(16,)), num_classes=3)
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4)))
      >>> loss_fn = objectives.make_loss("vib", model, jnp.full(3, 1 / 3))
      >>> keys = jax.random.split(jax.random.key(1), 5)
      >>> loss_fn(params, keys, jnp.zeros((5, 4)), jnp.zeros(5, int), beta=1e-3).loss.shape
      (5,)
    """
    if objective not in _BOUNDS:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {objective!r}")
    shares = jnp.asarray(class_probabilities, jnp.float32)
    own: dict[str, Any] = {"num_samples": num_samples} if objective in BOTTLENECKS else {}
    if objective == "vub":
        own["label_entropy"] = jax.scipy.special.entr(shares).sum()
    if objective == "consistent_ceb":
        own["class_probabilities"] = shares
    bound = functools.partial(_BOUNDS[objective], **own)

    def loss_fn(params: Params, keys: Array, inputs: Array, labels: Array, **strength: Any) -> Any:
        dropout_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
        encoding, statistics = model.encode_train(params, inputs, dropout_keys)
        settings: dict[str, Any] = {"encode_fn": lambda _: encoding} | strength
        if objective != "consistent_ceb":
            settings["decode_fn"] = functools.partial(model.decode, params)
        if objective in RATE_OBJECTIVES:
            settings["prior"] = model.prior(params)
        if model.backward is not None:
            settings["backward"] = model.backward(params)
        terms = bound(keys, inputs, labels, **settings)
        return (terms, statistics) if statistics else terms

    return loss_fn
