"""The toy problem of section 3: which statistics and decoders of two Gaussians have adversarial examples."""

import numpy as np

from experiments.core.records import Measurement, Model
from ib_jax import exact

# The means differ along the first axis; the noise is correlated, so that the oracle's direction is another one.
MEANS = ((-1.0, 0.0), (1.0, 0.0))
COVARIANCE = ((1.0, 0.7), (0.7, 1.5))
EPSILONS = np.linspace(0.0, 3.0, 61)
NOISE = 0.3  # of the statistic, so that its I(X;T) is finite


def toy_problem() -> exact.TwoGaussians:
    """The two Gaussians."""
    return exact.TwoGaussians(np.array(MEANS), np.array(COVARIANCE))


def learned_decoder(statistic: np.ndarray, points: np.ndarray, labels: np.ndarray) -> exact.LinearClassifier:
    """Fisher's linear discriminant of the values of a statistic W [K, D], as a classifier of the inputs [n, D]."""
    values = points @ statistic.T
    means = np.stack([values[labels == label].mean(0) for label in (0, 1)])
    centred = values - means[labels]
    weights = np.linalg.solve(centred.T @ centred / (len(labels) - 2), means[1] - means[0])
    return exact.LinearClassifier(statistic.T @ weights, float(0.5 * weights @ means.sum(0)))


def measure(num_points: int, num_training: int, num_sets: int, seed: int) -> tuple[list[Model], float]:
    """The share of points with an adversarial example against epsilon, for five pairs of statistic and decoder.

    Returns:
      A model for each pair: `rate` and `information` (I(X;T) and I(T;Y) of the statistic under noise NOISE, in nats),
      `error`, `disagreement` with the oracle, the share of points with an adversarial example within each epsilon,
      and in the details the classifier of the first set; and the error of the oracle.
    """
    problem, rng = toy_problem(), np.random.default_rng(seed)
    oracle = problem.oracle()
    theta, means = oracle.weights, np.asarray(problem.means)
    minimal, longer = theta[None], np.stack([theta, problem.nuisance()])
    points, _ = problem.sample(rng, num_points)
    sets = [_balanced(problem, rng, num_training) for _ in range(num_sets)]
    cases = [
        ("minimal sufficient, best decoder", minimal, False),
        ("sufficient, not minimal, best decoder", longer, False),
        ("not sufficient, best decoder", (means[1] - means[0])[None], False),
        ("minimal sufficient, learned decoder", minimal, True),
        ("sufficient, not minimal, learned decoder", longer, True),
    ]
    models = []
    for name, statistic, learned in cases:
        rules = [problem.best_decoder(statistic)]
        if learned:
            rules = [learned_decoder(statistic, *data) for data in sets]
        distances = np.stack([exact.adversarial_distance(rule, oracle, points) for rule in rules])
        information = problem.information(statistic, NOISE)
        values = {
            "rate": information.information_xz,
            "information": information.information_zy,
            "error": float(np.mean([problem.error(rule) for rule in rules])),
            "disagreement": float(np.mean([problem.disagreement(rule) for rule in rules])),
        }
        shares = [
            Measurement({"epsilon": epsilon, "norm": "l2"}, {"adversarial": float(np.mean(distances <= epsilon))})
            for epsilon in EPSILONS
        ]
        details = {"weights": rules[0].weights, "threshold": rules[0].threshold}
        models.append(Model(name, seed, [Measurement({}, values), *shares], {"kind": "two Gaussians"}, (), details))
    return models, problem.error(oracle)


def _balanced(problem: exact.TwoGaussians, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of the points from each class: `size` drawn at random may miss one."""
    points, labels = problem.sample(rng, 20 * size)
    order = np.concatenate([np.flatnonzero(labels == label)[: size // 2] for label in (0, 1)])
    return points[order], labels[order]
