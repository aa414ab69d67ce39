"""In which precision kernels compute, and how arrays of several ranks meet: said, and not left to JAX's settings."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


def wide_dtype(*of: Any) -> np.dtype:
    """float64 if any of the arguments is, else float32: sums in a lower precision lose what they add up.

    Decided here and not by JAX's promotion of types, which `jax_numpy_dtype_promotion=strict` forbids.

    Args:
      of: arrays or dtypes.

    Returns:
      A dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> losses.wide_dtype(jnp.zeros(2, jnp.bfloat16), jnp.float16)
      dtype('float32')
    """
    dtypes = [jnp.dtype(getattr(one, "dtype", one)) for one in of]
    return jnp.dtype(jnp.float64 if jnp.float64 in dtypes else jnp.float32)


def widened(*arrays: Any) -> list[Any]:
    """Arrays in their common precision, at least float32.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> [array.dtype.name for array in losses.widened(jnp.zeros(2, jnp.bfloat16), jnp.zeros(2))]
      ['float32', 'float32']
    """
    dtype = wide_dtype(*arrays)
    return [array.astype(dtype) for array in arrays]


def one_rank(*arrays: Any) -> list[Any]:
    """Puts axes of length 1 in front, so that all arrays have the same rank and broadcast under every setting of JAX.

    `jax_numpy_rank_promotion=raise` forbids what is intended here: one prior for all examples, the same labels for all
    samples.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax import losses
      >>> [array.shape for array in losses.one_rank(jnp.zeros((5, 2)), jnp.zeros(2), jnp.zeros(()))]
      [(5, 2), (1, 2), (1, 1)]
    """
    rank = max(jnp.ndim(array) for array in arrays)
    return [jnp.reshape(array, (1,) * (rank - jnp.ndim(array)) + jnp.shape(array)) for array in arrays]


def one_program(kernel: Function) -> Function:
    """Compiles a kernel as one program where it is called outside of one; inside it changes nothing.

    `jax_debug_infs` looks at what programs return. So it does not stop at an infinity that only masks an entry of a
    maximum or of a sum of exponentials inside.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import losses
      >>> with jax.debug_infs(True):
      ...     losses.margin(jnp.array([[1.0, 3.0]]), jnp.array([1]))
      Array([2.], dtype=float32)
    """
    return jax.jit(kernel, inline=True)  # type: ignore[return-value]
