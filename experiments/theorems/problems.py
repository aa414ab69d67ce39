"""The two sides of each inequality on random exact problems, and Theorem 1 over all statistics of small inputs."""

from collections import Counter, defaultdict
from typing import Any, Literal

import numpy as np
import scipy.stats

from ib_jax import DiagGaussian, evaluation, exact
from ib_jax.evaluation.encoder_lipschitz import Form

Sides = list[tuple[str, float, float]]
"""(inequality, the side that is bounded, its bound), the names as in `report.NAMES`."""
NUM_SAMPLES = 1000
FANO: tuple[Literal["sharp", "weak"], ...] = ("sharp", "weak")
Encoded = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_code(rng: np.random.Generator) -> Encoded:
    """Inputs, p(x, y), a Gaussian encoder on a grid, and an attack that moves every input, also off the support."""
    size, codes, labels, dim = (int(rng.integers(*ends)) for ends in ((3, 8), (2, 7), (2, 4), (1, 3)))
    points = rng.normal(size=(size, 2))
    joint = rng.dirichlet(np.full(size * labels, 0.7)).reshape(size, labels)
    joint[-1] = 0.0
    mean = np.tanh(points @ rng.normal(size=(2, dim))) * rng.uniform(0.1, 3.0)
    encoding: Any = mean, np.exp(rng.normal(size=mean.shape) * 0.3) * rng.uniform(0.3, 2.0)
    encoder = exact.quantised_encoder(DiagGaussian(*encoding), 2.0 * rng.normal(size=(codes, dim)))
    return points, joint / joint.sum(), encoder, (np.arange(size) + rng.integers(1, size, size)) % size


def random_pair(rng: np.random.Generator, codes: int = 3) -> tuple[Encoded, tuple[np.ndarray, np.ndarray]]:
    """An encoder that knows the labels well, inputs moved a little or to the next one, two decoders that may differ."""
    size = int(rng.integers(1, codes + 1))
    blur, shift = 0.5 * rng.random() ** rng.choice([0.05, 4.0]), rng.random() ** 3
    own = np.eye(codes)[rng.permutation(codes)[:size]]
    clean = (1.0 - blur) * own + blur * rng.dirichlet(np.full(codes, 0.3), size)
    moved = (1.0 - shift) * clean + shift * rng.dirichlet(np.full(codes, 0.1), size)
    points = np.concatenate([1e6 * np.arange(size), 1e6 * np.arange(size) + 1.0])[:, None]
    first = rng.integers(2, size=codes)
    second = np.where(rng.random(codes) < 0.4, 1 - first, first)
    joint = np.zeros((2 * size, 2))
    joint[np.arange(size), first[clean.argmax(1)]] = rng.dirichlet(np.full(size, rng.choice([0.5, 1e6])))
    target = np.roll(np.arange(size), 1) if rng.random() < 0.5 else np.arange(size) + size
    attack = np.concatenate([target, np.arange(size)])
    return (points, joint, np.concatenate([clean, moved]), attack), (first, second)


def bound_of(code: exact.AttackedCode) -> tuple[list[float], evaluation.RobustnessBound]:
    """I(X;T) and I(X';T') in nats, and what Theorem 2 makes of them."""
    rates = [max(0.0, float(each.information_xz)) for each in (code.information, code.adversarial_information)]
    constants = evaluation.robustness_constants(code.p_x, code.q_x)
    sizes: dict[str, Any] = {"lipschitz": code.lipschitz, "epsilon": code.epsilon, "num_codes": code.num_codes}
    return rates, evaluation.robustness_bound(constants, *rates, **sizes)


def code_sides(rng: np.random.Generator) -> Sides:
    """Lemma 1 and Theorem 2."""
    code = exact.attacked_code(*random_code(rng))
    _, bound = bound_of(code)
    gap = code.vulnerability
    sides = [("lemma 1", code.code_shift, code.lipschitz * code.epsilon), ("theorem 2", gap, bound.total)]
    return [*sides, ("theorem 2, trivial", gap, bound.trivial), ("theorem 2, smooth", gap, bound.smooth)]


def error_sides(rng: np.random.Generator) -> Sides:
    """Fano's inequality, of the best decoder; and information on a sample, clean, against that under attack."""
    points, joint, encoder, attack = random_code(rng)
    code, given = exact.attacked_code(points, joint, encoder, attack), encoder.T @ joint
    open_part = float(scipy.stats.entropy(joint.sum(0))) - float(code.information.information_zy)
    error, labels = 1.0 - float(given.max(1).sum()), joint.shape[1]
    rates, bound = bound_of(code)
    sample = rng.multinomial(NUM_SAMPLES, joint.ravel()).reshape(joint.shape) / NUM_SAMPLES
    seen = float(exact.table_information(sample, encoder).information_zy)
    deviation = evaluation.sampling_deviation(NUM_SAMPLES, 0.05 / 3)
    sizes = {"least_probability": float(code.p_x[code.p_x > 0].min()), "num_codes": len(given), "num_classes": labels}
    beside = evaluation.sampling_error(rates[0], deviation, **sizes)
    gap = abs(seen - float(code.adversarial_information.information_zy))
    limits = {form: float(evaluation.fano_error(max(0.0, open_part), labels, form=form)) for form in FANO}
    return [
        ("fano", limits["sharp"], error),
        ("fano, weak", limits["weak"], error),
        ("theorem 2, finite sample", gap, bound.total + beside),
    ]


