"""Quadrature over a mixture of axis-aligned Gaussians in one or two dimensions."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_REACH = 9.0  # scales on each side of a mean; the mass beyond is 2e-19
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_MAX_POINTS = 200_000_000
_CHUNK_POINTS = 500_000


class Axis(NamedTuple):
    """Nodes along one axis. Densities on it are per narrowest scale, so that none can overflow.

    Attributes:
      nodes: float [Q], not scaled.
      weights: float [Q], the weights of the rule over `unit`.
      mean: float [N], of each component.
      scale: float [N].
      unit: float, the narrowest scale.
    """

    nodes: np.ndarray
    weights: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    unit: float

    def log_density(self, part: slice) -> np.ndarray:
        """The log-density of each component at some of the nodes, times `unit`, float [N, P]."""
        with np.errstate(over="ignore"):
            squares = ((self.nodes[part] - self.mean[:, None]) / self.scale[:, None]) ** 2
        # Far out a log-density is only ever multiplied by a density that underflows; the cap keeps it finite.
        constants = 0.5 * np.log(2.0 * np.pi) + np.log(self.scale / self.unit)
        return -0.5 * np.minimum(squares, 1e6) - constants[:, None]


class Chunk(NamedTuple):
    """Some points of the grid: the product of a part of the first axis, [P], with the second, [Q].

    Attributes:
      first: float [P], coordinates.
      second: float [Q], coordinates; a single 0 in one dimension.
      weights: float [P, Q].
      first_log_density: float [N, P], of each component.
      second_log_density: float [N, Q].
      log_unit: float, by which a log-density in these units exceeds the true one.
    """

    first: np.ndarray
    second: np.ndarray
    weights: np.ndarray
    first_log_density: np.ndarray
    second_log_density: np.ndarray
    log_unit: float


def grid(mean: np.ndarray, scale: np.ndarray) -> Iterator[Chunk]:
    """The points of a composite Gauss-Legendre rule that resolves every component N(mean, scale^2), [N, D], D <= 2.

    Raises:
      ValueError: D is not 1 or 2, a scale is lost in the rounding of its mean, or there would be too many points.
    """
    size, latent_dim = mean.shape
    if latent_dim not in (1, 2):
        raise ValueError(
            f"encoding must have 1 or 2 dimensions for quadrature, got {latent_dim}: use sampled_information"
        )
    lost = scale < 1e7 * np.spacing(np.abs(mean))
    if lost.any():
        raise ValueError(
            f"encoding must have scales above 1e7 roundings of their means, got {scale[lost][0]} at {mean[lost][0]}"
        )
    first = _axis(mean[:, 0], scale[:, 0])
    second = _axis(mean[:, 1], scale[:, 1]) if latent_dim == 2 else None
    columns = 1 if second is None else second.nodes.size
    if max(first.nodes.size, size) * columns > _MAX_POINTS:
        raise ValueError(
            f"encoding must be resolved by at most {_MAX_POINTS} points, got scales that need {first.nodes.size} x "
            f"{columns}: use sampled_information"
        )
    nodes, weights, log_density, log_unit = np.zeros(1), np.ones(1), np.zeros((size, 1)), np.log(first.unit)
    if second is not None:
        nodes, weights, log_density = second.nodes, second.weights, second.log_density(slice(None))
        log_unit += np.log(second.unit)
    step = max(1, _CHUNK_POINTS // max(columns, size))
    for start in range(0, first.nodes.size, step):
        part = slice(start, start + step)
        products = first.weights[part, None] * weights
        yield Chunk(first.nodes[part], nodes, products, first.log_density(part), log_density, float(log_unit))


def _axis(mean: np.ndarray, scale: np.ndarray) -> Axis:
    panels, unit = _panels(mean, scale), float(scale.min())
    centre, half = panels.mean(1, keepdims=True), 0.5 * (panels[:, 1:] - panels[:, :1])
    return Axis((centre + half * _NODES).ravel(), (half / unit * _WEIGHTS).ravel(), mean, scale, unit)


def _panels(mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Intervals [P, 2] that cover every component, none wider than the scale of one that it meets."""
    starts, ends = mean - _REACH * scale, mean + _REACH * scale
    panels: list[tuple[float, float]] = []
    position = starts.min()
    while True:
        meets = (starts <= position) & (position < ends)
        if not meets.any():  # a gap, or the end
            if not (starts > position).any():
                return np.array(panels)
            position = starts[starts > position].min()
            continue
        width = scale[meets].min()
        # A narrower component may begin before the panel ends.
        ahead = starts[(starts > position) & (starts < position + width) & (scale < width)]
        end = min(position + width, ends[meets].max(), *ahead)
        panels.append((position, end))
        position = end
