r"""Theorem 1 on finite problems: statistics of a table, sufficient or minimal sufficient, and adversarial examples.

A statistic is a label for each input, int [N]: T(x) = statistic[x]. All of them are the partitions of the inputs.

What holds. Let every input x' that the attack may reach have p(x') > 0, let the oracle be the Bayes rule of p(y|x), and
let the decoder be the best one for the statistic, ties broken alike. Then an adversarial example f(x') != o(x') shows
that T is *not sufficient*: a sufficient T has p(y|T(x')) = p(y|x'). It is then not minimal sufficient either, which is
the paper's Theorem 1, but neither minimality nor Assumption 1 takes part, and a sufficient statistic that is not
minimal has no adversarial example either. Without one of the three conditions the printed theorem is false:

- x' of probability zero: T is free there, since neither I(X;T) nor I(Y;T) sees it;
- a decoder that is not the best one: f errs on T = X, also where Assumption 1 holds;
- an oracle that is not the Bayes rule.

Assumption 1 for all pairs of statistics holds for hardly any problem: it makes two statistics with one error
probability have one H(Y|T).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ib_jax.exact.tables import TableInformation, as_distributions, table_information

_SAME = 1e-9  # probabilities closer than this count as equal


def partitions(size: int) -> Iterator[np.ndarray]:
    """All statistics of `size` inputs, one for each partition: 1, 2, 5, 15, 52, 203, 877, 4140 of them.

    Args:
      size: N >= 1.

    Yields:
      int [N], labels in order of first appearance.

    Raises:
      ValueError: `size` is less than 1.

    Example:
      >>> from ib_jax import exact
      >>> [list(map(int, statistic)) for statistic in exact.partitions(3)]
      [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")

    def extend(prefix: list[int]) -> Iterator[np.ndarray]:
        if len(prefix) == size:
            yield np.array(prefix)
            return
        for label in range(max(prefix) + 2):
            yield from extend([*prefix, label])

    yield from extend([0])


def statistic_information(p_x: npt.ArrayLike, p_y_given_x: npt.ArrayLike, statistic: npt.ArrayLike) -> TableInformation:
    """:math:`I(X;T) = H(T)` and :math:`I(Y;T)` of a statistic, in nats.

    Args:
      p_x: float [N], sum 1; zeros are allowed.
      p_y_given_x: float [N, C], rows of sum 1.
      statistic: T(x), int [N], >= 0.

    Returns:
      TableInformation(information_xz, information_zy), in nats.

    Example:
      >>> from ib_jax import exact
      >>> labels = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
      >>> print("%.4f %.4f" % exact.statistic_information([0.25, 0.25, 0.5], labels, [0, 0, 1]))
      0.6931 0.6931
    """
    weights, rows, cells = as_statistic(p_x, p_y_given_x, statistic)
    return table_information(weights[:, None] * rows, np.eye(cells.max() + 1)[cells])


def is_sufficient(p_x: npt.ArrayLike, p_y_given_x: npt.ArrayLike, statistic: npt.ArrayLike) -> bool:
    """Whether T is sufficient: inputs with :math:`p(x) > 0` and the same :math:`T(x)` have the same :math:`p(y|x)`.

    Equivalent to :math:`I(Y;T) = I(Y;X)`.

    Args:
      p_x: float [N], sum 1; inputs of p(x) = 0 do not count.
      p_y_given_x: float [N, C].
      statistic: int [N], >= 0.

    Returns:
      Whether it is sufficient, with probabilities compared to 1e-9.

    Example:
      >>> from ib_jax import exact
      >>> labels = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]
      >>> [exact.is_sufficient([0.3, 0.3, 0.4], labels, statistic) for statistic in ([0, 0, 1], [0, 1, 1])]
      [True, False]
    """
    same_cell, same_label = _pairs(p_x, p_y_given_x, statistic)
    return bool(np.all(same_label[same_cell]))


def is_minimal_sufficient(p_x: npt.ArrayLike, p_y_given_x: npt.ArrayLike, statistic: npt.ArrayLike) -> bool:
    """Whether T is sufficient with the least I(X;T): inputs of p(x) > 0 share T(x) if and only if they share p(y|x).

    Args:
      p_x: float [N], sum 1; inputs of p(x) = 0 do not count.
      p_y_given_x: float [N, C].
      statistic: int [N], >= 0.

    Returns:
      Whether it is minimal sufficient, with probabilities compared to 1e-9.

    Source: Definition 2 of the paper.

    Example:
      >>> from ib_jax import exact
      >>> labels = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]
      >>> [exact.is_minimal_sufficient([0.3, 0.3, 0.4], labels, t) for t in ([0, 0, 1], [0, 1, 2], [0, 1, 1])]
      [True, False, False]
    """
    same_cell, same_label = _pairs(p_x, p_y_given_x, statistic)
    return bool(np.array_equal(same_cell, same_label))


def best_decoder(p_x: npt.ArrayLike, p_y_given_x: npt.ArrayLike, statistic: npt.ArrayLike) -> np.ndarray:
    """The most likely label given T, the lowest of those that tie; 0 for values of T of probability zero.

    With T = X it is the Bayes rule on the inputs with p(x) > 0.

    Args:
      p_x: float [N], sum 1.
      p_y_given_x: float [N, C].
      statistic: int [N], in [0, M).

    Returns:
      g, int [M]; g[statistic] are the predictions for all inputs.

    Example:
      >>> from ib_jax import exact
      >>> exact.best_decoder([0.3, 0.3, 0.4], [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]], [1, 1, 0])
      array([1, 0])
    """
    weights, rows, cells = as_statistic(p_x, p_y_given_x, statistic)
    joint = np.zeros((cells.max() + 1, rows.shape[1]))
    np.add.at(joint, cells, weights[:, None] * rows)
    return most_likely(joint)


def error_and_entropy(
    p_x: npt.ArrayLike, p_y_given_x: npt.ArrayLike, statistic: npt.ArrayLike, decoder: npt.ArrayLike | None = None
) -> tuple[float, float]:
    r""":math:`P[g(T) \ne Y]` and :math:`H(Y|T)`, the two sides of Assumption 1.

    Args:
      p_x: float [N], sum 1.
      p_y_given_x: float [N, C].
      statistic: int [N], in [0, M).
      decoder: g, int [M]; the best one by default.

    Returns:
      The error probability, and the conditional entropy in nats.

    Raises:
      ValueError: a shape does not fit, or probabilities do not sum to 1.

    Example:
      >>> from ib_jax import exact
      >>> print("%.2f %.4f" % exact.error_and_entropy([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]], [0, 0]))
      0.50 0.6931
    """
    weights, rows, cells = as_statistic(p_x, p_y_given_x, statistic)
    labels = best_decoder(p_x, p_y_given_x, statistic) if decoder is None else np.asarray(decoder)
    if labels.shape != (cells.max() + 1,):
        raise ValueError(f"decoder must have a label for each of the {cells.max() + 1} values, got {labels.shape}")
    error = 1.0 - float(weights @ np.take_along_axis(rows, labels[cells][:, None], axis=1)[:, 0])
    marginal = weights @ rows
    entropy = -float(np.sum(marginal * np.log(np.where(marginal > 0, marginal, 1.0))))
    return error, entropy - float(statistic_information(p_x, p_y_given_x, statistic).information_zy)


def is_monotonic(errors: npt.ArrayLike, entropies: npt.ArrayLike) -> bool:
    """Assumption 1 for a family of statistics: no larger an error probability, no larger an H(Y|T), for every pair.

    Args:
      errors: P[g(T) != Y] of each, float [K].
      entropies: H(Y|T) of each, float [K].

    Returns:
      Whether it holds for every pair, with numbers compared to 1e-9. Equal errors demand equal entropies.

    Source: Assumption 1 of the paper.

    Example:
      >>> from ib_jax import exact
      >>> exact.is_monotonic([0.0, 0.2, 0.5], [0.0, 0.4, 0.7]), exact.is_monotonic([0.2, 0.2], [0.3, 0.4])
      (True, False)
    """
    error, entropy = np.asarray(errors, np.float64), np.asarray(entropies, np.float64)
    no_larger = error[:, None] <= error + _SAME
    return bool(np.all((entropy[:, None] <= entropy + _SAME)[no_larger]))


def adversarial_examples(
    points: npt.ArrayLike, predictions: npt.ArrayLike, oracle: npt.ArrayLike, epsilon: float, order: float = 2
) -> np.ndarray:
    r"""Which points have an adversarial example among the points: an x' within epsilon with :math:`f(x') \ne o(x')`.

    Args:
      points: float [N, D]. Only these are inputs; leave out those of p(x) = 0 to keep attacks on the support.
      predictions: f(x), int [N].
      oracle: o(x), int [N].
      epsilon: the largest distance, >= 0, inclusive.
      order: of the norm, as for `numpy.linalg.norm`.

    Returns:
      bool [N], for each x as the start. A point with f(x) != o(x) is its own adversarial example.

    Raises:
      ValueError: the shapes do not fit.

    Source: Definition 1 of the paper.

    Example:
      >>> from ib_jax import exact
      >>> exact.adversarial_examples([[0.0], [1.0], [3.0]], [0, 1, 1], [0, 0, 1], 1.0)
      array([ True,  True, False])
    """
    inputs, wrong = np.asarray(points, np.float64), np.asarray(predictions) != np.asarray(oracle)
    if inputs.ndim != 2 or wrong.shape != inputs.shape[:1]:
        raise ValueError(f"points must be [N, D], predictions and oracle [N], got {inputs.shape} and {wrong.shape}")
    distances = np.linalg.norm(inputs[:, None] - inputs, ord=order, axis=-1)
    return np.any((distances <= epsilon) & wrong, axis=1)


def most_likely(joint: np.ndarray) -> np.ndarray:
    """The label of the largest entry in each row, the lowest of those that tie up to rounding, int [M]."""
    highest = joint.max(1, keepdims=True)
    return np.argmax(joint >= highest - _SAME * highest, axis=1)


def as_statistic(
    p_x: npt.ArrayLike, p_y_given_x: npt.ArrayLike, statistic: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A checked p(x) [N], p(y|x) [N, C] and T(x), int [N]."""
    weights, rows = as_distributions("p_x", p_x), as_distributions("p_y_given_x", p_y_given_x, min_ndim=2)
    cells = np.asarray(statistic)
    if weights.ndim != 1 or rows.shape[:-1] != weights.shape:
        raise ValueError(f"p_x must be [N] and p_y_given_x [N, C], got {weights.shape} and {rows.shape}")
    if cells.shape != weights.shape or not np.issubdtype(cells.dtype, np.integer) or cells.min() < 0:
        raise ValueError(f"statistic must be {weights.size} integers >= 0, got {cells}")
    return weights, rows, cells


def _pairs(p_x: npt.ArrayLike, p_y_given_x: npt.ArrayLike, statistic: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs of inputs on the support share T(x), and which share p(y|x), each bool [S, S]."""
    weights, rows, cells = as_statistic(p_x, p_y_given_x, statistic)
    rows, cells = rows[weights > 0], cells[weights > 0]
    return cells[:, None] == cells, np.all(np.abs(rows[:, None] - rows) < _SAME, axis=-1)
