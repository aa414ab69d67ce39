"""How a text classifier is fine-tuned by the settings: network, optimizer, padded batches of few lengths."""

import dataclasses
from collections.abc import Iterator
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import imdb_vub
from experiments.core import networks, objectives, optimizers
from experiments.core.recipe import Recipe, RecipeFunctions, Stretch
from experiments.imdb_finetune.settings import FinetuneConfig
from experiments.imdb_vub import TextEncoder
from ib_jax import data, evaluation, models, training
from ib_jax.data.text import hold_out_texts
from ib_jax.models import Classifier
from ib_jax.training import parallel
from ib_jax.training.epoch import check_batches
from ib_jax.types import Array, Params


def load_texts(config: FinetuneConfig) -> data.TextDataset:
    """The texts of a configuration.

    Raises:
      DatasetUnavailableError: the data set is not there.
      ValueError: a file does not hold what it should, or as many texts are to be held out as there are.
    """
    # The two configurations have the same names for where texts come from.
    texts = imdb_vub.load_texts(config)
    train, validation = hold_out_texts(texts.train, config.num_validation, imdb_vub.HOLD_OUT_SEED)
    # Held out before it is cut, so that the number of training texts does not decide which are.
    return texts._replace(
        train=_first(train, config.num_train_texts),
        validation=validation,
        test=_first(texts.test, config.num_test_texts),
    )


def make_classifier(config: FinetuneConfig, encoder: TextEncoder, class_probabilities: np.ndarray) -> Classifier:
    """A BERT from tokens to a code, and a linear decoder."""
    width = encoder.config.hidden_size
    dropping = dataclasses.replace(
        encoder.config, hidden_dropout_prob=config.dropout, attention_probs_dropout_prob=config.dropout
    )
    bert = models.BertEncoder(
        dropping,
        latent_dim=(config.latent_dim or max(1, width // 2)) if config.stochastic else 0,
        scale=config.encoder_scale,
        hidden=(width,) * config.head_layers,
        pooling=cast(Any, config.pooling),
        compute_dtype=config.precision,
    )
    decoder_init = nn.initializers.normal(encoder.config.initializer_range)
    return networks.classifier(
        cast(models.Encoder, bert), config, class_probabilities, backward="unit", decoder_init=decoder_init
    )


def make_optimizer(config: FinetuneConfig, num_steps: int, num_layers: int) -> optax.GradientTransformation:
    """AdamW, clipped; its rate rises on a line and falls on another to 0, and is less the nearer to the words."""
    warmup = round(config.warmup_share * num_steps)
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    fall = optax.linear_schedule(config.learning_rate, 0.0, num_steps - warmup)
    schedule = optax.join_schedules([rise, fall], [warmup]) if warmup else fall
    adam = optax.adamw(schedule, weight_decay=config.weight_decay, mask=optimizers.kernels)
    return training.layerwise_rates(
        optax.chain(optax.clip_by_global_norm(config.clip_norm), adam),
        lambda path: depth_of(path, num_layers),
        num_layers=num_layers,
        decay=config.layer_decay,
        num_frozen=config.num_frozen,
    )


def depth_of(path: str, num_layers: int) -> int:
    """The depth of a parameter of `make_classifier`: 0 for embeddings, 1 + l for layer_l, else the number of layers."""
    if not path.startswith("encoder/bert/"):
        return num_layers
    part = path.split("/")[2]
    if part.startswith("layer_"):
        return int(part.removeprefix("layer_")) + 1
    return num_layers if part == "pooler" else 0


class TextRecipe(Recipe):
    """Network, initial state and training batches of a configuration.

    Args:
      config: the settings.
      texts: what is trained on.
      encoder: where training begins.
    """

    def __init__(self, config: FinetuneConfig, texts: data.TextDataset, encoder: TextEncoder):
        self.config, self.encoder, self.texts = config, encoder, texts
        self.dataset = texts
        self.labels, self.tokens = texts.train.labels, encoder.tokenise(texts.train.texts)
        self.functions = RecipeFunctions(
            network=lambda config, class_probabilities, axis_name: make_classifier(
                config, encoder, class_probabilities
            ),
            optimizer=lambda config, steps_per_epoch, hyperparams: make_optimizer(
                config, config.num_epochs * steps_per_epoch, encoder.config.num_hidden_layers
            ),
            schedule=objectives.constant,
        )
        class_probabilities = evaluation.label_probabilities(self.labels, len(texts.class_names))
        self._describe(class_probabilities, len(self.labels), jnp.zeros((1, 2), jnp.int32))

    def check(self) -> None:
        """As `Recipe.check`."""
        check_batches(len(self.labels), self.config.batch_size, 1, jax.device_count())

    def init_params(self, key: Array) -> Params:
        """The encoder's weights, and a new head."""
        params = jax.jit(self._new_parts)(key)
        params["encoder"]["bert"] = jax.tree.map(jnp.asarray, self.encoder.params)
        return params

    def _new_parts(self, key: Array) -> Params:
        """All that does not come with the encoder; compiled, it does not draw weights that are not wanted."""
        params = self.model.init(key, self.example)
        del params["encoder"]["bert"]
        return params

    def run_from(self, state: training.TrainState) -> Stretch:
        """What trains on all devices, stretch by stretch, from where `state` stands; no stretch crosses an epoch's end.

        Batches differ in their length, so each is a call of its own, of a program that is compiled once for a length.
        """
        sharded = training.shard_epoch(training.make_stretch(self.step(parallel.AXIS), axis_name=parallel.AXIS))
        position = int(state.step)
        batches = training.feed(self.batches(position))

        def run(placed: Any) -> tuple[Any, Any]:
            nonlocal position
            within = position % self.steps_per_epoch
            count = min(self.steps_per_call - within % self.steps_per_call, self.steps_per_epoch - within)
            position += count
            return training.drive(lambda state: sharded(state, next(batches)), count)(placed)

        return run

    def batches(self, first_step: int) -> Iterator[training.Batch]:
        """This process's share of each batch from a step on: tokens int32 [1, B, L] and labels int32 [1, B]."""
        share = self.config.batch_size // jax.process_count()
        start = training.first_shard() // jax.local_device_count() * share
        num_tokens = [len(tokens) for tokens in self.tokens]
        order: list[data.RowsOfLength] = []
        for step in range(first_step, self.num_steps):
            epoch, number = divmod(step, self.steps_per_epoch)
            if not order or number == 0:
                order = data.bucketed_epoch(
                    num_tokens,
                    batch_size=self.config.batch_size,
                    lengths=self.encoder.lengths,
                    seed=self.config.seed,
                    epoch=epoch,
                )
            rows, length = order[number]
            own = rows[start : start + share]
            tokens = data.pad_tokens([self.tokens[row] for row in own.tolist()], length)
            yield training.Batch(tokens[None], self.labels[own][None])


def _first(split: data.TextSplit, count: int) -> data.TextSplit:
    return data.TextSplit(split.texts[:count], split.labels[:count]) if count else split
