"""What binds the files of an evaluation to what they were made from."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def digest(content: Any) -> str:
    """What identifies a pytree of arrays, PRNG keys among them."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(content):
        is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        found.update(f"{jax.random.key_impl(leaf) if is_key else ''}{array.dtype}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()
