"""The pure functions behind the estimators, compiled once for each model architecture and kept."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ib_jax import bounds, evaluation, losses, models, objectives
from ib_jax.compiling import jit_quickly
from ib_jax.types import Array, DiagGaussian, Params


class ClassifierFunctions:
    """The functions of classifiers of one architecture; parameters, the classes' shares among them, are arguments."""

    def __init__(self, objective: str, encoder: models.Encoder, num_classes: int):
        self.objective, self.encoder, self.num_classes = objective, encoder, num_classes
        self.programs: dict[Any, Any] = {}
        self.noisy, self.strength = objective in objectives.BOTTLENECKS, objectives.strength_of(objective)
        self.init = jit_quickly(self._init)
        self.codes = jit_quickly(self._codes, static_argnums=3)
        self.probabilities = jit_quickly(self._probabilities, static_argnums=3)
        self.terms = jit_quickly(self._terms, static_argnums=4)

    def model(self, shares: Array) -> models.Classifier:
        residual = self.objective in objectives.RESIDUAL_OBJECTIVES
        return models.make_classifier(
            self.encoder,
            num_classes=self.num_classes,
            backward="unit" if residual else "none",
            linear_decoder=self.objective != "consistent_ceb",
            class_probabilities=shares if residual else None,
        )

    def _init(self, key: Array, inputs: Array) -> Params:
        return dict(self.model(jnp.full(self.num_classes, 1 / self.num_classes)).init(key, inputs))

    def loss_fn(self, params: Params, keys: Array, inputs: Array, labels: Array, value: Array) -> Any:
        shares = jax.lax.stop_gradient(params["shares"])
        loss_fn = objectives.make_loss(self.objective, self.model(shares), shares)
        return loss_fn(params, keys, inputs, labels, **({self.strength: value} if self.strength else {}))

    def logits(self, params: Params, keys: Array, inputs: Array, num_samples: int) -> Array:
        model = self.model(params["shares"])
        return model.decode(params, losses.sample(keys, model.encode(params, inputs), num_samples if self.noisy else 1))

    def boxed(self, params: Params, keys: Array, unit: Array) -> Array:
        """Logits [B, C] at one sample of z, of inputs in [0, 1] of their box."""
        low, width = params["scale"]
        inputs = (params["low"] + params["width"] * unit - low) / width
        return self.logits(params["own"], keys, inputs, 1)[0]

    def _probabilities(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        same = jnp.broadcast_to(key, inputs.shape[:1])
        return evaluation.mean_probabilities(self.logits(params, same, inputs, num_samples))

    def _codes(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        return self.model(params["shares"]).encode(params, inputs).mean

    def _terms(self, params: Params, key: Array, inputs: Array, labels: Array, num_samples: int) -> Any:
        model = self.model(params["shares"])
        return evaluation.evaluate_examples(
            key,
            inputs,
            labels,
            encode_fn=functools.partial(model.encode, params),
            decode_fn=functools.partial(model.decode, params),
            prior=model.prior(params) if self.noisy else None,
            backward=None if model.backward is None else model.backward(params),
            num_samples=num_samples if self.noisy else 1,
        )


class RegressorFunctions:
    """The functions of regressors of one architecture."""

    def __init__(self, encoder: models.Encoder, num_targets: int, noisy: bool):
        self.encoder, self.noisy, self.decoder = encoder, noisy, nn.Dense(num_targets)
        self.programs: dict[Any, Any] = {}
        self.init = jit_quickly(self._init)
        self.codes = jit_quickly(self._codes, static_argnums=3)
        self.targets = jit_quickly(self._targets, static_argnums=3)

    def _init(self, key: Array, inputs: Array) -> Params:
        keys = jax.random.split(key)
        decoder = self.decoder.init(keys[1], jnp.zeros((1, self.encoder.code_dim)))["params"]
        start = self.encoder.init(keys[0], inputs)["params"]  # type: ignore[attr-defined]
        return {"encoder": start, "decoder": decoder, "log_scale": jnp.zeros(self.decoder.features)}

    def encode(self, params: Params, inputs: Array) -> Any:
        return self.encoder.apply({"params": params["encoder"]}, inputs)  # type: ignore[attr-defined]

    def decode(self, params: Params, codes: Array) -> DiagGaussian:
        mean: Any = self.decoder.apply({"params": params["decoder"]}, codes)
        return DiagGaussian(mean, jnp.broadcast_to(jnp.exp(params["log_scale"]), mean.shape))

    def loss_fn(self, params: Params, keys: Array, inputs: Array, targets: Array, beta: Array) -> Any:
        functions: dict[str, Any] = {
            "encode_fn": functools.partial(self.encode, params),
            "decode_fn": functools.partial(self.decode, params),
        }
        if not self.noisy:
            return bounds.cross_entropy(keys, inputs, targets, **functions)
        prior = losses.standard_normal(self.encoder.code_dim)
        return bounds.vib(keys, inputs, targets, prior=prior, beta=beta, **functions)

    def _targets(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        same = jnp.broadcast_to(key, inputs.shape[:1])
        codes = losses.sample(same, self.encode(params, inputs), num_samples if self.noisy else 1)
        return self.decode(params, codes).mean.mean(0)

    def _codes(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        return self.encode(params, inputs).mean


classifier_functions = functools.lru_cache(maxsize=16)(ClassifierFunctions)
regressor_functions = functools.lru_cache(maxsize=16)(RegressorFunctions)
