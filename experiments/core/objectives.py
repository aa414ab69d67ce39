"""From the name of an objective to the loss that the train step differentiates, and to the schedule of rho."""

import functools
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.core.settings import RATE_OBJECTIVES, RESIDUAL_OBJECTIVES
from ib_jax import bounds, losses, training
from ib_jax.models import Classifier
from ib_jax.training import Hyperparams
from ib_jax.types import Array, BoundTerms, Params

STRENGTHS = ("beta", "rho", "label_smoothing", "confidence_penalty")
NONE: Hyperparams = types.MappingProxyType({})


def strength_name(objective: str) -> str:
    """Which setting decides how strongly an objective regularises; empty where none does."""
    strengths = dict.fromkeys(RATE_OBJECTIVES, "beta") | dict.fromkeys(RESIDUAL_OBJECTIVES, "rho")
    return strengths.get(objective, objective if objective in ("label_smoothing", "confidence_penalty") else "")


def make_loss(
    config: Any, model: Classifier, class_probabilities: np.ndarray, hyperparams: Hyperparams = NONE
) -> Callable[..., Any]:
    """(params, keys [B], inputs, labels) -> BoundTerms of the configured objective; with a schedule also takes rho.

    In a population a member's own hyperparams, which may be traced, go before the configured ones.
    """
    own: dict[str, Any] = {name: getattr(config, name, None) for name in STRENGTHS} | dict(hyperparams)
    sampled: dict[str, Any] = {"num_samples": config.num_train_samples}
    label_entropy = float(scipy.stats.entropy(class_probabilities))
    shares = jnp.asarray(class_probabilities, jnp.float32)
    objectives: dict[str, Callable[..., BoundTerms]] = {
        "vib": functools.partial(bounds.vib, **sampled),
        "vub": functools.partial(bounds.vub, label_entropy=label_entropy, **sampled),
        "ceb": functools.partial(bounds.ceb, **sampled),
        "consistent_ceb": functools.partial(bounds.consistent_ceb, class_probabilities=shares, **sampled),
        "cross_entropy": bounds.cross_entropy,
        "dropout": bounds.cross_entropy,
        "confidence_penalty": functools.partial(bounds.confidence_penalty, penalty=own["confidence_penalty"]),
        "label_smoothing": functools.partial(bounds.label_smoothing, smoothing=own["label_smoothing"]),
    }
    bound = objectives[config.objective]

    def loss_fn(params: Params, keys: Array, inputs: Array, labels: Array, rho: Array | None = None) -> Any:
        dropout_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
        encoding, statistics = model.encode_train(params, inputs, dropout_keys)
        settings: dict[str, Any] = {"encode_fn": lambda _: encoding}
        if config.objective != "consistent_ceb":
            settings["decode_fn"] = functools.partial(model.decode, params)
        if config.objective in RATE_OBJECTIVES:
            settings |= {"prior": model.prior(params)} | ({"beta": own["beta"]} if rho is None else {"rho": rho})
        if model.backward is not None:
            settings |= {"backward": model.backward(params), "rho": own["rho"] if rho is None else rho}
        terms = bound(keys, inputs, labels, **settings)
        return (terms, statistics) if statistics else terms

    return loss_fn


def make_schedule(config: Any, steps_per_epoch: int, hyperparams: Hyperparams = NONE) -> training.Schedule | None:
    """The schedule of rho over `anneal_epochs`, or None for a constant strength."""
    if config.schedule == "constant" or not config.stochastic:
        return None
    own: dict[str, Any] = {"beta": config.beta, "rho": config.rho} | dict(hyperparams)
    rho = losses.beta_to_rho(own["beta"]) if config.objective in RATE_OBJECTIVES else own["rho"]
    if config.schedule == "gated_rho":
        return training.gated_rho(rho, steps_per_epoch=steps_per_epoch)
    make = {"linear_gamma": training.linear_gamma, "linear_rho": training.linear_rho}[config.schedule]
    return make(rho, max(1, round(config.anneal_epochs * steps_per_epoch)))


def jump_start(config: Any, steps_per_epoch: int, hyperparams: Hyperparams = NONE) -> training.Schedule | None:
    """The jump-start of low rho on images, over `gate_epochs` and `target_epochs`, or over `anneal_epochs`.

    None for a deterministic model.
    """
    if not config.stochastic:
        return None
    rho: Any = hyperparams.get("rho", config.rho)
    if config.schedule == "gated_rho":
        return training.gated_rho(
            rho,
            steps_per_epoch=steps_per_epoch,
            epochs_to_gate=config.gate_epochs,
            epochs_to_target=config.target_epochs,
        )
    steps = max(1, round(config.anneal_epochs * steps_per_epoch)) if config.schedule == "linear_gamma" else 1
    return training.linear_gamma(rho, steps)


def constant(config: Any, steps_per_epoch: int, hyperparams: Hyperparams = NONE) -> None:
    """No schedule."""
