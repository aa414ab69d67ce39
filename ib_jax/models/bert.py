"""The BERT encoder, layer for layer that of the checkpoints, so that pretrained weights give their authors' numbers."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax.types import Array


def _gelu(x: Array) -> Array:
    """x times the normal distribution function, by erf: on the CPU a third of the time of `jax.nn.gelu`'s erfc."""
    wide = x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
    return (0.5 * wide * (1 + jax.scipy.special.erf(wide / math.sqrt(2)))).astype(x.dtype)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}
"""By the name that a checkpoint's configuration has for it."""


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT, by the names of a checkpoint's config.json; the defaults are BERT-base's.

    Raises:
      TypeError: a size is not an integer, or a rate not a number.
      ValueError: a size or a rate does not fit, or the activation is unknown.

    Example:
      >>> from ib_jax import models
      >>> models.BertConfig(hidden_size=384, num_attention_heads=12, num_hidden_layers=6).head_size
      32
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value: Any = getattr(self, field.name)
            kind: Any = type(field.default)
            wanted = {int: "a whole number", float: "a number", str: "a name"}[kind]
            if isinstance(value, bool) or not isinstance(value, (kind, int) if kind is float else kind):
                raise TypeError(f"{field.name} must be {wanted}, got {value!r}")
            if kind is int and value < 1:
                raise ValueError(f"{field.name} must be at least 1, got {value}")
            if field.name.endswith("_prob") and not 0 <= value < 1:
                raise ValueError(f"{field.name} must be at least 0 and below 1, got {value}")
            if kind is float and not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be at least 0, got {value}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads = {self.num_attention_heads}, "
                f"got {self.hidden_size}"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act must be one of {', '.join(ACTIVATIONS)}, got {self.hidden_act!r}")

    @property
    def head_size(self) -> int:
        """Features of one attention head."""
        return self.hidden_size // self.num_attention_heads


class BertOutput(NamedTuple):
    """A BERT's output: `hidden` float [B, L, H], a vector for each token, and `pooled` float [B, H]."""

    hidden: Array
    pooled: Array


class BertModel(nn.Module):
    """BERT: embeddings, layers of self-attention, and the pooler's tanh of the first token.

    Attributes:
      config: the sizes.
      dropout: whether `train=True` drops by the rates of the configuration.
      compute_dtype: of the matrix products and hidden states; normalisations, softmax and parameters are float32.

    Source: Devlin et al., BERT: pre-training of deep bidirectional transformers, 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> tiny = models.BertConfig(
      ...     vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
      ... )
      >>> ids, mask = jnp.ones((2, 5), int), jnp.ones((2, 5), bool)
      >>> output, _ = models.BertModel(tiny).init_with_output(jax.random.key(0), ids, mask)
      >>> output.hidden.shape, output.pooled.shape
      ((2, 5, 8), (2, 8))
    """

    config: BertConfig
    dropout: bool = True
    compute_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, ids: Array, mask: Array, types: Array | None = None, *, train: bool = False) -> BertOutput:
        """ids int [B, L], mask bool [B, L] of what is a token, types int [B, L] or None for zeros -> BertOutput.

        The ids of tokens are in 0..vocab_size-1; outside the mask any id will do. Other ids raise a ValueError, but
        under `jit`, which knows no values, they make their text NaN. So give `data.token_batches` and
        `data.pad_tokens`, which see the ids first, the `vocab_size`.
        """
        config, length = self.config, ids.shape[-1]
        if length > config.max_position_embeddings:
            raise ValueError(f"texts must have at most {config.max_position_embeddings} tokens, got {length}")
        embed = functools.partial(
            nn.Embed, features=config.hidden_size, embedding_init=nn.initializers.normal(config.initializer_range)
        )
        types = jnp.zeros_like(ids) if types is None else types
        ids = jnp.where(mask, ids, 0)
        check_ids(ids, config.vocab_size, "ids", "vocab_size")
        check_ids(types, config.type_vocab_size, "types", "type_vocab_size")
        embedded = embed(config.vocab_size, name="word_embeddings")(ids)
        embedded += embed(config.type_vocab_size, name="token_type_embeddings")(types)
        embedded += embed(config.max_position_embeddings, name="position_embeddings")(
            jnp.arange(length, dtype=jnp.int32)[None]
        )
        hidden = nn.LayerNorm(config.layer_norm_eps, name="norm")(embedded)
        drop = nn.Dropout(config.hidden_dropout_prob, deterministic=not (train and self.dropout))
        hidden = drop(hidden).astype(self.compute_dtype)
        for index in range(config.num_hidden_layers):
            layer = _Layer(config, self.compute_dtype, name=f"layer_{index}")
            hidden = layer(hidden, mask, train and self.dropout)
        hidden = hidden.astype(jnp.float32)
        pooled = jnp.tanh(_dense(config, config.hidden_size, jnp.float32, "pooler")(hidden[:, 0]))
        return BertOutput(hidden, pooled)


