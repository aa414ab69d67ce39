"""Which loops are compiled whole, and that a loop of one step is none."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import loops

IMAGES, KERNEL, WEIGHTS = jnp.ones((2, 4, 4, 3)), jnp.ones((3, 3, 3, 2)), jnp.ones((48, 2))


def convolve(images):
    return jax.lax.conv_general_dilated(images, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def multiply(images):
    return nn.relu(images.reshape(-1, 48) @ WEIGHTS)


def with_jvp(fn):
    wrapped = jax.custom_jvp(fn)
    wrapped.defjvp(lambda primals, tangents: jax.jvp(fn, primals, tangents))
    return wrapped


def with_vjp(fn):
    wrapped = jax.custom_vjp(fn)
    wrapped.defvjp(lambda x: (fn(x), x), lambda x, slope: jax.vjp(fn, x)[1](slope))
    return wrapped


NESTS = {
    "plain": lambda fn: fn,
    "jit": jax.jit,
    "grad": lambda fn: jax.grad(lambda x: fn(x).sum()),
    "vmap": lambda fn: lambda x: jax.vmap(fn)(x[:, None]),
    "custom_jvp": with_jvp,
    "custom_vjp": with_vjp,
    "remat": jax.checkpoint,
    "cond": lambda fn: lambda x: jax.lax.cond(x.sum() > 0, fn, lambda x: 0 * fn(x), x),
    "map": lambda fn: lambda x: jax.lax.map(fn, x[:, None]),
    "all of them": lambda fn: jax.jit(jax.grad(lambda x: jax.vmap(with_jvp(jax.jit(fn)))(x[:, None]).sum())),
}


@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
@pytest.mark.parametrize(("platform", "convolution_is_whole"), [("cpu", False), ("gpu", True), ("tpu", True)])
def test_on_a_cpu_convolutions_are_not_compiled_in_loops(monkeypatch, nest, platform, convolution_is_whole):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert loops.compiles_whole(nest(convolve), IMAGES) == convolution_is_whole
    assert loops.compiles_whole(nest(multiply), IMAGES)


def test_a_network_is_told_by_its_shapes_alone(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    images = jax.ShapeDtypeStruct((1, 4, 4, 3), jnp.float32)
    for layer, expected in [(nn.Conv(2, (3, 3)), False), (nn.Dense(2), True)]:
        shapes = jax.eval_shape(layer.init, jax.random.key(0), images)
        assert loops.compiles_whole(layer.apply, shapes, images) == expected


def body(state, x):
    total, matrix = state
    matrix = jnp.tanh(matrix @ matrix) + (0.0 if x is None else x["scale"])
    total = total + (1 if x is None else x["count"])
    return (total, matrix), {"trace": jnp.trace(matrix), "total": total}


def start():
    return jnp.int32(0), jnp.arange(9, dtype=jnp.float32).reshape(3, 3) / 10


def inputs(length, given):
    return (
        {"scale": jnp.linspace(0, 1, length, dtype=jnp.float32), "count": jnp.arange(1, length + 1, dtype=jnp.int32)}
        if given
        else None
    )


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("given", [True, False], ids=["xs", "no xs"])
def test_scan_is_that_of_lax(length, given):
    expected = jax.lax.scan(body, start(), inputs(length, given), length=length)
    got = loops.scan(body, start(), inputs(length, given), length)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for leaf, its in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (leaf.shape, leaf.dtype) == (its.shape, its.dtype)
        np.testing.assert_allclose(leaf, its, rtol=1e-6)


def num_loops(scan, length):
    run = jax.jit(lambda state, xs: scan(body, state, xs, length))
    return run.lower(start(), inputs(length, True)).compile().as_text().count(" while(")


def test_one_step_is_no_loop():
    assert num_loops(loops.scan, 1) == 0
    assert num_loops(loops.scan, 3) == 1


@pytest.mark.parametrize(
    ("whole", "num_steps", "loops_in_program"), [(True, 5, 1), (False, 5, 0), (True, 1, 0), (False, 65, 1)]
)
def test_what_is_repeated_is_written_out_where_a_loop_would_be_slow(whole, num_steps, loops_in_program):
    run = lambda x: loops.repeat(lambda state: 2 * state + 1, x, num_steps, whole=whole)
    program = str(jax.make_jaxpr(run)(jnp.float32(0)))
    assert program.count("scan[") + program.count("while[") == loops_in_program
    assert float(run(jnp.float32(0))) == 2.0**num_steps - 1


def test_a_traced_number_of_steps_is_a_loop():
    run = jax.jit(lambda x, count: loops.repeat(lambda state: state + x, 0.0, count, whole=False))
    assert [float(run(2.0, count)) for count in (0, 1, 3)] == [0.0, 2.0, 6.0]
