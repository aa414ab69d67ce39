"""What the CEB paper says of CIFAR-10, each statement tried on the models of a folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.claims import Claim
from experiments.core.frames import per_model, per_seed, where
from experiments.core.image_models import AVERAGE
from experiments.core.image_report import NORMS, Group, pgd, pgd_label
from ib_jax.objectives import BOTTLENECKS

if TYPE_CHECKING:
    import pandas as pd

CLEAN, DETERMINISTIC_LINF, DETERMINISTIC_L2 = 94.4, 8.0, 66.0
"""The paper's deterministic network: accuracy in per cent, clean, under L-inf PGD at 8 and under Figure 1's L2 PGD."""
MADRY_CLEAN, MADRY_L2 = 87.3, 45.7
"""The network of Madry et al. in the paper; under its L-inf attack it is about as accurate as under L2."""
PAPER_RADIUS = 8.0


def claims(frame: "pd.DataFrame", groups: Sequence[Group], settings: Mapping[str, Any]) -> list[Claim]:
    """Every statement that the models can be asked; those on rho last, of these the most general."""
    own = [*_of_accuracy(groups), *_of_robustness(groups, settings), *_of_madry(groups, settings)]
    return [*(claim for claim in own if claim.count), *_trend(frame, settings)]


def attacks(settings: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Those of Figure 1, (label, conditions) by norm: at the paper's L-inf radius, if it was tried, and a large L2."""
    linf = PAPER_RADIUS if PAPER_RADIUS in settings["linf_epsilons"] else settings["radius"]
    radii = {"linf": linf, "l2": settings["l2_epsilons"][-2:][0]}
    return {norm: (pgd_label(norm, levels), pgd(settings, norm, levels)) for norm, levels in radii.items()}


def worst(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of all attacks together."""
    return {"attack": "worst", "levels": settings["radius"]}


def _split(groups: Sequence[Group]) -> tuple[list[Group], list[Group], list[Group]]:
    """Bottlenecks, cross-entropy on images as they are, and on attacked ones."""
    clean = [group for group in groups if not group.against]
    bottlenecks = [group for group in clean if group.rho is not None]
    return bottlenecks, [group for group in clean if group.rho is None], [group for group in groups if group.against]


def _accuracy(group: Group, at: Mapping[str, Any]) -> "pd.Series[float]":
    return 100 * per_seed(group.frame, "accuracy", **at)


def _of_accuracy(groups: Sequence[Group]) -> Iterator[Claim]:
    bottlenecks, plain, _ = _split(groups)
    for deterministic in plain:
        error = 100 * per_seed(deterministic.frame, "error_mean", split="test")
        for group in bottlenecks:
            text = f"{group.title} is at most half a point less accurate than cross-entropy, clean (points)"
            yield Claim(text, error + 0.5, 100 * per_seed(group.frame, "error_mean", split="test"))


def _of_robustness(groups: Sequence[Group], settings: Mapping[str, Any]) -> Iterator[Claim]:
    bottlenecks, plain, _ = _split(groups)
    every = [*attacks(settings).values(), (f"every attack at L-inf {settings['radius']:g}", worst(settings))]
    for deterministic in plain:
        for label, at in every:
            for group in bottlenecks:
                text = f"{group.title} above cross-entropy under {label} (points)"
                yield Claim(text, _accuracy(group, at), _accuracy(deterministic, at))


def _of_madry(groups: Sequence[Group], settings: Mapping[str, Any]) -> Iterator[Claim]:
    """The paper sets its bottlenecks above an adversarially trained network, and that below a plain one under L2."""
    bottlenecks, plain, trained = _split(groups)
    figure = attacks(settings)
    for against in trained:
        for label, at in figure.values():
            for group in bottlenecks:
                text = f"{group.title} above {against.title} under {label} (points)"
                yield Claim(text, _accuracy(group, at), _accuracy(against, at))
        for deterministic in plain:
            label, at = figure["l2"]
            text = f"cross-entropy above {against.title} under {label} (points)"
            yield Claim(text, _accuracy(deterministic, at), _accuracy(against, at), DETERMINISTIC_L2 - MADRY_L2)
            label, at = figure["linf"]
            text = f"{against.title} above cross-entropy under {label} (points)"
            yield Claim(text, _accuracy(against, at), _accuracy(deterministic, at), MADRY_L2 - DETERMINISTIC_LINF)


def _trend(frame: "pd.DataFrame", settings: Mapping[str, Any]) -> list[Claim]:
    """Whether robustness rises as rho falls; the more general statements last."""
    from scipy.stats import spearmanr

    bottlenecks = where(frame, objective=list(BOTTLENECKS))
    weakness = bottlenecks.groupby(["file", "model", "seed"])["rho"].first()
    if weakness.nunique() < 3:
        return []
    measures: list[tuple[str, str, dict[str, Any]]] = [
        (f"accuracy under {pgd_label(norm, levels)} rises", "accuracy", pgd(settings, norm, levels))
        for norm in NORMS
        for levels in settings[f"{norm}_epsilons"]
    ]
    measures.append(("the average corruption error falls", "error_mean", {"corruption": AVERAGE}))
    stands = f"the share that stands under every attack at {settings['radius']:g} rises"
    measures.append((stands, "accuracy", worst(settings)))
    claims = []
    for what, metric, at in measures:
        text = f"{what} as rho falls (rank correlation with falling rho)"
        values = per_model(bottlenecks, metric, **at)
        if values.nunique() > 1:
            rank = spearmanr(-weakness[values.index], values)
            difference = rank.statistic if metric == "accuracy" else -rank.statistic
            ours = f"{rank.statistic:+.2f}"
            claims.append(Claim(text, [difference], p_value=float(rank.pvalue), n=len(values), ours=ours))
        elif len(values):
            claims.append(Claim(text, [0.0], n=len(values), ours="the same at every rho"))
    return claims
