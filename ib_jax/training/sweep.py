"""A population of models, trained as one program: any numeric hyper-parameter, and the seed, may differ by member."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax.keys import from_words
from ib_jax.training.gradient import Batch, Metrics
from ib_jax.training.step import TrainState
from ib_jax.types import Array

Hyperparams = Mapping[str, Array]
"""A member's own values by name, each []: of the bound, the optimizer, and the seed."""

_SMALL = 500_000  # parameters below which, on the CPU, one batched product beats one product for each member


class Population(NamedTuple):
    """The state of many models in training; every array has a leading axis of members, M.

    Attributes:
      hyperparams: by name, float32 or int32 [M].
      members: TrainState with fields [M, ...]; its keys as numbers (`jax.random.key_data`), so that all of it can lie
        in host memory, as NumPy arrays.
      diverged_at: int32 [M], the step at which a member's loss was not finite, or -1. It stays as it was before the
        stretch in which that happened.
    """

    hyperparams: Mapping[str, Any]
    members: TrainState
    diverged_at: Any

    @property
    def step(self) -> Array:
        """Steps of the members that train; int32 []."""
        return self.members.step.max()


def init_population(
    init_member: Callable[[Hyperparams], TrainState], hyperparams: Mapping[str, Sequence[float] | np.ndarray]
) -> Population:
    """The population before the first step, in host memory: no device need hold all of it.

    Args:
      init_member: from a member's hyperparams, as arrays [], to its TrainState; compiled once.
      hyperparams: by name M values; whole numbers (a seed) become int32, others float32.

    Returns:
      Population of NumPy arrays.

    Raises:
      ValueError: there is no hyper-parameter or no member, the lists differ in length, or a value is NaN.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import training
      >>> start = lambda hyper: training.init_state(jax.random.key(hyper["seed"]), jnp.ones(2), optax.sgd(0.1), 0.999)
      >>> population = training.init_population(start, {"beta": [1e-3, 1e-2, 1e-1], "seed": [0, 1, 2]})
      >>> population.members.params.shape
      (3, 2)
    """
    values = {name: np.asarray(each) for name, each in hyperparams.items()}
    lengths = {name: each.size if each.ndim == 1 else -1 for name, each in values.items()}
    if len(set(lengths.values())) != 1 or min(lengths.values()) < 1:
        raise ValueError(f"hyperparams must be lists of one length of at least 1, got lengths {lengths}")
    for name, each in values.items():
        if np.isnan(each.astype(float)).any():
            raise ValueError(f"hyperparams[{name!r}] must be numbers, got {each.tolist()}")
        values[name] = each.astype(np.int32 if np.issubdtype(each.dtype, np.integer) else np.float32)
    start = jax.jit(lambda own: _plain_key(init_member(own)))
    members = [
        jax.device_get(start({name: each[index] for name, each in values.items()}))
        for index in range(len(next(iter(values.values()))))
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    return Population(values, stacked, np.full(len(members), -1, np.int32))


def member(population: Population, index: int) -> TrainState:
    """One model of a population, as it would be had it been trained alone.

    Args:
      population: as of `init_population`, or back from its placement.
      index: 0 <= index < M.

    Returns:
      TrainState with a typed key, for `averaged_params` or `Checkpoints`.

    Raises:
      IndexError: there is no such member.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import training
      >>> start = lambda hyper: training.init_state(jax.random.key(0), hyper["beta"], optax.sgd(0.1), 0.9)
      >>> float(training.member(training.init_population(start, {"beta": [1.0, 10.0]}), 1).params)
      10.0
    """
    num_members = len(population.diverged_at)
    if not 0 <= index < num_members:
        raise IndexError(f"index must be that of one of {num_members} members, got {index}")
    own = jax.tree.map(operator.itemgetter(index), population.members)
    return own._replace(key=from_words(jnp.asarray(own.key)))


def make_sweep(
    run_member: Callable[[Hyperparams, TrainState, Batch], tuple[TrainState, Metrics]],
    *,
    members_at_once: int | None = None,
) -> Callable[[Population, Batch], tuple[Population, Metrics]]:
    """Makes the function that trains all members for one stretch; each takes the steps that it would take alone.

    A member whose loss or parameters are no longer finite at the end of the stretch goes back to where it stood before
    it and stays there; `diverged_at` tells the step, and its metrics are NaN from this stretch on. The others go on.

    Args:
      run_member: one model's epoch function, of its hyperparams, state and the data that all share; for example
        `lambda hyper, state, data: make_epoch(make_train_step(...hyper["beta"]...), ...)(state, data)`.
      members_at_once: how many members are computed side by side (`vmap`); the others wait their turn inside the same
        program. None is all of them, and 0 one after another without a loop; see `choose_members_at_once`.

    Returns:
      (Population, data) -> (Population, metrics), metrics float32 [M, T], T steps. Pure: with `spread_members` and
      `shard_epoch` it runs on all devices, which do not communicate.

    Raises:
      ValueError: `members_at_once` is negative.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from ib_jax import BoundTerms, training
      >>> def run_member(hyper, state, data):
      ...     def loss_fn(params, keys, inputs, labels):
      ...         return BoundTerms(*[hyper["scale"] * (params * inputs - labels) ** 2] * 2)
      ...     step = training.make_train_step(loss_fn, optax.sgd(0.1))
      ...     return training.make_epoch(step, num_examples=4, batch_size=2, num_steps=2)(state, data)
      >>> start = lambda hyper: training.init_state(jax.random.key(0), jnp.zeros(()), optax.sgd(0.1), 0.999)
      >>> population = training.init_population(start, {"scale": [1.0, 1e30]})
      >>> sweep = jax.jit(training.make_sweep(run_member))
      >>> population, metrics = sweep(population, training.Batch(jnp.ones(4), jnp.ones(4)))
      >>> metrics["loss"].shape, population.diverged_at.tolist(), population.members.step.tolist()
      ((2, 2), [-1, 2], [2, 0])
    """
    if members_at_once is not None and members_at_once < 0:
        raise ValueError(f"members_at_once must be at least 0, got {members_at_once}")

    def run(population: Population, data: Batch) -> tuple[Population, Metrics]:
        def member(hyperparams: Hyperparams, state: TrainState, diverged_at: Array) -> Any:
            typed = state._replace(key=from_words(state.key))
            new, metrics = run_member(hyperparams, typed, data)
            finite = jnp.isfinite(metrics["loss"])
            sound = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(new.params)]).all()
            bad_step = jnp.where(finite.all(), new.step, state.step + 1 + jnp.argmin(finite).astype(jnp.int32))
            fell = jnp.where(finite.all() & sound, -1, bad_step)
            diverged_at = jnp.where(diverged_at >= 0, diverged_at, fell).astype(jnp.int32)
            keep = diverged_at < 0
            state = jax.tree.map(lambda now, before: jnp.where(keep, now, before), _plain_key(new), state)
            metrics = jax.tree.map(lambda trace: jnp.where(keep, trace, jnp.nan), metrics)
            return state, diverged_at, metrics

        hyperparams = population.hyperparams
        mapped = over_members(member, members_at_once)
        members, diverged_at, metrics = mapped(hyperparams, population.members, population.diverged_at)
        return Population(hyperparams, members, diverged_at), metrics

    return run


