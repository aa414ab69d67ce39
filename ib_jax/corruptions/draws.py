"""Random numbers for a whole batch, each example's from its own key.

On a CPU, random bits are most of the cost of noise. An image has 256 levels, so 16 random bits per number are enough
for noise, at half the cost. All numbers are drawn as flat vectors: with three channels as the last axis the same draws
take twice as long.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.keys import counter_key
from ib_jax.types import Array


def words16(keys: Array, shape: tuple[int, ...]) -> Array:
    """Whole numbers, uniform over 0..65535: int32 [B, *shape]."""
    size = math.prod(shape)

    def draw(key: Array) -> Array:
        bits = jax.random.bits(key, (-(-size // 2),), jnp.uint32)
        return jnp.concatenate([bits & 0xFFFF, bits >> 16])[:size].astype(jnp.int32)

    return jax.vmap(draw)(counter_key(keys)).reshape(len(keys), *shape)


def normal16(keys: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers, float32 [B, *shape]: the 65,536 middle quantiles, each with the same probability.

    The largest is 4.3; mean 0 and variance 1 - 4e-5.
    """
    uniform = (words16(keys, (math.prod(shape),)).astype(jnp.float32) + 0.5) / 2**15 - 1.0
    return (math.sqrt(2.0) * jax.lax.erf_inv(uniform)).reshape(len(keys), *shape)


def uniform(keys: Array, shape: tuple[int, ...], low: float, high: float) -> Array:
    """float32 [B, *shape] in [low, high)."""
    size = math.prod(shape)
    return jax.vmap(lambda key: jax.random.uniform(key, (size,), jnp.float32, low, high))(counter_key(keys)).reshape(
        len(keys), *shape
    )


def integers(keys: Array, shape: tuple[int, ...], low: int, high: int) -> Array:
    """int32 [B, *shape], low <= number < high, at most 256 of them; uniform to a share of high - low in 65,536."""
    return low + (words16(keys, shape) * (high - low) >> 16)


def discrete(keys: Array, rows: Array, probabilities: np.ndarray) -> Array:
    """Draws from tables of probabilities by Walker's alias method: two look-ups each, for any number of outcomes.

    Args:
      keys: [B].
      rows: int [B, ...], the row of the table by which each number is drawn.
      probabilities: float [R, K], each row sums to one; known when the program is compiled.

    Returns:
      int32 [B, ...], in [0, K).

    Source: Walker, An efficient method for generating discrete random variables with general distributions, 1977.

    Example:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from ib_jax.corruptions import draws
      >>> keys = jax.random.split(jax.random.key(0), 2)
      >>> draws.discrete(keys, jnp.array([[0, 1, 0], [1, 1, 0]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
      Array([[1, 0, 1],
             [0, 0, 1]], dtype=int32)
    """
    thresholds, aliases = alias_tables(np.ascontiguousarray(probabilities).tobytes(), probabilities.shape)
    num_columns = thresholds.shape[1]
    column_bits = num_columns.bit_length() - 1
    size = math.prod(rows.shape[1:])
    bits = jax.vmap(lambda key: jax.random.bits(key, (size,), jnp.uint32))(counter_key(keys)).reshape(rows.shape)
    columns = (bits & (num_columns - 1)).astype(jnp.int32)
    share = (bits >> column_bits).astype(jnp.float32) / 2.0 ** (32 - column_bits)
    entries = rows.astype(jnp.int32) * num_columns + columns
    own = share < jnp.asarray(thresholds.reshape(-1))[entries]
    return jnp.where(own, columns, jnp.asarray(aliases.reshape(-1))[entries])


@functools.lru_cache(maxsize=16)
def alias_tables(content: bytes, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Walker's tables of rows of probabilities (float64, as bytes): thresholds float32 and aliases int32, [R, 2^n]."""
    probabilities = np.frombuffer(content).reshape(shape)
    num_columns = 1 << (shape[1] - 1).bit_length()
    scaled = np.zeros((shape[0], num_columns))
    scaled[:, : shape[1]] = probabilities / probabilities.sum(1, keepdims=True) * num_columns
    aliases = np.tile(np.arange(num_columns, dtype=np.int32), (shape[0], 1))
    for row, alias in zip(scaled, aliases, strict=True):
        small, large = list(np.flatnonzero(row < 1)), list(np.flatnonzero(row >= 1))
        while small and large:
            poor, rich = small.pop(), large[-1]
            alias[poor] = rich
            row[rich] -= 1 - row[poor]
            if row[rich] < 1:
                small.append(large.pop())
        row[large + small] = 1.0  # what is left differs from one by rounding
    return scaled.astype(np.float32), aliases
