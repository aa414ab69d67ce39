"""Carlini-Wagner as the papers and the other libraries set it."""

import functools

from ib_jax import attacks

# The library's own default measures c by the slope of the margin. A c that a paper or a peer library names is in logits
# (nats) per squared unit, and would be another attack under that measure.
carlini_wagner = functools.partial(attacks.carlini_wagner, const_per="nat")
