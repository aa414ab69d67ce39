"""Checkpoints on disk. The only file that knows orbax."""

import pathlib
from types import TracebackType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

State = TypeVar("State")
"""A TrainState, a Population, or any pytree with a `step`."""


class Checkpoints:
    """The best and the last checkpoint of a run, written in the background.

    A save is either there whole or not at all: a process killed in the middle of one leaves the last complete
    checkpoint to resume from. With several processes all hand over the same state to the same folder, which all see.
    What is saved does not know on how many devices it was trained.

    Args:
      directory: where the checkpoints go; made if absent.

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

    def __init__(self, directory: str | pathlib.Path):
        self.directory = pathlib.Path(directory).absolute()
        last = checkpoint_managers.LatestN(1)
        best = checkpoint_managers.BestN(get_metric_fn=lambda metrics: -metrics["score"], n=1)
        options = ocp.CheckpointManagerOptions(
            best_fn=lambda metrics: metrics["score"],
            best_mode="min",
            preservation_policy=checkpoint_managers.AnyPreservationPolicy([last, best]),
            enable_async_checkpointing=True,
        )
        self._manager = ocp.CheckpointManager(
            self.directory, options=options, item_handlers=ocp.StandardCheckpointHandler()
        )

    def save(self, state: Any, *, score: float) -> None:
        """Starts to write `state`; returns once it is copied, before it is on disk.

        Args:
          state: TrainState on one device (see `unreplicate`), or a Population (see `spread_members`).
          score: lower is better; the checkpoint with the lowest is kept beside the last.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        self._manager.save(step, args=ocp.args.StandardSave(_to_host(state)), metrics={"score": float(score)})

    def wait(self) -> None:
        """Waits until every save is on disk."""
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
          ValueError: the checkpoint has another structure or other shapes.
        """
        step = self.last_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise FileNotFoundError(
                f"no checkpoint of step {step} in {self.directory}; there are {self._manager.all_steps()}"
            )
        self._check_fits(step, like)
        tree = self._manager.restore(step, args=ocp.args.StandardRestore(jax.tree.map(np.empty_like, _to_host(like))))
        return jax.tree.map(lambda saved, own: jax.random.wrap_key_data(saved) if _is_key(own) else saved, tree, like)

    def _check_fits(self, step: int, like: Any) -> None:
        """Refuses a checkpoint of another network: orbax names no leaf, and for NumPy targets pads or cuts silently."""
        saved = _shapes(self._manager.item_metadata(step))
        expected = _shapes(_to_host(like))
        different = [
            f"  {name}: {saved.get(name, 'absent')} in the checkpoint, {expected.get(name, 'absent')} expected"
            for name in sorted(saved.keys() | expected.keys())
            if saved.get(name) != expected.get(name)
        ]
        if different:
            raise ValueError(
                f"the checkpoint of step {step} in {self.directory} does not fit:\n" + "\n".join(different)
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._manager.close()


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
