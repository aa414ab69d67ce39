"""Evaluates and attacks every member of a population at once."""

from typing import Any

from experiments.core.evaluator import SPLITS, PopulationEvaluator
from experiments.core.recipe import Recipe
from experiments.mnist_vib.attack import AttackEvaluator, attack_batch_size, attacked_images
from ib_jax.training import Population


class AttackPopulationEvaluator(PopulationEvaluator):
    """Evaluates and attacks every member of a placed population at once, each as `AttackEvaluator` would alone."""

    def __init__(self, recipe: Recipe, num_members: int, members_at_once: int | None):
        super().__init__(recipe, num_members, members_at_once, SPLITS)
        evaluator, size = AttackEvaluator(recipe), attack_batch_size(recipe.config)
        self._attacks = [
            (attack, self._of_members(evaluator.robust_examples(attack), "robustness", size))
            for attack in evaluator.attacks
            if attack.epsilons
        ]

    def at_end(self, placed: Population) -> dict[str, list[Any]]:
        """By name a value for each member: summaries of all splits, and accuracy under every attack at every radius."""
        dataset, config = self._recipe.dataset, self._recipe.config
        found = super().at_end(placed)
        if not config.num_attack_images:
            return found
        batch = attacked_images(config, dataset)
        accuracy = [(attack, attacked(placed, batch).mean(1)) for attack, attacked in self._attacks]
        clean = self._evaluate(placed, batch[:2]).correct_avg.mean(1)
        found["robustness"] = [
            {"num_images": len(batch[1]), "clean_accuracy": float(clean[index])}
            | {"rows": [attack.row(values[index].tolist()) for attack, values in accuracy]}
            for index in range(len(clean))
        ]
        return found
