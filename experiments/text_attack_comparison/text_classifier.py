"""The classifier that text attacks are compared on: a frozen BERT, the mean of its tokens' vectors, a linear head."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression

from experiments.imdb_vub import TextEncoder, features_of_texts
from ib_jax import data
from ib_jax.attacks.text import Pool
from ib_jax.types import Array, Params


@dataclasses.dataclass(frozen=True, eq=False)
class TextClassifier:
    """A classifier of texts.

    Attributes:
      encoder: the BERT with its tokeniser.
      kernel: float32 [H, C], from a text's features to its logits.
      bias: float32 [C].
      apply_fn: tokens int [B, L] -> probabilities float32 [B, C]; jitted, once for all pools.
    """

    encoder: TextEncoder
    kernel: np.ndarray
    bias: np.ndarray
    apply_fn: Callable[[np.ndarray], Array]

    def pool(self, batch_size: int, length_step: int, *, max_cached: int = 1 << 29) -> Pool:
        """A `Pool` of this classifier that has nothing in its cache yet, whose lengths are multiples of a step."""
        longest = self.encoder.tokenise.max_length
        lengths = (*range(length_step, longest, length_step), longest)
        return Pool(self.encoder.tokenise, self.apply_fn, batch_size=batch_size, lengths=lengths, max_cached=max_cached)


def first_words(texts: Sequence[str], count: int) -> list[str]:
    """Texts cut after so many pieces between white space, each white space a blank; 0 leaves them as they are."""
    return [" ".join(text.split()[:count]) for text in texts] if count else list(texts)


def fit(encoder: TextEncoder, texts: Sequence[str], labels: np.ndarray, *, batch_size: int = 32) -> TextClassifier:
    """Fits the head by logistic regression on the features of texts.

    Args:
      encoder: frozen.
      texts: N of them.
      labels: int [N], each of C >= 2 classes among them.
      batch_size: texts of one pass through the encoder.
    """
    split = data.TextSplit(tuple(texts), np.asarray(labels, np.int32))
    compute = features_of_texts(encoder, split, batch_size=batch_size)
    features, _ = compute(encoder.params, range(len(texts)), jax.devices()[0])
    fitted = LogisticRegression(max_iter=5000).fit(features, split.labels)
    kernel, bias = np.asarray(fitted.coef_.T, np.float32), np.asarray(fitted.intercept_, np.float32)
    if kernel.shape[1] == 1:  # of two classes only the log odds are fitted
        kernel, bias = (np.concatenate([np.zeros_like(array), array], -1) for array in (kernel, bias))
    params = jax.device_put({"bert": encoder.params, "kernel": kernel, "bias": bias})

    @jax.jit
    def probabilities(params: Params, tokens: Array) -> Array:
        return jax.nn.softmax(encoder.features(params["bert"], tokens) @ params["kernel"] + params["bias"])

    return TextClassifier(encoder, kernel, bias, lambda tokens: probabilities(params, jnp.asarray(tokens)))
