"""A deterministic classifier that is attacked in JAX and in PyTorch, and the evaluation of whatever comes back."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import runner, trained_model
from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.mnist_vib import Config, load
from ib_jax import AttackResult, data, evaluation, losses, models
from ib_jax.attacks.runner import ApplyFn
from ib_jax.types import Array, Params

TOLERANCE = 1e-5  # what float32 may add to a distance or take a pixel beyond its range
BOUNDARY = 1e-4  # of the largest logit: a lead of the label so small that rounding decides

Layers = list[tuple[np.ndarray, np.ndarray]]


class AttackedModel(NamedTuple):
    """A network and the images it is attacked on.

    Attributes:
      apply_fn: (params, keys, inputs) -> logits, without noise.
      params: its parameters.
      layers: the same as kernel and bias of each dense layer, for `Peers`.
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


def load_model(workdir: str | pathlib.Path, *, data_dir: str = "") -> AttackedModel:
    """The network of a finished run of `experiments.mnist_vib`, at its averaged weights.

    Raises:
      FileNotFoundError: there is no finished run.
      SettingError: its network is stochastic.
    """
    recipe = trained_model.open_recipe(workdir, data_dir=data_dir)
    return _attacked_model(recipe, trained_model.open_model(workdir, recipe), str(workdir))


def train_model(**settings: Any) -> AttackedModel | None:
    """A network trained for the purpose, without noise, by settings of `experiments.mnist_vib`; None if stopped."""
    config = Config(**settings, objective="cross_entropy", epochs_per_eval=settings["num_epochs"])
    recipe = Recipe(config, load(config))
    with tempfile.TemporaryDirectory() as workdir:
        trained = runner.train(recipe, pathlib.Path(workdir), Session())
        return None if trained is None else _attacked_model(recipe, trained, "trained for this record")


def _attacked_model(recipe: Recipe, trained: trained_model.TrainedModel, origin: str) -> AttackedModel:
    config, test, params = recipe.config, recipe.dataset.test, trained.params
    if config.stochastic:
        raise SettingError(
            f"--checkpoint must be of a deterministic network, as of cross_entropy; got {config.objective}"
        )
    names = ("dataset", "objective", "num_epochs", "hidden_width", "latent_dim", "seed")
    description = {"checkpoint": origin, "test_error": trained.summary["test"]["error_mean"]}
    description |= {name: getattr(config, name) for name in names}
    images, labels = np.asarray(data.to_unit_interval(test.inputs)), np.asarray(test.labels)
    return AttackedModel(models.mean_apply(recipe.model), params, _layers(params), images, labels, description)


def _layers(params: Params) -> Layers:
    encoder, decoder = params["encoder"], params["decoder"]
    dense = [*(encoder[f"Dense_{index}"] for index in range(len(encoder))), decoder["Dense_0"]]
    return [(np.asarray(layer["kernel"]), np.asarray(layer["bias"])) for layer in dense]


class AttackEvaluator:
    """What an attack achieved, by the JAX network alone, so that all libraries are judged alike.

    An all-zero image counts as a failure: it is what foolbox's CW returns where it found nothing.

    Args:
      model: the network and its images.
      num_images: of these, from the first.

    Attributes:
      images: what was attacked, [N, ...].
      labels: int [N].
      correct: bool [N], classified right before any attack.
    """

    def __init__(self, model: AttackedModel, num_images: int):
        self.images, self.labels = model.images[:num_images], model.labels[:num_images]
        keys = losses.per_example_keys(stream(0, "judge"), len(self.labels))

        @jax.jit
        def answers(images: Array) -> tuple[Array, Array]:
            logits = model.apply_fn(model.params, keys, images)
            lead = losses.margin(logits, jnp.asarray(self.labels))
            return losses.predicted_class(logits), lead <= BOUNDARY * jnp.abs(logits).max(-1)

        self._answers = answers
        self.correct = evaluation.is_right(answers(jnp.asarray(self.images))[0], self.labels)

    def __call__(self, images: np.ndarray, *, norm: str, epsilon: float | None = None) -> dict[str, float]:
        """Robust accuracy and the sizes of the perturbations.

        Args:
          images: attacked, in the order of the evaluator's; they may be fewer, from the first.
          norm: "linf" or "l2", of the ball.
          epsilon: its radius; None without one.

        Returns:
          `robust_accuracy`, the share still classified right; `outside`, images outside the ball or [0, 1] or with a
          NaN, which count as failures; what `evaluation.summarise_perturbations` says; `on_boundary`, failures that end
          on the boundary itself, where another rounding may see a success; and `boundary_...`, the sizes if they were.

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

        boundary = sizes((wrong | close) & inside)
        return {
            "robust_accuracy": float((correct & ~success).mean()),
            "outside": outside,
            **sizes(success),
            "on_boundary": int((correct & inside & close & ~success).sum()),
            **{f"boundary_{name}": boundary[name] for name in ("success_rate", "median_l2_all", "median_linf_all")},
        }
