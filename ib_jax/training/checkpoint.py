"""Checkpoints on disk. The only file that knows orbax."""

import contextlib
import errno
import functools
import math
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from ib_jax.files import DamagedFileError
from ib_jax.paths import local_path
from ib_jax.training import step_folders
from ib_jax.training.distributed import any_process, is_main, on_main

State = TypeVar("State")
"""A TrainState, a Population, or any pytree with a `step`."""

_DELETED = "deleted"
"""Where a checkpoint is moved to before it is deleted, so that a kill leaves no half of it among the others."""

_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)

_SHOWN = 3  # leaves that do not fit


class SaveError(OSError):
    """A checkpoint could not be written; the message says where, why, and which is the last one that is whole."""


class Checkpoints:
    """The best and the last checkpoint of a run, written in the background.

    A save is either there whole or not at all: a process killed in the middle of one leaves the last complete
    checkpoint to resume from. With several processes, all save the same state to the same folder, which all can see. A
    checkpoint does not depend on the number of devices it was trained on.

    A checkpoint that is not whole, because a copy of the folder was cut off, is renamed to `damaged-STEP`, with a
    warning: when the folder is opened, or when `resume` cannot read it.

    Args:
      directory: where the checkpoints go; made if absent.
      settings: JSON values kept with each checkpoint, such as the settings of the run; see `saved_settings`.
      read_only: whether to leave the folder as it is.

    Raises:
      ValueError: `directory` is the address of a bucket.
      OSError: the folder cannot be made.

    Example:
      >>> import jax, jax.numpy as jnp, optax, tempfile
      >>> from ib_jax import training
      >>> state = training.init_state(jax.random.key(0), {"w": jnp.ones(2)}, optax.sgd(0.1), 0.999)
      >>> with tempfile.TemporaryDirectory() as directory, training.Checkpoints(directory) as checkpoints:
      ...     checkpoints.save(state, score=0.5)
      ...     checkpoints.wait()
      ...     checkpoints.last_step(), checkpoints.restore(state).params["w"]
      (0, array([1., 1.], dtype=float32))
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, settings: Mapping[str, Any] | None = None, read_only: bool = False
    ):
        self.directory = local_path(directory, "directory").absolute()
        self._read_only, self._metadata = read_only, step_folders.metadata(settings)
        if not read_only:
            on_main(self._prepare)
        last = checkpoint_managers.LatestN(1)
        best = checkpoint_managers.BestN(get_metric_fn=lambda metrics: -_rank(metrics), n=1)
        options = ocp.CheckpointManagerOptions(
            best_fn=_rank,
            best_mode="min",
            preservation_policy=checkpoint_managers.AnyPreservationPolicy([last, best]),
            enable_async_checkpointing=True,
            async_options=ocp.AsyncOptions(barrier_sync_fn=_wait_for_others),
            todelete_subdir=None if read_only else _DELETED,
            read_only=read_only,
        )
        self._closing = contextlib.ExitStack()
        readable = self._closing.enter_context(step_folders.readable_name(self.directory))
        self._manager = ocp.CheckpointManager(readable, options=options, item_handlers=ocp.StandardCheckpointHandler())

    def save(self, state: Any, *, score: float) -> None:
        """Starts to write `state`; returns once it is copied, before it is on disk.

        Args:
          state: TrainState on one device (see `unreplicate`), or a Population (see `spread_members`).
          score: lower is better; the checkpoint with the lowest score is kept besides the last. NaN counts as infinity.

        Raises:
          SaveError: the file system refuses, this save or the one before.
        """
        step = int(state.step)
        with self._saving():
            if step in self._manager.all_steps():
                return
            if is_main():
                for deleted in (self.directory / _DELETED).glob("*"):  # not the folder: the next one may be on its way
                    shutil.rmtree(deleted, ignore_errors=True)
            metrics = {"score": _rank({"score": score})}
            args = ocp.args.StandardSave(_to_host(state))
            self._manager.save(step, args=args, metrics=metrics, custom_metadata=self._metadata)

    def wait(self) -> None:
        """Waits until every save is on disk.

        Raises:
          SaveError: the file system refuses.
        """
        with self._saving():
            self._manager.wait_until_finished()

    def last_step(self) -> int | None:
        """Step of the last complete checkpoint, or None."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Step of the checkpoint with the lowest score, or None."""
        return self._manager.best_step()

    def restore(self, like: State, step: int | None = None) -> State:
        """Reads a checkpoint.

        Args:
          like: a state of the same structure, shapes and dtypes; its values are not used.
          step: which checkpoint; the last one by default.

        Returns:
          The state, bit for bit as saved, in host memory.

        Raises:
          FileNotFoundError: there is no checkpoint (of that step).
          DamagedFileError: it is not whole; the message names its folder.
          ValueError: the checkpoint has another structure or other shapes.
        """
        step = self.last_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise FileNotFoundError(
                f"no checkpoint of step {step} in {self.directory}; there are {self._manager.all_steps()}"
            )
        with self._reading(step):
            saved = _shapes(self._manager.item_metadata(step))
        self._check_fits(step, saved, like)
        with self._reading(step):
            target = jax.tree.map(np.empty_like, _to_host(like))
            tree = self._manager.restore(step, args=ocp.args.StandardRestore(target))
        return jax.tree.map(lambda saved, own: _as_key(saved, own) if _is_key(own) else saved, tree, like)

    def resume(self, like: State) -> State | None:
        """The last checkpoint that is whole, or None if there is none; damaged ones are set aside with a warning.

        Args:
          like: as of `restore`.

        Raises:
          ValueError: as of `restore`.
        """
        while (step := self.last_step()) is not None:
            try:
                state, problem = self.restore(like, step), ""
            except DamagedFileError as error:
                state, problem = None, str(error)
            if not any_process(bool(problem)):
                return state
            on_main(functools.partial(step_folders.set_aside, [self.directory / str(step)]))
            self._manager.reload()
        return None

    def _check_fits(self, step: int, saved: Mapping[str, str], like: Any) -> None:
        """Refuses a checkpoint of another network: orbax names no leaf, and for NumPy targets pads or cuts silently."""
        expected = _shapes(_to_host(like))
        different = [
            f"  {name}: {saved.get(name, 'absent')} in the checkpoint, {expected.get(name, 'absent')} expected"
            for name in sorted(saved.keys() | expected.keys(), key=lambda name: ("params" not in name, name))
            if saved.get(name) != expected.get(name)
        ]
        if different:
            shown = different[:_SHOWN] + [f"  and {len(different) - _SHOWN} more"] * (len(different) > _SHOWN)
            raise ValueError(f"the checkpoint of step {step} in {self.directory} does not fit:\n" + "\n".join(shown))

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._clean()
        step_folders.set_aside(filter(step_folders.damage, step_folders.step_folders(self.directory)))

    def _clean(self) -> None:
        """Removes what a kill left of saves and deletions."""
        for unfinished in (self.directory / _DELETED, *self.directory.glob("*.orbax-checkpoint-tmp*")):
            shutil.rmtree(unfinished, ignore_errors=True)

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        """Makes any error of a save one that says what it means to a user."""
        try:
            yield
        except Exception as error:  # of orbax, tensorstore or the operating system, in whatever wrapping
            steps = step_folders.whole_steps(self.directory)
            last = f"the last whole one is that of step {steps[-1]}" if steps else "there is none yet"
            raise SaveError(f"no checkpoint can be written in {self.directory}: {_reason(error)}; {last}") from error

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        folder = self.directory / str(step)
        try:
            yield
        except PermissionError:
            raise
        except Exception as error:  # as many kinds as there are ways to be damaged
            raise DamagedFileError(f"{folder} is not a complete checkpoint ({_reason(error)}); delete it") from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and jax.process_count() > 1:
            return  # this process ends, and to close is to wait for the others, who wait for it
        with self._closing:
            try:
                with self._saving():
                    self._manager.close()
            except SaveError:
                if kind is None:
                    raise  # otherwise it comes of what is raised already
            finally:
                if is_main() and not self._read_only:
                    self._clean()


