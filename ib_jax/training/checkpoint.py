"""Checkpoints on disk. The only file that knows orbax."""

import pathlib
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from ib_jax.training.step import TrainState


class Checkpoints:
    """The best and the last checkpoint of a run, written in the background.

    A save is either there whole or not at all: a process killed in the middle of one leaves the last complete
    checkpoint to resume from.

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
      (0, Array([1., 1.], dtype=float32))
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

    def save(self, state: TrainState, *, score: float) -> None:
        """Starts to write `state`; returns once it is copied, before it is on disk.

        Args:
          state: TrainState on one device (see `unreplicate`).
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

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """Reads a checkpoint.

        Args:
          like: a state of the same structure, shapes and dtypes; its values are not used.
          step: which checkpoint; the last one by default.

        Returns:
          TrainState, bit for bit as saved.

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
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, jax.device_put(_to_host(like), jax.local_devices()[0]))
        tree = self._manager.restore(step, args=ocp.args.StandardRestore(target))
        return tree._replace(key=jax.random.wrap_key_data(tree.key))

    def _check_fits(self, step: int, like: TrainState) -> None:
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


def _to_host(state: TrainState) -> Any:
    """A copy in host memory, which the next step cannot overwrite; the key as plain numbers, which orbax can write."""
    return jax.device_get(state._replace(key=jax.random.key_data(state.key)))


def _shapes(tree: Any) -> dict[str, str]:
    """What each leaf is, by its path: the same for a state and for what orbax tells of a saved one."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in leaves
    }
