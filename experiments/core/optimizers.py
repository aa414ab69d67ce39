"""The papers' optimizers by their settings, in which a member's hyperparams go before the configured ones.

Each function takes (settings, steps of an epoch, hyperparams), as `recipe.RecipeFunctions.optimizer` does.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ib_jax import training
from ib_jax.training import Hyperparams

STAIRCASE, COSINE = "staircase", "cosine"


def decayed_adam(config: Any, steps_per_epoch: int, hyperparams: Hyperparams) -> optax.GradientTransformation:
    """Adam as in the VIB paper: its rate falls in stairs, and it decays all parameters.

    With `decay` "cosine" the rate falls along half a cosine instead, to 0 at the end of training.
    """
    if getattr(config, "decay", STAIRCASE) == COSINE:
        own = rates(config, hyperparams)
        schedule = optax.cosine_decay_schedule(own["learning_rate"], config.num_epochs * steps_per_epoch)
        return optax.inject_hyperparams(optax.adamw)(schedule, b1=0.5, weight_decay=own["weight_decay"])
    return training.paper_adam(
        steps_per_decay=max(1, round(config.epochs_per_decay * steps_per_epoch)),
        decay_rate=config.decay_rate,
        **rates(config, hyperparams),
    )


def stepped_adam(config: Any, steps_per_epoch: int, hyperparams: Hyperparams) -> optax.GradientTransformation:
    """Adam, its rate times 0.3 at 1/3, 2/3 and 5/6 of training, as in CEB on CIFAR-10 (appendix A.1)."""
    own = rates(config, hyperparams)
    num_steps = config.num_epochs * steps_per_epoch
    schedule = _stepped(own["learning_rate"], num_steps, (1 / 3, 2 / 3, 5 / 6), 0.3)
    return optax.adamw(schedule, weight_decay=own["weight_decay"], mask=kernels)


def stepped_sgd(config: Any, steps_per_epoch: int, hyperparams: Hyperparams) -> optax.GradientTransformation:
    """SGD with Nesterov's momentum, its rate rising from 0 to `top_rate`, then falling.

    By a factor of 0.1 at 1/3, 2/3 and 8/9 of training, as in CEB on ImageNet (appendix A.2) and the TPU ResNet that it
    cites.
    """
    own = rates(config, hyperparams)
    top = own["learning_rate"] * (config.top_rate / config.learning_rate)
    num_steps, warmup = config.num_epochs * steps_per_epoch, round(config.warmup_epochs * steps_per_epoch)
    drops = _stepped(top, num_steps, (1 / 3, 2 / 3, 8 / 9), 0.1)

    def rate(step: jax.Array) -> jax.Array:
        return drops(step) * jnp.minimum(1.0, (step + 1).astype(jnp.float32) / max(1, warmup))

    descent = optax.sgd(rate, config.momentum or None, nesterov=True)  # with None it keeps no copy of the parameters
    return optax.chain(optax.add_decayed_weights(own["weight_decay"], mask=kernels), descent)


def rates(config: Any, hyperparams: Hyperparams) -> dict[str, Any]:
    """Learning rate and weight decay, a member's own before the configured ones."""
    own: dict[str, Any] = {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
    return own | {name: value for name, value in hyperparams.items() if name in own}


def kernels(params: Any) -> Any:
    """Which parameters decay: matrices and convolutions, but neither biases nor what normalises."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _stepped(rate: Any, num_steps: int, shares: Sequence[float], factor: float) -> Any:
    return optax.piecewise_constant_schedule(rate, {round(share * num_steps): factor for share in shares})
