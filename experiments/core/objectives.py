"""From settings to the loss that the train step differentiates, and to the schedule of rho."""

import types
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ib_jax import losses, objectives, training
from ib_jax.models import Classifier
from ib_jax.objectives import RATE_OBJECTIVES
from ib_jax.training import Hyperparams
from ib_jax.types import Array, Params

STRENGTHS = ("beta", "rho", "label_smoothing", "confidence_penalty")
NONE: Hyperparams = types.MappingProxyType({})


def strength_name(objective: str) -> str:
    """Which setting decides how strongly an objective regularises; empty where none does."""
    argument = objectives.strength_of(objective)
    return argument if argument in STRENGTHS else objective * bool(argument)


def make_loss(
    config: Any, model: Classifier, class_probabilities: np.ndarray, hyperparams: Hyperparams = NONE
) -> Callable[..., Any]:
    """(params, keys [B], inputs, labels) -> BoundTerms of the configured objective; with a schedule also takes rho.

    In a population a member's own hyperparams, which may be traced, go before the configured ones.
    """
    own: dict[str, Any] = {name: getattr(config, name, None) for name in STRENGTHS} | dict(hyperparams)
    argument = objectives.strength_of(config.objective)
    strength = {argument: own[strength_name(config.objective)]} if argument else {}
    loss_fn = objectives.make_loss(
        config.objective, model, jnp.asarray(class_probabilities), num_samples=config.num_train_samples
    )

    def scheduled(params: Params, keys: Array, inputs: Array, labels: Array, rho: Array | None = None) -> Any:
        return loss_fn(params, keys, inputs, labels, **(strength if rho is None else {"rho": rho}))

    return scheduled


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