def _wait_for_others(*, key: str, timeout_ms: int) -> None:
    """Orbax's barrier, but a thread that comes with an error waits for nobody: the others wait for what it failed at.

    Its error comes out at the next save, and ends the run on all processes (`tell_others`).
    """
    failed = threading.current_thread() is not threading.main_thread() and sys.exc_info()[1] is not None
    if not failed:
        ocp.multihost.get_barrier_sync_fn()(key=key, timeout_ms=timeout_ms)


def _rank(metrics: Mapping[str, float]) -> float:
    """By what the best is chosen: a score that is no number is the worst."""
    return math.inf if math.isnan(metrics["score"]) else float(metrics["score"])


def _reason(error: BaseException) -> str:
    """Why, in a few words: what the operating system says, if it is behind it, or else the error's first line."""
    text = " ".join(str(error).split())
    for number in _REFUSALS:
        if os.strerror(number) in text or getattr(error, "errno", None) == number:
            return os.strerror(number)
    behind = error.__cause__ or error.__context__
    return _reason(behind) if behind is not None else f"{type(error).__name__}: {text[:200]}"


def _as_key(saved: Any, own: Any) -> Any:
    return jax.random.wrap_key_data(saved, impl=jax.random.key_impl(own))


def _to_host(state: Any) -> Any:
    """A copy in host memory, which the next step cannot overwrite; keys as plain numbers, which orbax can write."""
    return jax.device_get(jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state))


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _shapes(tree: Any) -> dict[str, str]:
    """What each leaf is, by its path: the same for a state and for what orbax tells of a saved one."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in leaves
    }