def over_members(fn: Callable[..., Any], members_at_once: int | None) -> Callable[..., Any]:
    """`vmap` over so many members at a time, one group after another in the same program."""
    if members_at_once is None:
        return jax.vmap(fn)
    if members_at_once == 0:  # written out, since some networks lose in a loop

        def each(*args: Any) -> Any:
            num_members = jax.tree.leaves(args)[0].shape[0]
            own = [fn(*jax.tree.map(operator.itemgetter(index), args)) for index in range(num_members)]
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *own)

        return each
    if members_at_once == 1:
        return lambda *args: jax.lax.map(lambda own: fn(*own), args)
    return lambda *args: jax.lax.map(lambda own: fn(*own), args, batch_size=members_at_once)


def choose_members_at_once(num_parameters: int, platform: str, *, whole: bool = True) -> int | None:
    """How many members to compute side by side: all of them; on the CPU one, unless the network is small.

    On the CPU, products batched over members are slower than products one after another, whose weights stay in the
    cache. For a network so small that the calls themselves cost time, it is the other way round.
    `experiments.benchmark --suite=sweep` measures both.

    Args:
      num_parameters: of one member.
      platform: "cpu", "gpu" or "tpu".
      whole: what `loops.compiles_whole` says of the network.

    Returns:
      `members_at_once` for `make_sweep`: None for all, 1, or 0 for a network that is slow in a compiled loop.

    Example:
      >>> from ib_jax import training
      >>> training.choose_members_at_once(2_000_000, "cpu"), training.choose_members_at_once(2_000_000, "gpu")
      (1, None)
    """
    if not whole:
        return 0
    return 1 if platform == "cpu" and num_parameters >= _SMALL else None


def _plain_key(state: TrainState) -> TrainState:
    return state._replace(key=jax.random.key_data(state.key))