def check_ids(ids: Array, size: int, name: str, size_name: str) -> None:
    """Refuses ids without a row in a table of embeddings, which would give NaN; traced ids pass unchecked.

    Args:
      ids: int [...].
      size: rows of the table.
      name: of the ids, for the message.
      size_name: of the size.

    Raises:
      ValueError: one is negative, or not below the size.

    Example:
      >>> import jax.numpy as jnp
      >>> check_ids(jnp.array([1, 20]), 20, "ids", "vocab_size")
      Traceback (most recent call last):
      ValueError: ids must be at least 0 and below vocab_size = 20, got 20; are they of another model's tokeniser?
    """
    if isinstance(ids, jax.core.Tracer) or not ids.size:
        return
    least, most = int(ids.min()), int(ids.max())
    if least < 0 or most >= size:
        raise ValueError(
            f"{name} must be at least 0 and below {size_name} = {size}, got {least if least < 0 else most}; "
            "are they of another model's tokeniser?"
        )


class _Layer(nn.Module):
    """Self-attention and two dense layers, each added to its input and normalised."""

    config: BertConfig
    compute_dtype: DTypeLike

    @nn.compact
    def __call__(self, hidden: Array, mask: Array, drops: bool) -> Array:
        config, dense = self.config, functools.partial(_dense, self.config, dtype=self.compute_dtype)
        drop = nn.Dropout(config.hidden_dropout_prob, deterministic=not drops)

        def added(branch: Array, shortcut: Array, name: str) -> Array:
            total = drop(branch).astype(jnp.float32) + shortcut.astype(jnp.float32)
            return nn.LayerNorm(config.layer_norm_eps, name=name)(total).astype(self.compute_dtype)

        heads = (*hidden.shape[:2], config.num_attention_heads, config.head_size)
        # Heads before tokens, [B, N, L, h]: XLA's products of many small matrices are faster so on the CPU.
        query, key, value = (
            dense(config.hidden_size, name=name)(hidden).reshape(heads).swapaxes(1, 2)
            for name in ("query", "key", "value")
        )
        scores = jnp.einsum("bnqh,bnkh->bnqk", query, key).astype(jnp.float32) / config.head_size**0.5
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
        weights = nn.Dropout(config.attention_probs_dropout_prob, deterministic=not drops)(nn.softmax(scores))
        mixed = jnp.einsum("bnqk,bnkh->bnqh", weights.astype(self.compute_dtype), value)
        mixed = mixed.swapaxes(1, 2).reshape(hidden.shape)
        hidden = added(dense(config.hidden_size, name="attention_output")(mixed), hidden, "attention_norm")
        inner = ACTIVATIONS[config.hidden_act](dense(config.intermediate_size, name="intermediate")(hidden))
        return added(dense(config.hidden_size, name="output")(inner), hidden, "output_norm")


def _dense(config: BertConfig, features: int, dtype: DTypeLike, name: str) -> Any:
    init = nn.initializers.normal(config.initializer_range)
    return nn.Dense(features, kernel_init=init, dtype=dtype, name=name)
