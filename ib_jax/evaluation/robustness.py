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
    """Which examples are classified right before an attack and after it, at every radius at once; pure and jittable.

    The prediction is that of the mean softmax over `num_samples` samples that the attack has not seen, the same before
    and after: an example that is wrong before does not stand if the attack happens to make it right. All radii start
    from the same keys, so that they differ by the radius alone. Where the model has no answer (its logits are NaN) an
    example neither stands nor falls: outside of `jit` that is an error; inside, where no value is known, such an
    example counts as not right, so look for it with `check_answers`.

    Args:
      key: one PRNG key, or one for each example ([B]).
      logits_fn: (keys [B], inputs) -> logits [B, C].
      inputs: float [B, ...].
      labels: true labels, int [B]; a list will do.
      make_attack: from a radius (a scalar array) to an Attack, for example `lambda e: attacks.pgd(e, num_steps=20)`.
      epsilons: float [E], radii in units of the inputs.
      targets: int [B] for a targeted attack; then an example counts as right when it keeps its true label.
      num_samples: samples of the stochastic model behind each prediction.

    Returns:
      bool [B, E].

    Raises:
      ValueError: `epsilons` is not one-dimensional, `num_samples` is less than 1, `labels` does not fit the inputs,
        `logits_fn` returns no logits [B, C], or, outside of `jit`, has no answer for some examples.

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
    inputs = jnp.asarray(inputs)
    labels = losses.check_labels(labels, inputs.shape[:1])
    targets = None if targets is None else losses.check_labels(targets, inputs.shape[:1], name="targets")
    keys = jax.vmap(jax.random.split)(losses.per_example_keys(key, labels.shape[0]))
    losses.count_classes(logits_fn, keys[:, 1], inputs)

    def answer(inputs: Array) -> Array:
        return losses.sampled_class(keys[:, 1], logits_fn, inputs, num_samples)

    def answer_at(epsilon: Array) -> Array:
        return answer(make_attack(epsilon)(keys[:, 0], logits_fn, inputs, labels, targets).inputs)

    before, after = answer(inputs)[:, None], jax.vmap(answer_at, out_axes=1)(epsilons)
    answered = (before >= 0) & (after >= 0)
    if not isinstance(answered, jax.core.Tracer) and not answered.all():
        count = int((~answered).any(1).sum())
        raise ValueError(
            f"logits_fn answers NaN at {count} of {len(labels)} examples, before an attack or after it: they neither "
            "stand nor fall, so there is no number to report; mend the model (evaluation.check_model looks for more)"
        )
    return answered & (before == labels[:, None]) & (after == labels[:, None])


def robustness_curve(
    run: Callable[[Array, np.ndarray, np.ndarray, np.ndarray], AttackResult],
    key: Array,
    inputs: Array,
    labels: Array,
    epsilons: Sequence[float] | Array,
    *,
    correct: Array | np.ndarray | None = None,
) -> np.ndarray:
    """Which examples stand at each radius, from the smallest on; only examples that still stand are attacked.

    A perturbation is valid at any larger radius, so an example that fell is not attacked again: many radii cost little
    more than a few. The radius is an argument of `run`, so all radii share its compiled programs. An example that is
    wrong without an attack has fallen at every radius, whatever an attack does to it: the first run is at radius 0,
    from which a `Runner` returns at once.

    Args:
      run: (keys [n], inputs [n, ...], labels [n], radii [n]) -> AttackResult, for any n; for example a `Runner` of
        `pgd(..., early_stop=True)`.
      key: one PRNG key, or one for each example ([N]).
      inputs: float [N, ...].
      labels: true labels, int [N].
      epsilons: E radii in units of the inputs, in any order.
      correct: bool [N], what is right before any attack, in place of the run at radius 0.

    Returns:
      NumPy bool [N, E], in the order of `epsilons`. The mean over N is the accuracy at each radius.

    Raises:
      ValueError: `epsilons` is empty, not one-dimensional, negative or NaN, `correct` is not bool [N], or the model has
        no answer for some examples.

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

    def still(standing: np.ndarray, radius: np.float32) -> np.ndarray:
        rows, standing = np.flatnonzero(standing), standing.copy()
        if rows.size:
            result = run(losses.choose_keys(keys, rows), examples[rows], classes[rows], np.full(rows.size, radius))
            standing[rows] = ~result.decided().astype(bool)
        return standing

    if correct is None:
        standing = still(np.ones(len(classes), bool), np.float32(0))
    else:
        standing = np.asarray(correct)
        if standing.shape != classes.shape or standing.dtype != bool:
            raise ValueError(f"correct must be bool [{len(classes)}], got {standing.dtype} {list(standing.shape)}")
    curve = np.empty((len(classes), radii.size), bool)
    for index in np.argsort(radii, kind="stable"):
        standing = still(standing, radii[index]) if radii[index] > 0 else standing
        curve[:, index] = standing
    return curve
