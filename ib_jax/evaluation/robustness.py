"""Accuracy under an attack, at many radii in one program."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import losses
from ib_jax.types import Array, Attack, AttackResult, LogitsFn


def robust_correct(
    key: Array,
    logits_fn: LogitsFn,
    inputs: Array,
    labels: Array,
    *,
    make_attack: Callable[[Array], Attack],
    epsilons: Array,
    targets: Array | None = None,
    num_samples: int = 12,
) -> Array:
    """Which examples are still classified right after an attack, at every radius at once; pure and jittable.

    The prediction is the mean of the softmax over `num_samples` samples that the attack has not seen. All radii start
    from the same keys, so that they differ by the radius alone.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C].
      inputs: float [B, ...].
      labels: true labels, int [B].
      make_attack: from a radius (a scalar array) to an Attack, for example `lambda e: attacks.pgd(e, num_steps=20)`.
      epsilons: float [E], radii in units of the inputs.
      targets: int [B] for a targeted attack; then an example counts as right when it keeps its true label.
      num_samples: samples of the stochastic model behind each prediction.

    Returns:
      bool [B, E].

    Raises:
      ValueError: `epsilons` is not one-dimensional or `num_samples` is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks, evaluation
      >>> logits_fn = lambda keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> evaluation.robust_correct(jax.random.key(0), logits_fn, jnp.array([[0.6]]), jnp.array([0]),
      ...                           make_attack=attacks.fgsm, epsilons=jnp.array([0.0, 0.05, 0.2]))
      Array([[ True,  True, False]], dtype=bool)
    """
    epsilons = jnp.asarray(epsilons, jnp.float32)
    if epsilons.ndim != 1:
        raise ValueError(f"epsilons must be a list of radii, got shape {epsilons.shape}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    keys = jax.vmap(jax.random.split)(losses.per_example_keys(key, labels.shape[0]))

    def correct_at(epsilon: Array) -> Array:
        adversarial = make_attack(epsilon)(keys[:, 0], logits_fn, inputs, labels, targets).inputs
        return losses.sampled_probabilities(keys[:, 1], logits_fn, adversarial, num_samples).argmax(-1) == labels

    return jax.vmap(correct_at, out_axes=1)(epsilons)


def robustness_curve(
    run: Callable[[Array, np.ndarray, np.ndarray, np.ndarray], AttackResult],
    key: Array,
    inputs: Array,
    labels: Array,
    epsilons: Sequence[float] | Array,
) -> np.ndarray:
    """Which examples still stand at every radius, from the smallest on, attacking only what stands.

    A perturbation stays one at any larger radius, so an example that fell is spared from then on: many radii cost
    little more than a few. The radius is an argument of `run`, so all radii share its compiled programs.

    Args:
      run: (keys [n], inputs [n, ...], labels [n], radii [n]) -> AttackResult, for any n; for example a `Runner` of
        `pgd(..., early_stop=True)`.
      key: one PRNG key, or one for each example ([N]).
      inputs: float [N, ...].
      labels: true labels, int [N].
      epsilons: E radii in units of the inputs, in any order.

    Returns:
      NumPy bool [N, E], in the order of `epsilons`. The mean over N is the accuracy at each radius.

    Raises:
      ValueError: `epsilons` is empty, not one-dimensional, negative or NaN.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks, evaluation
      >>> apply_fn = lambda params, keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> runner = attacks.Runner(attacks.fgsm(0.0), apply_fn)
      >>> run = lambda keys, inputs, labels, radii: runner(None, keys, inputs, labels, epsilon=radii)
      >>> inputs, labels = jnp.array([[0.6], [0.9]]), jnp.array([0, 0])
      >>> evaluation.robustness_curve(run, jax.random.key(0), inputs, labels, [0.05, 0.2, 0.5])
      array([[ True, False, False],
             [ True,  True, False]])
    """
    radii = np.asarray(epsilons, np.float32)
    if radii.ndim != 1 or not radii.size or not (radii >= 0).all():
        raise ValueError(f"epsilons must be a list of radii of at least 0, got {radii}")
    examples, classes = np.asarray(inputs), np.asarray(labels)
    keys = losses.per_example_keys(key, len(classes))
    standing = np.ones(len(classes), bool)
    correct = np.empty((len(classes), radii.size), bool)
    for index in np.argsort(radii, kind="stable"):
        rows = np.flatnonzero(standing)
        if rows.size:
            result = run(keys[rows], examples[rows], classes[rows], np.full(rows.size, radii[index]))
            standing[rows] = ~np.asarray(result.success)
        correct[:, index] = standing
    return correct
