"""Adversarial training by its settings: whom a model is trained against, and the loss and attack of a step."""

from typing import Any

from experiments.core import groups
from experiments.core.settings import OneOf, SettingError, setting
from ib_jax import attacks, models, training
from ib_jax.models import Classifier

NONE, FGSM, BIM, PGD = "none", "fgsm", "bim", "pgd"
ADVERSARIES = (NONE, FGSM, BIM, PGD)


class Adversary(groups.Objective):
    """An objective on attacked images."""

    group = "Adversarial training"

    adversary: str = setting(
        NONE, "Attack on the model as it stands, in each step.", paper=OneOf(*ADVERSARIES), choices=ADVERSARIES
    )
    adversary_epsilon: float = setting(0.3, "Its L-inf radius.", unit=groups.SHARE, paper=0.3, least=0)
    adversary_steps: int = setting(10, "Its steps; fgsm has one.", unit="steps", note="not given", least=1)
    adversary_fraction: float = setting(
        0.5, "Share of each batch that is replaced by attacked images.", note="not given", least=0, most=1
    )
    consistency: float = setting(
        0.0,
        "Above 0: no image is replaced; the divergence between the answers to an image and to its attacked neighbour "
        "is added with this weight (TRADES).",
        unit="nats per nat",
        least=0,
    )

    def check(self) -> None:
        super().check()
        if self.consistency and self.adversary != PGD:
            raise SettingError(f"--adversary must be {PGD} with --consistency, got {self.adversary}")

    @property
    def adversary_radius(self) -> float:
        """The radius as a share of the pixel range."""
        return self.adversary_epsilon

    @property
    def name(self) -> str:
        """What the model is called in tables and files, without its seed."""
        return super().name + ("" if self.adversary == NONE else f"_{self.adversary}{self.adversary_epsilon:g}")


def against(config: Any, model: Classifier, loss_fn: Any) -> tuple[Any, training.Perturb | None]:
    """The loss, and what is done to each batch before its gradient: attacks on the model as it stands.

    Settings without an adversary, or with "none", train on the images as they are. With `consistency` the answers to
    each image and its attack are held together (TRADES); otherwise `adversary_fraction` of each batch is attacked.
    """
    if (name := getattr(config, "adversary", NONE)) == NONE:
        return loss_fn, None
    apply_fn, epsilon = models.sampled_apply(model), config.adversary_radius
    if config.consistency:

        def make_attack(loss_fn: attacks.AttackLoss) -> Any:
            return attacks.pgd(epsilon, num_steps=config.adversary_steps, loss_fn=loss_fn)

        return training.trades(loss_fn, make_attack, apply_fn, weight=config.consistency)
    steps = {} if name == FGSM else {"num_steps": config.adversary_steps}
    attack = {FGSM: attacks.fgsm, BIM: attacks.bim, PGD: attacks.pgd}[name](epsilon, **steps)
    return loss_fn, training.attacked(attack, apply_fn, fraction=config.adversary_fraction)
