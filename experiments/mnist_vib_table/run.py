"""Trains the models of the table, by the runs of `mnist_objectives`."""

import pathlib

from experiments import mnist_objectives
from experiments.core.session import Session
from experiments.mnist_vib_table.settings import TableConfig


def run(config: TableConfig, session: Session) -> pathlib.Path | None:
    """Makes the records that are not there yet and the report; see `mnist_objectives.compare`."""
    return mnist_objectives.compare(config, session)
