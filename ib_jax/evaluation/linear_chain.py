"""The linear layers of a network, found in its traced program; anything but a plain chain is refused."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ib_jax.losses import LinearMap
from ib_jax.types import Array

# What each operation is when one of its operands depends on the input and the others do not.
_AFFINE = {"add", "conv_general_dilated", "div", "dot_general", "mul", "neg", "reduce_sum", "reduce_window_sum", "sub"}
_MOVES = {"broadcast_in_dim", "copy", "expand_dims", "reshape", "rev", "slice", "split", "squeeze", "transpose"}
_ACTIVATIONS = {"logistic", "max", "min", "tanh"}  # coordinate by coordinate, not decreasing, slope at most one
_CALLS = {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "jit": "jaxpr", "pjit": "jaxpr"}


class _Value(NamedTuple):
    """An array each entry of which is an activation of one coordinate of the last linear layer's output.

    Attributes:
      stage: number of the layer; 0 is the input of the network.
      source: int array, which coordinate.
      plain: whether there has been no activation, so that the next linear map merges with the layer.
    """

    stage: int
    source: np.ndarray
    plain: bool


def linear_chain(fn: Callable[[Array], Any], input_shape: Sequence[int]) -> list[LinearMap]:
    r"""The linear layers of a feed-forward network, :math:`W_m R \cdots R W_1`, for bounds on its Lipschitz constant.

    The function is traced, not run on data. Dense layers, convolutions, sums, average pooling and scalings by constants
    (a map 2x - 1, a normalisation by stored statistics) become linear maps, and neighbours without an activation
    between them become one; added constants do not count. Activations must act coordinate by coordinate, never decrease
    and have slopes of at most one: relu, softplus, tanh, sigmoid, clipping from one side. Then they are firmly
    nonexpansive, as `lipschitz_bounds` asks. Several outputs (mean and scale of a Gaussian) are one joint output; a
    coordinate of the last layer that is not returned is dropped.

    Guaranteed: what is returned is the network up to constants and such activations, or it raises. Pure in the
    parameters: it works under `jit` and `grad`, so that `losses.spectral_penalty` takes its result.

    Args:
      fn: float32 ``[B, *input_shape]`` -> a pytree of arrays, such as `lambda x: model.encode(params, x)`. Any
        framework.
      input_shape: shape of one example.

    Returns:
      The layers in order, at least one. Each takes one example with a leading axis of one.

    Raises:
      ValueError: the network is no plain chain: branches that meet (residual connections, products of features, batch
        or layer normalisation), maximum pooling, activations not named above (absolute value, GELU, leaky ReLU, ELU),
        rounding to a lower precision, or no linear layer at all.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation, models
      >>> model = models.mlp_classifier(latent_dim=2, num_classes=10, hidden=(16, 16))
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
      >>> chain = evaluation.linear_chain(lambda x: model.encode(params, x), (8, 8, 1))
      >>> [layer.input_shape for layer in chain]
      [(1, 8, 8, 1), (1, 16), (1, 16)]
      >>> bounds = evaluation.lipschitz_bounds(chain)
      >>> bool(bounds.averaged <= bounds.product)
      True
    """
    shape = (1, *input_shape)
    with jax.default_matmul_precision("highest"):
        closed, out_shape = jax.make_jaxpr(fn, return_shape=True)(jnp.zeros(shape))
    if not jax.tree.leaves(out_shape):
        raise ValueError("fn must return at least one array, got none")
    walk = _Walk(shape)
    start = _Value(0, np.arange(int(np.prod(shape))).reshape(shape), True)
    return walk.finish(walk.run(closed.jaxpr, closed.consts, [start]))


class _Walk:
    """A pass over a program, in which constants are computed and all else is traced to the last linear layer."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape  # of the last layer's output
        self.layers: list[LinearMap] = []
        self.stage = 0

    def run(self, jaxpr: core.Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, args, strict=True))
        read = lambda var: var.val if isinstance(var, core.Literal) else known[var]  # noqa: E731
        for equation in jaxpr.eqns:
            known.update(zip(equation.outvars, self.outputs(equation, [read(v) for v in equation.invars]), strict=True))
        return [read(var) for var in jaxpr.outvars]

    def outputs(self, equation: Any, operands: list[Any]) -> list[Any]:
        name = equation.primitive.name
        variable = [place for place, operand in enumerate(operands) if isinstance(operand, _Value)]
        if not variable:
            return _bind(equation, operands)
        if len(variable) == 1 and name in _CALLS and _is_softplus(equation):
            return [operands[variable[0]]._replace(plain=False)]
        if name in _CALLS:
            inner = equation.params[_CALLS[name]]
            return self.run(inner.jaxpr, inner.consts, operands)
        if len(variable) > 1:
            raise _refused(f"'{name}' joins two branches; a residual connection, normalisation or product of features")
        place = variable[0]
        value: _Value = operands[place]
        if name in _MOVES:
            with jax.ensure_compile_time_eval():
                moved = _bind(equation, [value.source.astype(np.int32)])
            return [value._replace(source=np.asarray(source)) for source in moved]
        if name == "convert_element_type":
            if equation.params["new_dtype"] not in (jnp.float32, jnp.float64):
                raise _refused(f"a conversion to {equation.params['new_dtype']} rounds; use float32 (compute_dtype)")
            return [value]
        if name in _ACTIVATIONS:
            return [value._replace(plain=False)]
        if name == "add" or (name == "sub" and place == 0):
            return [value]
        if name in _AFFINE and not (name == "div" and place == 1):
            dtype = equation.invars[place].aval.dtype

            def affine_fn(x: Array) -> Array:
                return _bind(equation, [*operands[:place], x.astype(dtype), *operands[place + 1 :]])[0]

            return [self.add_layer(value, affine_fn)]
        raise _refused(f"'{name}' is neither a linear layer nor an activation that is known to be firmly nonexpansive")

    def add_layer(self, value: _Value, affine_fn: Callable[[Array], Array]) -> _Value:
        """Appends an affine map of the value to the chain."""
        if value.stage != self.stage:
            raise _refused("one layer's output goes into two others, so the network branches")
        _check_distinct(value.source)
        gather = _gather(value.source, self.shape)

        def linear_fn(x: Array) -> Array:
            x = gather(x)
            return jax.jvp(affine_fn, (jnp.zeros_like(x),), (x,))[1]  # without the constant

        self.append(linear_fn, merge=value.plain)
        size = int(np.prod(self.shape))
        return _Value(self.stage, np.arange(size).reshape(self.shape), True)

    def append(self, linear_fn: Callable[[Array], Array], *, merge: bool) -> None:
        shape = self.shape
        self.shape = jax.eval_shape(linear_fn, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
        self.stage += 1
        if merge and self.layers:
            first, shape = self.layers.pop()
            self.layers.append(LinearMap(lambda x: linear_fn(first(x)), shape))
        else:
            self.layers.append(LinearMap(linear_fn, shape))

    def finish(self, outputs: Sequence[Any]) -> list[LinearMap]:
        """Checks the outputs, and cuts off what is not among them."""
        values = [output for output in outputs if isinstance(output, _Value)]
        if not self.layers:
            raise _refused("it has no linear layer, or its output does not depend on the input")
        if not values or any(value.stage != self.stage for value in values):
            raise _refused("an output is not of the last layer, so the network branches")
        index = np.concatenate([value.source.reshape(-1) for value in values])
        _check_distinct(index)
        if index.size < np.prod(self.shape):
            self.append(_gather(np.sort(index), self.shape), merge=True)
        return self.layers


def _bind(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """The results of one operation."""
    params = equation.primitive.get_bind_params(equation.params)
    functions, params = params if isinstance(params, tuple) else ((), params)  # a pair before jax 0.10.1
    found = equation.primitive.bind(*functions, *operands, **params)
    return list(found) if equation.primitive.multiple_results else [found]


def _gather(index: np.ndarray, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """The linear map that takes coordinates; without a gather where it only reshapes."""
    if index.size == np.prod(shape) and np.array_equal(index.reshape(-1), np.arange(index.size)):
        return lambda x: x.reshape(index.shape)
    return lambda x: x.reshape(-1)[index]


def _check_distinct(index: np.ndarray) -> None:
    if np.unique(index).size < index.size:
        raise _refused("a coordinate is used twice")


def _is_softplus(equation: Any) -> bool:
    """Whether a call is the very program of `jax.nn.softplus`, which inside is no chain."""
    operand = equation.invars[0].aval
    program = jax.make_jaxpr(jax.nn.softplus)(jax.ShapeDtypeStruct(operand.shape, operand.dtype)).eqns[0]
    return equation.primitive.name == program.primitive.name and str(equation.params["jaxpr"]) == str(
        program.params["jaxpr"]
    )


def _refused(reason: str) -> ValueError:
    return ValueError(f"fn must be a plain chain of linear layers and activations: {reason}")
