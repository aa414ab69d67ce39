"""Upper bounds on the Lipschitz constant of a feed-forward network, in L2."""

import contextlib
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import scipy

from ib_jax.losses import LinearMap

_MAX_ENTRIES = 2**26  # of one layer's matrix: half a gigabyte
_CHUNK_ENTRIES = 2**22
_SMALL = 64  # rows up to which all eigenvalues cost nothing
_MARGIN = 1e-9  # relative, far above the rounding of a Cholesky factor


class LipschitzBounds(NamedTuple):
    """Upper bounds on a Lipschitz constant in L2, averaged <= product.

    Attributes:
      norms: float64 [m], the operator norm of each layer.
      product: their product; for any activations of Lipschitz constant one, among them the absolute value and maximum
        pooling without overlap.
      averaged: the mean over all ways to cut the chain; for firmly nonexpansive activations only.
    """

    norms: np.ndarray
    product: float
    averaged: float


def lipschitz_bounds(layers: Sequence[LinearMap | npt.ArrayLike]) -> LipschitzBounds:
    r"""Upper bounds on the Lipschitz constant of :math:`W_m R_{m-1} \cdots R_1 W_1` in L2, biases anywhere.

    .. math:: L \le 2^{-(m-1)} \sum_{S \subseteq \{1..m-1\}} \prod_{\text{pieces}} \|W_k \cdots W_{j+1}\|
              \le \prod_l \|W_l\|

    where S are the places at which the chain is cut, and each piece is the product of the matrices between two cuts. A
    firmly nonexpansive activation is :math:`R = (I + N)/2` with N nonexpansive: at the last place I merges two matrices
    and N cuts, and so on down the chain. A coordinate-wise activation is firmly nonexpansive if and only if it never
    decreases and its slope is at most one: relu, leaky relu, softplus, tanh, sigmoid, ELU. For the absolute value or
    sine the product alone holds; for GELU and SiLU, whose slopes reach 1.13 and 1.10, neither does. The sum has
    :math:`2^{m-1}` terms but obeys :math:`\theta_k = \sum_{j<k} \theta_j \|W_k \cdots W_{j+1}\|`, so it takes m (m + 1)
    / 2 norms.

    The norms are of whole matrices, in float64 from layers in float32, so none is below the true one by more than
    rounding, a relative 1e-6 or so (power iteration would err to the low side). For inputs that differ by at most
    :math:`\epsilon` in L-inf, outputs differ by at most :math:`\sqrt d L \epsilon` in L2, with d the dimensions of the
    input.

    Args:
      layers: in order of application: matrices [outputs, inputs], or `LinearMap`s as from `linear_chain`; at least one.

    Returns:
      LipschitzBounds.

    Raises:
      ValueError: there are no layers, one is not linear, sizes do not fit each other, a value is not finite, or a
        layer's matrix has more than 2^26 entries.

    Source: Szegedy et al., Intriguing Properties of Neural Networks, 2014, section 4.3 (product); Combettes and
    Pesquet, Lipschitz Certificates for Layered Network Structures Driven by Averaged Activation Operators, 2020.

    Example:
      >>> from ib_jax import evaluation
      >>> bounds = evaluation.lipschitz_bounds([[[1.0], [-1.0]], [[1.0, 1.0]]])  # |x| = relu(x) + relu(-x)
      >>> print(f"{bounds.product:.4f} {bounds.averaged:.4f}")
      2.0000 1.0000
    """
    if not len(layers):
        raise ValueError("layers must hold at least one layer, got none")
    matrices = [_matrix(place, layer) for place, layer in enumerate(layers)]
    for place, (first, second) in enumerate(itertools.pairwise(matrices)):
        if first.shape[0] != second.shape[1]:
            raise ValueError(
                f"layer {place + 1} must take the {first.shape[0]} outputs of layer {place}, got {second.shape[1]}"
            )
    norms, sums = [], [1.0]  # sums[k] is theta_k
    for end in range(len(matrices)):
        merged = matrices[end]
        norms.append(_norm(merged))
        total = sums[end] * norms[end]
        for start in range(end - 1, -1, -1):
            merged = merged @ matrices[start]
            total += sums[start] * _norm(merged)
        sums.append(total)
    return LipschitzBounds(np.array(norms), float(np.prod(norms)), sums[-1] / 2.0 ** (len(matrices) - 1))


def _matrix(place: int, layer: LinearMap | npt.ArrayLike) -> np.ndarray:
    """float64 [outputs, inputs] of a layer."""
    matrix = _materialise(place, layer) if isinstance(layer, LinearMap) else np.asarray(layer, np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"layer {place} must be a LinearMap or a matrix [outputs, inputs], got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"layer {place} must be finite, got infinite values or NaN")
    return matrix


def _materialise(place: int, layer: LinearMap) -> np.ndarray:
    """The matrix whose columns are what a linear map makes of the unit vectors."""
    inputs = math.prod(layer.input_shape)
    one = jax.ShapeDtypeStruct(layer.input_shape, jnp.float32)
    image = jax.eval_shape(layer.linear_fn, one)
    outputs = math.prod(image.shape)
    if inputs * outputs > _MAX_ENTRIES:
        raise ValueError(
            f"layer {place} must have a matrix of at most {_MAX_ENTRIES} entries, got {outputs} x {inputs}; "
            "losses.operator_norm estimates its norm, from below"
        )

    try:
        jax.eval_shape(jax.linear_transpose(layer.linear_fn, one), image)  # else its derivative at zero would do for it
    except NotImplementedError as error:
        raise ValueError(
            f"layer {place} must be linear up to a constant, got a function that is not: {error}"
        ) from None

    @jax.jit
    def columns(start: int) -> jax.Array:
        units = jax.nn.one_hot(start + jnp.arange(rows), inputs, dtype=jnp.float32)  # zeros beyond the last
        images = jax.vmap(lambda unit: _linear_part(layer, unit.reshape(layer.input_shape)))(units)
        return images.reshape(rows, outputs)

    rows = min(inputs, max(1, _CHUNK_ENTRIES // max(inputs, outputs)))
    parts = [np.asarray(columns(start), np.float64) for start in range(0, inputs, rows)]
    return np.concatenate(parts)[:inputs].T


def _linear_part(layer: LinearMap, unit: jax.Array) -> jax.Array:
    return jax.jvp(layer.linear_fn, (jnp.zeros_like(unit),), (unit,))[1]


def _norm(matrix: np.ndarray) -> float:
    """The largest singular value, by the smaller of the two Gram matrices."""
    scale = float(np.abs(matrix).max(initial=0.0))
    if scale == 0.0:
        return 0.0
    small = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T) / scale
    return scale * math.sqrt(_largest_eigenvalue(small @ small.T))


def _largest_eigenvalue(gram: np.ndarray) -> float:
    """The largest eigenvalue, not below it: Lanczos finds it many times faster, and a Cholesky factor is the proof."""
    size = gram.shape[0]
    if size > _SMALL:
        start = np.random.default_rng(0).normal(size=size)
        with contextlib.suppress(scipy.sparse.linalg.ArpackError, np.linalg.LinAlgError):
            (found,) = scipy.sparse.linalg.eigsh(gram, 1, v0=start, tol=1e-12, return_eigenvectors=False)
            bound = float(found) * (1.0 + _MARGIN)
            np.linalg.cholesky(bound * np.eye(size) - gram)  # fails where an eigenvalue is above the bound
            return bound
    return float(np.linalg.eigvalsh(gram)[-1])
