"""The fast gradient (sign) method."""

from ib_jax import losses
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.first_order import first_order
from ib_jax.attacks.objective import AttackLoss, ExpectationOf, Objective
from ib_jax.attacks.step_size import share_of_radius
from ib_jax.types import Array, Attack


def fgsm(
    epsilon: float | Array,
    *,
    norm: str = "linf",
    bounds: Bounds = (0.0, 1.0),
    loss_fn: AttackLoss = losses.cross_entropy,
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
) -> Attack:
    r"""Fast gradient sign method (L-inf) or fast gradient method (L2, L1): one step of length epsilon from the input.

    .. math:: x' = \Pi_{\mathrm{bounds}}\big(x + \epsilon\, d(\nabla_x E[\ell(f(x), y)])\big)

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced.
      norm: "linf", "l2" or "l1".
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      loss_fn: (logits, labels) -> loss per example; the attack climbs it (descends it at the target).
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses", or "probabilities" under the loss.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: as `pgd`.

    Source: Goodfellow et al., Explaining and Harnessing Adversarial Examples, 2015.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> result = attacks.fgsm(0.2)(jax.random.key(0), logits_fn, jnp.array([[0.6]]), jnp.array([0]))
      >>> result.inputs
      Array([[0.4]], dtype=float32)
    """
    return first_order(
        epsilon,
        num_steps=1,
        step_size=share_of_radius(1.0),
        norm=norm,
        bounds=bounds,
        objective=Objective(loss_fn, num_eot_samples, expectation_of, num_judge_samples),
        random_start=False,
    )
