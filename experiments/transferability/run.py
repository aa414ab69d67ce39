"""Trains pairs of classifiers on one encoder each, and measures how attacks on the first transfer to the second.

An answer is the class of the largest mean softmax over fresh samples of z. Each classifier draws its own, and the same
ones before and after an attack.
"""

import functools
import pathlib
import time
from typing import Any

import jax
import numpy as np

from experiments.core import records
from experiments.core.attacks import findings, suite_keys
from experiments.core.keys import stream
from experiments.core.population import PopulationTrainer
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe, load_dataset
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION
from experiments.core.trained_model import TrainedModel
from experiments.core.workdir import check_reuse, check_workdir, write_config
from experiments.transferability.model import Pair, encoder_layers, functions_of, own_draw, pair_of, smoothness
from experiments.transferability.settings import PairConfig, members
from ib_jax import data, evaluation, losses, training
from ib_jax.evaluation import AttackPrograms, AttackSpec, AttackSuite
from ib_jax.training import Hyperparams, Population, TrainState
from ib_jax.types import Array, Params

Member = tuple[Hyperparams, Params]
_BATCH = 500


def run(config: PairConfig, session: Session) -> Record | None:
    """Trains what is not trained, measures it unless there is a record, makes the report; None if stopped meanwhile."""
    workdir = pathlib.Path(config.workdir or "workdirs/transferability") / config.dataset
    results = pathlib.Path(config.results or workdir / "results")
    path = results / f"{config.dataset}.json"
    if path.exists():
        record = records.read(path)
        check_reuse(path, record.settings, config, stage=EVALUATION)
    else:
        made = measure(config, workdir, session)
        if made is None:
            return None
        records.write(path, record := made)
    session.publish(results, [record])
    return record


def measure(config: PairConfig, workdir: pathlib.Path, session: Session) -> Record | None:
    """The record of a run; None if training was stopped."""
    check_workdir(workdir, config)
    dataset = load_dataset(config)
    pair, hyperparams = pair_of(config, dataset.num_classes), members(config)
    trainer = PopulationTrainer(
        Recipe(config, dataset, functions_of(pair)),
        hyperparams,
        workdir,
        session,
        title=f"{len(hyperparams['seed'])} pairs",
        layout=config,
        make_evaluator=functools.partial(PairEvaluator, pair),
    )
    write_config(workdir, config)
    trained = trainer.train()
    if trained is None:
        return None
    start, attacker, models = time.monotonic(), PairAttacker(pair, config, dataset.test), []
    with WorkLine(session.console, len(trained)) as line:
        for each in trained:
            models.append(attacker.measure(each))
            line("pair", models[-1].name, 1.0)
    details = {
        "plan": trainer.plan.message,
        "num_train_images": len(dataset.train.labels),
        "num_test_images": len(dataset.test.labels),
        "num_pixels": int(np.prod(dataset.test.inputs.shape[1:])),
        "training_seconds": trainer.seconds,
        "attack_seconds": time.monotonic() - start,
    }
    return session.record(models, config, details=details, file=config.dataset)


def answer(pair: Pair, num_samples: int, place: int, member: Member, keys: Array, inputs: Array) -> Array:
    """The classes [B] that the first classifier of a pair (place 0) or the second (1) says of images [B, ...]; pure."""
    hyperparams, params = member
    codes = losses.draw_codes(own_draw(keys, place), pair.encode(hyperparams, params, inputs), num_samples)
    return losses.predicted_class(losses.pooled_logits(pair.decode(params, codes.samples, place)))


