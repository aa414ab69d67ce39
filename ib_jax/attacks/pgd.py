"""Projected gradient descent."""

from ib_jax import losses
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.ensemble import restarts
from ib_jax.attacks.first_order import first_order
from ib_jax.attacks.objective import AttackLoss, ExpectationOf, Objective, loss_score
from ib_jax.attacks.step_size import StepSize, path_length
from ib_jax.types import Array, Attack


def pgd(
    epsilon: float | Array,
    *,
    num_steps: int = 20,
    step_size: StepSize | None = None,
    norm: str = "linf",
    bounds: Bounds = (0.0, 1.0),
    random_start: bool = True,
    num_restarts: int = 1,
    early_stop: bool = False,
    loss_fn: AttackLoss = losses.cross_entropy,
    num_eot_samples: int = 1,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
) -> Attack:
    r"""Projected gradient descent in an L-inf, L2 or L1 ball.

    .. math:: x_{t+1} = \Pi_{\mathrm{bounds}} \Pi_{\|x' - x\| \le \epsilon}
              \big(x_t + \alpha\, d(\nabla_x E[\ell(f(x_t), y)])\big)

    with d the sign (L-inf), the normalised gradient (L2) or its few largest entries (L1). The projection onto the
    bounds moves no coordinate away from the input, so the result stays in the ball. Guaranteed: the result lies in the
    ball and in the bounds; epsilon 0 returns the inputs; an example's result depends on its own key, input and label
    alone.

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]). It may be traced, so
        `vmap` over radii compiles to one program.
      num_steps: steps n >= 1.
      step_size: alpha, a scalar or one for each example, or a rule such as `path_length(4 / 3)`; by default
        `path_length(2.5)`, which is 2.5 epsilon / n.
      norm: "linf", "l2" or "l1".
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      random_start: start from a uniform draw from the ball, rather than from the input.
      num_restarts: random starts; of several the successful one with the highest loss is kept.
      early_stop: stop at an example as soon as it fools the model, instead of climbing on. Use it to count successes
        quickly, not to find the worst loss. For a stochastic model the wrong answer must lead by three standard errors
        of the margin at the input, so that no lucky sample ends the search.
      loss_fn: (logits, labels) -> loss per example; the attack climbs it (descends it at the target).
      num_eot_samples: samples of a stochastic model averaged in each gradient.
      expectation_of: what is averaged: "losses", or "probabilities" under the loss.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, epsilon < 0, labels
        of a wrong shape, type or range.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018; expectation over
    transformation: Athalye et al., 2018; sparse L1 steps: Tramer and Boneh, 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> attack = attacks.pgd(0.2, num_steps=5)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.9]]), jnp.array([0, 0]))
      >>> result.success
      Array([ True, False], dtype=bool)
    """
    if num_restarts > 1 and not random_start:
        raise ValueError(f"num_restarts must be 1 without a random start, got {num_restarts}")
    objective = Objective(loss_fn, num_eot_samples, expectation_of, num_judge_samples)
    attack = first_order(
        epsilon,
        num_steps=num_steps,
        step_size=path_length(2.5) if step_size is None else step_size,
        norm=norm,
        bounds=bounds,
        objective=objective,
        random_start=random_start,
        early_stop=early_stop,
    )
    if num_restarts == 1:
        return attack
    return restarts(attack, num_restarts, loss_score(objective), stop_at_success=early_stop)
