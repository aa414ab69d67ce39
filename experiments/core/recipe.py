"""How one model is trained by the settings: the same for a run of its own and for a member of a population."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.core.objectives import NONE, make_classifier, make_loss, make_schedule
from experiments.core.protocol import RunSettings
from experiments.core.settings import GRAIN, SettingError
from experiments.mnist_vib.settings import Config
from ib_jax import data, evaluation, loops, training
from ib_jax.models import Classifier
from ib_jax.training import Hyperparams, parallel

Run = Callable[[Any], tuple[Any, Any]]
"""Trains one stretch: (placed state) -> (placed state, metrics)."""


Settings = TypeVar("Settings", bound=RunSettings)


class Parts(NamedTuple):
    """In what the recipes of two experiments differ; each is made from the settings, in which a member's hyperparams go
    before the configured ones.

    Attributes:
      classifier: (config, class probabilities [C], axis name or None) -> the network.
      optimizer: (config, steps of an epoch, hyperparams) -> the optimizer.
      schedule: (config, steps of an epoch, hyperparams) -> the schedule of rho, or None.
      augment: (config) -> what changes the training images, as of `training.make_epoch`.
      adversary: (config, network, hyperparams, loss) -> the loss, and what is done to each batch before its gradient.
    """

    classifier: Callable[[Any, np.ndarray, str | None], Classifier]
    optimizer: Callable[[Any, int, Hyperparams], optax.GradientTransformation]
    schedule: Callable[[Any, int, Hyperparams], training.Schedule | None]
    augment: Callable[[Any], training.Augment]
    adversary: Callable[[Any, Classifier, Hyperparams, training.LossFn], tuple[Any, training.Perturb | None]] = (
        lambda config, model, hyperparams, loss_fn: (loss_fn, None)
    )


def own_rates(config: RunSettings, hyperparams: Hyperparams) -> dict[str, Any]:
    """Learning rate and weight decay, a member's own before the configured ones."""
    own: dict[str, Any] = {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
    return own | {name: value for name, value in hyperparams.items() if name in own}


def _mnist_optimizer(config: Config, steps_per_epoch: int, hyperparams: Hyperparams) -> optax.GradientTransformation:
    return training.paper_adam(
        steps_per_decay=max(1, round(config.epochs_per_decay * steps_per_epoch)),
        decay_rate=config.decay_rate,
        **own_rates(config, hyperparams),
    )


MNIST = Parts(
    lambda config, shares, axis_name: make_classifier(config, shares),
    _mnist_optimizer,
    make_schedule,
    lambda config: lambda keys, inputs: inputs,
)
"""The parts of `experiments.mnist_vib`."""


class Streamed(NamedTuple):
    """A data set that does not fit into memory; with `validation` and `test` as `data.Dataset` has them, as sources."""

    name: str
    train: data.Source | data.EpochSource
    validation: data.Source | None
    test: data.Source
    num_classes: int
    image_shape: tuple[int, int, int]


class Recipe(Generic[Settings]):
    """Network, initial state and epoch function of a configuration.

    Args:
      config: the settings.
      dataset: what is trained on.
      parts: what is the experiment's own.
    """

    def __init__(self, config: Settings, dataset: data.Dataset | Streamed, parts: Parts = MNIST):
        self.config, self.parts = config, parts
        self.dataset: Any = dataset  # most callers know which of the two it is
        if isinstance(dataset, Streamed):
            # Nobody reads a million labels to count them: the classes are taken to be equally frequent.
            self.shares = np.full(dataset.num_classes, 1 / dataset.num_classes)
            self.num_examples = len(dataset.train)
            self.example = jnp.zeros((1, *dataset.image_shape))
        else:
            self.shares = evaluation.label_probabilities(dataset.train.labels, dataset.num_classes)
            self.num_examples = len(dataset.train.labels)
            self.example = data.to_unit_interval(dataset.train.inputs[:1])
        self.model = parts.classifier(config, self.shares, None)
        self.steps_per_epoch = max(1, self.num_examples // config.batch_size)
        self.steps_per_call = config.steps_per_call or self.steps_per_epoch
        shapes = jax.eval_shape(self.model.init, jax.random.key(0), self.example)
        self.whole = loops.compiles_whole(self.model.encode, shapes, self.example)

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.config.num_epochs * self.steps_per_epoch

    def init(self, hyperparams: Hyperparams = NONE) -> training.TrainState:
        """The state before the first step; hyperparams go before the configured ones."""
        init_key, run_key = jax.random.split(jax.random.key(dict(hyperparams).get("seed", self.config.seed)))
        params = jax.jit(self.model.init)(init_key, self.example)
        schedule = self.parts.schedule(self.config, self.steps_per_epoch, hyperparams)
        optimizer = self.parts.optimizer(self.config, self.steps_per_epoch, hyperparams)
        return training.init_state(run_key, params, optimizer, self.config.average_decay, schedule)

    def step(self, axis_name: str | None, hyperparams: Hyperparams = NONE) -> Any:
        """The train step."""
        model = self.parts.classifier(self.config, self.shares, axis_name)
        loss_fn = make_loss(self.config, model, self.shares, hyperparams)
        loss_fn, perturb = self.parts.adversary(self.config, model, hyperparams, loss_fn)
        return training.make_train_step(
            loss_fn,
            self.parts.optimizer(self.config, self.steps_per_epoch, hyperparams),
            perturb=perturb,
            average_decay=self.config.average_decay,
            schedule=self.parts.schedule(self.config, self.steps_per_epoch, hyperparams),
            axis_name=axis_name,
            num_microbatches=self.config.num_microbatches,
            remat=self.config.remat,
        )

    def epoch(
        self, axis_name: str | None, num_shards: int, hyperparams: Hyperparams = NONE, num_steps: int | None = None
    ) -> Any:
        """The epoch function over data on the device, by default of a whole stretch."""
        return training.make_epoch(
            self.step(axis_name, hyperparams),
            num_examples=self.num_examples,
            batch_size=self.config.batch_size,
            num_steps=num_steps or self.steps_per_call,
            num_shards=num_shards,
            axis_name=axis_name,
            augment=self.parts.augment(self.config),
            prepare=data.to_unit_interval,
        )

    def resident(self) -> training.Batch:
        """The training data on every device.

        Raises:
          ValueError: it does not fit there.
        """
        if isinstance(self.dataset, Streamed):
            raise SettingError(f"--input_pipeline must be {GRAIN} for {self.dataset.name}: it does not fit into memory")
        return training.replicate(training.Batch(*map(jnp.asarray, self.dataset.train)))

    def run_from(self, state: training.TrainState) -> Run:
        """What trains the configured model on all devices, stretch by stretch, from where `state` stands."""
        epoch = self.epoch(parallel.AXIS, jax.device_count(), num_steps=self._compiled_steps)
        if self.config.input_pipeline == GRAIN:
            stretch = training.shard_epoch(
                training.make_stretch(
                    self.step(parallel.AXIS),
                    axis_name=parallel.AXIS,
                    augment=self.parts.augment(self.config),
                    prepare=data.to_unit_interval,
                )
            )
            batches = self._batches(state)
            return self.driven(lambda placed: stretch(placed, next(batches)))
        sharded, resident = training.shard_epoch(epoch), self.resident()
        return self.driven(lambda placed: sharded(placed, resident))

    def run_population(self, members_at_once: int | None) -> Callable[[Any, training.Batch], Any]:
        """What trains a population on one device for one compiled stretch; see `driven`."""

        def member(hyperparams: Hyperparams, state: training.TrainState, resident: training.Batch) -> Any:
            return self.epoch(None, 1, hyperparams, self._compiled_steps)(state, resident)

        return training.make_sweep(member, members_at_once=members_at_once)

    def driven(self, run: Run) -> Run:
        """The stretch of `steps_per_call` steps: one compiled loop already, or steps driven from the host."""
        return run if self.whole else training.drive(run, self.steps_per_call)

    def first_test(self, count: int) -> data.Split:
        """The first test images, in memory; all, if there are not so many."""
        test = self.dataset.test
        if isinstance(test, data.Split):
            return data.Split(*(field[:count] for field in test))
        rows = np.arange(min(count, len(test)))
        parts = list(data.batches(data.Subset(test, rows), 250))
        return data.Split(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))

    @property
    def _compiled_steps(self) -> int:
        return self.steps_per_call if self.whole else 1

    def _batches(self, state: training.TrainState) -> Iterator[training.Batch]:
        config, processes = self.config, jax.process_count()
        key = state.key

        def order(epoch: int) -> np.ndarray:
            return np.asarray(training.epoch_order(key, epoch, self.num_examples))

        source: data.Source | data.EpochSource
        if isinstance(self.dataset, Streamed):
            source = self.dataset.train
        else:
            source = data.open_train(
                config.dataset,
                data_dir=config.data_dir or None,
                num_validation=config.num_validation,
                seed=config.seed,
            )
        shard = training.first_shard() // jax.local_device_count()
        stretches = data.stream(
            source,
            order=order,
            batch_size=config.batch_size,
            first_step=int(state.step),
            num_steps=self.num_steps,
            steps_per_call=self._compiled_steps,
            shard=(shard, processes),
        )
        return training.feed(training.Batch(stretch.inputs, stretch.labels) for stretch in stretches)
