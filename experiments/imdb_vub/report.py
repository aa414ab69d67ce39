"""What is shown of the records of `experiments.imdb_vub`: accuracy, success of attacks, and VUB beside VIB."""

import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.frames import groups, values_by_model, where
from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.records import Model, Record
from experiments.core.report import Column, Departures, Headline, Report, Row, Table, Text
from experiments.imdb_vub.measured import ATTACKS, NAMES, PAPERS, TABLE_2, accuracy, by_ours, by_papers, has
from experiments.imdb_vub.plane import cycle_sections, information_planes
from experiments.imdb_vub.settings import IMDB, VANILLA
from experiments.imdb_vub.verdicts import compared, reached

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = ("", "epochs150", "frozen")
PAPER = "Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): section 4.2, Table 2, Figure 3"
COLORS = {"vib": "tab:blue", "vub": "tab:orange", "ceb": "tab:green"}


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
    attacks = [name for name in ATTACKS if has(frame, name)]
    table = functools.partial(Table, corner=("objective", "beta"))
    share = functools.partial(Column, unit="%", missing="skip")
    columns = [
        share("accuracy, 1 sample", accuracy, paper=_theirs(paper, "clean")),
        share("mean of samples", functools.partial(accuracy, answer="avg")),
        Column("rate, bits", "rate_bits", at={"split": "test"}, missing="skip"),
        share("calibration error", "calibration_error", at={"split": "test"}),
    ]
    sections: list[Any] = [table(title="Accuracy", rows=rows, columns=columns)]
    for attack in attacks:
        at = by_ours(frame, attack)
        columns = [
            share("success", "success_rate", at=at, paper=_theirs(paper, attack)),
            share("on one sample", "success_rate", at=at | {"num_judge_samples": 1}),
            share("transfer", "success_rate", at={"attack": attack, "source": VANILLA}),
            share("words changed", "words_changed", at=at),
            Column("queries", "mean_queries", at=at, digits=",.0f", spread="none", missing="skip"),
        ]
        sections.append(Text(_conditions(where(frame, attack=attack, procedure=None)), ATTACKS[attack]))
        sections.append(table(rows=[row for row in rows if has(row.frame, attack)], columns=columns))
    for attack in (each for each in ATTACKS if has(frame, each, PAPERS)):
        sections += _as_the_paper(frame, rows, attack, _theirs(paper, attack))
    headlines: list[Headline] = []
    if {"vib", "vub"} <= set(frame["objective"]):
        sections += compared(frame, paper, headlines)
    sections += [
        Text(reached(frame)),
        *cycle_sections(_models(records)),
        *(_figures(frame, records, attacks) if figures else ()),
        Departures(records),
    ]
    theirs = " In square brackets the paper's (Table 2), on a BERT-base that was fine-tuned." if paper else ""
    intro = f"{seeds} seeds, mean ± deviation; accuracy on all test texts.{theirs}"
    title = f"Bottleneck heads on frozen features of {encoder}, {dataset}"
    return Report(title, frame, sections, PAPER, intro, headlines)


def _theirs(paper: Any, name: str) -> dict[Any, str]:
    return {key: values[name] for key, values in paper.items()}


def _as_the_paper(frame: "pd.DataFrame", rows: Sequence[Row], attack: str, paper: Any) -> list[Any]:
    """What an attack finds by the paper's protocol, and how much of that fools fresh samples."""
    part = where(frame, attack=attack, procedure=PAPERS)
    most, share = int(part["num_judge_samples"].max()), functools.partial(Column, unit="%", missing="skip")
    columns = [
        share("success, as found", "success_rate", at=by_papers(attack), paper=paper),
        share("on one fresh sample", "success_rate", at=by_papers(attack, 1)),
        *[share(f"on the mean of {most}", "success_rate", at=by_papers(attack, most))] * (most > 1),
        share("words changed", "words_changed", at=by_papers(attack)),
        Column("queries", "mean_queries", at=by_papers(attack), digits=",.0f", spread="none", missing="skip"),
    ]
    text = (
        f"The first {part['num_texts'].max():g} test texts as the paper has them: one pass through the network for "
        "each text that the search asks about, TextAttack's scoring and nltk's stop words; the search ends with the "
        "first answer that is wrong, and that counts. Beside it what fresh samples say of the same texts: an attack "
        "that fails there has found a draw of z, not a weakness of the network."
    )
    attacked = [row for row in rows if has(row.frame, attack, PAPERS)]
    title = f"{ATTACKS[attack]}, by the paper's protocol"
    return [Text(text, title), Table(rows=attacked, columns=columns, corner=("objective", "beta"))]


def _conditions(part: "pd.DataFrame") -> str:
    most = {name: f"{part[name].max():g}" for name in ("num_texts", "num_judge_samples", "num_score_samples", "margin")}
    on = f" and, but on vanilla, goes on until the wrong class leads by {most['margin']}, which takes more words"
    return (
        f"{most['num_texts']} test texts. Success: share of those classified correctly before that the attack brings "
        f"down, judged on the mean of {most['num_judge_samples']} fresh samples of z, or on one. A search sees the "
        f"mean of {most['num_score_samples']}{on if part['margin'].max() else ''}. Transfer: texts made on a vanilla "
        "head."
    )


def _models(records: Sequence[Record]) -> list[tuple[str, list[Model]]]:
    """Those of Figure 3."""
    models = [model for record in records for model in record.models]
    return [(NAMES[name], [each for each in models if each.settings["objective"] == name]) for name in ("vib", "vub")]


def _figures(frame: "pd.DataFrame", records: Sequence[Record], attacks: Sequence[str]) -> Iterator[Figure]:
    yield from information_planes(_models(records), "figure3.png")
    panel = functools.partial(_panel, frame)
    above = [panel("accuracy, one sample of z", "test accuracy, %", accuracy)]
    average = functools.partial(accuracy, answer="avg")
    below = [panel("accuracy, mean of samples of z", "test accuracy, %", average)]
    for attack in attacks:
        at, of_source = by_ours(frame, attack), {"attack": attack, "source": VANILLA}
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
