"""Large evaluations: piece by piece, over all devices, with progress, and resumed after a kill."""

import concurrent.futures
import json
import os
import pathlib
import queue
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ib_jax import losses
from ib_jax.evaluation.stored import digest
from ib_jax.files import read_arrays, read_json, reading, write_arrays, write_whole
from ib_jax.paths import make_folder
from ib_jax.types import Array, AttackResult, Params

_FORMAT = 2  # of the files in a folder; the first kept no types and knew fewer fields of a result
_REMEDY = "delete it to have its examples attacked again"
_TYPES = "types"  # beside the fields of a result in a file: their dtypes by name, as JSON

RunFn = Callable[..., AttackResult]
"""(params, keys [n], inputs [n, ...], labels [n], targets [n] or None) -> AttackResult, as `attacks.Runner`."""


class ChunkProgress(NamedTuple):
    """The progress after each chunk.

    Attributes:
      num_done: examples attacked, in earlier runs too.
      num_examples: examples in all.
      num_fooled: how many of them fool the model; undecided ones do not count.
      examples_per_second: in this run.
      seconds_left: at that speed.
    """

    num_done: int
    num_examples: int
    num_fooled: int
    examples_per_second: float
    seconds_left: float


def attack_in_chunks(
    run: RunFn,
    params: Params,
    key: Array,
    inputs: Array,
    labels: Array,
    targets: Array | None = None,
    *,
    chunk_size: int = 1000,
    folder: str | os.PathLike[str] | None = None,
    name: str = "",
    devices: Sequence[jax.Device] | None = None,
    report: Callable[[ChunkProgress], None] | None = None,
) -> AttackResult:
    """Attacks many examples in chunks that fit memory, each device taking the next one.

    Example i has the key `fold_in(key, i)`, so neither the size of the chunks nor the number of devices changes a
    result. With a folder, every finished chunk becomes a file in it, written whole or not at all. The same call after a
    kill computes only the missing ones; the others come back bit for bit, in any dtype. A damaged file is refused by
    its name and never replaced: delete it to compute it again.

    Args:
      run: see `RunFn`; it is called from a thread for each device, with parameters on that device.
      params: pytree of arrays handed to `run`; PRNG keys may be among them.
      key: one PRNG key, or one for each example ([N]).
      inputs: float [N, ...].
      labels: int [N].
      targets: int [N], or None.
      chunk_size: examples of one call.
      folder: where to keep finished chunks, made if need be; None keeps them in memory alone.
      name: what identifies attack and model beyond parameters, data and keys; the folder remembers it.
      devices: all local ones by default.
      report: called after each chunk.

    Returns:
      AttackResult of NumPy arrays [N, ...].

    Raises:
      ValueError: `chunk_size` is less than 1, lengths differ, the folder holds another evaluation or one of an older
        format, or is an address of a bucket.
      DamagedFileError: a file of the folder is damaged; before anything is attacked.
      OSError: the folder cannot be made or written to; finished chunks stay.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks, evaluation
      >>> apply_fn = lambda params, keys, x: jnp.concatenate([x, 1.0 - x], -1)
      >>> run = attacks.Runner(attacks.fgsm(0.2), apply_fn)
      >>> inputs, labels = jnp.array([[0.6], [0.9], [0.65]]), jnp.array([0, 0, 0])
      >>> evaluation.attack_in_chunks(run, None, jax.random.key(0), inputs, labels, chunk_size=2).success
      array([ True, False,  True])
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    data = tuple(None if array is None else np.asarray(array) for array in (inputs, labels, targets))
    lengths = {len(array) for array in data if array is not None}
    if len(lengths) != 1:
        raise ValueError(f"inputs, labels and targets must be of one length, got lengths {sorted(lengths)}")
    losses.check_labels(labels, (len(inputs),))
    keys = losses.per_example_keys(key, len(labels))
    store = _Store(folder, chunk_size, name, (params, keys, data))
    firsts = range(0, max(1, len(labels)), chunk_size)
    parts: dict[int, AttackResult] = {}
    for first in firsts:
        known = store.read(first, min(chunk_size, len(labels) - first))
        if known is not None:
            parts[first] = known
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for first in firsts:
        if first not in parts:
            waiting.put(first)
    clock, num_before = time.monotonic(), sum(len(part.success) for part in parts.values())

    def work(device: jax.Device) -> None:
        own_params = jax.device_put(params, device)
        while True:
            try:
                first = waiting.get_nowait()
            except queue.Empty:
                return
            rows = slice(first, first + chunk_size)
            with jax.default_device(device):
                own_keys = jax.device_put(keys[rows], device)
                chunk = run(own_params, own_keys, *(None if array is None else array[rows] for array in data))
            done = jax.tree.map(np.asarray, chunk)
            store.write(first, done)
            finished.put((first, done))

    finished: queue.SimpleQueue[tuple[int, AttackResult]] = queue.SimpleQueue()
    local = list(jax.local_devices() if devices is None else devices)
    with concurrent.futures.ThreadPoolExecutor(len(local)) as pool:
        workers = [pool.submit(work, device) for device in local]
        while len(parts) < len(firsts):
            try:
                first, part = finished.get(timeout=0.2)
            except queue.Empty:
                _raise_failures(workers, waiting)
                continue
            parts[first] = part
            if report is not None:
                report(_progress(parts, len(labels), num_before, time.monotonic() - clock))
        for worker in workers:
            worker.result()
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *(parts[first] for first in firsts))


def _raise_failures(workers: Sequence[concurrent.futures.Future[None]], waiting: "queue.SimpleQueue[int]") -> None:
    for worker in workers:
        if worker.done() and worker.exception() is not None:
            while not waiting.empty():  # the other devices end after their chunk
                try:
                    waiting.get_nowait()
                except queue.Empty:
                    break
            worker.result()


def _progress(parts: dict[int, AttackResult], total: int, num_before: int, seconds: float) -> ChunkProgress:
    num_done = sum(len(part.success) for part in parts.values())
    num_fooled = sum(int(part.success.sum()) for part in parts.values())
    rate = (num_done - num_before) / max(seconds, 1e-9)
    return ChunkProgress(num_done, total, num_fooled, rate, (total - num_done) / max(rate, 1e-9))


class _Store:
    """Finished chunks as files, under a statement of what they belong to."""

    def __init__(self, folder: str | os.PathLike[str] | None, chunk_size: int, name: str, content: Any):
        self._folder = None if folder is None else make_folder(folder, "folder")
        if self._folder is None:
            return
        statement = {"format": _FORMAT, "chunk_size": chunk_size, "name": name, "content": digest(content)}
        path = self._folder / "evaluation.json"
        if not path.exists():
            write_whole(path, lambda file: file.write(json.dumps(statement).encode()))
        there = read_json(path, f"delete the folder {self._folder} to have all of it made again")
        if there.get("format") != _FORMAT:
            raise ValueError(_refusal(self._folder))
        for field, value in statement.items():
            if there.get(field) != value:
                what = "parameters, keys or data" if field == "content" else f"{field} = {there.get(field)!r}"
                raise ValueError(f"folder {self._folder} holds an evaluation with other {what}; name another one")

    def _path(self, first: int) -> pathlib.Path:
        assert self._folder is not None
        return self._folder / f"from_{first:09d}.npz"

    def read(self, first: int, size: int) -> AttackResult | None:
        """The chunk of so many examples that begins there, if it is finished."""
        if self._folder is None or not self._path(first).exists():
            return None
        path = self._path(first)
        arrays = read_arrays(path, _REMEDY)
        if _TYPES not in arrays:
            raise ValueError(_refusal(self._folder))
        with reading(path, _REMEDY):
            types = json.loads(str(arrays[_TYPES]))
            chunk = AttackResult(**{name: arrays[name].view(np.dtype(dtype)) for name, dtype in types.items()})
            if len(chunk.success) != size:
                raise ValueError(f"{len(chunk.success)} examples, expected {size}")
            return chunk

    def write(self, first: int, chunk: AttackResult) -> None:
        """Keeps a finished chunk."""
        if self._folder is not None:
            arrays = {name: np.asarray(leaf) for name, leaf in chunk._asdict().items() if leaf is not None}
            types = {name: array.dtype.name for name, array in arrays.items()}
            # NumPy knows no bfloat16 and its like: as they are, they would come back as nameless bytes.
            plain: dict[str, Any] = {name: array.view(_plain(array.dtype)) for name, array in arrays.items()}
            plain[_TYPES] = json.dumps(types)
            write_arrays(self._path(first), plain)


def _plain(dtype: np.dtype) -> np.dtype:
    """A type of NumPy's own with as many bytes."""
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")


def _refusal(folder: pathlib.Path) -> str:
    return f"folder {folder} holds an evaluation of an older format; name another one"
