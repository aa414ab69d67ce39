"""The discrete information bottleneck: Blahut-Arimoto over a grid of betas."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ib_jax.exact.tables import as_joint, mutual_information, table_information

_TINY = np.finfo(np.float64).tiny


class DiscreteCurve(NamedTuple):
    """The solutions of a discrete bottleneck on a grid of betas, in the given order.

    Attributes:
      betas: float [K].
      information_xz: float [K], I(X;Z) in nats.
      information_zy: float [K], I(Z;Y) in nats.
      num_clusters: int [K], the number of values of Z, after merging those with the same p(y|z).
      encoders: float [K, N, M], p(z|x), merged: all but `num_clusters` of the M columns are zero.
      converged: bool [K], whether the iteration met its tolerance.
      information_xy: float, I(X;Y) in nats, which I(Z;Y) cannot exceed.
    """

    betas: np.ndarray
    information_xz: np.ndarray
    information_zy: np.ndarray
    num_clusters: np.ndarray
    encoders: np.ndarray
    converged: np.ndarray
    information_xy: float


def blahut_arimoto(
    joint: npt.ArrayLike,
    betas: npt.ArrayLike,
    *,
    num_clusters: int | None = None,
    num_restarts: int = 8,
    tolerance: float = 1e-10,
    max_iterations: int = 20_000,
    seed: int = 0,
) -> DiscreteCurve:
    r"""Blahut-Arimoto iterations for the discrete information bottleneck.

    .. math:: \min_{p(z|x)} L_\beta = \beta I(X;Z) - I(Z;Y), \qquad
              p(z|x) \propto p(z) \exp\!\big(-D(p(y|x) \| p(y|z)) / \beta\big)

    L is not convex in the encoder, so each :math:`\beta` is solved from several starts: the identity, which is close to
    the optimum at small :math:`\beta`, and random encoders from hard to almost trivial. Each solution then serves as a
    start for the two neighbouring values of :math:`\beta` (slightly perturbed, so that merged clusters can split) and
    for every value at which it scores best, until nothing improves. The lowest L is kept. L never increases, but the
    optimum need not be global. With fewer clusters than inputs, local optima are common at small :math:`\beta` (one in
    17 of random 5 x 4 tables with 2 clusters at :math:`\beta = 0`); use more restarts there.

    Clusters whose :math:`p(y|z)` agree within 1e-4 of the spread of :math:`p(y|x)`, or whose weight is below 1e-4 of
    the smallest :math:`p(x)`, are then merged into the nearest one. At a fixed point such copies have proportional
    :math:`p(z|x)`, so merging changes neither information. Close to a phase transition the iteration slows down without
    limit: see `converged`.

    Args:
      joint: p(x,y), float [N, C], >= 0 with sum 1; rows, columns and entries may be zero.
      betas: float [K], >= 0, in any order; 0 is the limit from above, the minimal sufficient statistic.
      num_clusters: M, the number of values of Z. The default, N, always suffices for L (every point of the frontier
        would need N + 1).
      num_restarts: starts for each beta, >= 1.
      tolerance: the change of p(z|x) in an iteration, in the maximum norm, at which a solution counts as converged.
      max_iterations: iterations for each start, >= 1.
      seed: of the random starts.

    Returns:
      DiscreteCurve with K solutions, in nats. A row of an encoder with p(x) = 0 holds p(z).

    Raises:
      ValueError: an argument is out of range, or `joint` is not a table of probabilities.

    Source: Tishby, Pereira, Bialek, The information bottleneck method, 1999.

    Example:
      >>> from ib_jax import exact
      >>> curve = exact.blahut_arimoto([[0.45, 0.05], [0.05, 0.45]], [0.1, 0.5, 0.7])
      >>> curve.num_clusters
      array([2, 2, 1])
      >>> print(f"{curve.information_xz[1]:.4f} {curve.information_zy[1]:.4f}")
      0.4827 0.2823
    """
    table, grid = as_joint(joint), _as_betas(betas)
    num_clusters = table.shape[0] if num_clusters is None else num_clusters
    limits = {"num_clusters": num_clusters, "num_restarts": num_restarts, "max_iterations": max_iterations}
    for name, value in limits.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be > 0, got {tolerance}")
    order = np.argsort(grid)
    seen = table.sum(1) > 0
    live = table[seen][:, table.sum(0) > 0]
    solutions, converged = _solve_grid(live, grid[order], num_clusters, num_restarts, tolerance, max_iterations, seed)
    encoders, counts = np.empty((grid.size, table.shape[0], num_clusters)), np.empty(grid.size, int)
    for index, solution in zip(order, solutions, strict=True):
        merged, counts[index] = _merge(live, solution)
        encoders[index] = live.sum(1) @ merged
        encoders[index, seen] = merged
    information = table_information(table, encoders)
    return DiscreteCurve(
        grid, *information, counts, encoders, converged[np.argsort(order)], float(mutual_information(table))
    )


def _solve_grid(
    joint: np.ndarray, betas: np.ndarray, num_clusters: int, num_restarts: int, tolerance: float, limit: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best encoders [K, N, M] for ascending betas, and whether each converged, [K]."""
    rng, num_betas, size = np.random.default_rng(seed), betas.size, joint.shape[0]
    own = np.arange(num_betas)

    def noise(concentration: float) -> np.ndarray:
        return rng.dirichlet(np.full(num_clusters, concentration), (num_betas, size))

    def best_of(starts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        solved, converged = _iterate(joint, np.concatenate(starts), np.tile(betas, len(starts)), tolerance, limit)
        xz, zy = table_information(joint, solved)
        scores = (np.tile(betas, len(starts)) * xz - zy).reshape(-1, num_betas)
        winner = scores.argmin(0) * num_betas + own
        return solved[winner], scores.min(0), converged[winner]

    identity = np.tile(np.eye(num_clusters)[np.arange(size) % num_clusters], (num_betas, 1, 1))
    starts = [0.99 * identity + 0.01 * noise(1.0)]
    starts += [noise((1.0, 0.1, 30.0)[restart % 3]) for restart in range(num_restarts - 1)]
    best, scores, converged = best_of(starts)
    for _ in range(num_betas):  # enough for a solution to travel from one end of the grid to the other
        xz, zy = table_information(joint, best)
        anywhere = np.argmin(betas[:, None] * xz - zy, axis=1)
        below, above = best[np.maximum(own - 1, 0)], best[np.minimum(own + 1, num_betas - 1)]
        found, found_scores, found_converged = best_of(
            [best[anywhere], 0.99 * below + 0.01 * noise(1.0), 0.99 * above + 0.01 * noise(1.0)]
        )
        better = found_scores < scores
        done = np.all(found_scores > scores - 1e-11)
        best[better], scores[better], converged[better] = found[better], found_scores[better], found_converged[better]
        if done:
            break
    return best, converged


def _iterate(
    joint: np.ndarray, starts: np.ndarray, betas: np.ndarray, tolerance: float, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Blahut-Arimoto from each of the starts [B, N, M] at its own beta [B], all at once, until each has converged."""
    p_y_given_x = joint / joint.sum(1, keepdims=True)
    # The batch is the middle axis, so that each step is two matrix products; converged starts are removed from it.
    encoders, active = np.ascontiguousarray(np.moveaxis(starts, 1, 0)), np.arange(betas.size)
    temperature, current = np.maximum(betas, 1e-12)[:, None], encoders.copy()
    for _ in range(limit):
        joint_yz = np.tensordot(joint, current, (0, 0))  # [C, B, M]
        log_z = np.log(np.maximum(joint_yz.sum(0), _TINY))
        log_y_given_z = np.log(np.maximum(joint_yz, _TINY)) - log_z
        scores = np.tensordot(p_y_given_x, log_y_given_z, 1)  # -D(p(y|x) || p(y|z)), but for a term of x alone
        scores -= scores.max(-1, keepdims=True)
        logits = log_z + scores / temperature[active]
        logits -= logits.max(-1, keepdims=True)
        # The floor keeps log p(y|z) finite: without it a probability that underflows would stay zero.
        new = np.exp(np.maximum(logits, -700.0))
        new /= new.sum(-1, keepdims=True)
        moving = np.abs(new - current).max((0, 2)) > tolerance
        current = new
        if not moving.all():
            encoders[:, active[~moving]] = current[:, ~moving]
            active, current = active[moving], current[:, moving]
            if active.size == 0:
                break
    encoders[:, active] = current
    converged = np.ones(betas.size, bool)
    converged[active] = False
    return np.moveaxis(encoders, 0, 1), converged


def _merge(joint: np.ndarray, encoder: np.ndarray) -> tuple[np.ndarray, int]:
    """Merges unused and duplicate clusters into the nearest heavier one: the encoder [N, M] and how many remain."""
    p_x, p_y_given_x = joint.sum(1), joint / joint.sum(1, keepdims=True)
    weights = p_x @ encoder
    p_y_given_z = (encoder.T @ joint) / np.maximum(weights, _TINY)[:, None]
    close = 1e-4 * np.ptp(p_y_given_x, axis=0).max() + 1e-12
    merged, kept = np.zeros_like(encoder), [int(np.argmax(weights))]
    for cluster in np.argsort(-weights, kind="stable"):
        distances = np.abs(p_y_given_z[kept] - p_y_given_z[cluster]).max(1)
        if distances.min() > close and weights[cluster] > 1e-4 * p_x.min():
            kept.append(int(cluster))
            merged[:, cluster] += encoder[:, cluster]
        else:
            merged[:, kept[int(distances.argmin())]] += encoder[:, cluster]
    return merged, len(kept)


def _as_betas(betas: npt.ArrayLike) -> np.ndarray:
    grid = np.asarray(betas, np.float64)
    if grid.ndim != 1 or grid.size == 0:
        raise ValueError(f"betas must be a list of at least one number, got shape {grid.shape}")
    if not np.all((grid >= 0) & (grid < np.inf)):
        raise ValueError(f"betas must be finite and >= 0, got {grid[~((grid >= 0) & (grid < np.inf))][0]}")
    return grid
