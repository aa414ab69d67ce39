"""Fine-tunes a BERT: network, optimizer, padded batches of few lengths, evaluation, export."""

import dataclasses
import operator
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import imdb_vub
from experiments.core import networks, objectives, optimizers, runner
from experiments.core.evaluator import SPLITS, Evaluator, Terms, named_splits
from experiments.core.recipe import Recipe, RecipeFunctions, Stretch
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.workdir import new_workdir
from experiments.imdb_finetune.settings import FinetuneConfig
from experiments.imdb_vub import TextEncoder, encoder_for
from ib_jax import data, evaluation, models, training
from ib_jax.data.text import hold_out_texts
from ib_jax.models import Classifier
from ib_jax.training import parallel
from ib_jax.training.epoch import check_batches
from ib_jax.types import Array, Params

_EVALUATED = ("validation", "test")


def run(config: FinetuneConfig, session: Session) -> Record | None:
    """Fine-tunes (or goes on fine-tuning), evaluates and exports one model.

    Returns:
      The record, which is `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      DatasetUnavailableError, HubUnavailableError: texts or encoder are not there.
      ValueError: the sizes do not fit each other, or a file does not hold what it should.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or new_workdir(f"finetune-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    texts = load_texts(config)
    recipe = TextRecipe(config, texts, encoder_for(config, texts))
    trained = runner.train(
        recipe,
        workdir,
        session,
        evaluator=TextEvaluator(recipe),
        title=f"{config.name} on {texts.name}",
        unit="texts",
        texts={name: len(split.texts) for name, split in named_splits(recipe, SPLITS).items()},
    )
    if trained is None:
        return None
    folder = pathlib.Path(config.export or workdir / "encoder")
    if not (folder / "config.json").exists():
        if training.is_main():
            recipe.encoder.save(folder, trained.params["encoder"]["bert"], classifier_of(config, trained.params))
        session.console.print(f"The encoder is in {folder}.")
    if trained.record is not None:
        session.publish(workdir, [trained.record])
    return trained.record


def classifier_of(config: FinetuneConfig, params: Params) -> tuple[np.ndarray, np.ndarray] | None:
    """Kernel and bias of a network that is linear in the pooled features; None for any other."""
    if config.stochastic or config.head_layers:
        return None
    (layer,) = params["decoder"].values()
    return np.asarray(layer["kernel"]), np.asarray(layer["bias"])


def load_texts(config: FinetuneConfig) -> data.TextDataset:
    """The texts of a configuration; held out before they are cut, so that their number does not decide which are."""

    def first(split: data.TextSplit, count: int) -> data.TextSplit:
        return data.TextSplit(split.texts[:count], split.labels[:count]) if count else split

    texts = imdb_vub.load_texts(config)
    train, validation = hold_out_texts(texts.train, config.num_validation, imdb_vub.HOLD_OUT_SEED)
    train, test = first(train, config.num_train_texts), first(texts.test, config.num_test_texts)
    return texts._replace(train=train, validation=validation, test=test)


def make_classifier(config: FinetuneConfig, encoder: TextEncoder, class_probabilities: np.ndarray) -> Classifier:
    """A BERT from tokens to a code, and a linear decoder."""
    width, rate = encoder.config.hidden_size, config.dropout
    bert = models.BertEncoder(
        dataclasses.replace(encoder.config, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate),
        latent_dim=(config.latent_dim or max(1, width // 2)) if config.stochastic else 0,
        scale=config.encoder_scale,
        hidden=(width,) * config.head_layers,
        pooling=cast(Any, config.pooling),
        compute_dtype=config.precision,
    )
    init = nn.initializers.normal(encoder.config.initializer_range)
    return networks.classifier(
        cast(models.Encoder, bert), config, class_probabilities, backward="unit", decoder_init=init
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
    """Network, initial state and training batches of a configuration, on texts, from an encoder on."""

    def __init__(self, config: FinetuneConfig, texts: data.TextDataset, encoder: TextEncoder):
        self.config, self.encoder, self.dataset = config, encoder, texts
        self.labels, self.tokens = texts.train.labels, encoder.tokenise(texts.train.texts)
        num_layers = encoder.config.num_hidden_layers
        self.functions = RecipeFunctions(
            network=lambda config, probabilities, axis_name: make_classifier(config, encoder, probabilities),
            optimizer=lambda config, steps, hyper: make_optimizer(config, config.num_epochs * steps, num_layers),
            schedule=objectives.constant,
        )
        class_probabilities = evaluation.label_probabilities(self.labels, len(texts.class_names))
        self._describe(class_probabilities, len(self.labels), jnp.zeros((1, 2), jnp.int32))

    def check(self) -> None:
        """As `Recipe.check`."""
        check_batches(len(self.labels), self.config.batch_size, 1, jax.device_count())

    def init_params(self, key: Array) -> Params:
        """The encoder's weights, and a new head."""

        @jax.jit  # compiled, it does not draw weights that are not wanted
        def new(key: Array) -> Params:
            params = self.model.init(key, self.example)
            del params["encoder"]["bert"]
            return params

        params = new(key)
        params["encoder"]["bert"] = jax.tree.map(jnp.asarray, self.encoder.params)
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
        lengths: dict[str, Any] = {"batch_size": self.config.batch_size, "lengths": self.encoder.lengths}
        num_tokens, order = [len(tokens) for tokens in self.tokens], list[data.RowsOfLength]()
        for step in range(first_step, self.num_steps):
            epoch, number = divmod(step, self.steps_per_epoch)
            if not order or number == 0:
                order = data.bucketed_epoch(num_tokens, **lengths, seed=self.config.seed, epoch=epoch)
            rows, length = order[number]
            own = rows[start : start + share]
            tokens = data.pad_tokens([self.tokens[row] for row in own.tolist()], length)
            yield training.Batch(tokens[None], self.labels[own][None])


