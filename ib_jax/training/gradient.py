"""The gradient of the mean loss over a global batch: over microbatches, devices and processes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ib_jax.keys import example_keys
from ib_jax.types import Array, BoundTerms, Params

LossFn = Callable[..., Any]
"""(params, keys [B], inputs [B, ...], labels [B] or [B, ...]) -> BoundTerms, per example; with a schedule of rho, it is
handed over as a fifth argument. A network with statistics of its own (batch normalisation) returns (BoundTerms,
statistics): entries of `params`, a dict, that the step sets to these values, whatever the optimizer made of them."""

Perturb = Callable[[Params, Array, Any, Array], Any]
"""(params, keys [B], inputs [B, ...], labels [B]) -> what the loss is handed as inputs: `attacked`, or `trades`."""

Metrics = dict[str, Array]
"""Means over the global batch, by the name of the bound's term."""

Statistics = dict[str, Params]
"""Entries of the parameters that no gradient changes, with their new values; most networks have none."""


class Batch(NamedTuple):
    """A batch: inputs [B, ...], labels int [B] or float [B, ...], and weights [B] or None.

    Weights are a mask, class weights or probabilities, at least 0: the loss of the batch is the weighted mean. An
    example of weight 0 does not count, but the gradients of its terms must be finite.
    """

    inputs: Any  # arrays of JAX or NumPy
    labels: Any
    weights: Array | None = None


