"""What is shown of the records of `experiments.imdb_finetune`: accuracy, information and calibration."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import groups, per_model
from experiments.core.records import Record
from experiments.core.report import Column, Departures, Headline, Report, Row, Table

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): section 4.2, Table 2 (vanilla)"
VANILLA = {"cross_entropy": 93.0}  # BERT-base


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The table of a folder of records."""
    settings = records[0].settings
    rows = [
        Row((encoder, objective, f"{epochs:g}", f"{texts:g}" if texts else "all"), frame=part, key=objective)
        for (encoder, objective, epochs, texts), part in groups(
            frame, "encoder", "objective", "num_epochs", "num_train_texts"
        )
    ]
    column = functools.partial(Column, at={"split": "test", "epoch": None})
    columns = [
        Column("accuracy", _accuracy, unit="%", paper=VANILLA if settings["dataset"] == "imdb_reviews" else None),
        column("cross-entropy, nats", "cross_entropy", digits=3),
        column("I(Z;Y) >=, bits", "information_zy_bits", digits=3),
        column("calibration error", "calibration_error", unit="%"),
    ]
    sizes, seeds = records[0].models[0].details["texts"], frame["seed"].nunique()
    intro = (
        f"Texts cut to {settings['max_length']} tokens, {sizes['test']:,} test texts; {seeds} seed{'s' * (seeds > 1)}. "
        "In square brackets the paper's, by a BERT-base."
    )
    corner = ("encoder", "objective", "epochs", "texts")
    headlines = [
        Headline(f"Table 2, vanilla, {row.label[0]} fine-tuned", _accuracy(row.frame), VANILLA[row.key], "%")
        for row in rows
        if row.key in VANILLA and settings["dataset"] == "imdb_reviews"
    ]
    sections = [Table(title="Accuracy", rows=rows, columns=columns, corner=corner), Departures(records)]
    return Report(f"A BERT fine-tuned on {settings['dataset']}", frame, sections, PAPER, intro, headlines)


def _accuracy(part: Any) -> "pd.Series[float]":
    return 1 - per_model(part, "error_avg", split="test", epoch=None)
