"""The statements of IB with adversarial training, tried on what was measured."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from experiments.core.claims import Claim
from experiments.core.frames import per_seed
from experiments.ib_adversarial_training.measured import PAPER_ATTACKS, Measured, paper_attack
from experiments.ib_adversarial_training.paper import ATTACKS, BETA, RADIUS

if TYPE_CHECKING:
    import pandas as pd

CROSS_ENTROPY = ("cross_entropy", 0.0)
WORST = "the worst of all attacks"


def adversarial_claims(measured: Measured) -> Iterator[Claim]:
    """What training against an attack does to information and accuracy under that attack."""
    for variant, beta in itertools.product(measured.variants, measured.betas):
        how = f"beta {beta:g}" + (f", {variant}" if variant else "")
        for place, (adversary, name) in enumerate(ATTACKS.items()):
            clean, against = (measured.of("vib", beta, trained, variant).frame for trained in ("none", adversary))
            at = paper_attack(adversary, RADIUS)

            def theirs(metric: str, beta: float = beta, place: int = place) -> list[float | None]:
                rows = [measured.first_table.get((metric, beta, against)) for against in (False, True)]
                return [row and row[place] for row in rows]

            text = f"I(X';T') is larger without training against {name}, {how} (bits)"
            without, with_it = theirs("rate_bits")
            yield _larger(text, clean, against, "rate_bits", at, _minus(without, with_it))
            text = f"accuracy under {name} is larger with it, {how} (points)"
            without, with_it = theirs("accuracy")
            yield _larger(text, against, clean, "accuracy", at, _minus(with_it, without))


def objective_claims(measured: Measured) -> Iterator[Claim]:
    """Whether IB is more accurate than cross-entropy, in each variant."""
    kinds = (("none", ""), ("fgsm", ", both trained against FGSM"))
    for (adversary, trained), variant in itertools.product(kinds, measured.variants):
        how = trained + (f", {variant}" if variant else "")
        plain, own = (measured.of(*kind, adversary, variant).frame for kind in (CROSS_ENTROPY, ("vib", BETA)))
        theirs = [measured.published.get((objective, adversary)) for objective in ("vib", "cross_entropy")]
        for place, (label, at) in list(enumerate(PAPER_ATTACKS.items()))[1:]:
            text = f"IB of beta {BETA:g} above CE under {label}, one sample{how} (points)"
            yield _larger(text, own, plain, "accuracy", at, _minus(*(row and row[place] for row in theirs)))
        for radius in measured.radii:
            for beta in reversed(measured.betas):
                text = f"IB of beta {beta:g} above CE under {WORST} at {radius:.3g}{how} (points)"
                at = {"attack": "worst", "epsilon": radius}
                yield _larger(text, measured.of("vib", beta, adversary, variant).frame, plain, "accuracy", at)


def _larger(
    text: str, larger: "pd.DataFrame", smaller: "pd.DataFrame", metric: str, at: Any, paper: float | None = None
) -> Claim:
    """That models have more of a metric than others; accuracy in points."""
    scale = 100 if metric == "accuracy" else 1
    return Claim(text, scale * per_seed(larger, metric, **at), scale * per_seed(smaller, metric, **at), paper)


def _minus(first: float | None, second: float | None) -> float | None:
    return first - second if first is not None and second is not None else None
