"""From tokens to one vector for each text, and on to a Gaussian over codes."""

from typing import Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from ib_jax.models.bert import BertConfig, BertModel, BertOutput
from ib_jax.models.head import Scale, gaussian_head
from ib_jax.types import AnyGaussian, Array, Params

Pooling = Literal["mean", "cls", "pooler"]
"""How a text's tokens become one vector: their mean, the first token, or BERT's pooler of the first token."""


def pool(output: BertOutput, mask: Array, pooling: Pooling) -> Array:
    """One vector for each text.

    Args:
      output: of `BertModel`.
      mask: bool [B, L], what is a token.
      pooling: "mean" of the tokens' vectors; "cls", the first token's; or "pooler", the tanh layer on it.

    Returns:
      float [B, H].

    Raises:
      ValueError: the pooling is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from ib_jax.models import bert, bert_encoder
      >>> output = bert.BertOutput(jnp.array([[[1.0], [3.0], [9.0]]]), jnp.array([[0.5]]))
      >>> bert_encoder.pool(output, jnp.array([[True, True, False]]), "mean").item()
      2.0
    """
    if pooling == "mean":
        weights = jnp.broadcast_to(mask[..., None], output.hidden.shape).astype(output.hidden.dtype)
        return jnp.average(output.hidden, axis=1, weights=weights)
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}")
    return output.hidden[:, 0] if pooling == "cls" else output.pooled


def text_features(
    config: BertConfig,
    params: Params,
    tokens: Array,
    *,
    pooling: Pooling = "mean",
    compute_dtype: DTypeLike = jnp.float32,
) -> Array:
    """The features of texts under a frozen BERT; pure and jittable.

    Args:
      config: its sizes.
      params: of `BertModel`.
      tokens: int [B, L], -1 where there is no token.
      pooling: see `pool`.
      compute_dtype: see `BertModel`.

    Returns:
      float [B, H]. More padding changes nothing but rounding.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> tiny = models.BertConfig(
      ...     vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
      ... )
      >>> tokens = jnp.array([[2, 7, 3, -1], [2, 9, 11, 3]])
      >>> params = models.BertModel(tiny).init(jax.random.key(0), tokens, tokens >= 0)["params"]
      >>> models.text_features(tiny, params, tokens).shape
      (2, 8)
    """
    mask = tokens >= 0
    output = BertModel(config, compute_dtype=compute_dtype).apply({"params": params}, jnp.maximum(tokens, 0), mask)
    return pool(output, mask, pooling)  # type: ignore[arg-type]


class BertEncoder(nn.Module):
    """A BERT from tokens to a diagonal Gaussian over codes: what is fine-tuned end to end.

    Attributes:
      config: sizes of the BERT, whose parameters are the entry "bert".
      latent_dim: D; 0 takes the pooled features, H of them, as the mean of the code.
      scale: of p(z|x), see `gaussian_head`.
      hidden: widths of ReLU layers between the pooled features and the code.
      pooling: see `pool`.
      dropout: whether training drops by the rates of the configuration.
      compute_dtype: see `BertModel`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import models
      >>> tiny = models.BertConfig(
      ...     vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
      ... )
      >>> model = models.make_classifier(models.BertEncoder(tiny, latent_dim=4, scale="learned"), num_classes=2)
      >>> tokens = jnp.array([[2, 7, 3, -1], [2, 9, 11, 3]])
      >>> model.encode(model.init(jax.random.key(0), tokens), tokens).mean.shape
      (2, 4)
    """

    config: BertConfig
    latent_dim: int = 0
    scale: Scale = "zero"
    hidden: tuple[int, ...] = ()
    pooling: Pooling = "mean"
    dropout: bool = True
    compute_dtype: DTypeLike = jnp.float32

    @property
    def code_dim(self) -> int:
        """D."""
        return self.latent_dim or (self.hidden[-1] if self.hidden else self.config.hidden_size)

    @property
    def dropout_rate(self) -> float:
        """The greatest rate that training drops with."""
        rates = (self.config.hidden_dropout_prob, self.config.attention_probs_dropout_prob)
        return max(rates) if self.dropout else 0.0

    @nn.compact
    def __call__(self, tokens: Array, *, train: bool = False) -> AnyGaussian:
        """tokens int [B, L], -1 where there is none -> Gaussian over codes [B, D]; `train`: dropout (rng 'dropout')."""
        mask = tokens >= 0
        bert = BertModel(self.config, self.dropout, self.compute_dtype, name="bert")
        features = pool(bert(jnp.maximum(tokens, 0), mask, train=train), mask, self.pooling)
        for width in self.hidden:
            features = nn.relu(nn.Dense(width)(features))
        return gaussian_head(features, self.latent_dim, self.scale)
