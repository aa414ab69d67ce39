"""The fast gradient (sign) method."""

from ib_jax import losses
from ib_jax.attacks.objective import AttackLoss
from ib_jax.attacks.pgd import pgd
from ib_jax.types import Array, Attack


def fgsm(
    epsilon: float | Array,
    *,
    norm: str = "linf",
    bounds: tuple[float | Array, float | Array] = (0.0, 1.0),
    loss_fn: AttackLoss = losses.cross_entropy,
    num_eot_samples: int = 1,
) -> Attack:
    r"""Fast gradient sign method (L-inf) or fast gradient method (L2): one step of length epsilon from the input.

    .. math:: x' = \Pi_{\mathrm{bounds}}\big(x + \epsilon\, d(\nabla_x E[\ell(f(x), y)])\big)

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced.
      norm: "linf" (sign of the gradient) or "l2" (normalised gradient).
      bounds: lower and upper limits of the inputs, see `pgd`.
      loss_fn: (logits, labels) -> loss per example.
      num_eot_samples: samples of a stochastic model averaged in the gradient, and judged on.

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
    return pgd(
        epsilon,
        num_steps=1,
        step_size=epsilon,
        norm=norm,
        bounds=bounds,
        random_start=False,
        loss_fn=loss_fn,
        num_eot_samples=num_eot_samples,
    )
