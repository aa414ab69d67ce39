"""By how much a search must lead against a stochastic model, so that one lucky sample does not end it."""

import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks.objective import Objective
from ib_jax.attacks.problem import Problem
from ib_jax.types import Array, LogitsFn

NUM_SAMPLES = 16
"""Of the model at the input, of which the spread of its margin is measured."""

STANDARD_ERRORS = 3.0
"""Of the difference between what a step sees and what a fresh answer says: hundreds of steps meet draws as far out."""


def measured_lead(objective: Objective, logits_fn: LogitsFn, problem: Problem) -> Array:
    r"""The lead that the samples of a step must have, [B], in nats; 0 for a model that answers alike to all keys.

    .. math:: \kappa = 3 \, \mathrm{sd}_s[m(x, s)] \sqrt{2 / S}

    with m the margin at the input, of 16 samples, and S the samples of each step and of a fresh answer.
    """
    logits = losses.sampled_logits(problem.spread_keys(), logits_fn, problem.inputs, NUM_SAMPLES)
    doubted = problem.labels if problem.wanted is None else problem.wanted
    margins = losses.margin(logits, doubted).astype(losses.wide_dtype(logits))
    margins = jnp.where(jnp.isfinite(margins), margins, 0.0)
    same = margins.max(0) == margins.min(0)  # of equal numbers rounding would leave a spread
    return jnp.where(same, 0.0, STANDARD_ERRORS * (2 / objective.num_eot_samples) ** 0.5 * margins.std(0, ddof=1))


def handicapped(logits_fn: LogitsFn, problem: Problem) -> LogitsFn:
    """A model that the wanted answer convinces only with the problem's lead: what a search is shown."""
    lead = problem.lead
    if lead is None or not lead.shape[0]:
        return logits_fn
    doubted, sign = (problem.labels, 1) if problem.wanted is None else (problem.wanted, -1)

    def shown(keys: Array, inputs: Array) -> Array:
        logits = logits_fn(keys, inputs)
        own = losses.class_mask(doubted, logits.shape[-1])
        return jnp.where(own, logits + (sign * lead).astype(logits.dtype)[:, None], logits)

    return shown
