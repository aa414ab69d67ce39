"""The VUB paper's statements on its Table 1: VUB beside VIB, and both beside the network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from experiments.core.claims import Claim, rank_sum
from experiments.core.frames import per_seed
from experiments.core.report import Row
from experiments.imagenet_features.settings import BACKBONE

NAMES = {"vib": "VIB", "vub": "VUB"}
EPSILONS = {0.0225: 1, 0.1125: 2}
"""In [0, 1] what the paper's 0.1 and 0.5 are as its authors' code has them, and their columns in its Table 1."""
_NETWORK = (BACKBONE, None)


def claims(
    rows: Sequence[Row], accuracy: Callable[[Any], Any], epsilons: Sequence[float], paper: Mapping[Any, Sequence[Any]]
) -> list[Claim]:
    """Of the rows by one sample of z, as the paper's: more accurate, with its test; and each against the network.

    Args:
      rows: with (objective, beta) as their keys where the paper has such a row.
      accuracy: of a row's models.
      epsilons: of the attacks by FGS; those of `EPSILONS` are judged.
      paper: its Table 1 by key: accuracy, and success of FGS at both.
    """
    keyed = {row.key: row for row in rows if row.key}
    found = []
    for beta in sorted(beta for name, beta in keyed if name == "vub" and ("vib", beta) in keyed):
        keys = ("vub", beta), ("vib", beta)
        vub, vib = (100 * accuracy(keyed[key].frame).droplevel(["file", "model"]) for key in keys)
        text, differences = f"beta = {beta:g}: VUB is more accurate than VIB", _difference(paper, *keys, place=0)
        found.append(Claim(text, vub, vib, paper=differences, p_value=rank_sum(vub, vib), unit="points"))
    if _NETWORK in keyed:
        network = keyed[_NETWORK]
        of_network = 100 * float(accuracy(network.frame).mean())
        for key in (key for key in keyed if key[0] in NAMES):
            text, row = f"{NAMES[key[0]]}, beta = {key[1]:g}: ", keyed[key]
            own = 100 * accuracy(row.frame)
            theirs = _difference(paper, _NETWORK, key, place=0)
            found.append(Claim(f"{text}less accurate than the network itself", of_network, own, theirs, unit="points"))
            found += _withstands(text, key, row, network, epsilons, paper)
    return found


def _withstands(
    text: str, key: Any, row: Row, network: Row, epsilons: Sequence[float], paper: Mapping[Any, Sequence[Any]]
) -> Iterator[Claim]:
    """That a bottleneck is harder to fool; the paper's unit of the distance is not known, and so no difference."""
    for epsilon, place in EPSILONS.items():
        if epsilon not in epsilons:
            continue
        of_network, own = (100 * _success(each, epsilon) for each in (network, row))
        said = f"{text}FGS {epsilon:g} succeeds less often than on the network itself"
        theirs = _difference(paper, _NETWORK, key, place=place)
        yield Claim(said, float(of_network.mean()), own, theirs, unit="points")
    at = {"attack": "carlini_wagner"}
    of_network, own = (_of(each, "mean_l2", at).dropna() for each in (network, row))
    if of_network.size and own.size:
        said = f"{text}Carlini-Wagner needs a larger L2 distance than on the network itself"
        yield Claim(said, own, float(of_network.mean()), digits=3)


def _success(row: Row, epsilon: float) -> Any:
    return _of(row, "success", {"attack": "fgsm", "together": None, "epsilon": epsilon})


def _of(row: Row, metric: str, at: Mapping[str, Any]) -> Any:
    assert row.frame is not None
    return per_seed(row.frame, metric, **{**row.at, **at})


def _difference(paper: Mapping[Any, Sequence[Any]], larger: Any, smaller: Any, place: int) -> float | None:
    if not {larger, smaller} <= paper.keys():
        return None
    first, second = (float(str(paper[key][place]).split()[0]) for key in (larger, smaller))
    return first - second