class PairEvaluator:
    """Both errors of every member of a placed population on all test images; see `population.PopulationTrainer`."""

    def __init__(self, pair: Pair, recipe: Recipe, num_members: int, members_at_once: int | None):
        self._test, config = recipe.dataset.test, recipe.config

        def measured(hyperparams: Hyperparams, state: TrainState, keys: Array, batch: Any) -> tuple[Array, ...]:
            member = hyperparams, training.averaged_params(state, config.average_decay)
            inputs = data.to_unit_interval(batch[0])
            answers = (answer(pair, config.num_eval_samples, place, member, keys, inputs) for place in (0, 1))
            codes = losses.draw_codes(keys, pair.encode(*member, inputs), 1)
            return *answers, losses.divergence(codes, losses.standard_normal(pair.encoder.latent_dim))

        self._measured = training.map_members(
            measured,
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
        rows = []
        for *answers, rate in zip(*self._measured(placed, tuple(self._test)), strict=True):
            first, second = (float((~evaluation.is_right(each, self._test.labels)).mean()) for each in answers)
            bits = float(evaluation.nats_to_bits(rate.mean(dtype=np.float64)))
            row = {"error_first": first, "error_second": second, "tau": max(first, second), "rate_bits": bits}
            rows.append(row)
        return {"test": rows}


class PairAttacker:
    """Attacks the first classifier of pairs and shows the images to the second; compiled once for all pairs.

    Args:
      pair: the networks.
      config: attacks and their sizes.
      split: the images to attack, the first of them.
    """

    def __init__(self, pair: Pair, config: PairConfig, split: data.Split):
        most = max(config.num_attack_images, config.num_pgd_images)
        images = np.asarray(data.to_unit_interval(split.inputs[:most]))

        def apply(member: Member, keys: Array, inputs: Array) -> Array:
            return pair.decode(member[1], losses.sample(keys, pair.encode(*member, inputs))[0])

        least_of = jax.jit(lambda member, inputs: pair.encode(member[0], member[1], inputs).scale.min())

        def least_scale(member: Member, inputs: np.ndarray) -> float:
            starts = range(0, len(inputs), _BATCH)
            return min(float(least_of(member, inputs[first : first + _BATCH])) for first in starts)

        first, second = (functools.partial(answer, pair, config.num_eval_samples, place) for place in (0, 1))
        self._suite = AttackSuite(
            attacks_of(config),
            apply,
            images,
            split.labels[:most],
            predict=first,
            measures={"least_scale": least_scale},
            batch_size=_BATCH,
        )
        self._second = AttackPrograms(apply, predict=second, batch_size=_BATCH)

    def measure(self, trained: TrainedModel) -> Model:
        """Of a pair every attack, and the Lipschitz constants of its encoder."""
        own, suite = trained.settings, self._suite
        kept = {"depth": own["depth"], "width": own["width"], "beta": float(f"{own['beta']:.6g}")}  # as it was given
        member = {name: np.int32(own[name]) for name in ("depth", "width")}, trained.params
        keys = suite_keys(own["seed"])
        result = suite.evaluate(member, keys, keep_images=True)
        judge = losses.per_example_keys(keys.judge, len(suite.labels))
        clean = [each.answers(member, judge, suite.inputs) for each in (suite.programs, self._second)]
        rows = []
        for row in result.rows:
            count = row.num_images
            labels, before, other_before = (each[:count] for each in (suite.labels, *clean))
            assert row.images is not None
            after = self._second.answers(member, judge[:count], row.images)
            moved = evaluation.measure_transfer(
                labels,
                clean=before,
                adversarial=row.answers,
                other_clean=other_before,
                other_adversarial=after,
            )
            # The theorem's delta counts every answer that stays, wrong ones too; robust accuracy only right ones.
            stands = evaluation.standing(after, labels, evaluation.is_right(other_before, labels))
            values = {"accuracy": row.accuracy, "accuracy_second": float(stands.mean()), **moved._asdict()}
            rows.append(Measurement(row.conditions(), values))
        least = min(each["least_scale"] for each in (result.measures, *(row.measures for row in result.rows)))
        layers = encoder_layers(trained.params, own["depth"], own["width"])
        values = {**trained.summary["test"], **smoothness(layers, least)}
        return Model(
            f"depth {kept['depth']}, width {kept['width']}, beta {kept['beta']:g}",
            own["seed"],
            [Measurement({"split": "test"}, values), *rows],
            kept,
            findings(result),
            {"diverged_at": trained.summary["diverged_at"], "last_loss": trained.history[-1]["train"]["loss"]},
        )


def attacks_of(config: PairConfig) -> list[AttackSpec]:
    """The attacks on the first classifier: FGSM with one sample of z, PGD with several in each gradient."""
    pgd: dict[str, Any] = {"num_steps": config.pgd_steps, "num_eot_samples": config.num_eot_samples}
    return [
        *(AttackSpec("fgsm", epsilon, num_images=config.num_attack_images) for epsilon in config.epsilons),
        *(AttackSpec("pgd", epsilon, num_images=config.num_pgd_images, **pgd) for epsilon in config.epsilons),
    ]
