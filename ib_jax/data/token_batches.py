"""Tokens in padded batches of few shapes, so that few programs are compiled and little is padded."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

PAD = -1
"""What stands where there is no token. No token has this number, so the attention mask is `tokens >= 0`."""


class TokenBatch(NamedTuple):
    """Some texts' tokens.

    Attributes:
      rows: int [n], which texts they are.
      tokens: int32 [B, L], n <= B; rows n and on repeat the last text and are to be discarded.
    """

    rows: np.ndarray
    tokens: np.ndarray


class RowsOfLength(NamedTuple):
    """The texts of a training batch.

    Attributes:
      rows: int [B], which texts.
      length: L, what they are padded to.
    """

    rows: np.ndarray
    length: int


def pad_tokens(token_lists: Sequence[np.ndarray], length: int, *, vocab_size: int | None = None) -> np.ndarray:
    """Puts tokens side by side, with -1 where there is none.

    Args:
      token_lists: B texts' tokens, int [n_i].
      length: L >= every n_i.
      vocab_size: V, the embeddings of the model that will read them; None if it is not known.

    Returns:
      int32 [B, L], of no texts [0, L].

    Raises:
      TypeError: if they are no token numbers, but texts for instance.
      ValueError: if a text has more than L tokens, and should have been cut by the tokeniser; or if a token is negative
        or not below V, where the model would answer NaN.

    Example:
      >>> pad_tokens([np.array([2, 7, 3]), np.array([2, 3])], 4).tolist()
      [[2, 7, 3, -1], [2, 3, -1, -1]]
    """
    token_lists = _token_list(token_lists, vocab_size)
    padded = np.full((len(token_lists), length), PAD, np.int32)
    for row, tokens in enumerate(token_lists):
        if len(tokens) > length:
            raise ValueError(f"length is {length}, but text {row} has {len(tokens)} tokens; cut it to max_length first")
        padded[row, : len(tokens)] = tokens
    return padded


def token_batches(
    token_lists: Sequence[np.ndarray], *, batch_size: int, lengths: Sequence[int], vocab_size: int | None = None
) -> Iterator[TokenBatch]:
    """Batches for evaluation: each text once, short ones first, padded to the smallest length that holds it.

    Texts of one length keep their order. All batches of a length are full except the last, which repeats its last
    text; so at most `len(lengths)` shapes are compiled. `rows` says where the
    results belong:
    `results[batch.rows] = apply(batch.tokens)[: len(batch.rows)]`.

    Args:
      token_lists: N texts' tokens, int [n_i].
      batch_size: B.
      lengths: what texts may be padded to; the largest must hold the longest text.
      vocab_size: V, the embeddings of the model that will read them; None if it is not known.

    Returns:
      An iterator of batches, of no texts an empty one.

    Raises:
      TypeError: if they are no token numbers, but texts for instance.
      ValueError: if a number is less than 1, or a text is longer than every length; or if a token is negative or not
        below V, where the model would answer NaN.

    Example:
      >>> texts = [np.arange(n) for n in (5, 2, 3, 3)]
      >>> [(batch.rows.tolist(), batch.tokens.shape) for batch in token_batches(texts, batch_size=2, lengths=[4, 8])]
      [([1, 2], (2, 4)), ([3], (2, 4)), ([0], (2, 8))]
    """
    _check_batch_size(batch_size)
    token_lists = _token_list(token_lists, vocab_size)
    num_tokens = np.array([len(tokens) for tokens in token_lists], np.int64)
    lengths, bucket = _buckets(num_tokens, lengths)
    by_length = np.argsort(num_tokens, kind="stable")

    def batches() -> Iterator[TokenBatch]:
        for number, length in enumerate(lengths):
            members = by_length[bucket[by_length] == number]
            for start in range(0, len(members), batch_size):
                rows = members[start : start + batch_size]
                filled = np.concatenate([rows, np.repeat(rows[-1:], batch_size - len(rows))])
                yield TokenBatch(rows, pad_tokens([token_lists[row] for row in filled.tolist()], length))

    return batches()  # so that wrong arguments are refused at the call, not at the first batch


def bucketed_epoch(
    num_tokens: Sequence[int] | np.ndarray, *, batch_size: int, lengths: Sequence[int], seed: int, epoch: int
) -> list[RowsOfLength]:
    """The batches of one training epoch: full ones of texts of like length, in random order.

    The texts are shuffled, and the last `N % batch_size` of them sit this epoch out, as in every shuffled epoch of the
    library. Each other text is in exactly one batch. They are put into one bucket for each length, and the buckets cut
    into batches; what is left over in a bucket goes to the next longer one. So the N // batch_size batches are full,
    whatever the epoch, and a text is padded further than it need be only if it was left over. Finally the batches are
    shuffled. All this is a function of the arguments, so a resumed run sees the same batches.

    Args:
      num_tokens: int [N], the texts' numbers of tokens.
      batch_size: B <= N.
      lengths: what texts may be padded to; the largest must hold the longest text.
      seed: seed of the run, >= 0.
      epoch: number of the epoch, >= 0; each has a shuffle of its own.

    Returns:
      N // B batches.

    Raises:
      TypeError: if `num_tokens` are not integers.
      ValueError: if the sizes do not fit each other, or a text is longer than every length.

    Example:
      >>> batches = bucketed_epoch([3, 9, 4, 2, 8], batch_size=2, lengths=[4, 16], seed=0, epoch=0)
      >>> [(batch.rows.tolist(), batch.length) for batch in batches]
      [([2, 3], 4), ([0, 4], 16)]
    """
    num_tokens = np.asarray(num_tokens)
    if num_tokens.ndim != 1 or (num_tokens.size and num_tokens.dtype.kind not in "iu"):
        raise TypeError(f"num_tokens must be int [N], got {num_tokens.dtype} {list(num_tokens.shape)}")
    _check_batch_size(batch_size)
    if batch_size > len(num_tokens):
        raise ValueError(f"batch_size must be at most the {len(num_tokens)} texts, got {batch_size}")
    lengths, bucket = _buckets(num_tokens, lengths)
    random = np.random.default_rng([seed, epoch])
    num_batches = len(num_tokens) // batch_size
    shuffled = random.permutation(len(num_tokens))[: num_batches * batch_size]
    batches = []
    left_over = shuffled[:0]
    for number, length in enumerate(lengths):
        members = np.concatenate([left_over, shuffled[bucket[shuffled] == number]])
        num_full = len(members) // batch_size * batch_size
        batches += [RowsOfLength(rows, length) for rows in members[:num_full].reshape(-1, batch_size)]
        left_over = members[num_full:]
    # Nothing is left over of the longest, since the number of texts kept is a multiple of the batch.
    return [batches[index] for index in random.permutation(num_batches)]


def _token_list(token_lists: Sequence[np.ndarray], vocab_size: int | None) -> list[np.ndarray]:
    """The texts' tokens in a list, which a pandas column would give by the labels of its index; all of them checked."""
    found = [np.asarray(tokens) for tokens in token_lists]
    most = 2**31 if vocab_size is None else vocab_size
    for row, tokens in enumerate(found):
        if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "iu"):
            raise TypeError(
                f"token_lists must hold int [n], got {tokens.dtype} {list(tokens.shape)} for text {row}; a tokeniser "
                f"gives them"
            )
        if tokens.size and (tokens.min() < 0 or tokens.max() >= most):
            worst = tokens.min() if tokens.min() < 0 else tokens.max()
            limit = "2**31" if vocab_size is None else f"vocab_size = {vocab_size}, the model's"
            raise ValueError(f"tokens must be at least 0 and below {limit}, got {worst} for text {row}")
    return found


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _buckets(num_tokens: np.ndarray, lengths: Sequence[int]) -> tuple[list[int], np.ndarray]:
    """The lengths in ascending order, and for each text the number of the smallest that holds it."""
    ascending = sorted(set(lengths))
    if not ascending or ascending[0] < 1:
        raise ValueError(f"lengths is {list(lengths)}; expected numbers of at least 1")
    if len(num_tokens) and num_tokens.max() > ascending[-1]:
        row = int(num_tokens.argmax())
        raise ValueError(
            f"lengths goes up to {ascending[-1]}, but text {row} has {num_tokens[row]} tokens; add a length, or cut "
            f"texts to {ascending[-1]} tokens with max_length"
        )
    return ascending, np.searchsorted(ascending, num_tokens)
