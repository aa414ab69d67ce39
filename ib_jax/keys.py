"""PRNG keys whose numbers do not depend on the rest of the batch. The only module that distinguishes key types."""

import jax
import jax.numpy as jnp

from ib_jax.types import Array

_IMPL, _WORDS = "threefry2x32", 2


def counter_key(key: Array) -> Array:
    """Converts a key of any type to a threefry key.

    Under `vmap`, JAX's hardware keys ("rbg", "unsafe_rbg", of `JAX_DEFAULT_PRNG_IMPL`) give a row of the batch numbers
    that change with the other rows; so would splitting or folding them. Threefry's numbers are a function of the
    key alone. So code whose noise must not depend on the other rows, or on the number of devices, calls this before
    it makes keys for examples or members.

    Args:
      key: a key, or any array of keys; or old-style keys, uint32 [..., 2] (threefry) or [..., 4] (rbg).

    Returns:
      Typed threefry keys of the same shape: threefry keys as they are; of others, the first two words are the key,
      and each further word is folded in.

    Raises:
      ValueError: the argument holds no keys.

    Example:
      >>> import jax
      >>> from ib_jax import keys
      >>> keys.counter_key(jax.random.key(0, impl="rbg")).dtype
      key<fry>
    """
    if not hasattr(key, "dtype"):
        raise ValueError(f"key must be a PRNG key, such as jax.random.key(0), or an array of them, got {key!r}")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if str(jax.random.key_impl(key)) == _IMPL:
            return key
        key = jax.random.key_data(key)
    if key.dtype != jnp.uint32 or key.ndim < 1 or key.shape[-1] not in (_WORDS, 2 * _WORDS):
        raise ValueError(
            "key must be a PRNG key, such as jax.random.key(0), or the words of one, uint32 [..., 2] or [..., 4], got "
            f"{key.dtype} {list(key.shape)}"
        )
    words = key.reshape(-1, key.shape[-1])
    found = jax.random.wrap_key_data(words[:, :_WORDS], impl=_IMPL)
    for index in range(_WORDS, words.shape[1]):
        found = jax.vmap(jax.random.fold_in)(found, words[:, index])
    return found.reshape(key.shape[:-1])


def example_keys(key: Array, rows: Array) -> Array:
    """The keys of some examples, a function of one key and of each example's number alone.

    Args:
      key: one key, of any type.
      rows: uint32 [B], the examples' numbers.

    Returns:
      Threefry keys [B], `fold_in(counter_key(key), row)`.

    Raises:
      ValueError: `key` is not a key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import keys
      >>> keys.example_keys(jax.random.key(0), jnp.arange(3, dtype=jnp.uint32)).shape
      (3,)
    """
    return _fold(counter_key(key), rows)


# Outside `jit`, compiles one program rather than one for each operation.
_fold = jax.jit(jax.vmap(jax.random.fold_in, (None, 0)), inline=True)


def from_words(words: Array) -> Array:
    """Typed keys from the words of `jax.random.key_data`, threefry or rbg; for states that hold plain numbers.

    Args:
      words: uint32 [..., 2] of threefry, or [..., 4] of rbg (and unsafe_rbg, whose words mean the same here).

    Returns:
      Keys [...].

    Example:
      >>> import jax
      >>> from ib_jax import keys
      >>> keys.from_words(jax.random.key_data(jax.random.key(0))) == jax.random.key(0)
      Array(True, dtype=bool)
    """
    return jax.random.wrap_key_data(words, impl=_IMPL if words.shape[-1] == _WORDS else "rbg")
