"""Variational bounds and the objectives they are compared with: pure functions of apply-fns and a batch.

Each takes (key, inputs, labels, *, encode_fn, decode_fn, ...) and returns BoundTerms, per example and in nats.
"""

from ib_jax.bounds.ceb import ceb
from ib_jax.bounds.confidence_penalty import confidence_penalty
from ib_jax.bounds.consistent_ceb import consistent_ceb
from ib_jax.bounds.cross_entropy import cross_entropy
from ib_jax.bounds.label_smoothing import label_smoothing
from ib_jax.bounds.vib import vib
from ib_jax.bounds.vub import vub

__all__ = ["ceb", "confidence_penalty", "consistent_ceb", "cross_entropy", "label_smoothing", "vib", "vub"]
