"""What is shown of the records of `experiments.imdb_vub`: accuracy, success of attacks, and VUB beside VIB."""

import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.calibration import calibration
from experiments.core.claims import rank_sum
from experiments.core.frames import groups, per_seed, values_by_model, where
from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.records import Model, Record
from experiments.core.report import Claim, Claims, Column, Departures, Headline, Report, Row, Table, Text, number
from experiments.imdb_vub.plane import cycles, information_planes
from experiments.imdb_vub.settings import IMDB, VANILLA

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = ("", "without_margin")
PAPERS = "paper"
"""The condition `procedure` of what was measured by the paper's protocol; what was by ours has none."""
PAPER = "Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): section 4.2, Table 2, Figure 3"
NAMES = {VANILLA: "vanilla", "vib": "VIB", "vub": "VUB", "ceb": "CEB"}
ATTACKS = {"deep_word_bug": "DeepWordBug", "pwws": "PWWS"}
COLORS = {"vib": "tab:blue", "vub": "tab:orange", "ceb": "tab:green"}
TABLE_2 = {
    (VANILLA, None): {"clean": "93", "deep_word_bug": "54.3", "pwws": "100"},
    ("vib", 1e-3): {"clean": "91 ± 1", "deep_word_bug": "35.1 ± 4.4", "pwws": "41.6 ± 6.6"},
    ("vib", 1e-2): {"clean": "90.8 ± 0.5", "deep_word_bug": "41 ± 4.8", "pwws": "62.9 ± 14.3"},
    ("vib", 1e-1): {"clean": "89.4 ± 0.9", "deep_word_bug": "90 ± 8", "pwws": "99.1 ± 0.9"},
    ("vub", 1e-3): {"clean": "93.2 ± 0.5", "deep_word_bug": "27.5 ± 2", "pwws": "28.4 ± 1.3"},
    ("vub", 1e-2): {"clean": "92.6 ± 0.8", "deep_word_bug": "30.8 ± 2", "pwws": "50 ± 4.8"},
    ("vub", 1e-1): {"clean": "89.2 ± 2", "deep_word_bug": "99.2 ± 0.5", "pwws": "100"},
}
"""By objective and beta in %: accuracy, and success of the attacks; mean and deviation of five runs on IMDB."""
BEST = 1e-3
"""The paper's most accurate beta, of VIB and of VUB."""


def report(frame: "pd.DataFrame", records: Sequence[Record], figures: bool = True) -> Report:
    """The tables and figures of a folder of records."""
    origin, seeds = records[0].details["origin"], frame["seed"].nunique()
    encoder, dataset = origin["encoder"]["name"], origin["data"]["test"]["dataset"]
    paper = TABLE_2 if dataset == IMDB else {}
    rows = [
        Row((NAMES[name], f"{beta:g}" if beta else "-"), frame=part, key=(name, beta))
        for name in NAMES
        for (beta,), part in sorted(groups(where(frame, objective=name), "beta"))
    ]
    attacks = [name for name in ATTACKS if _has(frame, name)]
    table = functools.partial(Table, corner=("objective", "beta"))
    share = functools.partial(Column, unit="%", missing="skip")
    columns = [
        share("accuracy, 1 sample", _accuracy, paper=_theirs(paper, "clean")),
        share("mean of samples", functools.partial(_accuracy, answer="avg")),
        Column("rate, bits", "rate_bits", at={"split": "test"}, missing="skip"),
        share("calibration error", "calibration_error", at={"split": "test"}),
    ]
    sections: list[Any] = [table(title="Accuracy", rows=rows, columns=columns)]
    for attack in attacks:
        at = _at(frame, attack)
        columns = [
            share("success", "success_rate", at=at, paper=_theirs(paper, attack)),
            share("on one sample", "success_rate", at=at | {"num_judge_samples": 1}),
            share("transfer", "success_rate", at={"attack": attack, "source": VANILLA}),
            share("words changed", "words_changed", at=at),
            Column("queries", "mean_queries", at=at, digits=",.0f", spread="none", missing="skip"),
        ]
        sections.append(Text(_conditions(where(frame, attack=attack, procedure=None)), ATTACKS[attack]))
        sections.append(table(rows=[row for row in rows if _has(row.frame, attack)], columns=columns))
    for attack in (each for each in ATTACKS if _has(frame, each, PAPERS)):
        sections += _as_the_paper(frame, rows, attack, _theirs(paper, attack))
    headlines: list[Headline] = []
    if {"vib", "vub"} <= set(frame["objective"]):
        sections += _compared(frame, attacks, paper, headlines)
    sections += [
        Text(_reached(frame)),
        *_cycles(records),
        *(_figures(frame, records, attacks) if figures else ()),
        Departures(records),
    ]
    theirs = " In square brackets the paper's (Table 2), on a BERT-base that was fine-tuned." if paper else ""
    intro = f"{seeds} seeds, mean ± deviation; accuracy on all test texts.{theirs}"
    title = f"Bottleneck heads on frozen features of {encoder}, {dataset}"
    return Report(title, frame, sections, PAPER, intro, headlines)


