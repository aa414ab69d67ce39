"""The compiled programs of a training run: an epoch over all devices, and the loss's terms of held-out examples."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ib_jax import loops
from ib_jax.compiling import jit_quickly
from ib_jax.training.budget import plan_stretch
from ib_jax.training.capacity import device_memory, host_memory
from ib_jax.training.distributed import from_main
from ib_jax.training.epoch import Augment, drive, epoch_order, make_epoch, make_stretch
from ib_jax.training.examples import map_examples
from ib_jax.training.feed import feed
from ib_jax.training.gradient import Batch, LossFn, Perturb
from ib_jax.training.parallel import AXIS, first_shard, replicate, shard_epoch
from ib_jax.training.schedule import Schedule
from ib_jax.training.step import TrainState, averaged_params, init_state, make_train_step
from ib_jax.types import Array, BoundTerms, Params


class Functions(NamedTuple):
    """What a user hands over; the arguments of `train` of these names."""

    loss_fn: LossFn
    optimizer: optax.GradientTransformation
    schedule: Schedule | None
    perturb: Perturb | None
    augment: Augment
    prepare: Callable[[Array], Array]


class Sizes(NamedTuple):
    """What else a program depends on."""

    num_examples: int
    batch_size: int
    num_microbatches: int
    average_decay: float
    num_devices: int

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of an epoch."""
        return self.num_examples // self.batch_size


class Programs(NamedTuple):
    """Compiled when first called.

    Attributes:
      init: (key, parameters) -> TrainState at step 0, whose schedule has no state yet.
      averaged: (state) -> the Polyak average of its parameters.
      epoch: (placed state, placed data) -> (placed state, metrics): an epoch over data that lies on the devices.
      stretch: (placed state, batches handed over) -> (placed state, metrics).
      terms: ((params, [rho]), key, Batch) -> the terms of each held-out example by name, NumPy [N].
      whole: whether steps are one compiled loop, or driven from the host one by one.
    """

    init: Callable[[Array, Params], TrainState]
    averaged: Callable[[TrainState], Params]
    epoch: Callable[[Any, Batch], tuple[Any, Any]]
    stretch: Callable[[Any, Batch], tuple[Any, Any]]
    terms: Callable[[Any, Array, Batch], dict[str, np.ndarray]]
    whole: bool


def make_programs(functions: Functions, sizes: Sizes, own: Params, rest: Params, example: Batch) -> Programs:
    """The programs of parameters of which `own` are trained and `rest` are not, and of examples like this one."""
    loss_fn, optimizer, schedule, perturb, augment, prepare = functions

    def own_loss(own: Params, *args: Any) -> Any:
        return loss_fn(join(own, rest), *args)

    def own_perturb(own: Params, *args: Any) -> Any:
        assert perturb is not None
        return perturb(join(own, rest), *args)

    def terms(params: tuple[Params, list[Array]], keys: Array, batch: Batch) -> dict[str, Array]:
        found = own_loss(params[0], keys, prepare(batch.inputs), batch.labels, *params[1])
        found = found if isinstance(found, BoundTerms) else found[0]
        return {name: value for name, value in found._asdict().items() if value is not None}

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    rho = [] if schedule is None else [jnp.float32(0.0)]
    whole = loops.compiles_whole(lambda own, keys: terms((own, rho), keys, example), own, keys)
    step = make_train_step(
        own_loss,
        optimizer,
        perturb=None if perturb is None else own_perturb,
        average_decay=sizes.average_decay,
        schedule=schedule,
        axis_name=AXIS,
        num_microbatches=sizes.num_microbatches,
    )
    inputs: dict[str, Any] = {"axis_name": AXIS, "augment": augment, "prepare": prepare}
    epoch = make_epoch(
        step,
        num_examples=sizes.num_examples,
        batch_size=sizes.batch_size,
        num_steps=sizes.steps_per_epoch if whole else 1,
        num_shards=sizes.num_devices,
        **inputs,
    )
    return Programs(
        jit_quickly(lambda key, own: init_state(key, own, optimizer, sizes.average_decay)),
        jit_quickly(lambda state: averaged_params(state, sizes.average_decay)),
        shard_epoch(epoch),
        shard_epoch(make_stretch(step, **inputs)),
        map_examples(terms, batch_size=sizes.batch_size),
        whole,
    )


def run_resident(programs: Programs, sizes: Sizes, examples: Batch) -> Callable[[Any], Any]:
    """Trains an epoch on data that is put onto every device."""
    resident = replicate(examples)
    run = lambda placed: programs.epoch(placed, resident)  # noqa: E731
    return run if programs.whole else drive(run, sizes.steps_per_epoch)


def run_streamed(
    programs: Programs, sizes: Sizes, source: Any, example: Batch, state: TrainState, num_steps: int
) -> Callable[[Any], Any]:
    """Trains an epoch on batches that are read ahead of it: the same steps as on resident data.

    Args:
      programs: from `make_programs`.
      sizes: the same.
      source: a `data.Source` or `data.EpochSource`.
      example: one of it, [1, ...].
      state: where the run stands.
      num_steps: of the whole run.
    """
    from ib_jax.data import Split, stream, usable_cores  # what only these runs need

    share = sizes.batch_size // sizes.num_devices
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((share, *leaf.shape[1:]), leaf.dtype), example)
    steps = 1 if not programs.whole else from_main(
        plan_stretch(
            math.gcd(sizes.steps_per_epoch, int(state.step)),
            batch,
            device_bytes=device_memory(),
            host_bytes=host_memory(),
            num_local_devices=jax.local_device_count(),
        )
    )  # fmt: skip
    read: Any = stream(
        source,
        order=lambda epoch: np.asarray(epoch_order(state.key, epoch, sizes.num_examples)),
        batch_size=sizes.batch_size,
        first_step=int(state.step),
        num_steps=num_steps,
        steps_per_call=steps,
        num_threads=usable_cores(),
        shard=(first_shard() // jax.local_device_count(), jax.process_count()),
    )

    def batches(split: Split) -> Batch:
        return Batch(split.inputs, split.labels)

    ahead = feed(map(batches, read))
    return drive(lambda placed: programs.stretch(placed, next(ahead)), sizes.steps_per_epoch // steps)


def split(params: Params) -> tuple[Params, Params]:
    """The arrays of floats of a pytree, and all else in it, each with None in the place of the other's."""
    trained = jax.tree.map(lambda leaf: leaf if _is_trained(leaf) else None, params)
    if not jax.tree.leaves(trained):
        raise ValueError(f"params must hold an array of floats to train, got {jax.tree.structure(params)}")
    return jax.tree.map(jnp.asarray, trained), jax.tree.map(lambda leaf: None if _is_trained(leaf) else leaf, params)


def join(own: Params, rest: Params) -> Params:
    """The pytree of which `split` made these."""
    return jax.tree.map(lambda a, b: b if a is None else a, own, rest, is_leaf=lambda leaf: leaf is None)


def _is_trained(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.inexact)
