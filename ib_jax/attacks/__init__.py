"""Adversarial attacks: pure, jittable, each loss x initialise x step x project.

A factory takes the attack's settings and returns an Attack:
(key, logits_fn, inputs, labels, targets=None) -> AttackResult.
"""

from ib_jax.attacks.fgsm import fgsm
from ib_jax.attacks.pgd import pgd

__all__ = ["fgsm", "pgd"]
