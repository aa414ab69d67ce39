"""Table 1: the error of each objective beside the paper's, its authors' notebook's and Pereyra et al.'s."""

import functools
import itertools
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
CHOSEN = "chosen_beta"
"""The folder of VIB's runs at the beta that held-out images choose, as they choose for the others."""
ROWS = KNOWN | {CHOSEN: KNOWN["vib"]._replace(label="VIB at a chosen beta", predicted=1.20)}


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The table, the verdicts, and how the strengths were chosen."""
    parts = {name: frame[[_row_of(file) == name for file in frame["file"]]] for name in ROWS}
    made, of_file = {name: part for name, part in parts.items() if len(part)}, {each.file: each for each in records}
    first = [of_file[part["file"].iloc[0]] for part in made.values()]
    settings = first[0].settings
    error = functools.partial(Column, at={"split": "test"}, unit="%", digits=2)
    columns = [
        Column("strength", lambda part: strength_of(of_file[part["file"].iloc[0]])),
        Column("seeds", lambda part: ", ".join(map(str, sorted(part["seed"].unique())))),
        error("error", "error_avg"),
        error("error, 1 sample", "error_one", frame=where(frame, objective="vib")),
        error("calibration error", "calibration_error"),
    ]
    compared = settings["dataset"] == "mnist"
    columns += [Column(title, _known(field)) for field, title in TITLES.items()] if compared else []
    rows = [Row(ROWS[name].label, frame=part) for name, part in made.items()]
    intro = (
        f"Error on the test set of {settings['dataset']}, {settings['num_epochs']} epochs by the {settings['preset']} "
        f"recipe, debiased average of the weights, of VIB with the mean softmax over {settings['num_eval_samples']} "
        "samples of z; mean and standard deviation over seeds. Numbers from elsewhere, and those we predicted before "
        "the runs, are in per cent."
    )
    errors = {name: per_seed(part, "error_avg", split="test") for name, part in made.items()}
    sections: list[Any] = [Table(title="Table 1", rows=rows, columns=columns)]
    sections += [Claims(stated)] if compared and (stated := _claims(errors)) else []
    sections += [chosen(tried)] if (tried := trials(records)) else []
    sections += [Departures(first)]
    headlines = [
        Headline(f"Table 1, {ROWS[name].label}, error", own, ROWS[name].paper if compared else None, "%", 2)
        for name, own in errors.items()
    ]
    return Report(f"Table 1 on {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _row_of(file: str) -> str:
    """Which row a record belongs to by its file, such as seeds/dropout_seed1; none, of a run that chose."""
    *folders, name = file.split("/")
    return {(SEEDS,): name.rpartition("_seed")[0], (CHOSEN, SEEDS): CHOSEN}.get(tuple(folders), "")


TITLES = {"paper": "paper", "notebook": "its notebook", "pereyra": "Pereyra et al.", "predicted": "we predicted"}


def _known(field: str) -> Any:
    def cell(part: "pd.DataFrame") -> str:
        value = getattr(ROWS[_row_of(part["file"].iloc[0])], field)
        return "" if value is None else f"{value:.2f}"

    return cell


def _claims(errors: Any) -> list[Claim]:
    """That VIB errs less than each baseline, by the paper's difference; the same of VIB at a chosen beta."""
    found, ours = [], [name for name in ("vib", CHOSEN) if name in errors]
    for vib, name in itertools.product(ours, [name for name in errors if name not in ours]):
        if len(errors[name].index.intersection(errors[vib].index)):
            text, difference = (
                f"{ROWS[vib].label} errs less than {ROWS[name].label}",
                ROWS[name].paper - ROWS[vib].paper,
            )
            claim = functools.partial(Claim, text, paper=difference, unit="%", digits=2)
            found.append(claim(100 * errors[name], 100 * errors[vib]))
    return found