def _theirs(paper: Any, name: str) -> dict[Any, str]:
    return {key: values[name] for key, values in paper.items()}


def _has(frame: Any, attack: str, procedure: str | None = None) -> bool:
    return not where(frame, attack=attack, procedure=procedure).empty


def _at(frame: "pd.DataFrame", attack: str) -> dict[str, Any]:
    """An attack on a head itself by our protocol, judged on the mean of samples."""
    most = frame["num_judge_samples"].max()
    return {"attack": attack, "source": None, "procedure": None, "num_judge_samples": most}


def _found(attack: str, num_judge_samples: int = 0) -> dict[str, Any]:
    """An attack by the paper's protocol, as its search says or as fresh samples do."""
    return {"attack": attack, "procedure": PAPERS, "num_judge_samples": num_judge_samples}


def _as_the_paper(frame: "pd.DataFrame", rows: Sequence[Row], attack: str, paper: Any) -> list[Any]:
    """What an attack finds by the paper's protocol, and how much of that fools fresh samples."""
    part = where(frame, attack=attack, procedure=PAPERS)
    most, share = int(part["num_judge_samples"].max()), functools.partial(Column, unit="%", missing="skip")
    columns = [
        share("success, as found", "success_rate", at=_found(attack), paper=paper),
        share("on one fresh sample", "success_rate", at=_found(attack, 1)),
        *[share(f"on the mean of {most}", "success_rate", at=_found(attack, most))] * (most > 1),
        share("words changed", "words_changed", at=_found(attack)),
        Column("queries", "mean_queries", at=_found(attack), digits=",.0f", spread="none", missing="skip"),
    ]
    text = (
        f"The first {part['num_texts'].max():g} test texts as the paper has them: one pass through the network for "
        "each text that the search asks about, TextAttack's scoring and nltk's stop words; the search ends with the "
        "first answer that is wrong, and that counts. Beside it what fresh samples say of the same texts: an attack "
        "that fails there has found a draw of z, not a weakness of the network."
    )
    attacked = [row for row in rows if _has(row.frame, attack, PAPERS)]
    title = f"{ATTACKS[attack]}, by the paper's protocol"
    return [Text(text, title), Table(rows=attacked, columns=columns, corner=("objective", "beta"))]


def _accuracy(part: "pd.DataFrame", split: str = "test", answer: str = "one") -> np.ndarray:
    return 1 - values_by_model(part, f"error_{answer}", {"split": split})[1]


def _conditions(part: "pd.DataFrame") -> str:
    most = {name: f"{part[name].max():g}" for name in ("num_texts", "num_judge_samples", "num_score_samples", "margin")}
    on = f" and, but on vanilla, goes on until the wrong class leads by {most['margin']}, which takes more words"
    return (
        f"{most['num_texts']} test texts. Success: share of those classified correctly before that the attack brings "
        f"down, judged on the mean of {most['num_judge_samples']} fresh samples of z, or on one. A search sees the "
        f"mean of {most['num_score_samples']}{on if part['margin'].max() else ''}. Transfer: texts made on a vanilla "
        "head."
    )


def _by_beta(frame: "pd.DataFrame", objective: str, split: str, answer: str) -> dict[float, float]:
    """Mean accuracy in %."""
    parts = groups(where(frame, objective=objective), "beta")
    return {beta: 100 * float(_accuracy(part, split, answer).mean()) for (beta,), part in parts}


def _compared(frame: "pd.DataFrame", attacks: Sequence[str], paper: Any, headlines: list[Headline]) -> list[Any]:
    """VUB beside VIB, each at its best beta; of equally good ones at the larger."""
    means = {name: _by_beta(frame, name, "validation", "avg") for name in ("vib", "vub")}
    betas = {name: max(own, key=lambda beta: (own[beta], beta)) for name, own in means.items()}
    parts = [where(frame, objective=name, beta=beta) for name, beta in betas.items()]
    measured: list[tuple[str, str, str, dict[str, Any]]] = [
        ("higher accuracy, 1 sample", "clean", "error_one", {"split": "test"}),
        ("higher accuracy, mean of samples", "", "error_avg", {"split": "test"}),
    ]
    for attack, title in ATTACKS.items():
        if all(_has(part, attack, PAPERS) for part in parts):
            text = f"lower success of {title}, as found by the paper's protocol"
            measured.append((text, attack, "success_rate", _found(attack)))
    for attack in attacks:
        if all(_has(part, attack) for part in parts):
            at, title = _at(frame, attack), ATTACKS[attack]
            measured.append((f"lower success of {title}", attack, "success_rate", at))
            measured.append((f"more words changed by {title}", "", "words_changed", at))
    claims = []
    for text, name, metric, at in measured:
        vib, vub = (per_seed(part, metric, **at) for part in parts)
        vib, vub = (1 - vib, 1 - vub) if metric.startswith("error") else (vib, vub)
        p_value = rank_sum(vib.dropna(), vub.dropna())
        theirs = [float(paper[each, BEST][name].split()[0]) for each in betas] if paper and name else None
        larger, smaller = (vib, vub) if text.startswith("lower") else (vub, vib)
        claim = Claim(
            f"VUB: {text}", 100 * larger, 100 * smaller, paper=abs(theirs[1] - theirs[0]) if theirs else None,
            p_value=None if metric == "words_changed" else p_value, unit="points",
            ours=f"VIB {100 * vib.mean():.1f} %, VUB {100 * vub.mean():.1f} %, p = {number(p_value, digits=3).text}",
        )  # fmt: skip
        claims.append(claim)
        if theirs:
            headlines.append(Headline(f"Table 2, VUB, {text.split(' ', 1)[1]}", vub, theirs[1], "%", claim=claim))
    text = (
        f"VUB against VIB, each at the beta that is best on held-out training texts (VIB {betas['vib']:g}, VUB "
        f"{betas['vub']:g}); p beside the means of the Wilcoxon rank-sum test. Words changed, which tell more where "
        "all attacks succeed, are ours to compare: more of them is more robust."
    )
    sides = [where(frame, objective=name) for name in ("vib", "vub")]
    common = sorted(set(sides[0]["beta"]) & set(sides[1]["beta"]))
    own = {f"beta = {beta:g}": (where(sides[0], beta=beta), where(sides[1], beta=beta)) for beta in common}
    return [Text(text, "VUB beside VIB"), Claims(claims, ""), *calibration(own)]


