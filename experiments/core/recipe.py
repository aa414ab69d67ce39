"""How one model is trained by its settings: the same for a run of its own and for a member of a population."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.core import adversary, inputs, networks, objectives, optimizers
from experiments.core.objectives import NONE
from experiments.core.settings import GRAIN, SettingError, refusing
from ib_jax import data, evaluation, loops, training
from ib_jax.data import own
from ib_jax.data.access import read_rows
from ib_jax.files import one_line
from ib_jax.models import Classifier
from ib_jax.training import Hyperparams, parallel
from ib_jax.types import Array, Params

C = TypeVar("C", bound=Any)
Stretch = Callable[[Any], tuple[Any, Any]]
"""Trains one stretch: (placed state) -> (placed state, metrics)."""


class RecipeFunctions(NamedTuple):
    """In what the recipes of experiments differ; each is made from the settings, before which a member's own go.

    Attributes:
      network: (config, class probabilities [C], axis name or None) -> the classifier; see `networks`.
      optimizer: (config, steps of an epoch, hyperparams) -> the optimizer; see `optimizers`.
      schedule: (config, steps of an epoch, hyperparams) -> the schedule of rho, or None; see `objectives`.
      augment: (config) -> what changes the training images, as of `training.make_epoch`.
      loss: (config, classifier, class probabilities, hyperparams) -> the loss of a step.
    """

    network: Callable[[Any, np.ndarray, str | None], Classifier] = networks.mlp
    optimizer: Callable[[Any, int, Hyperparams], optax.GradientTransformation] = optimizers.decayed_adam
    schedule: Callable[[Any, int, Hyperparams], training.Schedule | None] = objectives.make_schedule
    augment: Callable[[Any], training.Augment] = inputs.noisy
    loss: Callable[[Any, Classifier, np.ndarray, Hyperparams], Any] = objectives.make_loss


VIB = RecipeFunctions()
"""An MLP by Adam, as in the VIB paper."""


class Streamed(NamedTuple):
    """A data set that does not fit into memory; with `validation` and `test` as `data.Dataset` has them, as sources."""

    name: str
    train: data.Source | data.EpochSource
    validation: data.Source | None
    test: data.Source
    num_classes: int
    image_shape: tuple[int, int, int]


def load_dataset(config: Any) -> data.Dataset:
    """The data set of a run, cut to the images that are trained on if the settings say so."""
    try:
        return data.load(
            config.dataset,
            data_dir=config.data_dir or None,
            num_validation=config.num_validation,
            num_train=getattr(config, "num_train_images", 0),
            seed=config.seed,
        )
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        raise SettingError(re.sub("^name ", "--dataset ", str(error))) from error  # what `load` calls it


def with_checksum(config: C, dataset: data.Dataset) -> C:
    """The settings with the checksum of data of one's own, so that what was made of other data is not used again.

    Raises:
      SettingError: the settings have another.
    """
    if not own.is_own(config.dataset):
        return config
    found = dataset.checksum
    if config.data_checksum not in ("", found):
        raise SettingError(
            f"--data_checksum is {config.data_checksum}, and what --dataset={config.dataset} holds now has {found}"
        )
    return dataclasses.replace(config, data_checksum=found)


def data_details(config: Any, dataset: Any) -> dict[str, Any]:
    """What a record says of data of one's own; nothing of others, which their names tell."""
    if not own.is_own(getattr(config, "dataset", "")):
        return {}
    sizes = {f"num_{name}": len(split.labels) for name in ("train", "test") if (split := getattr(dataset, name))}
    shape = list(dataset.train.inputs.shape[1:])
    names = {"num_classes": dataset.num_classes, "class_names": dataset.class_names}
    return {"data": {**sizes, "input_shape": shape, **names, "test_split": dataset.test_split}}


