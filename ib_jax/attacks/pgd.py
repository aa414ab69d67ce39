"""Projected gradient descent."""

import jax
import jax.numpy as jnp

from ib_jax import losses
from ib_jax.attacks.norms import get_norm
from ib_jax.attacks.objective import AttackLoss, ascent_gradient, check_arguments, judge
from ib_jax.types import Array, Attack, AttackResult, LogitsFn


def pgd(
    epsilon: float | Array,
    *,
    num_steps: int = 20,
    step_size: float | Array | None = None,
    norm: str = "linf",
    bounds: tuple[float | Array, float | Array] = (0.0, 1.0),
    random_start: bool = True,
    loss_fn: AttackLoss = losses.cross_entropy,
    num_eot_samples: int = 1,
) -> Attack:
    r"""Projected gradient descent in an L-inf or L2 ball.

    .. math:: x_{t+1} = \Pi_{\mathrm{bounds}} \Pi_{\|x' - x\| \le \epsilon}
              \big(x_t + \alpha\, d(\nabla_x E[\ell(f(x_t), y)])\big)

    with d the sign (L-inf) or the normalised gradient (L2). The projection onto the bounds moves no coordinate away
    from the input, so the ball is kept. Guaranteed: the result lies in the ball and in the bounds; epsilon 0 returns
    the inputs; an example's result depends on its own key, input and label alone.

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]). It may be traced, so
        `vmap` over radii compiles to one program.
      num_steps: steps n >= 1.
      step_size: alpha, a scalar or one for each example; by default 2.5 epsilon / n.
      norm: "linf" or "l2".
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example (per channel).
      random_start: start from a uniform draw from the ball, rather than from the input.
      loss_fn: (logits, labels) -> loss per example; the attack climbs it (descends it at the target).
      num_eot_samples: samples of a stochastic model averaged in each gradient; also the number of fresh samples
        whose mean softmax decides on success.

    Returns:
      Attack: (key, logits_fn, inputs, labels, targets=None) -> AttackResult.

    Raises:
      ValueError: a setting is out of its range; from the attack: inputs outside the bounds or NaN, epsilon < 0,
        labels of a wrong shape or type.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018; expectation over
    transformation: Athalye et al., 2018.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> attack = attacks.pgd(0.2, num_steps=5)
      >>> result = attack(jax.random.key(0), logits_fn, jnp.array([[0.6], [0.9]]), jnp.array([0, 0]))
      >>> result.success
      Array([ True, False], dtype=bool)
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if num_eot_samples < 1:
        raise ValueError(f"num_eot_samples must be at least 1, got {num_eot_samples}")
    geometry = get_norm(norm)
    radius = jnp.asarray(epsilon, jnp.float32)
    step_length = 2.5 * radius / num_steps if step_size is None else jnp.asarray(step_size, jnp.float32)
    lower, upper = jnp.asarray(bounds[0]), jnp.asarray(bounds[1])

    def attack(
        key: Array, logits_fn: LogitsFn, inputs: Array, labels: Array, targets: Array | None = None
    ) -> AttackResult:
        check_arguments(inputs, labels, targets, (lower, upper), radius)
        batch_size, *shape = inputs.shape
        keys = losses.per_example_keys(key, batch_size)
        radii, lengths = (jnp.broadcast_to(x, (batch_size,)).astype(inputs.dtype) for x in (radius, step_length))
        low, high = lower.astype(inputs.dtype), upper.astype(inputs.dtype)
        gradient = ascent_gradient(logits_fn, loss_fn, labels, targets, num_eot_samples)

        def feasible(example: Array, perturbation: Array, radius: Array) -> Array:
            inside = geometry.project(perturbation, radius)
            return jnp.clip(example + inside, low, high) - example

        def start(key: Array, example: Array, radius: Array) -> Array:
            draw = geometry.random(key, tuple(shape), inputs.dtype) if random_start else jnp.zeros_like(example)
            return feasible(example, radius * draw, radius)

        def move(example: Array, perturbation: Array, slope: Array, radius: Array, length: Array) -> Array:
            return feasible(example, perturbation + length * geometry.direction(slope), radius)

        def step(index: Array, perturbation: Array) -> Array:
            step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 2 + index)
            slope = gradient(step_keys, inputs + perturbation)
            return jax.vmap(move)(inputs, perturbation, slope, radii, lengths)

        start_keys, judge_keys = (jax.vmap(jax.random.fold_in, (0, None))(keys, i) for i in (0, 1))
        perturbation = jax.lax.fori_loop(0, num_steps, step, jax.vmap(start)(start_keys, inputs, radii))
        # Rounding in `inputs + perturbation` can leave the bounds by one unit in the last place.
        adversarial = jnp.clip(inputs + perturbation, low, high)
        return AttackResult(adversarial, judge(judge_keys, logits_fn, adversarial, labels, targets, num_eot_samples))

    return attack
