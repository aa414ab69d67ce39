"""Table 1: the error of each objective beside the paper's, its authors' notebook's and Pereyra et al.'s."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.claims import Claim
from experiments.core.frames import per_seed, where
from experiments.core.records import Record
from experiments.core.report import Claims, Column, Departures, Headline, Report, Row, Table
from experiments.mnist_objectives import SEEDS, chosen, strength_of, trials

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = ("",)
RECURSIVE = True
PAPER = "Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Table 1"


class Known(NamedTuple):
    """Test errors of an objective in per cent, from elsewhere; and what we expected before the runs."""

    label: str
    paper: float
    predicted: float
    notebook: float | None = None
    pereyra: float | None = None


KNOWN = {
    "cross_entropy": Known("deterministic", 1.38, 1.42),
    "dropout": Known("dropout", 1.34, 1.25, pereyra=1.40),
    "confidence_penalty": Known("confidence penalty", 1.36, 1.35, pereyra=1.17),
    "label_smoothing": Known("label smoothing", 1.40, 1.30, pereyra=1.23),
    "vib": Known("VIB", 1.13, 1.29, notebook=1.21),
}


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The table, the verdicts, and how the strengths were chosen."""
    seeds = frame[frame["file"].str.startswith(f"{SEEDS}/")]
    final = {name: [r for r in records if r.file.startswith(f"{SEEDS}/{name}_seed")] for name in KNOWN}
    made = {name: own for name, own in final.items() if own}
    settings = next(iter(made.values()))[0].settings
    error = functools.partial(Column, at={"split": "test"}, unit="%", digits=2)
    columns = [
        Column("strength", lambda part: strength_of(made[part["objective"].iloc[0]][0])),
        Column("seeds", lambda part: ", ".join(map(str, sorted(part["seed"].unique())))),
        error("error", "error_avg"),
        error("error, 1 sample", "error_one", frame=where(seeds, objective="vib")),
        error("calibration error", "calibration_error"),
    ]
    compared = settings["dataset"] == "mnist"
    columns += [Column(title, _known(field)) for field, title in TITLES.items()] if compared else []
    rows = [Row(KNOWN[name].label, frame=where(seeds, objective=name)) for name in made]
    intro = (
        f"Error on the test set of {settings['dataset']}, {settings['num_epochs']} epochs by the {settings['preset']} "
        f"recipe, debiased average of the weights, of VIB with the mean softmax over {settings['num_eval_samples']} "
        "samples of z; mean and standard deviation over seeds. Numbers from elsewhere, and those we predicted before "
        "the runs, are in per cent."
    )
    errors = {name: per_seed(where(seeds, objective=name), "error_avg", split="test") for name in made}
    sections: list[Any] = [Table(title="Table 1", rows=rows, columns=columns)]
    sections += [Claims(stated)] if compared and (stated := _claims(errors)) else []
    sections += [chosen(tried)] if (tried := trials(records)) else []
    sections += [Departures([own[0] for own in made.values()])]
    headlines = [
        Headline(f"Table 1, {KNOWN[name].label}, error", own, KNOWN[name].paper if compared else None, "%", 2)
        for name, own in errors.items()
    ]
    return Report(f"Table 1 on {settings['dataset']}", frame, sections, PAPER, intro, headlines)


TITLES = {"paper": "paper", "notebook": "its notebook", "pereyra": "Pereyra et al.", "predicted": "we predicted"}


def _known(field: str) -> Any:
    def cell(part: "pd.DataFrame") -> str:
        value = getattr(KNOWN[part["objective"].iloc[0]], field)
        return "" if value is None else f"{value:.2f}"

    return cell


def _claims(errors: Any) -> list[Claim]:
    """That VIB errs less than each baseline, by the paper's difference."""
    if "vib" not in errors:
        return []
    vib, paper = errors["vib"], KNOWN["vib"].paper
    return [
        Claim(
            f"VIB errs less than {KNOWN[name].label}",
            100 * own,
            100 * vib,
            paper=KNOWN[name].paper - paper,
            unit="%",
            digits=2,
        )
        for name, own in errors.items()
        if name != "vib" and len(own.index.intersection(vib.index))
    ]
