"""Every exported attack, with settings small enough for a test: what the contracts are held over."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ib_jax import DiagGaussian, attacks, losses


class Case(NamedTuple):
    """An exported attack with settings small enough for a test.

    Attributes:
      make: (epsilon, bounds=..., **settings) -> Attack; a minimal attack has no epsilon.
      norm: of its ball, or of what it makes small.
      targeted: whether the caller may name targets.
    """

    make: Callable
    norm: str
    targeted: bool = True


def case(factory, norm="linf", targeted=True, **settings):
    return Case(functools.partial(factory, norm=norm, **settings), norm, targeted)


def on_itself(make_pgd, combine):
    return lambda epsilon, **settings: combine(make_pgd(epsilon, num_steps=3, **settings))


WEIGHT = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)


def logits_fn(keys, inputs):
    """A stochastic classifier of [B, 2, 3] inputs: the code is noisy, and the noise is the example's own."""
    mean = inputs.reshape(len(inputs), -1) @ jnp.asarray(WEIGHT, inputs.dtype)
    return 3 * losses.sample(keys, DiagGaussian(mean, jnp.full_like(mean, 0.5)))[0]


FIXED = {
    "fgsm": case(attacks.fgsm, num_eot_samples=3, expectation_of="probabilities"),
    "fgsm l2": case(attacks.fgsm, "l2"),
    "bim": case(attacks.bim, num_steps=3),
    "pgd": case(attacks.pgd, num_steps=7, num_eot_samples=3, num_judge_samples=2),
    "pgd l2": case(attacks.pgd, "l2", num_steps=3),
    "pgd l1": case(attacks.pgd, "l1", num_steps=3),
    "pgd restarts": case(attacks.pgd, num_steps=3, num_restarts=2, early_stop=True),
    "mi_fgsm": case(attacks.mi_fgsm, num_steps=3),
    "apgd": case(attacks.apgd, num_steps=6, num_eot_samples=2),
    "apgd l2": case(attacks.apgd, "l2", num_steps=6, loss_fn=losses.dlr, early_stop=False),
    "fab within": Case(lambda epsilon, **settings: attacks.fab(epsilon=epsilon, num_steps=4, **settings), "linf"),
    "square": case(attacks.square, num_queries=6),
    "square l2": case(attacks.square, "l2", num_queries=6),
    "autoattack": case(attacks.autoattack, targeted=False, num_steps=3, num_targets=3, num_queries=4),
    "autoattack rand": case(attacks.autoattack, "l2", num_steps=3, version="rand", num_eot_samples=2),
    "every_target": Case(on_itself(attacks.pgd, lambda attack: attacks.every_target(attack, 2)), "linf", False),
    "transfer": Case(on_itself(attacks.pgd, lambda attack: attacks.transfer(attack, logits_fn)), "linf"),
}
MINIMAL = {
    "deepfool": case(attacks.deepfool, "l2", num_steps=5),
    "deepfool linf": case(attacks.deepfool, num_steps=5),
    "fab": case(attacks.fab, num_steps=4),
    "fab l2": case(attacks.fab, "l2", num_steps=4),
    "carlini_wagner": Case(functools.partial(attacks.carlini_wagner, num_steps=8, num_binary_steps=2), "l2"),
    "ddn": Case(functools.partial(attacks.ddn, num_steps=8), "l2"),
    "fmn": case(attacks.fmn, "l2", num_steps=8),
    "fmn linf": case(attacks.fmn, num_steps=8),
    "fmn l1": case(attacks.fmn, "l1", num_steps=8),
    "hop_skip_jump": case(attacks.hop_skip_jump, "l2", num_queries=60, num_directions=9),
    "hop_skip_jump linf": case(attacks.hop_skip_jump, num_queries=60, num_directions=9),
    "sigma_zero": Case(functools.partial(attacks.sigma_zero, num_steps=8), "l0"),
}
ALL = FIXED | MINIMAL


def norm_of(perturbation, norm):
    order = {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
    flat = np.asarray(perturbation, np.float64).reshape(len(perturbation), -1)
    return np.linalg.norm(flat, order, axis=-1) if len(flat) else np.zeros(0)