class TextEvaluator(Evaluator):
    """Evaluates parameters on the held-out and the test texts; a program is compiled for each length."""

    def __init__(self, recipe: TextRecipe):
        super().__init__(recipe)
        # All splits together, so that there is one number of texts of each length, and one program.
        splits = named_splits(recipe, _EVALUATED)
        self._labels_of = {name: split.labels for name, split in splits.items()}
        self._lengths = recipe.encoder.lengths
        self._tokens = recipe.encoder.tokenise(sum((split.texts for split in splits.values()), ()))
        self._rows = np.concatenate([np.arange(len(labels), dtype=np.uint32) for labels in self._labels_of.values()])

    def example_terms(self, params: Any, keys: Array, batch: Any) -> Terms:
        """A text's samples follow from its place in the split, whatever the lengths are."""
        (own, key), (tokens, labels, rows) = params, batch
        return self.terms_of_inputs(own, jax.vmap(jax.random.fold_in, (None, 0))(key, rows), tokens, labels)

    def _terms(self, params: Params, splits: Sequence[str]) -> dict[str, tuple[Terms, np.ndarray]]:
        """Of all texts in their order, computed one length after another."""
        labels, parts, places = np.concatenate(list(self._labels_of.values())), [], []
        for place, padded in data.token_batches(self._tokens, batch_size=len(self._tokens), lengths=self._lengths):
            batch = (padded[: len(place)], labels[place], self._rows[place])
            parts.append(self._evaluate((params, self._key), self._key, batch))
            places.append(place)
        order = np.argsort(np.concatenate(places))
        terms = jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *parts)
        ends = np.cumsum([len(own) for own in self._labels_of.values()])
        return {
            name: (jax.tree.map(operator.itemgetter(slice(end - len(own), end)), terms), own)
            for end, (name, own) in zip(ends, self._labels_of.items(), strict=True)
        }
