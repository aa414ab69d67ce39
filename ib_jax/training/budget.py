"""How many microbatches a step takes and how many steps a stretch has, by the memory of the devices and the host."""

from typing import Any

import jax
import numpy as np

from ib_jax.training.capacity import USABLE, Footprint, size_of
from ib_jax.training.gradient import Batch, LossFn
from ib_jax.types import Params

STRETCHES = 4
"""Stretches of handed-over batches at a time: two ahead and one on its way (`feed`), one in the step."""
_SHARE = 0.25  # of the free memory, for stretches


def measure_examples(loss_fn: LossFn, state: Any, batch: Batch, *more: Any) -> Footprint:
    """The memory that a step needs on a device, from shapes alone.

    Nothing is compiled, and the result is the same on every machine, though not in every JAX: 0.10 keeps two arrays for
    a `tanh`, 0.12 one.

    An example costs itself and what the backward pass needs of its forward pass, by `jax.vjp`; XLA, which fuses
    operations, needs up to a half less. The rest is the state and two copies of the parameters: a gradient and the sum
    of gradients.

    Args:
      loss_fn: of `make_train_step`.
      state: a TrainState, arrays or their shapes.
      batch: two examples as the loss takes them, arrays or their shapes.
      *more: what else the loss takes, such as rho.

    Returns:
      Footprint, whose members are examples.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import BoundTerms, training
      >>> def loss_fn(params, keys, inputs, labels):
      ...     loss = jnp.square(inputs @ params).sum(-1)
      ...     return BoundTerms(loss, loss)
      >>> state = training.init_state(jax.random.key(0), jnp.zeros((100, 50)), optax.sgd(0.1), 0.0)
      >>> footprint = training.measure_examples(loss_fn, state, training.Batch(jnp.zeros((2, 100)), jnp.zeros(2)))
      >>> footprint.member  # its 100 inputs twice, its label, and what the square keeps of its 50 outputs
      1004
    """

    def kept(num_examples: int) -> int:
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_examples))
        rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((num_examples, *leaf.shape[1:]), leaf.dtype), batch)

        def pullback(params: Params, *args: Any) -> Any:
            def loss(params: Params) -> Any:
                found = loss_fn(params, *args)
                return (found[0] if type(found) is tuple else found).loss.sum()

            return jax.vjp(loss, params)[1]

        return _bytes(jax.eval_shape(pullback, state.params, keys, rows.inputs, rows.labels, *more))

    itself = _bytes((batch.inputs, batch.labels)) // batch.labels.shape[0]
    return Footprint(_bytes(state) + 2 * _bytes(state.params), itself + kept(2) - kept(1))


def plan_microbatches(num_rows: int, footprint: Footprint, *, free_bytes: int) -> int:
    """The fewest parts in which a device can take its share of a batch.

    Args:
      num_rows: of the share.
      footprint: from `measure_examples`.
      free_bytes: of the device.

    Returns:
      A divisor of `num_rows`, for `make_train_step`.

    Raises:
      ValueError: not even one example fits.

    Example:
      >>> from ib_jax import training
      >>> from ib_jax.training.capacity import Footprint
      >>> training.plan_microbatches(1024, Footprint(shared=4 * 10**8, member=137 * 10**6), free_bytes=16 * 10**9)
      16
    """
    fit = (int(USABLE * (1 - _SHARE) * free_bytes) - footprint.shared) // footprint.member
    if fit < 1:
        raise ValueError(
            f"not one example fits a device: it needs {size_of(footprint.member)} plus {size_of(footprint.shared)} "
            f"for the parameters and the optimizer, and {size_of(free_bytes)} are free"
        )
    return next(parts for parts in _divisors(num_rows) if num_rows // parts <= fit)


def plan_stretch(steps: int, batch: Batch, *, device_bytes: int, host_bytes: int, num_local_devices: int) -> int:
    """How many steps a stretch of batches may have, if devices and host hold four stretches at a time.

    Args:
      steps: that it must divide: those of an epoch.
      batch: what a device is handed for a step, arrays or their shapes.
      device_bytes: free on a device.
      host_bytes: free for this process.
      num_local_devices: that the process feeds.

    Returns:
      A divisor of `steps`; 1, if no step fits.

    Example:
      >>> import numpy as np
      >>> from ib_jax import training
      >>> batch = training.Batch(np.zeros((1024, 224, 224, 3), np.uint8), np.zeros(1024, np.int32))
      >>> training.plan_stretch(156, batch, device_bytes=16 * 10**9, host_bytes=64 * 10**9, num_local_devices=8)
      3
    """
    step = STRETCHES * _bytes(batch)
    fit = int(_SHARE * min(device_bytes // step, host_bytes // (step * num_local_devices)))
    return max((divisor for divisor in _divisors(steps) if divisor <= fit), default=1)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _bytes(tree: Any) -> int:
    return sum(_leaf_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _leaf_bytes(leaf: Any) -> int:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return 4 * leaf.size
    return int(leaf.size) * np.dtype(leaf.dtype).itemsize
