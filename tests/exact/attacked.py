"""Random problems of an attacked code, for the theorems' tests."""

import numpy as np

from ib_jax import DiagGaussian, exact


def random_problem(seed, size=5, codes=4, labels=2):
    """Inputs, p(x, y) with the last row outside the support, a smooth encoder on a grid and an attack."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(size, 2))
    joint = rng.dirichlet(np.full(size * labels, 0.7)).reshape(size, labels)
    joint[-1] = 0.0
    mean = points @ rng.normal(size=(2, 1)) * rng.uniform(0.1, 2)
    encoding = DiagGaussian(mean, np.exp(0.3 * rng.normal(size=mean.shape)))
    encoder = exact.quantised_encoder(encoding, np.linspace(-2, 2, codes)[:, None])
    attack = (np.arange(size) + rng.integers(1, size, size=size)) % size  # every input is moved
    return points, joint / joint.sum(), encoder, attack


def random_shared_encoder(seed, codes=3):
    """Clean inputs far apart, each moved a little off the support or to the next, and two decoders that may differ."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 4)
    blur, shift = 0.5 * rng.random() ** rng.choice([0.05, 4.0]), rng.random() ** 3
    own = np.eye(codes)[rng.permutation(codes)[:size]]
    clean = (1 - blur) * own + blur * rng.dirichlet(np.full(codes, 0.3), size)
    moved = (1 - shift) * clean + shift * rng.dirichlet(np.full(codes, 0.1), size)
    points = 1e6 * np.arange(size)[:, None] + np.array([[0.0], [1.0]])[:, None]
    first = rng.integers(2, size=codes)
    second = np.where(rng.random(codes) < 0.4, 1 - first, first)
    joint = np.zeros((2 * size, 2))
    joint[np.arange(size), first[clean.argmax(1)]] = rng.dirichlet(np.full(size, rng.choice([0.5, 1e6])))
    target = np.roll(np.arange(size), 1) if rng.random() < 0.5 else np.arange(size) + size
    attack = np.concatenate([target, np.arange(size)])
    return points.reshape(-1, 1), joint, np.concatenate([clean, moved]), attack, (first, second)
