"""Adversarial training: what is done to a batch, inside the compiled step, before its gradient is taken."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ib_jax.keys import counter_key
from ib_jax.training.gradient import LossFn, Perturb
from ib_jax.types import Array, Attack, BoundTerms, Params

ApplyFn = Callable[[Params, Array, Array], Array]
"""(params, keys [B], inputs [B, ...]) -> logits [B, C]; a stochastic model draws its noise from the keys."""

_ATTACK, _NATURAL = 2**31, 2**31 + 1  # what an example's key is folded with; losses fold it with small numbers


def attacked(attack: Attack, apply_fn: ApplyFn, *, fraction: float = 0.5) -> Perturb:
    r"""Replaces a fraction of each batch by adversarial examples of the model as it stands.

    .. math:: \frac1B \Big( \sum_{i \in A} \ell(\theta; x_i', y_i) + \sum_{i \notin A} \ell(\theta; x_i, y_i) \Big),
              \quad x_i' = \mathrm{attack}(\theta; x_i, y_i), \quad |A| = \mathrm{fraction} \cdot B

    with any objective for the loss. The rows of A are spread evenly and follow from the place in the batch, and each
    example is attacked with a key of its own, so one device and eight, and one microbatch and eight, take the same step
    up to rounding. The gradient is not taken through the attack.

    Args:
      attack: any Attack, for example `attacks.pgd(0.3, num_steps=10)`; its radius may be traced. Its verdict on success
        is not used, so the compiler removes it.
      apply_fn: the model as the attack sees it.
      fraction: share of the batch that is attacked, in [0, 1].

    Returns:
      Perturb, for `make_train_step`.

    Raises:
      ValueError: `fraction` is out of its range; when traced, it does not make a whole number of a device's batch.

    Source: Goodfellow et al., Explaining and Harnessing Adversarial Examples, 2015; Madry et al., 2018.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks, training
      >>> apply_fn = lambda params, keys, x: jnp.concatenate([x, 1.0 - x], -1)
      >>> perturb = training.attacked(attacks.fgsm(0.25), apply_fn, fraction=0.5)
      >>> inputs, labels = jnp.full((4, 1), 0.5), jnp.zeros(4, int)
      >>> perturb(None, jax.random.split(jax.random.key(0), 4), inputs, labels).ravel().tolist()
      [0.5, 0.25, 0.5, 0.25]
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}")

    def perturb(params: Params, keys: Array, inputs: Array, labels: Array) -> Array:
        labels = jnp.asarray(labels)
        rows = _spread(labels.shape[0], fraction)
        if not len(rows):
            return inputs
        inputs = jnp.asarray(inputs)
        found = _attack(attack, params, apply_fn, keys[rows], inputs[rows], labels[rows])
        return inputs.at[rows].set(found)

    return perturb


def trades(
    loss_fn: LossFn,
    make_attack: Callable[[Callable[[Array, Array], Array]], Attack],
    apply_fn: ApplyFn,
    *,
    weight: float,
) -> tuple[LossFn, Perturb]:
    r"""TRADES: any objective plus a penalty for answering differently at an input and at its worst neighbour.

    .. math:: \ell(\theta; x, y) + \lambda\, D\big(q_\theta(\cdot|x) \,\|\, q_\theta(\cdot|x')\big), \quad
              x' \text{ climbs } D\big(q_\theta(\cdot|x) \,\|\, q_\theta(\cdot|x')\big)

    A stochastic model gives both answers under the same noise, an example's own; inside the attack the natural answer
    has other noise.

    Args:
      loss_fn: of the objective, see `LossFn`.
      make_attack: from the loss that is to be climbed to an Attack, for example
        `lambda loss: attacks.pgd(0.3, num_steps=10, loss_fn=loss)`. At the input itself a deterministic model's
        divergence has no slope, so the attack needs a random start.
      apply_fn: the model as the attack sees it.
      weight: lambda >= 0; the reciprocal of the paper's.

    Returns:
      (loss_fn, perturb), both for `make_train_step`. Inputs of this loss are pairs (natural, adversarial).

    Raises:
      ValueError: `weight` is negative.

    Source: Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, 2019, eq. 5.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import BoundTerms, attacks, training
      >>> apply_fn = lambda params, keys, x: jnp.concatenate([params * x, -params * x], -1)
      >>> plain = lambda params, keys, inputs, labels: BoundTerms(*[jnp.zeros(len(labels))] * 2)
      >>> make_attack = lambda loss: attacks.pgd(0.5, num_steps=3, loss_fn=loss)
      >>> loss_fn, perturb = training.trades(plain, make_attack, apply_fn, weight=1.0)
      >>> keys, inputs, labels = jax.random.split(jax.random.key(0), 1), jnp.array([[0.5]]), jnp.array([0])
      >>> pair = perturb(1.0, keys, inputs, labels)
      >>> pair[1], loss_fn(1.0, keys, pair, labels).loss
      (Array([[1.]], dtype=float32), Array([0.0826], dtype=float32))
    """
    if not weight >= 0.0:
        raise ValueError(f"weight must be at least 0, got {weight}")

    def perturb(params: Params, keys: Array, inputs: Array, labels: Array) -> tuple[Array, Array]:
        inputs, labels = jnp.asarray(inputs), jnp.asarray(labels)
        natural = _log_softmax(apply_fn(params, _fold(keys, _NATURAL), inputs))
        attack = make_attack(lambda logits, labels: _divergence(natural, _log_softmax(logits)))
        return inputs, _attack(attack, params, apply_fn, keys, inputs, labels)

    def loss(params: Params, keys: Array, pair: tuple[Array, Array], labels: Array, *more: Array) -> Any:
        natural, adversarial = (_log_softmax(apply_fn(params, keys, inputs)) for inputs in pair)
        found = loss_fn(params, keys, pair[0], labels, *more)
        terms, *statistics = (found,) if isinstance(found, BoundTerms) else found
        terms = terms._replace(loss=terms.loss + weight * _divergence(natural, adversarial))
        return (terms, *statistics) if statistics else terms

    return loss, perturb


def _attack(attack: Attack, params: Params, apply_fn: ApplyFn, keys: Array, inputs: Array, labels: Array) -> Array:
    return attack(_fold(keys, _ATTACK), lambda *args: apply_fn(params, *args), inputs, labels).inputs


def _spread(batch_size: int, fraction: float) -> np.ndarray:
    """Which rows are attacked: the same of a global batch as of its parts, if it is a whole number of each."""
    count = round(fraction * batch_size)
    if abs(count - fraction * batch_size) > 1e-6 * batch_size:
        raise ValueError(
            f"fraction must make a whole number of the {batch_size} examples of a device's batch (or microbatch), got "
            f"{fraction}; {count / batch_size:.6g} does"
        )
    ends = np.arange(batch_size + 1) * count // batch_size
    return np.flatnonzero(np.diff(ends))


def _fold(keys: Array, data: int) -> Array:
    return jax.vmap(jax.random.fold_in, (0, None))(counter_key(keys), np.uint32(data))


def _log_softmax(logits: Array) -> Array:
    return jax.nn.log_softmax(logits)


def _divergence(of: Array, from_it: Array) -> Array:
    """D(p || q) from the logarithms of p [B, C] and q [..., B, C]."""
    return optax.losses.kl_divergence_with_log_targets(from_it, jnp.broadcast_to(of, from_it.shape))
