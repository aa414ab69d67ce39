"""Named streams of random numbers: every use of a seed has a key of its own.

Training keeps `split(key(seed))`, the keys of the initial parameters and of the run, so that its checkpoints can be
resumed. Whatever else a seed decides takes its key from here. Two uses that fold the same number share their noise, and
a judge that shares noise with an attack answers from samples that the attack has seen.
"""

import hashlib
from typing import Literal, get_args

import jax
import numpy as np

from ib_jax.types import Array

Name = Literal[
    "evaluation",  # errors, information and calibration of a model on images as they are
    "attack",  # attacks on a trained model
    "judge",  # the answers to what those attacks made
    "one_sample",  # a second judge, who answers from one sample
    "check",  # what looks for masked gradients
    "rate",  # samples behind a rate that has no closed form
    "robustness",  # attack and judge in one program, which splits each example's key between them
    "training_attack",  # attacks from the host between two epochs of training
    "targets",  # the classes that targeted attacks aim at
    "ascent",  # first directions of the search for a Lipschitz constant
    "corruption",  # the noise of corrupted images
]
NAMES: tuple[Name, ...] = get_args(Name)


def stream(seed: int | Array, name: Name) -> Array:
    """The key of one use of a seed, independent of those of all other uses and of training.

    Fold it with an example's, a batch's or an epoch's number; never fold a seed's key with a number by hand.

    Args:
      seed: of the model or the data; an int, or an int array [], which may be traced.
      name: of the use, one of `NAMES`.

    Returns:
      A typed PRNG key, [].

    Raises:
      ValueError: `name` is not declared.

    Example:
      >>> from experiments.core.keys import stream
      >>> bool(jax.random.bits(stream(0, "attack")) == jax.random.bits(stream(0, "judge")))
      False
      >>> stream(0, "atack")
      Traceback (most recent call last):
      ...
      ValueError: name must be one of evaluation, attack, judge, one_sample, check, rate, robustness, training_attack, \
targets, ascent, corruption, got 'atack'; a new use is declared in experiments/core/keys.py
    """
    if name not in NAMES:
        raise ValueError(
            f"name must be one of {', '.join(NAMES)}, got {name!r}; a new use is declared in experiments/core/keys.py"
        )
    return jax.random.fold_in(jax.random.key(seed), number_of(name))


def number_of(name: str) -> np.uint32:
    """The number that a name stands for: the same in every process, and at least 2**31, so that no index is it.

    `jax.random.split(key)[i]` is `fold_in(key, i)`: small numbers are taken by whoever splits the seed's key.

    Example:
      >>> int(number_of("attack"))
      4238542457
    """
    return np.uint32(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") | 1 << 31)