def density_sides(rng: np.random.Generator) -> Sides:
    """Theorem 3, in one and two dimensions: the density of two inputs' codes on a dense grid."""
    dim = int(rng.integers(1, 3))
    distance, scales = rng.uniform(0.01, 2.0), rng.uniform(0.1, 2.0) * np.exp(rng.normal(size=(2, dim)) * 0.3)
    means = rng.normal(size=(2, dim)) * rng.uniform(0.0, 1.0)
    axes = [np.linspace(*_reach(means[:, axis], scales[:, axis]), 4001 if dim == 1 else 301) for axis in range(dim)]
    encoding: Any = means, scales
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, dim)
    densities = np.exp(exact.code_log_density(DiagGaussian(*encoding), grid))
    slope = float(np.abs(densities[1] - densities[0]).max() / distance)
    constants = [float(np.linalg.norm(pair[1] - pair[0]) / distance) for pair in (means, scales)]
    forms: dict[str, Form] = {"theorem 3": "corrected", "theorem 3, printed": "printed"}
    return [
        (name, slope, float(np.exp(evaluation.log_density_lipschitz(dim, float(scales.min()), *constants, form=form))))
        for name, form in forms.items()
    ]


def transfer_sides(rng: np.random.Generator) -> Sides:
    """Theorem 4, for random predictions and for the most likely label."""
    problem, decoders = random_pair(rng)
    drawn, likely = (exact.transfer(*problem, decoders, derandomised=flag) for flag in (False, True))
    return [
        ("theorem 4", drawn.remote_delta, drawn.bound),
        ("theorem 4, half", drawn.remote_delta, drawn.smooth_bound),
        ("theorem 4, printed", drawn.remote_delta, drawn.printed_bound),
        ("theorem 4, most likely label", likely.remote_delta, likely.printed_bound),
    ]


def quantised_sides(rng: np.random.Generator) -> Sides:
    """The Lipschitz constant of an encoder on a grid, by that of the density (section 5, last paragraph)."""
    size, codes = 6, 2.0 * rng.normal(size=(int(rng.integers(3, 8)), 1))
    points = rng.normal(size=(size, 1)) * rng.uniform(0.01, 1.0)
    encoding: Any = points * rng.uniform(0.5, 3.0), np.full((size, 1), rng.uniform(0.4, 2.0))
    log_density = exact.code_log_density(DiagGaussian(*encoding), codes)
    own = exact.encoder_lipschitz(points, exact.quantised_encoder(DiagGaussian(*encoding), codes))
    bounds = exact.quantised_lipschitz(exact.encoder_lipschitz(points, np.exp(log_density)), log_density)
    return [("quantised", own, bounds[0]), ("quantised, printed", own, bounds[1])]


def measure(num_problems: int, seed: int) -> dict[str, np.ndarray]:
    """The two sides of every inequality on problems of each kind, float64 [num_problems, 2] by name.

    Problem i of a kind does not depend on how many there are.
    """
    sides = defaultdict(list)
    for kind, draw in enumerate((code_sides, transfer_sides, quantised_sides, density_sides, error_sides)):
        for index in range(num_problems):
            for name, value, bound in draw(np.random.default_rng((seed, kind, index))):
                sides[name].append((value, bound))
    return {name: np.array(pairs) for name, pairs in sides.items()}


def statistic_counts(num_tables: int, seed: int, size: int = 5) -> dict[str, int]:
    """Theorem 1: all statistics of random tables of `size` inputs, some of which share p(y|x), and one off the support.

    Returns:
      Counts: of `problems` and those in which `assumption_1` holds for all statistics; of `statistics`, of those
      `attackable` on the support, of which `attackable_sufficient` and `attackable_minimal` are sufficient and minimal;
      of `sufficient` ones and those of them `not_minimal`; of minimal sufficient ones with an adversarial example off
      the support (`off_support`), and with one for some decoder that errs once (`wrong_decoder`), of `minimal` ones.
    """
    count: Counter[str] = Counter()
    for index in range(num_tables):
        rng = np.random.default_rng((seed, 9, index))
        p_x = np.append(rng.dirichlet(np.full(size, 2.0)), 0.0)
        labels = rng.dirichlet(np.ones(3), 3)[rng.integers(3, size=size + 1)]
        points, epsilon, oracle = rng.normal(size=(size + 1, 2)), rng.uniform(0.5, 2.0), labels.argmax(1)
        pairs = []
        for inner in exact.partitions(size):
            statistic = np.append(inner, rng.integers(inner.max() + 1))  # off the support T is free
            decoder = exact.best_decoder(p_x, labels, statistic)
            pairs.append(exact.error_and_entropy(p_x, labels, statistic))
            found = bool(exact.adversarial_examples(points[:-1], decoder[inner], oracle[:-1], epsilon).any())
            sufficient = exact.is_sufficient(p_x, labels, statistic)
            minimal = exact.is_minimal_sufficient(p_x, labels, statistic)
            anywhere = bool(exact.adversarial_examples(points, decoder[statistic], oracle, epsilon)[:-1].any())
            wrong = np.where(np.arange(len(decoder)) == rng.integers(len(decoder)), (decoder + 1) % 3, decoder)
            misled = bool(exact.adversarial_examples(points[:-1], wrong[inner], oracle[:-1], epsilon).any())
            count.update(
                statistics=1,
                sufficient=sufficient,
                not_minimal=sufficient and not minimal,
                minimal=minimal,
                attackable=found,
                attackable_sufficient=found and sufficient,
                attackable_minimal=found and minimal,
                off_support=minimal and anywhere,
                wrong_decoder=minimal and misled,
            )
        count.update(problems=1, assumption_1=exact.is_monotonic(*np.transpose(pairs)))
    return {name: int(value) for name, value in count.items()}


def _reach(means: np.ndarray, scales: np.ndarray) -> tuple[float, float]:
    return float((means - 5.0 * scales).min()), float((means + 5.0 * scales).max())
