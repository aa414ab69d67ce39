"""What is measured of each pair: errors of both classifiers, smoothness of the encoder, and how attacks transfer.

An answer is the class of the largest mean softmax over fresh samples of z. Each classifier draws its own, and the same
ones before and after an attack.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.keys import stream
from experiments.core.recipe import Recipe
from experiments.transferability.models import Pair, encoder_layers, own_draw
from experiments.transferability.settings import ATTACKS, FGSM, PGD, PairConfig
from ib_jax import attacks, data, evaluation, losses, training
from ib_jax.training import Hyperparams, Population, TrainState
from ib_jax.types import Array, Params

_BATCH = 500


class Answers(NamedTuple):
    """What both classifiers say, and the code they say it by.

    Attributes:
      first: the class answered by the first one, int [B].
      second: by the second one, int [B].
      rate: of the code, in nats [B].
      min_scale: the least scale of the code, [B].
    """

    first: Any  # arrays of JAX or NumPy
    second: Any
    rate: Any
    min_scale: Any


def answer(
    pair: Pair, num_samples: int, hyperparams: Hyperparams, params: Params, keys: Array, inputs: Array
) -> Answers:
    """The answers of both classifiers of a pair to images [B, ...] in [0, 1]; pure."""
    encoding = pair.encode(hyperparams, params, inputs)
    found = []
    for place in (0, 1):
        codes = losses.draw_codes(own_draw(keys, place), encoding, num_samples)
        found.append(losses.predicted_class(losses.pooled_logits(pair.decode(params, codes.samples, place))))
    rate = losses.divergence(codes, losses.standard_normal(pair.encoder.latent_dim))
    return Answers(found[0], found[1], rate, encoding.scale.min(-1))


class PairEvaluator:
    """Both errors of every member of a placed population on all test images; see `population.PopulationTrainer`."""

    def __init__(self, pair: Pair, recipe: Recipe, num_members: int, members_at_once: int | None):
        self._test, config = recipe.dataset.test, recipe.config

        def answers(hyperparams: Hyperparams, state: TrainState, keys: Array, batch: Any) -> Answers:
            params = training.averaged_params(state, config.average_decay)
            inputs = data.to_unit_interval(batch[0])
            return answer(pair, config.num_eval_samples, hyperparams, params, keys, inputs)

        self._answers = training.map_members(
            answers,
            batch_size=config.eval_batch_size,
            key_fn=lambda hyperparams: stream(hyperparams["seed"], "evaluation"),
            num_members=num_members,
            members_at_once=members_at_once,
        )

    def during_training(self, placed: Population) -> dict[str, dict[str, list[float]]]:
        """The first classifier's error."""
        return {"test": {"error_avg": [row["error_first"] for row in self.at_end(placed)["test"]]}}

    def at_end(self, placed: Population) -> dict[str, list[dict[str, float]]]:
        """Errors and rate of each member."""
        found, labels = self._answers(placed, tuple(self._test)), self._test.labels
        return {
            "test": [
                {
                    "error_first": float((~evaluation.is_right(first, labels)).mean()),
                    "error_second": float((~evaluation.is_right(second, labels)).mean()),
                    "rate_bits": float(evaluation.nats_to_bits(rate.mean(dtype=np.float64))),
                }
                for first, second, rate in zip(found.first, found.second, found.rate, strict=True)
            ]
        }


