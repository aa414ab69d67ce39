"""Trains All-CNN on images of which a ratio is replaced by attacks on the model as it stands, and measures it.

All three attacks in one way: before an epoch, from the host, where DeepFool and CW can leave out examples that are
done. FGSM could be in the compiled step, but then its examples would be renewed more often than those of the others.
"""

import dataclasses
import functools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import records
from experiments.core.keys import stream
from experiments.core.progress import WorkLine
from experiments.core.records import Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, SettingError
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse
from experiments.feature_entropy.measure import Measure
from experiments.feature_entropy.settings import FeatureConfig
from experiments.ib_adversarial_training import load, recipe_of
from ib_jax import data, losses, models, training
from ib_jax.evaluation import AttackPrograms
from ib_jax.types import Params

PLAIN = "none"


def run(config: FeatureConfig, session: Session) -> Record:
    """Trains and measures the models that the record lacks, and makes the report."""
    results = pathlib.Path(config.results)
    path = results / f"{config.dataset}.json"
    if path.exists():
        record = records.read(path)
        check_reuse(path, record.settings, config, stage=EVALUATION)
    else:
        record = session.record([], config, file=config.dataset)
    have = {(model.name, model.seed) for model in record.models}
    waiting = [each for each in plan(config) if (name_of(*each[:2]), each[2]) not in have]
    if waiting:
        record = _measure(config, waiting, record, path, session)
    session.publish(results)  # with the records of other data sets that lie there
    return record


def plan(config: FeatureConfig) -> list[tuple[str, float, int]]:
    """Attack, ratio and seed of every model, seed by seed; the model at ratio 0 is the same for all attacks."""
    kinds = [(PLAIN, 0.0), *((attack, ratio) for attack in config.attacks for ratio in config.ratios[1:])]
    return [(*kind, seed) for seed in range(config.num_seeds) for kind in kinds]


def name_of(attack: str, ratio: float) -> str:
    """What a model is called in records."""
    return f"{attack} {ratio:g}"


def _measure(
    config: FeatureConfig, waiting: list[tuple[str, float, int]], record: Record, path: pathlib.Path, session: Session
) -> Record:
    """Writes the record anew with each model; the last one."""
    dataset = load_averaged(config)
    trainer = Trainer(config, dataset)
    sizes = {"num_train_images": len(dataset.train.labels), "image_shape": dataset.train.inputs.shape[1:]}
    record = dataclasses.replace(record, details=sizes)
    plain = functools.cache(lambda seed: trainer.train(PLAIN, 0.0, seed))
    source = plain(config.num_seeds).params  # of a seed that no measured model has
    name = f"{name_of(PLAIN, 0.0)}, seed {config.num_seeds}"
    measure = Measure(config, trainer.programs, trainer.recipe.model, dataset.test, source, name)
    reference = functools.cache(lambda seed: measure.features(plain(seed).params))
    with WorkLine(session.console, len(waiting)) as line:
        for attack, ratio, seed in waiting:
            trained = trainer.train(attack, ratio, seed) if ratio else plain(seed)
            start, against = time.monotonic(), config.attacks if attack == PLAIN else (attack,)
            rows, counts = measure.entropies(trained.params, reference(seed))
            rows += measure.robustness(trained.params, against, seed)
            details = {
                "history": trained.history,
                "count_of_counts": counts,
                "training_seconds": trained.seconds,
                "measuring_seconds": time.monotonic() - start,
            }
            own = {"against": PLAIN if attack == PLAIN else config.spec(attack).attack, "ratio": ratio}
            model = Model(name_of(attack, ratio), seed, rows, own, details=details)
            record = dataclasses.replace(record, models=[*record.models, model])
            records.write(path, record)
            line(model.name, f"seed {seed}, measured", 1)
    return record


def averaged(images: np.ndarray, side: int) -> np.ndarray:
    """Images [N, H, W, C] in [0, 1], averaged over squares of a side that divides H and W.

    Example:
      >>> averaged(np.array([[[[0], [255]], [[255], [255]]]], np.uint8), 2).tolist()
      [[[[0.75]]]]
    """
    count, height, width, channels = images.shape
    if height % side or width % side:
        raise SettingError(f"--shrink must divide the images' sides, {height} and {width}, got {side}")
    shape = count, height // side, side, width // side, side, channels
    return np.asarray(data.to_unit_interval(images)).reshape(shape).mean((2, 4), dtype=np.float32)


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
    """Trains models of one structure on one data set, from `load_averaged`; every program is compiled once."""

    def __init__(self, config: FeatureConfig, dataset: data.Dataset):
        self._config, self._train = config, dataset.train
        self.recipe = recipe = recipe_of(config.model, dataset)
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
        result = self.programs.attack(self._config.spec(attack), params, key, images[rows], self._train.labels[rows])
        images[rows] = result.inputs
        return images, {"num_attacked": len(rows), "fooled": float(result.decided().mean())}

    def train(self, attack: str, ratio: float, seed: int) -> TrainedModel:
        """Trains one model; the seed decides its parameters, the order, and which images are attacked.

        Returns:
          The model; its history has a row for each epoch: loss in nats, and how many images were attacked before it and
          how many of those fool.

        Raises:
          NonFiniteLossError: training diverged.
        """
        start, config, recipe, history = time.monotonic(), self._config, self.recipe, []
        state, labels = recipe.init({"seed": jnp.int32(seed)}), jnp.asarray(self._train.labels)
        batch = training.Batch(jnp.asarray(self._train.inputs), labels)
        for epoch in range(config.num_epochs):
            attacked: dict[str, Any] = {}
            if ratio and epoch >= config.warm_up and (epoch - config.warm_up) % config.refresh == 0:
                images, attacked = self.mixed(attack, ratio, state.params, seed, epoch)
                batch = training.Batch(jnp.asarray(images), labels)
            steps = []
            for _ in range(1 if recipe.whole else recipe.steps_per_epoch):
                state, metrics = self._run(state, batch)
                steps.append(np.asarray(metrics["loss"]))
            loss = float(np.concatenate(steps).mean())
            if not np.isfinite(loss):
                raise training.NonFiniteLossError(
                    f"the loss of {attack} at ratio {ratio:g}, seed {seed}, is {loss} in epoch {epoch + 1}; a smaller "
                    "--learning_rate usually helps"
                )
            history.append({"epoch": epoch + 1, "loss": loss, **attacked})
        params, seconds = state.params, time.monotonic() - start
        return TrainedModel(config, lambda: params, {}, history, seconds)
