"""Training in one call: from a loss, parameters and data to trained parameters and a history.

Modules of Equinox and Flax NNX are parameters as they are, and come back trained:

  >>> import equinox as eqx, jax, jax.numpy as jnp, optax
  >>> from flax import nnx
  >>> from ib_jax import DiagGaussian, bounds, losses, training
  >>> def loss_fn(module, keys, x, y):
  ...     means = module(x) if isinstance(module, nnx.Module) else jax.vmap(module)(x)
  ...     code = DiagGaussian(means, jnp.full_like(means, 0.1))
  ...     return bounds.vib(keys, x, y, encode_fn=lambda x: code, decode_fn=lambda z: z, beta=1e-3,
  ...                       prior=losses.standard_normal(2))
  >>> x = jax.random.normal(jax.random.key(0), (100, 2))
  >>> module = eqx.nn.MLP(2, 2, width_size=8, depth=1, key=jax.random.key(1))
  >>> trained = training.train(loss_fn, module, (x, x.argmax(-1)), num_epochs=300)
  >>> type(trained.params).__name__, trained.history[-1]["accuracy"] > 0.8
  ('MLP', True)
  >>> module = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
  >>> trained = training.train(loss_fn, module, (x, x.argmax(-1)), num_epochs=300, optimizer=optax.adam(1e-2))
  >>> type(trained.params).__name__, trained.history[-1]["accuracy"] > 0.8
  ('Linear', True)
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from ib_jax.training.distributed import is_main
from ib_jax.training.epoch import Augment
from ib_jax.training.gradient import Batch, LossFn, Perturb, rows_of
from ib_jax.training.loop import Progress, fit
from ib_jax.training.parallel import unreplicate
from ib_jax.training.programs import Functions, Sizes, join, make_programs, run_resident, run_streamed, split
from ib_jax.training.resumable import ResumableRun
from ib_jax.training.schedule import Schedule
from ib_jax.training.step import TrainState
from ib_jax.types import Array, Params

Callback = Callable[[int, Mapping[str, float]], Any]
"""(step, scalars by name), after each epoch, on process 0: a line for TensorBoard, Weights & Biases or a list."""


class Trained(NamedTuple):
    """What `train` returns.

    Attributes:
      params: the Polyak average of the parameters, of the structure that `train` was given.
      state: the last TrainState; its parameters are the arrays of floats alone.
      history: a row for each epoch of the whole run: `step`, `epoch`, the means of the loss's terms in nats, and where
        it was evaluated `validation_loss` and so on, and what `evaluate` returned.
    """

    params: Params
    state: TrainState
    history: list[dict[str, Any]]


def train(
    loss_fn: LossFn,
    params: Params,
    data: Any,
    *,
    num_epochs: int,
    batch_size: int = 128,
    optimizer: optax.GradientTransformation | None = None,
    average_decay: float = 0.99,
    schedule: Schedule | None = None,
    perturb: Perturb | None = None,
    augment: Augment = lambda keys, inputs: inputs,
    prepare: Callable[[Array], Array] = lambda inputs: inputs,
    num_microbatches: int = 1,
    seed: int = 0,
    validation: Any = None,
    evaluate: Callable[[Params], Mapping[str, float]] | None = None,
    epochs_per_evaluation: int = 1,
    workdir: str | PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    programs: dict[Any, Any] | None = None,
) -> Trained:
    r"""Minimises :math:`\frac1N\sum_i \ell_i(\theta)` on all devices, a whole epoch at a time.

    It combines `make_train_step`, `make_epoch`, `shard_epoch`, `fit` and `Checkpoints` with their usual settings; use
    these where you need more. `params` is a pytree: a dict, a Flax NNX or an Equinox module. Its arrays of floats are
    trained, everything else in it stays as it is.

    Args:
      loss_fn: (params, keys [B], inputs, labels) -> BoundTerms, per example; see `LossFn`. With a schedule it is handed
        rho as well.
      params: pytree to start from.
      data: (inputs [N, ...], labels [N, ...]), arrays or lists of one length; a `Batch`, which may have weights; or,
        for what does not fit into memory, a `data.Source` or `data.EpochSource`, read ahead by threads.
      num_epochs: length of the whole run; a resumed run goes on up to there.
      batch_size: size of the global batch; all of a smaller data set. The examples left over differ from epoch to
        epoch.
      optimizer: any optax transformation; Adam with a rate of 1e-3 by default.
      average_decay: of the Polyak average of the parameters, in [0, 1); 0 for none.
      schedule: of rho, such as `linear_gamma`.
      perturb: what is done to a batch before its gradient, such as an attack: `attacked`.
      augment: (keys [B], inputs) -> inputs, at random and in training alone.
      prepare: from the inputs as they are stored to what `loss_fn` takes, such as `data.to_unit_interval`.
      num_microbatches: parts in which a device takes its share of a batch, to save memory.
      seed: of the order of the data and of all noise.
      validation: held-out data, as `data`: the means of the loss's terms on it go into the history.
      evaluate: from averaged parameters to numbers for the history.
      epochs_per_evaluation: epochs between two evaluations, and between two checkpoints.
      workdir: folder of checkpoints and of the history, `history.jsonl`. The same call goes on from there after a kill,
        to the same end as without one.
      callbacks: called with the step and each row of the history.
      progress: whether to print a line with speed and time left to stderr, once a run takes over ten seconds.
      programs: a dict of yours in which compiled programs are kept for further calls with the same functions and
        shapes. What these functions close over must not change meanwhile.

    Returns:
      Trained.

    Raises:
      ValueError: sizes do not fit each other, there is nothing to train, or `workdir` holds another run.
      NonFiniteLossError: the loss is not finite.
      KeyboardInterrupt: with a `workdir`, by Ctrl-C or SIGTERM, after a checkpoint.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import DiagGaussian, bounds, losses, training
      >>> x = jax.random.normal(jax.random.key(0), (100, 2))
      >>> def loss_fn(params, keys, x, y):
      ...     encode = lambda x: DiagGaussian(x @ params["mean"], jnp.full((len(x), 2), 0.1))
      ...     return bounds.vib(keys, x, y, encode_fn=encode, decode_fn=lambda z: z, prior=losses.standard_normal(2),
      ...                       beta=1e-3)
      >>> trained = training.train(loss_fn, {"mean": jnp.zeros((2, 2))}, (x, x.argmax(-1)), num_epochs=300)
      >>> sorted(trained.history[-1])
      ['accuracy', 'distortion', 'entropy_zx', 'epoch', 'loss', 'rate', 'step']
      >>> trained.history[-1]["accuracy"] > 0.85
      True
    """
    for name, value in (("num_epochs", num_epochs), ("epochs_per_evaluation", epochs_per_evaluation)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    examples, num_examples, example = _open(data)
    held_out, num_devices = None if validation is None else _batch(validation, "validation"), jax.device_count()
    batch_size = min(batch_size, max(1, num_examples // num_devices) * num_devices)
    own, rest = split(params)
    optimizer = optimizer or _adam()
    functions = Functions(loss_fn, optimizer, schedule and schedule._replace(init=_nothing), perturb, augment, prepare)
    sizes = Sizes(num_examples, batch_size, num_microbatches, average_decay, num_devices)
    kept = {} if programs is None or jax.tree.leaves(rest) else programs
    key = (functions, sizes, *map(jax.tree.structure, (rest, example)))
    if key not in kept:
        kept[key] = make_programs(functions, sizes, own, rest, example)
    own_programs, num_steps = kept[key], sizes.steps_per_epoch * num_epochs
    state = own_programs.init(jax.random.key(seed), own)
    state = state if schedule is None else state._replace(schedule=schedule.init())

    def scores(placed: TrainState) -> dict[str, float]:
        at = unreplicate(placed)
        averaged = own_programs.averaged(at)
        found = dict(evaluate(join(averaged, rest))) if evaluate else {}
        if held_out is not None:
            rho = [] if schedule is None else [schedule.value(at.schedule, at.step)]
            values = own_programs.terms((averaged, rho), jax.random.key(seed), held_out)
            means = {name: np.average(value, weights=held_out.weights) for name, value in values.items()}
            found |= {f"validation_{name}": float(mean) for name, mean in means.items()}
        return found

    settings = {"num_examples": num_examples, "batch_size": batch_size, "seed": seed, "average_decay": average_decay}
    with ResumableRun(workdir, settings, num_steps, show=progress) as run:
        state = run.resume(state)

        def report(now: Progress) -> None:
            row = {"step": now.step, "epoch": now.step // sizes.steps_per_epoch}
            row |= {name: float(value) for name, value in now.metrics.items()} | dict(now.evaluation or {})
            run.add(row, now.examples_per_second)
            for callback in callbacks if is_main() else ():
                callback(now.step, row)

        if isinstance(examples, Batch):
            train_epoch = run_resident(own_programs, sizes, examples)
        else:
            train_epoch = run_streamed(own_programs, sizes, examples, example, state, num_steps)
        state = fit(
            state,
            train_epoch,
            num_steps=num_steps,
            batch_size=batch_size,
            checkpoints=run.checkpoints,
            evaluate=scores if evaluate or held_out is not None else lambda placed: {},
            steps_per_evaluation=epochs_per_evaluation * sizes.steps_per_epoch,
            score=_score,
            report=report,
            stop=run.asked_to_stop,
        )
        if int(state.step) < num_steps:
            raise KeyboardInterrupt(f"stopped and saved at step {int(state.step)}; the same call goes on in {workdir}")
    return Trained(join(own_programs.averaged(state), rest), state, run.history)


def _score(progress: Progress) -> float:
    """By what the best checkpoint is chosen: the held-out loss, where there is one."""
    found = progress.evaluation or {}
    return float(found.get("validation_loss", progress.metrics["loss"]))


@functools.cache
def _adam() -> optax.GradientTransformation:
    return optax.adam(1e-3)


def _nothing() -> tuple[()]:
    return ()


def _open(data: Any) -> tuple[Any, int, Batch]:
    """Arrays or a source, the number of examples, and one of them, [1, ...]."""
    if isinstance(data, tuple | list):
        arrays = _batch(data, "data")
        return arrays, rows_of(arrays), jax.tree.map(lambda leaf: leaf[:1], arrays)
    source = data.at_epoch(0) if hasattr(data, "at_epoch") else data
    first: Any = source[0] if hasattr(source, "__getitem__") and hasattr(data, "__len__") and len(data) else None
    if not hasattr(first, "labels"):
        raise ValueError(f"data must be (inputs, labels), a Batch or a source, got {type(data).__name__}")
    return data, len(data), Batch(np.asarray(first.inputs)[None], np.asarray(first.labels)[None])


def _batch(data: Any, name: str) -> Batch:
    """Arrays of numbers with a row for each example."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise ValueError(f"{name} must be (inputs, labels), or a Batch, got {type(data).__name__}")
    arrays = jax.tree.map(np.asarray, Batch(*data))
    for leaf in jax.tree.leaves(arrays):
        if leaf.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold arrays of numbers, got {leaf.dtype} {list(leaf.shape)}")
    if rows_of(arrays) < 1:
        raise ValueError(f"{name} must hold at least one example, got none")
    return arrays
