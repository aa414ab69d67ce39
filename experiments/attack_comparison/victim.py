"""A deterministic classifier that is attacked in JAX and in PyTorch, and the one judge of whatever comes back."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import trained_model
from experiments.core.app import STOPPED, Session
from experiments.core.keys import stream
from experiments.core.workdir import WorkdirError
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import Config
from ib_jax import AttackResult, data, evaluation, losses, models
from ib_jax.attacks.runner import ApplyFn
from ib_jax.types import Array, Params

TOLERANCE = 1e-5  # what float32 may add to a distance or take a pixel beyond its range
BOUNDARY = 1e-4  # of the largest logit: a lead of the label so small that rounding decides

Layers = list[tuple[np.ndarray, np.ndarray]]


class Victim(NamedTuple):
    """A network and the images it is attacked on.

    Attributes:
      apply_fn: (params, keys, inputs) -> logits, without noise.
      params: its parameters.
      layers: the same as kernel and bias of each dense layer, for `attack_peers.save_task`.
      images: test images, float [N, H, W, C] in [0, 1].
      labels: int [N].
      description: for the record: where it comes from, its settings and its error.
    """

    apply_fn: ApplyFn
    params: Params
    layers: Layers
    images: np.ndarray
    labels: np.ndarray
    description: Mapping[str, Any]


def from_workdir(workdir: str | pathlib.Path, *, data_dir: str = "") -> Victim:
    """The network of a finished run of `experiments.mnist_vib`, at its averaged weights.

    Raises:
      ValueError: there is no finished run, or its network is stochastic.
    """
    try:
        recipe = trained_model.open_recipe(workdir, data_dir=data_dir)
    except FileNotFoundError as error:
        raise WorkdirError(f"no finished run of experiments.mnist_vib in {workdir}: it has no results.json") from error
    config, test = recipe.config, recipe.dataset.test
    if config.stochastic:
        raise WorkdirError(f"the network must be deterministic, such as one of cross_entropy; got {config.objective}")
    model = trained_model.open_model(workdir, recipe)
    described = ("dataset", "objective", "num_epochs", "hidden_width", "latent_dim", "seed")
    description = {
        "checkpoint": str(workdir),
        "test_error": model.summary["test"]["error_mean"],
        **{name: getattr(config, name) for name in described},
    }
    images = np.asarray(data.to_unit_interval(test.inputs))
    apply_fn = models.mean_apply(recipe.model)
    return Victim(apply_fn, model.params, _layers(model.params), images, np.asarray(test.labels), description)


def trained(**settings: Any) -> Victim:
    """A network trained for the purpose, without noise.

    Args:
      **settings: of `experiments.mnist_vib`.

    Raises:
      SystemExit: training was stopped by a signal.
    """
    with tempfile.TemporaryDirectory() as workdir:
        fixed: dict[str, Any] = {"objective": "cross_entropy", "workdir": workdir, "figures": False}
        config = Config(**settings, **fixed, num_attack_images=0, epochs_per_eval=settings["num_epochs"])
        if mnist_vib.run(config, Session()) is None:
            raise SystemExit(STOPPED)
        victim = from_workdir(workdir)
    return victim._replace(description={**victim.description, "checkpoint": "trained for this record"})


def _layers(params: Params) -> Layers:
    encoder, decoder = params["encoder"], params["decoder"]
    dense = [*(encoder[f"Dense_{index}"] for index in range(len(encoder))), decoder["Dense_0"]]
    return [(np.asarray(layer["kernel"]), np.asarray(layer["bias"])) for layer in dense]


class Judge:
    """Says what an attack achieved, by the JAX network alone, so that all libraries are judged alike.

    An all-zero image counts as a failure: it is what foolbox's CW returns where it found nothing.

    Args:
      victim: the network and its images.
      num_images: of these, from the first.

    Attributes:
      images: what was attacked, [N, ...].
      labels: int [N].
      correct: bool [N], classified right before any attack.
    """

    def __init__(self, victim: Victim, num_images: int):
        self.images, self.labels = victim.images[:num_images], victim.labels[:num_images]
        keys = losses.per_example_keys(stream(0, "judge"), len(self.labels))

        @jax.jit
        def answers(images: Array) -> tuple[Array, Array]:
            logits = victim.apply_fn(victim.params, keys, images)
            lead = losses.margin(logits, jnp.asarray(self.labels))
            return losses.predicted_class(logits), lead <= BOUNDARY * jnp.abs(logits).max(-1)

        self._answers = answers
        self.correct = evaluation.is_right(answers(jnp.asarray(self.images))[0], self.labels)

    def __call__(self, images: np.ndarray, *, norm: str, epsilon: float | None = None) -> dict[str, Any]:
        """Robust accuracy and the sizes of the perturbations.

        Args:
          images: attacked, in the order of the judge's; they may be fewer, from the first.
          norm: "linf" or "l2", of the ball.
          epsilon: its radius; None without one.

        Returns:
          `robust_accuracy`, the share still classified right; `outside`, images outside the ball or [0, 1] or with a
          NaN, which count as failures; what `evaluation.summarise_perturbations` says; `on_boundary`, failures that end
          on the boundary itself, where another rounding may see a success; and `boundary`, the sizes if they were.

        Raises:
          ValueError: the network answers NaN to an image that counts.
        """
        count = len(images)
        padded = self.images.copy()
        padded[:count] = images
        answers, close = (np.asarray(array) for array in self._answers(jnp.asarray(padded)))
        wrong, close = (answers != self.labels)[:count], close[:count]
        inputs, flat = self.images[:count], np.asarray(images, np.float64).reshape(count, -1)
        inside = np.isfinite(flat).all(-1) & (flat >= -TOLERANCE).all(-1) & (flat <= 1 + TOLERANCE).all(-1)
        if epsilon is not None:
            moved = flat - inputs.reshape(count, -1)
            size = np.abs(moved).max(-1) if norm == "linf" else np.linalg.norm(moved, axis=-1)
            inside &= size <= epsilon + TOLERANCE
        inside, outside = inside & flat.any(-1), int((~inside).sum())
        evaluation.decided(np.where(inside, answers[:count], 0))
        success, correct = wrong & inside, self.correct[:count]

        def sizes(success: np.ndarray) -> Mapping[str, float]:
            result = AttackResult(jnp.nan_to_num(jnp.asarray(images)), jnp.asarray(success))
            measured = evaluation.measure_perturbations(jnp.asarray(inputs), result, jnp.asarray(correct))
            return evaluation.summarise_perturbations(measured)

        return {
            "robust_accuracy": float((correct & ~success).mean()),
            "outside": outside,
            **sizes(success),
            "on_boundary": int((correct & inside & close & ~success).sum()),
            "boundary": dict(sizes((wrong | close) & inside)),
        }
