"""The basic iterative method."""

from ib_jax import losses
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.first_order import first_order
from ib_jax.attacks.objective import AttackLoss, ExpectationOf, Objective
from ib_jax.attacks.step_size import StepSize, path_length
from ib_jax.types import Array, Attack


def bim(
    epsilon: float | Array,
    *,
    num_steps: int = 10,
    step_size: StepSize | None = None,
    norm: str = "linf",
    bounds: Bounds = (0.0, 1.0),
    early_stop: bool = False,
    loss_fn: AttackLoss = losses.cross_entropy,
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
) -> Attack:
    r"""Basic iterative method: `pgd` from the input, with steps of epsilon / n.

    .. math:: x_{t+1} = \Pi_{\mathrm{bounds}} \Pi_{\|x' - x\| \le \epsilon}
              \big(x_t + \tfrac{\epsilon}{n}\, d(\nabla_x E[\ell(f(x_t), y)])\big), \quad x_0 = x

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced.
      num_steps: steps n >= 1.
      step_size: a length or a rule; by default `path_length(1)`, which is epsilon / n.
      norm: "linf", "l2" or "l1".
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      early_stop: see `pgd`.
      loss_fn: (logits, labels) -> loss per example; the attack climbs it (descends it at the target).
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses", or "probabilities" under the loss.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: as `pgd`.

    Source: Kurakin et al., Adversarial examples in the physical world, 2016.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> result = attacks.bim(0.2)(jax.random.key(0), logits_fn, jnp.array([[0.6]]), jnp.array([0]))
      >>> result.inputs
      Array([[0.4]], dtype=float32)
    """
    return first_order(
        epsilon,
        num_steps=num_steps,
        step_size=path_length(1.0) if step_size is None else step_size,
        norm=norm,
        bounds=bounds,
        objective=Objective(loss_fn, num_eot_samples, expectation_of, num_judge_samples),
        random_start=False,
        early_stop=early_stop,
    )
