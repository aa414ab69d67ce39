"""What was measured of IB with adversarial training: models of a kind together, and the conditions of an attack."""

from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.frames import groups, where
from experiments.ib_adversarial_training import paper
from experiments.ib_adversarial_training.paper import ATTACKS

if TYPE_CHECKING:
    import pandas as pd

KIND = ("objective", "beta", "adversary", "variant")
ONE = {"num_eot_samples": 1, "source": None, "together": None}  # sample of z in each gradient, as in the paper


class Group(NamedTuple):
    """The models of all seeds with the same objective, beta (0 for cross-entropy), adversary and variant."""

    objective: str
    beta: float
    adversary: str
    variant: str
    frame: "pd.DataFrame"

    @property
    def title(self) -> str:
        """What they are called."""
        name = {"vib": "IB", "cross_entropy": "CE"}.get(self.objective, self.objective)
        against = f" + {self.adversary.upper()}" if self.adversary != "none" else ""
        beta = f", beta {self.beta:g}" if self.beta else ""
        return f"{name}{against}{beta}{f' ({self.variant})' if self.variant else ''}"


class Measured:
    """What was measured on a data set, from the frame of its records and the settings of one of them."""

    def __init__(self, frame: "pd.DataFrame", settings: Any):
        variants = frame["variant"].fillna("") if "variant" in frame else ""
        self.frame, self.settings, self.dataset = frame.assign(variant=variants), settings, settings["dataset"]
        self.variants = sorted(self.frame["variant"].unique())
        order = ["none", *ATTACKS]
        self.groups = [
            Group(objective, beta if objective == "vib" else 0.0, adversary, variant, part)
            for (objective, beta, adversary, variant), part in groups(self.frame, *KIND)
        ]
        self.groups.sort(key=lambda own: (own.objective != "vib", -own.beta, order.index(own.adversary), own.variant))
        self.betas = sorted({group.beta for group in self.groups if group.beta}, reverse=True)
        self.radii = settings["honest_epsilons"]
        self.published = paper.OBJECTIVES.get(self.dataset, {})
        """Tables 2 or 3."""
        self.first_table = paper.BETAS if self.dataset == "mnist" else {}

    def of(self, objective: str, beta: float, adversary: str, variant: str = "") -> Group:
        """A group; an empty one, if it was not trained."""
        kind = (objective, beta, adversary, variant)
        return next((group for group in self.groups if group[:4] == kind), Group(*kind, self.frame.iloc[:0]))

    def attacked_at(self, radius: float) -> bool:
        """Whether the attacks of the paper's Table 1 were made at a radius."""
        return bool(len(where(self.frame, epsilon=radius, attack=list(ATTACKS))))


def paper_attack(attack: str, radius: float | None = None) -> dict[str, Any]:
    """The conditions of one of the paper's attacks, with one sample of z."""
    if attack == "clean":
        return {"attack": "clean", "together": None}
    one_round = {"num_binary_steps": 1} if attack == "carlini_wagner" else {}
    loss = {} if radius is None else {"loss": "cross_entropy"}
    return {"attack": attack, "epsilon": radius, **ONE, **loss, **one_round}


PAPER_ATTACKS = {label: paper_attack(*attack) for label, attack in paper.COLUMNS.items()}
"""Conditions of the columns of the paper's Tables 2 and 3, by label."""