def _reached(frame: "pd.DataFrame") -> str:
    vanilla, lines = 100 * _accuracy(where(frame, objective=VANILLA)).mean(), []
    for name in (name for name in COLORS if name in set(frame["objective"])):
        reached = [beta for beta, mean in _by_beta(frame, name, "test", "one").items() if mean >= vanilla - 0.1]
        what = f"from beta = {max(reached):g} down" if reached else "at no beta tried"
        lines.append(f"{NAMES[name]} has vanilla's accuracy ({vanilla:.1f} %, less 0.1) with one sample {what}.")
    return " ".join(lines)


def _models(records: Sequence[Record], objective: str) -> list[Model]:
    return [model for record in records for model in record.models if model.settings["objective"] == objective]


def _cycles(records: Sequence[Record]) -> list[Any]:
    """The paper's claim on the way through the information plane, where training was long enough to tell."""
    claims = [claim for name in ("vib", "vub") if (claim := cycles(NAMES[name], _models(records, name)))]
    text = (
        "The paper sees recurring phases in which distortion falls and then the rate rises. A phase is a stretch of at "
        "least three epochs in each of which H(R) - H(Z|X) rises, and one alone recurs nowhere; by chance: of the same "
        "changes in a random order within each fifth of training, 2,000 times."
    )
    return [Text(text, "Cycles in the information plane"), Claims(claims, "")] if claims else []


def _figures(frame: "pd.DataFrame", records: Sequence[Record], attacks: Sequence[str]) -> Iterator[Figure]:
    yield from information_planes([(NAMES[name], _models(records, name)) for name in ("vib", "vub")], "figure3.png")
    panel = functools.partial(_panel, frame)
    above = [panel("accuracy, one sample of z", "test accuracy, %", _accuracy)]
    average = functools.partial(_accuracy, answer="avg")
    below = [panel("accuracy, mean of samples of z", "test accuracy, %", average)]
    for attack in attacks:
        at, of_source = _at(frame, attack), {"attack": attack, "source": VANILLA}
        above.append(panel(f"{ATTACKS[attack]}: success", "success, %", "success_rate", at, of_source, (0, 103)))
        words = panel(f"{ATTACKS[attack]}: words changed", "of a text's words, %", "words_changed", at, ylim=(0, None))
        below.append(words)
    if attacks:
        alt = "Accuracy, success of attacks and of transferred texts, and words changed against beta."
        size, columns = (4.2 * len(above), 6.4), len(above)
        yield Figure("robustness.png", above + below, title="Robustness", alt=alt, columns=columns, size=size, legend=5)


def _panel(
    frame: "pd.DataFrame",
    title: str,
    ylabel: str,
    metric: Any,
    at: Mapping[str, Any] = types.MappingProxyType({}),
    transferred: Mapping[str, Any] | None = None,
    ylim: tuple[float | None, float | None] = (None, None),
) -> Panel:
    """A line of each bottleneck against beta, a level for the deterministic heads; dotted what is transferred."""
    kinds = [(at, "-", "std", "vanilla"), (transferred, ":", "none", "made on a vanilla head")]
    lines, levels = [], []
    for each, style, spread, name in kinds:
        if each is None:
            continue
        line = functools.partial(Line, metric=metric, at=each, scale=100, style=style, spread=spread)
        for objective, color in COLORS.items():
            label, own = NAMES[objective] if style == "-" else "", where(frame, objective=objective)
            lines.append(line(label, frame=own, color=color))
        vanilla = where(frame, objective=VANILLA)
        values = metric(vanilla) if callable(metric) else values_by_model(vanilla, metric, each)[1]
        if not np.isnan(values).all():
            levels.append(Level(100 * np.nanmean(values), name, "black", style))
    return Panel(
        lines=lines, levels=levels, x="beta", xscale="log", ylabel=ylabel, title=title, ylim=ylim, legend=False
    )
