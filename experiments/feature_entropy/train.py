"""Training of All-CNN on a set of images of which a ratio is replaced by attacks on the model as it stands.

All three attacks in one way: before an epoch, from the host, where DeepFool and CW can leave out examples that are
done. FGSM could be in the compiled step, but then its examples would be renewed more often than those of the others.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.keys import stream
from experiments.core.settings import SettingError
from experiments.core.trained_model import TrainedModel
from experiments.feature_entropy.settings import FeatureConfig
from experiments.ib_adversarial_training import load, recipe_of
from ib_jax import data, losses, models, training
from ib_jax.evaluation import AttackPrograms
from ib_jax.types import Params


def averaged(images: np.ndarray, side: int) -> np.ndarray:
    """Images [N, H, W, C] in [0, 1], averaged over squares of a side that divides H and W.

    Example:
      >>> averaged(np.array([[[[0], [255]], [[255], [255]]]], np.uint8), 2).tolist()
      [[[[0.75]]]]
    """
    count, height, width, channels = images.shape
    if height % side or width % side:
        raise SettingError(f"--shrink must divide the images' sides, {height} and {width}, got {side}")
    squares = np.asarray(data.to_unit_interval(images)).reshape(
        count, height // side, side, width // side, side, channels
    )
    return squares.mean((2, 4), dtype=np.float32)


def load_averaged(config: FeatureConfig) -> data.Dataset:
    """The data set, its images float32 in [0, 1]."""
    dataset = load(config.model)
    train, test = (
        data.Split(averaged(split.inputs, config.shrink), split.labels) for split in (dataset.train, dataset.test)
    )
    return dataset._replace(train=train, test=test)


def attacked_rows(num_images: int, ratio: float, seed: int, epoch: int) -> np.ndarray:
    """Which images are attacked before an epoch: round(ratio N) of N, at random, in rising order."""
    rng = np.random.default_rng([seed, epoch])
    return np.sort(rng.permutation(num_images)[: round(ratio * num_images)])


class Trainer:
    """Trains models of one structure on one data set; every program is compiled once.

    Args:
      config: the settings.
      dataset: from `load_averaged`.
    """

    def __init__(self, config: FeatureConfig, dataset: data.Dataset):
        self._config, self._train = config, dataset.train
        self.recipe = recipe_of(config.model, dataset)
        recipe = self.recipe
        self._run = jax.jit(recipe.epoch(None, 1, num_steps=recipe.steps_per_epoch if recipe.whole else 1))
        apply_fn = models.sampled_apply(recipe.model)
        self.programs = AttackPrograms(
            apply_fn,
            predict=lambda *args: losses.predicted_class(apply_fn(*args)),
            batch_size=config.attack_batch_size,
        )

    def mixed(
        self, attack: str, ratio: float, params: Params, seed: int, epoch: int
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The training images with a ratio of them attacked, and a row of the history. Labels stay theirs."""
        rows = attacked_rows(len(self._train.labels), ratio, seed, epoch)
        images = self._train.inputs.copy()
        if not len(rows):
            return images, {}
        key = jax.random.fold_in(stream(seed, "training_attack"), epoch)
        spec, labels = self._config.spec(attack), self._train.labels[rows]
        found = self.programs.attack(spec, params, key, images[rows], labels)
        images[rows] = found.inputs
        return images, {"num_attacked": len(rows), "fooled": float(found.decided().mean())}

    def train(self, attack: str, ratio: float, seed: int) -> TrainedModel:
        """Trains one model.

        Args:
          attack: by name.
          ratio: share of the images that are attacked; 0 is plain training.
          seed: of parameters, order, and which images are attacked.

        Returns:
          The model; its history has a row for each epoch: loss in nats, and how many images were attacked before it and
          how many of those fool.

        Raises:
          NonFiniteLossError: training diverged.
        """
        start, config, recipe = time.monotonic(), self._config, self.recipe
        state = recipe.init({"seed": jnp.int32(seed)})
        images, history = self._train.inputs, []
        labels = jnp.asarray(self._train.labels)
        batch = training.Batch(jnp.asarray(images), labels)
        for epoch in range(config.num_epochs):
            rows: dict[str, Any] = {}
            if ratio and epoch >= config.warm_up and (epoch - config.warm_up) % config.refresh == 0:
                images, rows = self.mixed(attack, ratio, state.params, seed, epoch)
                batch = training.Batch(jnp.asarray(images), labels)
            losses = []
            for _ in range(1 if recipe.whole else recipe.steps_per_epoch):
                state, metrics = self._run(state, batch)
                losses.append(np.asarray(metrics["loss"]))
            loss = float(np.concatenate(losses).mean())
            if not np.isfinite(loss):
                raise training.NonFiniteLossError(
                    f"the loss of {attack} at ratio {ratio:g}, seed {seed}, is {loss} in epoch {epoch + 1}; a smaller "
                    "--learning_rate usually helps"
                )
            history.append({"epoch": epoch + 1, "loss": loss, **rows})
        params, seconds = state.params, time.monotonic() - start
        return TrainedModel(config, lambda: params, {}, history, seconds)
