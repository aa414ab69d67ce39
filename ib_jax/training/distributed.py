"""Many processes: how they find each other, agree, and end when one of them is lost."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

HEARTBEAT_SECONDS = 30  # a process that has not been heard of for so long is lost, and ends the others
_ENDS = "ib_jax/ends"


def initialize(
    coordinator_address: str = "", num_processes: int = 0, process_id: int = -1, *, timeout_seconds: int = 300
) -> bool:
    """Joins the other processes of the run, if there are any. Call it before anything asks JAX for its devices.

    On a TPU pod and under Slurm or Open MPI no argument is needed: JAX reads the environment. Elsewhere give all three,
    with the same address on every process. If nothing is given there either, the process runs alone.

    Args:
      coordinator_address: host:port of process 0; "" reads the environment.
      num_processes: of the run; 0 reads the environment.
      process_id: of this process, from 0; -1 reads the environment.
      timeout_seconds: how long to wait for the others.

    Returns:
      Whether there is more than one process.

    Raises:
      ValueError: only some of the three are given, or one is out of range.
      RuntimeError: the other processes did not connect in time.

    Example:
      >>> from ib_jax import training
      >>> training.initialize("localhost:1234")
      Traceback (most recent call last):
      ...
      ValueError: coordinator_address, num_processes and process_id must be given together, got 'localhost:1234', 0, -1
    """
    given = [bool(coordinator_address), num_processes != 0, process_id != -1]
    if any(given) and not all(given):
        raise ValueError(
            "coordinator_address, num_processes and process_id must be given together, got "
            f"{coordinator_address!r}, {num_processes}, {process_id}"
        )
    if all(given) and not 0 <= process_id < num_processes:
        raise ValueError(f"process_id must be in [0, num_processes = {num_processes}), got {process_id}")
    settings: dict[str, Any] = {"initialization_timeout": timeout_seconds}
    settings["heartbeat_timeout_seconds"] = HEARTBEAT_SECONDS
    if "cpu" in os.environ.get("JAX_PLATFORMS", ""):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Its handler would swallow SIGTERM until the training loop has one of its own, which asks all processes.
    jax.config.update("jax_enable_preemption_service", False)
    if all(given):
        jax.distributed.initialize(coordinator_address, num_processes, process_id, **settings)
    else:
        try:
            jax.distributed.initialize(**settings)
        except ValueError as error:
            if "coordinator_address should be defined" not in str(error):
                raise
            return False  # no cluster that JAX knows
    return jax.process_count() > 1


def tell_others(message: str) -> None:
    """Tells the other processes that this one ends; see `hear_others`. It must stay alive for some seconds after.

    Args:
      message: why it ends.
    """
    if (client := _client()) is not None:
        client.key_value_set(f"{_ENDS}/{jax.process_index()}", message, allow_overwrite=True)


def hear_others(act: Callable[[int, str], None], *, seconds: float = 1.0) -> None:
    """Watches, in a thread, for another process that announces its end, and calls `act` with its number and message.

    A process that waits for a failed one hears nothing: the collective neither returns nor raises. Only a thread of its
    own can end it in time.

    Args:
      act: (process, message) -> None, such as to end this process.
      seconds: between two checks.
    """
    client, own = _client(), str(jax.process_index())

    def look() -> None:
        while True:
            time.sleep(seconds)
            try:
                said = [(key.rpartition("/")[2], message) for key, message in client.key_value_dir_get(_ENDS)]
            except RuntimeError:  # process 0, which keeps the messages, is gone; JAX ends the others
                return
            for process, message in said:
                if process != own:
                    act(int(process), message)
                    return

    if client is not None:
        threading.Thread(target=look, daemon=True).start()


def _client() -> Any:
    """What JAX's processes keep small values in, for which it has no public name; None for one process."""
    if jax.process_count() == 1:
        return None
    from jax._src.distributed import global_state

    return global_state.client


def is_main() -> bool:
    """Whether this is the process that writes records and talks: process 0.

    Example:
      >>> from ib_jax import training
      >>> training.is_main()
      True
    """
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether the flag is set on any process; all must call it, and all get the same answer.

    Args:
      flag: this process's.

    Returns:
      The flag of all processes together.

    Example:
      >>> from ib_jax import training
      >>> training.any_process(True)
      True
    """
    return flag if jax.process_count() == 1 else bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def on_main(work: Callable[[], object]) -> None:
    """Runs a function on process 0 while the others wait; all must call it.

    Args:
      work: the function, such as one that makes a folder.

    Raises:
      OSError: the file system of process 0 refuses; raised on every process.

    Example:
      >>> from ib_jax import training
      >>> training.on_main(lambda: print("here"))
      here
    """
    refusal = None
    if is_main():
        try:
            work()
        except OSError as error:
            refusal = error
    if any_process(refusal is not None):
        raise refusal or OSError("process 0 was refused by its file system; see what it says")


def from_main(number: int) -> int:
    """Process 0's number, on every process; all must call it.

    Args:
      number: this process's, int32.

    Returns:
      The number of process 0.

    Example:
      >>> from ib_jax import training
      >>> training.from_main(3)
      3
    """
    return number if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int32(number)))
