"""Evaluates many texts with one jitted function of fixed shapes: in full batches, and no text twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np

from ib_jax.attacks.text.answers import one_array, token_arrays, whole_number
from ib_jax.strings import text_list

Tokenise = Callable[[Sequence[str]], Sequence[np.ndarray]]
"""Texts -> the tokens of each, int [n]; see `ib_jax.data.load_tokenizer`."""

_PADDING = -1
_OVERHEAD = 256  # bytes of a Python dictionary entry, approximately
_Value = TypeVar("_Value")


class Pool:
    """Evaluates a model on texts, in full batches and with a cache.

    The pool tokenises each text, merges texts with equal tokens, and reuses cached answers. The remaining texts go
    through the function in batches of their length class. A text's class depends only on its own length, and all
    batches of a class have one shape, so an answer does not depend on the other texts.

    Args:
      tokenise: see `Tokenise`; it truncates.
      apply_fn: tokens int32 [batch_size, L], padded with -1 -> array [batch_size, ...] of JAX or NumPy, each row a
        function of its own tokens. Jit it yourself, so that parameters are arguments and not constants; it is compiled
        once for each L.
      batch_size: rows of a batch, >= 1. An incomplete batch is filled by repeating a row.
      lengths: the values of L. Each is compiled once; few values mean more padding. The largest must hold the longest
        text.
      max_cached: bytes of cached answers, and as many again for the map from texts to tokens. The least recently used
        are dropped; 0 caches nothing.
      num_threads: batches evaluated in parallel, >= 1. More than one calls `apply_fn` from several threads, which is
        safe for a jitted function. On the CPU this keeps all cores busy with small batches and compiles programs in
        parallel. Answers do not depend on it.

    Attributes:
      num_asked: texts queried so far.
      num_computed: rows computed for them, without padding rows.

    Raises:
      ValueError: `batch_size`, `lengths`, `max_cached` or `num_threads` is out of range; from a call: a text with more
        tokens than the greatest length, or tokens or an answer of a wrong shape.
      TypeError: from a call: the texts are one string, or not all of them are strings.

    Example:
      >>> import numpy as np
      >>> from ib_jax.attacks import text
      >>> tokenise = lambda texts: [np.array([len(word) for word in one.split()]) for one in texts]
      >>> pool = text.Pool(tokenise, lambda tokens: tokens.max(-1), batch_size=2, lengths=[4])
      >>> pool(["a film", "to see", "a film"]).tolist()
      [4, 3, 4]
      >>> pool.num_asked, pool.num_computed
      (3, 2)
    """

    def __init__(
        self,
        tokenise: Tokenise,
        apply_fn: Callable[[np.ndarray], Any],
        *,
        batch_size: int,
        lengths: Sequence[int],
        max_cached: int = 1 << 29,
        num_threads: int = 1,
    ):
        if whole_number("batch_size", batch_size) < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not len(lengths) or min(lengths) < 1:
            raise ValueError(f"lengths must be one or more whole numbers from 1 up, got {list(lengths)}")
        if max_cached < 0:
            raise ValueError(f"max_cached must be at least 0 bytes, got {max_cached}")
        if whole_number("num_threads", num_threads) < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        self._tokenise, self._apply_fn = tokenise, apply_fn
        self._batch_size, self._lengths, self._num_threads = batch_size, np.unique(lengths), num_threads
        self._key_of: _Recent[bytes] = _Recent(max_cached, len)
        self._answers: _Recent[np.ndarray] = _Recent(max_cached, lambda answer: answer.nbytes)
        self._row_shape: tuple[int, ...] | None = None
        self.num_asked = self.num_computed = 0

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Answers [n, ...] for n >= 0 texts, in order. For n = 0 the row shape is that of an empty text's answer."""
        texts = text_list(texts)
        self.num_asked += len(texts)
        names = [_digest(text.encode("utf-8", "surrogatepass")) for text in texts]
        if not texts:
            return np.stack(self._answer([""], [_digest(b"")]))[:0]
        distinct = dict(zip(names, texts, strict=True))
        found: dict[bytes, np.ndarray] = {}
        for name in distinct:
            key = self._key_of.get(name)
            answer = None if key is None else self._answers.get(key)
            if answer is not None:
                found[name] = answer
        # Includes texts whose tokens are cached by digest but whose answer was dropped.
        new = [name for name in distinct if name not in found]
        if new:
            found.update(zip(new, self._answer([distinct[name] for name in new], new), strict=True))
        return np.stack([found[name] for name in names])

    def _answer(self, texts: list[str], names: list[bytes]) -> list[np.ndarray]:
        tokens = token_arrays(self._tokenise(list(texts)), len(texts))
        keys = [_digest(one.tobytes()) for one in tokens]
        distinct = dict(zip(keys, tokens, strict=True))
        known = {key: self._answers.get(key) for key in distinct}
        missing = [key for key, answer in known.items() if answer is None]
        found = {key: answer for key, answer in known.items() if answer is not None}
        found.update(zip(missing, self._compute([distinct[key] for key in missing]), strict=True))
        for key in missing:
            self._answers.put(key, found[key])
        for name, key in zip(names, keys, strict=True):
            self._key_of.put(name, key)
        return [found[key] for key in keys]

    def _compute(self, tokens: list[np.ndarray]) -> list[np.ndarray]:
        sizes = np.array([len(one) for one in tokens], np.int64)
        if len(sizes) and sizes.max() > self._lengths[-1]:
            raise ValueError(
                f"tokenise must return at most {self._lengths[-1]} tokens, the greatest of lengths, got {sizes.max()}"
            )
        classes = np.searchsorted(self._lengths, sizes)
        batches: list[tuple[int, int, np.ndarray]] = []
        for which, length in enumerate(self._lengths.tolist()):
            members = np.flatnonzero(classes == which)
            for first in range(0, len(members), self._batch_size):
                batches.append((first, length, members[first : first + self._batch_size]))
        # One batch of each length before the second of any, so that no two threads compile the same program.
        batches.sort(key=lambda batch: batch[0])

        def run(batch: tuple[int, int, np.ndarray]) -> Any:
            result = self._apply_fn(self._padded(tokens, *batch[1:]))
            # With threads, each waits for its own answer; with one, the device works while the next batch is prepared.
            return result if self._num_threads == 1 else self._checked(result)

        if self._num_threads == 1 or len(batches) < 2:
            results = list(map(run, batches))
        else:
            with ThreadPoolExecutor(self._num_threads) as threads:
                results = list(threads.map(run, batches))
        answers: list[Any] = [None] * len(tokens)
        for (_, _, rows), result in zip(batches, results, strict=True):
            array = self._checked(result)
            if self._row_shape not in (None, array.shape[1:]):
                raise ValueError(
                    f"apply_fn must return rows of one shape, whatever the length of its tokens, got "
                    f"{list(self._row_shape or ())} and {list(array.shape[1:])}"
                )
            self._row_shape = array.shape[1:]
            for place, row in enumerate(rows):
                answers[row] = array[place].copy()  # a view would keep the whole batch alive
        self.num_computed += len(tokens)
        return answers

    def _padded(self, tokens: list[np.ndarray], length: int, rows: np.ndarray) -> np.ndarray:
        batch = np.full((self._batch_size, length), _PADDING, np.int32)
        for place, row in enumerate(rows):
            batch[place, : len(tokens[row])] = tokens[row]
        batch[len(rows) :] = batch[0]
        return batch

    def _checked(self, result: Any) -> np.ndarray:
        array = one_array(result, f"apply_fn must return [{self._batch_size}, ...], got {{}}; return one array")
        if array.shape[:1] != (self._batch_size,):
            raise ValueError(f"apply_fn must return [{self._batch_size}, ...], got {list(array.shape)}")
        return array


class _Recent(Generic[_Value]):
    """A dictionary of bounded size that drops the least recently used entries."""

    def __init__(self, max_bytes: int, size: Callable[[_Value], int]):
        self._max_bytes, self._size, self._held = max_bytes, size, 0
        self._entries: OrderedDict[bytes, _Value] = OrderedDict()

    def get(self, key: bytes) -> _Value | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: _Value) -> None:
        if key in self._entries:
            self._held -= self._size(self._entries.pop(key)) + _OVERHEAD
        self._entries[key] = value
        self._held += self._size(value) + _OVERHEAD
        while self._held > self._max_bytes:
            self._held -= self._size(self._entries.popitem(last=False)[1]) + _OVERHEAD


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
