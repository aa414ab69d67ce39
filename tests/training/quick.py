"""Compiles fast what runs for milliseconds."""

import jax

OPTIONS = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def quick(fn):
    """`jax.jit`, in about a fifth of the time that it takes to compile."""
    return jax.jit(fn, compiler_options=OPTIONS)
