"""How one model is trained by the settings: the same for a run of its own and for a member of a population."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.mnist_vib_config import GRAIN, Config
from experiments.objectives import NONE, make_classifier, make_loss, make_schedule
from ib_jax import data, evaluation, training
from ib_jax.training import Hyperparams, parallel

Run = Callable[[Any], tuple[Any, training.Metrics]]
"""Trains one stretch: (placed state) -> (placed state, metrics)."""


class Recipe:
    """Network, initial state and epoch function of a configuration.

    Args:
      config: the settings.
      dataset: what is trained on.
    """

    def __init__(self, config: Config, dataset: data.Dataset):
        self.config, self.dataset = config, dataset
        self.shares = evaluation.label_probabilities(dataset.train.labels, dataset.num_classes)
        self.model = make_classifier(config, self.shares)
        self.num_examples = len(dataset.train.labels)
        self.steps_per_epoch = max(1, self.num_examples // config.batch_size)
        self.steps_per_call = config.steps_per_call or self.steps_per_epoch

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.config.num_epochs * self.steps_per_epoch

    def init(self, hyperparams: Hyperparams = NONE) -> training.TrainState:
        """The state before the first step; hyperparams go before the configured ones."""
        init_key, run_key = jax.random.split(jax.random.key(dict(hyperparams).get("seed", self.config.seed)))
        params = jax.jit(self.model.init)(init_key, data.to_unit_interval(self.dataset.train.inputs[:1]))
        schedule = make_schedule(self.config, self.steps_per_epoch, hyperparams)
        return training.init_state(run_key, params, self._optimizer(hyperparams), self.config.average_decay, schedule)

    def step(self, axis_name: str | None, hyperparams: Hyperparams = NONE) -> Any:
        """The train step."""
        return training.make_train_step(
            make_loss(self.config, self.model, self.shares, hyperparams),
            self._optimizer(hyperparams),
            average_decay=self.config.average_decay,
            schedule=make_schedule(self.config, self.steps_per_epoch, hyperparams),
            axis_name=axis_name,
            num_microbatches=self.config.num_microbatches,
            remat=self.config.remat,
        )

    def epoch(self, axis_name: str | None, num_shards: int, hyperparams: Hyperparams = NONE) -> Any:
        """The epoch function over data on the device."""
        return training.make_epoch(
            self.step(axis_name, hyperparams),
            num_examples=self.num_examples,
            batch_size=self.config.batch_size,
            num_steps=self.steps_per_call,
            num_shards=num_shards,
            axis_name=axis_name,
            prepare=data.to_unit_interval,
        )

    def resident(self) -> training.Batch:
        """The training data on every device."""
        return training.replicate(training.Batch(*map(jnp.asarray, self.dataset.train)))

    def run_from(self, state: training.TrainState) -> Run:
        """What trains the configured model on all devices, stretch by stretch, from where `state` stands."""
        epoch = self.epoch(parallel.AXIS, jax.device_count())  # also checks the sizes
        if self.config.input_pipeline == GRAIN:
            stretch = training.shard_epoch(
                training.make_stretch(self.step(parallel.AXIS), prepare=data.to_unit_interval)
            )
            batches = self._batches(state)
            return lambda placed: stretch(placed, next(batches))
        sharded, resident = training.shard_epoch(epoch), self.resident()
        return lambda placed: sharded(placed, resident)

    def run_population(self, members_at_once: int | None) -> Callable[[Any, training.Batch], Any]:
        """What trains a population for one stretch on one device."""

        def member(hyperparams: Hyperparams, state: training.TrainState, resident: training.Batch) -> Any:
            return self.epoch(None, 1, hyperparams)(state, resident)

        return training.make_sweep(member, members_at_once=members_at_once)

    def _batches(self, state: training.TrainState) -> Iterator[training.Batch]:
        config, processes = self.config, jax.process_count()
        key = state.key

        def order(epoch: int) -> np.ndarray:
            return np.asarray(training.epoch_order(key, epoch, self.num_examples))

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
            steps_per_call=self.steps_per_call,
            shard=(shard, processes),
        )
        return training.feed(training.Batch(stretch.inputs, stretch.labels) for stretch in stretches)

    def _optimizer(self, hyperparams: Hyperparams) -> Any:
        config = self.config
        own: dict[str, Any] = {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
        own |= {name: value for name, value in hyperparams.items() if name in own}
        return training.paper_adam(
            steps_per_decay=max(1, round(config.epochs_per_decay * self.steps_per_epoch)),
            decay_rate=config.decay_rate,
            **own,
        )
