"""What the VUB paper says of its Table 2, judged: VUB beside VIB, and both beside the network itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.calibration import calibration
from experiments.core.claims import Claim, rank_sum
from experiments.core.frames import groups, per_seed, where
from experiments.core.report import Claims, Headline, Text, number
from experiments.imdb_vub.measured import ATTACKS, NAMES, PAPERS, accuracy, by_ours, by_papers, has
from experiments.imdb_vub.settings import VANILLA

if TYPE_CHECKING:
    import pandas as pd

BEST = 1e-3
"""The paper's most accurate beta, of VIB and of VUB."""


class _Measure(NamedTuple):
    """A number by which models are compared: what being better is, its column in the paper, and where it stands."""

    text: str
    column: str
    metric: str
    at: Mapping[str, Any]

    def of(self, part: "pd.DataFrame") -> "pd.Series[float]":
        """In %, by seed."""
        values = 100 * per_seed(part, self.metric, **self.at)
        return (100 - values if self.metric.startswith("error") else values).dropna()

    def claim(self, text: str, better: Any, worse: Any, **more: Any) -> Claim:
        larger, smaller = (worse, better) if self.text.startswith("lower") else (better, worse)
        return Claim(text, larger, smaller, unit="points", **more)

    def paper(self, paper: Mapping[Any, Mapping[str, str]], *keys: Any) -> list[float] | None:
        """What the paper has of two models."""
        return [float(paper[key][self.column].split()[0]) for key in keys] if paper and self.column else None


def compared(frame: "pd.DataFrame", paper: Any, headlines: list[Headline]) -> list[Any]:
    """VUB beside VIB, each at its best beta, of equally good ones at the larger; then both beside the network."""
    means = {name: _by_beta(frame, name, "validation", "avg") for name in ("vib", "vub")}
    betas = {name: max(own, key=lambda beta: (own[beta], beta)) for name, own in means.items()}
    parts = {name: where(frame, objective=name, beta=beta) for name, beta in betas.items()}
    claims = []
    for measure in _measures(frame, [*parts.values()]):
        vib, vub = map(measure.of, parts.values())
        p_value, theirs = rank_sum(vib, vub), measure.paper(paper, *((each, BEST) for each in betas))
        claim = measure.claim(
            f"VUB: {measure.text}", vub, vib, paper=abs(theirs[1] - theirs[0]) if theirs else None,
            p_value=None if measure.metric == "words_changed" else p_value,
            ours=f"VIB {vib.mean():.1f} %, VUB {vub.mean():.1f} %, p = {number(p_value, digits=3).text}",
        )  # fmt: skip
        claims.append(claim)
        if theirs:
            title = f"Table 2, VUB, {measure.text.split(' ', 1)[1]}"
            headlines.append(Headline(title, vub / 100, theirs[1], "%", claim=claim))
    text = (
        f"VUB against VIB, each at the beta that is best on held-out training texts (VIB {betas['vib']:g}, VUB "
        f"{betas['vub']:g}); p beside the means of the Wilcoxon rank-sum test. Words changed, which tell more where "
        "all attacks succeed, are ours to compare: more of them is more robust."
    )
    beside = [*_beside_the_network(frame, parts, paper)]
    more = [Text("The same heads beside vanilla's mean.", "Beside vanilla"), Claims(beside, "")] if beside else []
    return [Text(text, "VUB beside VIB"), Claims(claims, ""), *more, *_calibration(frame)]


def reached(frame: "pd.DataFrame") -> str:
    """Up to which beta a bottleneck costs no accuracy."""
    vanilla, lines = 100 * accuracy(where(frame, objective=VANILLA)).mean(), []
    for name in (name for name in NAMES if name != VANILLA and name in set(frame["objective"])):
        good = [beta for beta, mean in _by_beta(frame, name, "test", "one").items() if mean >= vanilla - 0.1]
        what = f"from beta = {max(good):g} down" if good else "at no beta tried"
        lines.append(f"{NAMES[name]} has vanilla's accuracy ({vanilla:.1f} %, less 0.1) with one sample {what}.")
    return " ".join(lines)


def _by_beta(frame: "pd.DataFrame", objective: str, split: str, answer: str) -> dict[float, float]:
    """Mean accuracy in %."""
    parts = groups(where(frame, objective=objective), "beta")
    return {beta: 100 * float(accuracy(part, split, answer).mean()) for (beta,), part in parts}


def _measures(frame: "pd.DataFrame", parts: Sequence["pd.DataFrame"]) -> Iterator[_Measure]:
    """Those that all the models have."""
    yield _Measure("higher accuracy, 1 sample", "clean", "error_one", {"split": "test"})
    yield _Measure("higher accuracy, mean of samples", "", "error_avg", {"split": "test"})
    for attack, title in ATTACKS.items():
        if all(has(part, attack, PAPERS) for part in parts):
            text = f"lower success of {title}, as found by the paper's protocol"
            yield _Measure(text, attack, "success_rate", by_papers(attack))
    for attack, title in ATTACKS.items():
        if all(has(part, attack) for part in parts):
            at = by_ours(frame, attack)
            yield _Measure(f"lower success of {title}", attack, "success_rate", at)
            yield _Measure(f"more words changed by {title}", "", "words_changed", at)


def _beside_the_network(frame: "pd.DataFrame", parts: Mapping[str, "pd.DataFrame"], paper: Any) -> Iterator[Claim]:
    """That a bottleneck is harder to fool, and that VUB is more accurate as well, which the paper says of VUB alone."""
    vanilla = where(frame, objective=VANILLA)
    for measure in (each for each in _measures(frame, [vanilla, *parts.values()]) if each.column):
        for name in parts if measure.metric != "error_one" else ["vub"]:
            own, of_network = measure.of(parts[name]), float(measure.of(vanilla).mean())
            theirs = measure.paper(paper, (VANILLA, None), (name, BEST))
            yield measure.claim(
                f"{NAMES[name]} beside vanilla: {measure.text}", own, of_network,
                paper=abs(theirs[1] - theirs[0]) if theirs else None,
                ours=f"vanilla {of_network:.1f} %, {NAMES[name]} {own.mean():.1f} %",
            )  # fmt: skip


def _calibration(frame: "pd.DataFrame") -> list[Any]:
    vib, vub = (dict(groups(where(frame, objective=name), "beta")) for name in ("vib", "vub"))
    return calibration({f"beta = {key[0]:g}": (vib[key], vub[key]) for key in sorted(vib.keys() & vub.keys())})