def make_gradient(
    loss_fn: LossFn,
    *,
    perturb: Perturb | None = None,
    axis_name: str | None = None,
    num_microbatches: int = 1,
    remat: bool = False,
) -> Callable[..., tuple[Params, Metrics, Statistics]]:
    r"""Makes the function from a device's batch to the gradient of the mean loss over all devices' batches.

    .. math:: \nabla_\theta \frac{\sum_i w_i \ell_i(\theta)}{\sum_i w_i}

    Example i of the global batch draws its noise from `fold_in(key, i)`, so neither the number of devices nor that of
    the microbatches changes the result beyond rounding.

    Args:
      loss_fn: ``(params, keys [B], inputs, labels, *more)`` -> BoundTerms, per example; see `LossFn`.
      perturb: what is done to the inputs first, without a gradient through it; see `attacked`.
      axis_name: name of the mapped device axis, or None on one device.
      num_microbatches: parts of a device's batch that are taken one after another.
      remat: whether the backward pass computes the activations again rather than keeping them.

    Returns:
      ``(params, Batch, key, *more)`` -> (gradient, metrics, statistics), all of the global batch; `more` goes to
      `loss_fn`. Statistics are the mean over devices and microbatches of what `loss_fn` returned, or {}.

    Raises:
      ValueError: `num_microbatches` is less than 1; when traced, it does not divide a device's batch, or the inputs,
        labels and weights of a batch do not have as many rows.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import BoundTerms, training
      >>> loss_fn = lambda w, keys, inputs, labels: BoundTerms((w * inputs - labels) ** 2, labels)
      >>> gradient = training.make_gradient(loss_fn, num_microbatches=2)
      >>> print(gradient(0.0, training.Batch(jnp.ones(4), jnp.ones(4)), jax.random.key(0))[0])
      -2.0
    """
    if num_microbatches < 1:
        raise ValueError(f"num_microbatches must be at least 1, got {num_microbatches}")
    terms_fn = jax.checkpoint(loss_fn) if remat else loss_fn

    def share(params: Params, keys: Array, batch: Batch, norm: Array, more: tuple[Array, ...]) -> tuple[Array, Any]:
        found = terms_fn(params, keys, batch.inputs, batch.labels, *more)
        terms, statistics = (found, {}) if isinstance(found, BoundTerms) else found
        metrics = {
            name: _weighted_sum(value, batch.weights) / norm
            for name, value in terms._asdict().items()
            if value is not None
        }
        return metrics["loss"], (metrics, jax.tree.map(lambda leaf: leaf / num_microbatches, statistics))

    def gradient(params: Params, batch: Batch, key: Array, *more: Array) -> tuple[Params, Metrics, Statistics]:
        batch_size = rows_of(batch)
        shard = 0 if axis_name is None else jax.lax.axis_index(axis_name)
        rows = jnp.uint32(shard) * batch_size + jnp.arange(batch_size, dtype=jnp.uint32)
        keys = example_keys(key, rows)
        many = axis_name is not None and jax.lax.axis_size(axis_name) > 1  # over one device it would only copy
        norm = batch_size if batch.weights is None else _total(batch.weights)
        if many and batch.weights is not None:
            # Devices may hold different weight; by the mean of it, their mean is the weighted mean of all examples.
            norm = jax.lax.pmean(norm, axis_name)

        def of(params: Params, keys: Array, batch: Batch, *rest: Any) -> tuple[Params, Any]:
            if perturb is not None:
                # Before `grad`, so that rematerialisation does not attack a second time in the backward pass.
                batch = batch._replace(inputs=perturb(params, keys, batch.inputs, batch.labels))
            return jax.grad(share, has_aux=True)(params, keys, batch, *rest)

        if num_microbatches == 1:
            grads, (metrics, statistics) = of(params, keys, batch, norm, more)
        else:
            parts = jax.tree.map(_parts(batch_size), (keys, batch))
            start = jax.tree.map(jnp.zeros_like, jax.eval_shape(of, params, *_first(parts), norm, more))

            def add(total: Params, part: tuple[Array, Batch]) -> tuple[Params, None]:
                return jax.tree.map(jnp.add, total, of(params, *part, norm, more)), None

            (grads, (metrics, statistics)), _ = jax.lax.scan(add, start, parts)
        # The mean over devices is taken of the gradients, after `grad`: a gradient of a mean over devices would be
        # multiplied by their number.
        found = (grads, metrics, statistics)
        return jax.lax.pmean(found, axis_name) if many else found

    def _parts(batch_size: int) -> Callable[[Array], Array]:
        if batch_size % num_microbatches:
            nearest = max(d for d in range(1, num_microbatches) if batch_size % d == 0)
            raise ValueError(
                f"num_microbatches must divide the {batch_size} examples of a device's batch, got {num_microbatches}; "
                f"{nearest} does"
            )
        return lambda leaf: leaf.reshape(num_microbatches, batch_size // num_microbatches, *leaf.shape[1:])

    return gradient


def rows_of(batch: Batch) -> int:
    """The number of examples; ValueError unless inputs, labels and weights have a row for each."""
    labels, inputs = jnp.shape(batch.labels), [jnp.shape(leaf) for leaf in jax.tree.leaves(batch.inputs)]
    size = labels[0] if labels else -1
    if any(shape[:1] != (size,) for shape in inputs):
        found = ", ".join(str(list(shape)) for shape in inputs)
        raise ValueError(f"labels must have one row for each of the inputs {found}, got {list(labels)}")
    if batch.weights is not None and jnp.shape(batch.weights) != (size,):
        raise ValueError(f"weights must be float [{size}], one for each example, got {list(jnp.shape(batch.weights))}")
    return size


def _first(parts: tuple[Array, Batch]) -> tuple[Array, Batch]:
    return jax.tree.map(lambda leaf: leaf[0], parts)


def _total(weights: Array) -> Array:
    total = jnp.asarray(weights).sum()
    return total if jnp.issubdtype(total.dtype, jnp.floating) else total.astype(jnp.float32)


def _weighted_sum(values: Array, weights: Array | None) -> Array:
    """Sum of weights * values, in which an example of weight 0 adds nothing even if its value is not finite."""
    if weights is None:
        return values.sum()
    share = weights.astype(values.dtype)
    return jnp.where(share > 0, share * values, 0.0).sum()