class PairAttacker:
    """Attacks the first classifier of pairs and shows the images to the second; compiled once for all pairs.

    Args:
      pair: the networks.
      config: attacks and their sizes.
      split: the images to attack, the first of them.
    """

    def __init__(self, pair: Pair, config: PairConfig, split: data.Split):
        self._config = config
        self._counts = {name: config.num_attack_images if name == FGSM else config.num_pgd_images for name in ATTACKS}
        most = max(self._counts.values())
        self._images = jnp.asarray(data.to_unit_interval(split.inputs[:most]))
        self._labels = np.asarray(split.labels[:most])

        def apply(member: tuple[Hyperparams, Params], keys: Array, inputs: Array) -> Array:
            hyperparams, params = member
            return pair.decode(params, losses.sample(keys, pair.encode(hyperparams, params, inputs))[0])

        def answers(member: tuple[Hyperparams, Params], keys: Array, inputs: Array) -> Answers:
            return answer(pair, config.num_eval_samples, *member, keys, inputs)

        eot: dict[str, Any] = {"num_eot_samples": config.num_eot_samples, "num_judge_samples": 1}
        made = {FGSM: attacks.fgsm(0.0), PGD: attacks.pgd(0.0, num_steps=config.pgd_steps, **eot)}
        self._runners = {name: attacks.Runner(attack, apply, batch_size=_BATCH) for name, attack in made.items()}
        self._judge = jax.jit(answers)

    def measure(self, hyperparams: Mapping[str, Any], params: Params) -> dict[str, Any]:
        """Every attack at every radius on one pair, and the Lipschitz constants of its encoder."""
        own = {name: jnp.int32(hyperparams[name]) for name in ("depth", "width")}
        member, seed = (own, params), hyperparams["seed"]
        judge, keys = (losses.per_example_keys(stream(seed, use), len(self._labels)) for use in ("judge", "attack"))
        clean = self._answers(member, judge, self._images)
        least, rows = float(clean.min_scale.min()), []
        for name, runner in self._runners.items():
            images, labels = self._images[: self._counts[name]], self._labels[: self._counts[name]]
            count = len(labels)
            for epsilon in self._config.epsilons:
                attacked = runner(member, keys[:count], images, jnp.asarray(labels), epsilon=epsilon).inputs
                found = self._answers(member, judge[:count], attacked)
                least = min(least, float(found.min_scale.min()))
                moved = evaluation.measure_transfer(
                    labels,
                    clean=clean.first[:count],
                    adversarial=found.first,
                    other_clean=clean.second[:count],
                    other_adversarial=found.second,
                )
                # The theorem's delta counts every answer that stays, wrong ones too; robust accuracy only right ones.
                accuracy = [
                    float(evaluation.standing(after, labels, evaluation.is_right(before[:count], labels)).mean())
                    for before, after in zip(clean[:2], found[:2], strict=True)
                ]
                row = {"attack": name, "epsilon": epsilon, "num_images": count, **moved._asdict()}
                rows.append(row | dict(zip(("accuracy_first", "accuracy_second"), accuracy, strict=True)))
        layers = encoder_layers(params, int(hyperparams["depth"]), int(hyperparams["width"]))
        return {"attacks": rows, "lipschitz": smoothness(layers, least)}

    def _answers(self, member: tuple[Hyperparams, Params], keys: Array, images: Array | np.ndarray) -> Answers:
        rows = [slice(first, first + _BATCH) for first in range(0, len(images), _BATCH)]
        parts = [self._judge(member, keys[part], images[part]) for part in rows]
        return Answers(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def smoothness(layers: Sequence[np.ndarray], min_scale: float) -> dict[str, float]:
    """Bounds on an encoder's Lipschitz constant in L2, of mean and scale together, and Theorem 3's in log space.

    Args:
      layers: as of `encoder_layers`.
      min_scale: the least scale on the images that were looked at; the theorem asks for that over all images.

    Returns:
      "product" and "averaged" of the whole network (softplus has slopes of at most one), and from the tighter ones of
      mean and scale the logarithm of the density's constant, corrected and as printed in the paper.
    """
    whole, half = evaluation.lipschitz_bounds(layers), len(layers[-1]) // 2
    mean, scale = (
        evaluation.lipschitz_bounds([*layers[:-1], rows]).averaged for rows in (layers[-1][:half], layers[-1][half:])
    )
    logs = {
        f"log_density_{form}": evaluation.log_density_lipschitz(half, min_scale, mean, scale, form=form)
        for form in ("corrected", "printed")
    }
    return {"product": whole.product, "averaged": whole.averaged, "min_scale": min_scale, **logs}
