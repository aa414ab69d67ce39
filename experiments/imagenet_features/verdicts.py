"""The VUB paper's statements on its Table 1: VUB beside VIB, and both beside the network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.core.claims import Claim, rank_sum
from experiments.core.frames import per_seed
from experiments.core.report import Row
from experiments.imagenet_features.settings import BACKBONE

NAMES = {"vib": "VIB", "vub": "VUB"}


def claims(
    rows: Sequence[Row], accuracy: Callable[[Any], Any], epsilons: Sequence[float], paper: Mapping[Any, Sequence[Any]]
) -> list[Claim]:
    """Of the rows by one sample of z, as the paper's: more accurate, with its test; and less often fooled.

    Args:
      rows: with (objective, beta) as their keys where the paper has such a row.
      accuracy: of a row's models.
      epsilons: of the paper's first and second column of attacks by FGS.
      paper: its Table 1 by key: accuracy, and success of FGS at both.
    """
    keyed = {row.key: row for row in rows if row.key}
    network, found = keyed.get((BACKBONE, None)), []
    for beta in sorted(beta for name, beta in keyed if name == "vub" and ("vib", beta) in keyed):
        keys = ("vub", beta), ("vib", beta)
        vub, vib = (100 * accuracy(keyed[key].frame).droplevel(["file", "model"]) for key in keys)
        text, differences = f"beta = {beta:g}: VUB is more accurate than VIB", _difference(paper, *keys, place=0)
        found.append(Claim(text, vub, vib, paper=differences, p_value=rank_sum(vub, vib), unit="points"))
    for name, beta in (key for key in keyed if key[0] in NAMES and network):
        for place, epsilon in enumerate(epsilons, 1):
            own = 100 * _success(keyed[name, beta], epsilon)
            text = f"{NAMES[name]}, beta = {beta:g}: FGS {epsilon:g} succeeds less often than on the network itself"
            differences = _difference(paper, (BACKBONE, None), (name, beta), place=place)
            theirs = 100 * float(_success(keyed[BACKBONE, None], epsilon).mean())
            found.append(Claim(text, theirs, own, paper=differences, unit="points"))
    return found


def _success(row: Row, epsilon: float) -> Any:
    assert row.frame is not None
    return per_seed(row.frame, "success", **{**row.at, "attack": "fgsm", "together": None, "epsilon": epsilon})


def _difference(paper: Mapping[Any, Sequence[Any]], larger: Any, smaller: Any, place: int) -> float | None:
    if not {larger, smaller} <= paper.keys():
        return None
    first, second = (float(str(paper[key][place]).split()[0]) for key in (larger, smaller))
    return first - second
