"""See __main__.py; for other experiments: settings, how a trained model is opened, and sections of reports."""

from experiments.cifar10_ceb.recipe import FUNCTIONS, load, network_name
from experiments.cifar10_ceb.report import (
    NAMES,
    PGD,
    Group,
    checks_grid,
    corruption_error,
    corruption_rows,
    groups_of,
    together_table,
    with_levels,
)
from experiments.cifar10_ceb.settings import Cifar10Config as Config

__all__ = [
    "FUNCTIONS",
    "NAMES",
    "PGD",
    "Config",
    "Group",
    "checks_grid",
    "corruption_error",
    "corruption_rows",
    "groups_of",
    "load",
    "network_name",
    "together_table",
    "with_levels",
]
