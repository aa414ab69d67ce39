"""Evaluates and attacks every member of a population at once."""

from typing import Any

from experiments.core.keys import stream
from experiments.core.population_measure import TermsMeasure
from experiments.core.recipe import Recipe
from experiments.mnist_vib.attack import AttackEvaluator, NamedAttack, attack_batch_size, attacked_images
from experiments.mnist_vib.settings import Config
from ib_jax import training
from ib_jax.training import Hyperparams, Population, TrainState
from ib_jax.types import Array


class Measure(TermsMeasure):
    """Evaluates and attacks every member of a placed population at once, each as `AttackEvaluator` would alone."""

    def __init__(self, recipe: Recipe[Config], num_members: int, members_at_once: int | None):
        super().__init__(recipe, num_members, members_at_once)
        evaluator, decay = AttackEvaluator(recipe.config, recipe.model, recipe.dataset), recipe.config.average_decay

        def robust(attack: NamedAttack) -> Any:
            correct = evaluator.robust_examples(attack)

            def of_member(hyper: Hyperparams, state: TrainState, keys: Array, batch: Any) -> Array:
                return correct(training.averaged_params(state, decay), keys, batch)

            size = attack_batch_size(recipe.config)
            return self._mapped(of_member, batch_size=size, key_fn=lambda hyper: stream(hyper["seed"], "robustness"))

        self._attacks = [(attack, robust(attack)) for attack in evaluator.attacks if attack.epsilons]

    def everything(self, placed: Population) -> dict[str, list[Any]]:
        """By name a value for each member: summaries of all splits, and accuracy under every attack at every radius."""
        dataset, config = self._recipe.dataset, self._recipe.config
        found = super().everything(placed)
        if not config.num_attack_images:
            return found
        batch = attacked_images(config, dataset)
        accuracy = [(attack, attacked(placed, batch).mean(1)) for attack, attacked in self._attacks]
        clean = self._terms(placed, batch[:2]).correct_avg.mean(1)
        found["robustness"] = [
            {"num_images": len(batch[1]), "clean_accuracy": float(clean[index])}
            | {"rows": [attack.row(values[index].tolist()) for attack, values in accuracy]}
            for index in range(len(clean))
        ]
        return found