class Recipe:
    """Network, initial state and epoch function of a configuration.

    `functions` are the experiment's own.
    """

    def __init__(self, config: Any, dataset: data.Dataset | Streamed, functions: RecipeFunctions = VIB):
        self.functions = functions
        self.dataset: Any = dataset  # most callers know which of the two it is
        self.config = config
        if isinstance(dataset, Streamed):
            # Reading a million labels to count them takes too long: the classes are taken to be equally frequent.
            shares = np.full(dataset.num_classes, 1 / dataset.num_classes)
            self._describe(shares, len(dataset.train), jnp.zeros((1, *dataset.image_shape)))
        else:
            images, labels = dataset.train
            shares = evaluation.label_probabilities(labels, dataset.num_classes)
            self._describe(shares, len(labels), data.to_unit_interval(images[:1]))

    def _describe(self, class_probabilities: np.ndarray, num_examples: int, example: Array) -> None:
        self.class_probabilities, self.num_examples, self.example = class_probabilities, num_examples, example
        self.model = self.functions.network(self.config, class_probabilities, None)
        self.steps_per_epoch = max(1, num_examples // self.config.batch_size)
        self.steps_per_call = self.config.steps_per_call or self.steps_per_epoch
        if not self.config.num_microbatches:
            self.config = dataclasses.replace(self.config, num_microbatches=self._fewest_microbatches())

    def footprint(self) -> training.Footprint:
        """What a step needs on a device: whatever its batch, and for each example of a microbatch more."""
        config, shape = self.config, self.example.shape[1:]
        loss_fn = self.functions.loss(config, self.model, self.class_probabilities, NONE)
        rho = [] if self.functions.schedule(config, self.steps_per_epoch, NONE) is None else [jnp.float32(0.0)]
        two = training.Batch(
            jax.ShapeDtypeStruct((2, *shape), self.example.dtype), jax.ShapeDtypeStruct((2,), jnp.int32)
        )
        return training.measure_examples(loss_fn, jax.eval_shape(self.init), two, *rho)

    def _fewest_microbatches(self) -> int:
        """In which a device can take its share of a batch: the same again on the same kind of device."""
        free = training.from_main(training.device_memory(free=False) // 2**20) * 2**20  # all processes must agree
        rows = self.config.batch_size // jax.device_count()
        with refusing():
            return training.plan_microbatches(rows, self.footprint(), free_bytes=free)

    def stretch_steps(self, step: int) -> int:
        """How many steps from there on are compiled as one, of batches that are handed over."""
        if not self.whole:
            return 1
        if self.config.steps_per_call:
            return self.steps_per_call
        rows, dtype = self.config.batch_size // jax.device_count(), self.example.dtype
        pixels = jax.ShapeDtypeStruct((rows, *self.example.shape[1:]), jnp.uint8 if self._is_streamed else dtype)
        found = training.plan_stretch(
            math.gcd(self.steps_per_epoch, step),
            training.Batch(pixels, jax.ShapeDtypeStruct((rows,), jnp.int32)),
            device_bytes=training.device_memory(),
            host_bytes=training.host_memory(),
            num_local_devices=jax.local_device_count(),
        )
        return training.from_main(found)

    @property
    def _is_streamed(self) -> bool:
        return isinstance(self.dataset, Streamed)

    @functools.cached_property
    def whole(self) -> bool:
        """Whether a stretch is one compiled loop, or steps driven from the host."""
        shapes = jax.eval_shape(self.model.init, jax.random.key(0), self.example)
        return loops.compiles_whole(self.model.encode, shapes, self.example)

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return int(self.config.num_epochs * self.steps_per_epoch)

    def check(self) -> None:
        """Refuses sizes that do not fit each other, before anything is written.

        Raises:
          SettingError: they do not.
        """
        with refusing():
            self.epoch(parallel.AXIS, jax.device_count())
        rows, parts = self.config.batch_size // jax.device_count(), self.config.num_microbatches
        if rows % parts:
            raise SettingError(f"--num_microbatches must divide the {rows} examples of a device's batch, got {parts}")
        self.check_inputs()

    def check_inputs(self) -> None:
        """Refuses training images that the augmentation or the network does not take, by what these say themselves.

        Raises:
          SettingError: they do not.
        """
        if not isinstance(getattr(self.dataset, "train", None), data.Split):
            return
        images = self.dataset.train.inputs
        two, keys = jax.ShapeDtypeStruct((2, *images.shape[1:]), images.dtype), jax.random.split(jax.random.key(0))
        try:
            jax.eval_shape(self.functions.augment(self.config), keys, two)
            jax.eval_shape(self.model.init, keys[0], self.example)
        except (ValueError, TypeError, AssertionError) as error:
            raise SettingError(
                f"--dataset={own.short_name(self.dataset.name)} has inputs {images.dtype} {list(images.shape[1:])}, "
                f"which do not fit the network or the augmentation: {one_line(error)}"
            ) from error

    def init(self, hyperparams: Hyperparams = NONE) -> training.TrainState:
        """The state before the first step; hyperparams go before the configured ones."""
        init_key, run_key = jax.random.split(jax.random.key(dict(hyperparams).get("seed", self.config.seed)))
        schedule = self.functions.schedule(self.config, self.steps_per_epoch, hyperparams)
        optimizer = self.functions.optimizer(self.config, self.steps_per_epoch, hyperparams)
        params = self.init_params(init_key)
        return training.init_state(run_key, params, optimizer, self.config.average_decay, schedule)

    def init_params(self, key: Array) -> Params:
        """The parameters before the first step."""
        return jax.jit(self.model.init)(key, self.example)

    def step(self, axis_name: str | None, hyperparams: Hyperparams = NONE) -> Any:
        """The train step."""
        config, functions = self.config, self.functions
        model = functions.network(config, self.class_probabilities, axis_name)
        loss_fn = functions.loss(config, model, self.class_probabilities, hyperparams)
        loss_fn, perturb = adversary.against(config, model, loss_fn)
        return training.make_train_step(
            loss_fn,
            functions.optimizer(config, self.steps_per_epoch, hyperparams),
            perturb=perturb,
            average_decay=config.average_decay,
            schedule=functions.schedule(config, self.steps_per_epoch, hyperparams),
            axis_name=axis_name,
            num_microbatches=config.num_microbatches,
            remat=config.remat,
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
            augment=self.functions.augment(self.config),
            prepare=data.to_unit_interval,
        )

    def resident(self) -> training.Batch:
        """The training data on every device.

        Raises:
          ValueError: it does not fit there.
        """
        if self._is_streamed:
            raise SettingError(f"--input_pipeline must be {GRAIN} for {self.dataset.name}: it does not fit into memory")
        return training.replicate(training.Batch(*map(jnp.asarray, self.dataset.train)))

    def run_from(self, state: training.TrainState) -> Stretch:
        """What trains the configured model on all devices, stretch by stretch, from where `state` stands."""
        if self.config.input_pipeline == GRAIN:
            num_steps = self.stretch_steps(int(state.step))
            stretch = training.shard_epoch(
                training.make_stretch(
                    self.step(parallel.AXIS),
                    axis_name=parallel.AXIS,
                    augment=self.functions.augment(self.config),
                    prepare=data.to_unit_interval,
                )
            )
            batches = self._streamed_batches(state, num_steps)
            handed = lambda placed: stretch(placed, next(batches))  # noqa: E731
            return handed if self.whole else training.drive(handed, self.steps_per_call)
        epoch = self.epoch(parallel.AXIS, jax.device_count(), num_steps=self._compiled_steps)
        sharded, resident = training.shard_epoch(epoch), self.resident()
        return self.driven(lambda placed: sharded(placed, resident))

    def run_population(self, members_at_once: int | None) -> Callable[[Any, training.Batch], Any]:
        """What trains a population on one device for one compiled stretch; see `driven`."""

        def member(hyperparams: Hyperparams, state: training.TrainState, resident: training.Batch) -> Any:
            return self.epoch(None, 1, hyperparams, self._compiled_steps)(state, resident)

        return training.make_sweep(member, members_at_once=members_at_once)

    def driven(self, run: Stretch) -> Stretch:
        """The stretch of `steps_per_call` steps: one compiled loop already, or steps driven from the host."""
        return run if self.whole else training.drive(run, self.steps_per_call)

    def first_test(self, count: int) -> data.Split:
        """The first test images, in memory; all, if there are not so many."""
        test = self.dataset.test
        if isinstance(test, data.Split):
            return data.Split(*(field[:count] for field in test))
        rows = np.arange(min(count, len(test)))
        parts = list(data.batches(data.Subset(test, rows), 250, num_threads=data.usable_cores()))
        parts = parts or [read_rows(test, rows)]
        return data.Split(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))

    @property
    def _compiled_steps(self) -> int:
        return self.steps_per_call if self.whole else 1

    def _streamed_batches(self, state: training.TrainState, num_steps: int) -> Iterator[training.Batch]:
        config, key = self.config, state.key
        source: data.Source | data.EpochSource
        if self._is_streamed:
            source = self.dataset.train
        else:
            source = data.open_train(
                config.dataset,
                data_dir=config.data_dir or None,
                num_validation=config.num_validation,
                seed=config.seed,
            )
        stretches = data.stream(
            source,
            order=lambda epoch: np.asarray(training.epoch_order(key, epoch, self.num_examples)),
            batch_size=config.batch_size,
            first_step=int(state.step),
            num_steps=self.num_steps,
            steps_per_call=num_steps,
            num_threads=data.usable_cores() if self._is_streamed else 1,  # small images: one
            shard=(training.first_shard() // jax.local_device_count(), jax.process_count()),
        )
        return training.feed(training.Batch(stretch.inputs, stretch.labels) for stretch in stretches)
