"""The promotion of types and ranks that other libraries were written for."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def of_others() -> Iterator[None]:
    """Within it JAX promotes types and ranks as it does by default, for code that is not ours.

    Ours says what it means, and works under `jax_numpy_dtype_promotion=strict` and `jax_numpy_rank_promotion=raise`.
    optax' Adam, among others, does not: it raises a float to the power of a count.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import promotion
      >>> with jax.numpy_dtype_promotion("strict"), promotion.of_others():
      ...     jnp.float32(0.5) ** jnp.int32(2)
      Array(0.25, dtype=float32)
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
