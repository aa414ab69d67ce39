"""The compiled attacks on models of one structure, and models on which images are made to be shown to others."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import attacks, losses
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.runner import ApplyFn
from ib_jax.evaluation.attack_spec import AttackSpec
from ib_jax.evaluation.stored import digest
from ib_jax.types import Array, AttackResult, Params

PredictFn = Callable[[Params, Array, Array], Array]
"""(params, keys [B], inputs [B, ...]) -> the class answered, int [B], -1 where there is none."""


class AttackPrograms:
    """Runs attacks, given as specs, on models of one structure; each compiles once, as parameters are an argument.

    Args:
      apply_fn: (params, keys [B], inputs [B, ...]) -> logits [B, C], at one sample of a stochastic model.
      mean_fn: the same at the mean of the code, for specs and answers `at_mean`; None for a model without it.
      num_eval_samples: samples behind an answer; its mean softmax decides.
      predict: (params, keys [B], inputs) -> int [B], replaces the answer of `apply_fn`, not that of `mean_fn`.
      batch_size: most examples attacked or answered at a time.
      bounds: lower and upper limits of the inputs.

    Raises:
      ValueError: a size is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> apply_fn = lambda params, keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> programs = evaluation.AttackPrograms(apply_fn)
      >>> inputs, labels = jnp.array([[0.6], [0.9]]), jnp.array([0, 0])
      >>> result = programs.attack(evaluation.AttackSpec("fgsm", 0.2), None, jax.random.key(0), inputs, labels)
      >>> programs.answers(None, jax.random.key(1), result.inputs)
      array([1, 0], dtype=int32)
    """

    def __init__(
        self,
        apply_fn: ApplyFn,
        *,
        mean_fn: ApplyFn | None = None,
        num_eval_samples: int = 12,
        predict: PredictFn | None = None,
        batch_size: int = 1000,
        bounds: Bounds = (0.0, 1.0),
    ):
        for name, value in [("num_eval_samples", num_eval_samples), ("batch_size", batch_size)]:
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.batch_size, self.bounds, self.num_eval_samples = batch_size, bounds, num_eval_samples
        self._apply, self._mean = apply_fn, mean_fn
        self._runners: dict[tuple[Any, ...], attacks.Runner] = {}

        def sampled(params: Params, keys: Array, inputs: Array) -> Array:
            return losses.sampled_class(keys, lambda *args: apply_fn(params, *args), inputs, num_eval_samples)

        self._predict = jax.jit(predict or sampled)
        self._predict_at_mean = jax.jit(lambda *args: losses.predicted_class(self.apply_fn(True)(*args)))

    def apply_fn(self, at_mean: bool = False) -> ApplyFn:
        """The model, at a sample or at the mean.

        Raises:
          ValueError: `at_mean` of a model without `mean_fn`.
        """
        if not at_mean:
            return self._apply
        if self._mean is None:
            raise ValueError("mean_fn must be given for attacks and answers at the mean, got None")
        return self._mean

    def attack(
        self,
        spec: AttackSpec,
        params: Params,
        key: Array,
        inputs: Array | np.ndarray,
        labels: Array | np.ndarray,
        targets: Array | np.ndarray | None = None,
    ) -> AttackResult:
        """Runs an attack on this model, like `attacks.Runner`; ignores a spec's source and number of images.

        Args:
          spec: the attack.
          params: handed to `apply_fn`.
          key: one PRNG key, or one for each example ([N]).
          inputs: float [N, ...].
          labels: int [N].
          targets: int [N] for a targeted spec; ignored by others.

        Returns:
          AttackResult of NumPy arrays.

        Raises:
          ValueError: targets are missing, or as of the attack.
        """
        if spec.targeted and targets is None:
            raise ValueError(f"targets must be given for a targeted attack, {spec.label}")
        if spec.program not in self._runners:
            apply_fn = self.apply_fn(spec.at_mean)
            self._runners[spec.program] = attacks.Runner(spec.make(self.bounds), apply_fn, batch_size=self.batch_size)
        aims = jnp.asarray(targets) if spec.targeted else None
        run = self._runners[spec.program]
        return run(params, key, jnp.asarray(inputs), jnp.asarray(labels), aims, epsilon=spec.epsilon)

    def answers(self, params: Params, key: Array, inputs: Array | np.ndarray, *, at_mean: bool = False) -> np.ndarray:
        """The class that the model answers for each example.

        Args:
          params: handed to `apply_fn`.
          key: one PRNG key, or one for each example ([N]); not one that an attack has used.
          inputs: float [N, ...].
          at_mean: answer at the mean, not by the mean softmax of samples.

        Returns:
          int [N]; -1 where the model has no answer.
        """
        keys, predict = losses.per_example_keys(key, len(inputs)), self._predict_at_mean if at_mean else self._predict
        starts = range(0, max(1, len(inputs)), self.batch_size)
        rows = [slice(first, first + self.batch_size) for first in starts]
        return np.concatenate([np.asarray(predict(params, keys[part], inputs[part])) for part in rows])


class TransferSource:
    """A trained model on which adversarial images are made, to be shown to other models; images are made once.

    Args:
      programs: the attacks on it.
      params: its parameters.
      key: of the attacks on it: one PRNG key, or one for each example.
      stochastic: False for a deterministic model: gradients are then not averaged, whatever the spec.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> apply_fn = lambda params, keys, x: jnp.concatenate([x, 1.0 - x], -1)  # class 0 where x > 1/2
      >>> source = evaluation.TransferSource(evaluation.AttackPrograms(apply_fn), None, jax.random.key(0))
      >>> source.images(evaluation.AttackSpec("fgsm", 0.2), jnp.array([[0.6]]), jnp.array([0]))
      array([[0.4]], dtype=float32)
    """

    def __init__(self, programs: AttackPrograms, params: Params, key: Array, *, stochastic: bool = True):
        self._programs, self._params, self._key, self._stochastic = programs, params, key, stochastic
        self._made: dict[tuple[Any, ...], np.ndarray] = {}

    def images(
        self,
        spec: AttackSpec,
        inputs: Array | np.ndarray,
        labels: Array | np.ndarray,
        targets: Array | np.ndarray | None = None,
    ) -> np.ndarray:
        """The images [N, ...] that an attack makes of the inputs on this model; see `AttackPrograms.attack`."""
        own = spec if self._stochastic else spec.without_samples()
        which = own.program, own.epsilon, digest((inputs, labels, targets if own.targeted else None))
        if which not in self._made:
            keys = losses.per_example_keys(self._key, len(labels)) if self._key.ndim == 0 else self._key[: len(labels)]
            result = self._programs.attack(own, self._params, keys, inputs, labels, targets)
            self._made[which] = np.asarray(result.inputs)
        return self._made[which]
