"""Adversarial attacks: pure, jittable functions, each composed of a loss, a start, a step and a projection.

A factory such as `pgd` takes the settings and returns an `Attack`, a function
``(key, logits_fn, inputs, labels, targets=None)`` -> `AttackResult`. The model is ``logits_fn(keys, inputs)``, with a
key for each example; a deterministic model ignores the keys. Attacks on text search on the host; they are in
`ib_jax.attacks.text`.
"""

from ib_jax.attacks import text
from ib_jax.attacks.apgd import apgd
from ib_jax.attacks.autoattack import autoattack
from ib_jax.attacks.bim import bim
from ib_jax.attacks.carlini_wagner import carlini_wagner
from ib_jax.attacks.ddn import ddn
from ib_jax.attacks.deepfool import deepfool
from ib_jax.attacks.fab import fab
from ib_jax.attacks.fgsm import fgsm
from ib_jax.attacks.fmn import fmn
from ib_jax.attacks.hop_skip_jump import hop_skip_jump
from ib_jax.attacks.momentum import mi_fgsm
from ib_jax.attacks.objective import AttackLoss
from ib_jax.attacks.pgd import pgd
from ib_jax.attacks.runner import Runner
from ib_jax.attacks.sigma_zero import sigma_zero
from ib_jax.attacks.square import square
from ib_jax.attacks.step_size import path_length, share_of_radius
from ib_jax.attacks.targets import every_target, least_likely_targets, random_targets
from ib_jax.attacks.transfer import transfer

__all__ = [
    "AttackLoss",
    "Runner",
    "apgd",
    "autoattack",
    "bim",
    "carlini_wagner",
    "ddn",
    "deepfool",
    "every_target",
    "fab",
    "fgsm",
    "fmn",
    "hop_skip_jump",
    "least_likely_targets",
    "mi_fgsm",
    "path_length",
    "pgd",
    "random_targets",
    "share_of_radius",
    "sigma_zero",
    "square",
    "text",
    "transfer",
]
