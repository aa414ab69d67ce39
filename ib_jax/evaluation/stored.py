"""Files of evaluations that go on after a kill: written whole or not at all, and bound to what they were made from."""

import hashlib
import os
import pathlib
from collections.abc import Callable
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


def write_whole(path: pathlib.Path, write: Callable[[Any], object]) -> None:
    """A file that is there whole or not at all, whenever the process is killed."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        write(file)
    os.replace(partial, path)
