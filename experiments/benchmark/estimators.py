"""The suite `estimators`: `BottleneckClassifier` beside scikit-learn's `MLPClassifier` on two of its data sets."""

import contextlib
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from experiments.benchmark.measure import Plan, Row, Turn
from experiments.benchmark.settings import Config
from experiments.benchmark.tables import FIRST, Goal, Section, column, computed, table, tables_of
from experiments.core.records import Record

OURS, PEER = "bottleneck", "mlp"
SETS = ("wine", "breast_cancer")
FOLDS: dict[str, int] = {"n_splits": 5, "n_repeats": 5}
TIME_GOAL, NOISE = 2.0, 2.0  # times the peer's fit; standard errors of a difference between folds


def estimators(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """One fit of each with its own defaults behind a StandardScaler; accuracy by 5 x 5 cross-validation."""
    rows = []
    for name in SETS:
        X, y = _data(name)
        for kind, model in _models().items():
            label = type(model[-1]).__name__
            rows.append(Row(name, kind, label, lambda model=model, X=X, y=y: _fit(model, X, y), len(y)))  # type: ignore[misc]
    return Plan(rows, lambda: {"folds": {name: _folds(name, console) for name in SETS}}, dtype="")


def report(record: Record) -> list[Section]:
    """Times, and accuracy, calibration and bits on the held-out folds."""
    shown: list[Section] = []
    targets = []
    for name, rows in tables_of(record).items():
        ours, peer, folds = rows[OURS], rows[PEER], record.details["folds"][name]
        columns = FIRST | column("a fit, s (range)", "seconds", spread=True)
        for measured, title, form in (
            ("accuracy", "accuracy", ".3f"),
            ("calibration_error", "calibration error", ".3f"),
            ("rate_bits", "I(X;Z) <=, bits", ".2f"),
            ("label_bits", "I(Z;Y) >=, bits", ".2f"),
        ):
            values = {kind: np.array(each[measured]) for kind, each in folds.items() if measured in each}
            means = {kind: np.array([each.mean()]) for kind, each in values.items()}
            columns |= computed(title, means, form, spread=False)
        shown.append(table(f"{name}, defaults behind a StandardScaler; 5 x 5 folds", rows, columns))
        difference = np.array(folds[OURS]["accuracy"]) - np.array(folds[PEER]["accuracy"])
        error = difference.std(ddof=1) * math.sqrt(1 / len(difference) + 1 / 4)  # folds share training data
        shown.append(f"Accuracy less MLPClassifier's: {difference.mean():+.4f} +- {error:.4f}.")
        lower = np.array(-difference.mean() / error if error else 0.0)
        targets.append(Goal(f"{name}: standard errors by which accuracy is lower", NOISE, lower, at_most=True))
        once = ours.rounds("first_seconds") / peer.median("seconds")
        targets.append(Goal(f"{name}: first fit, compiling included / MLPClassifier", TIME_GOAL, once, at_most=True))
        again = ours.rounds("seconds") / peer.rounds("seconds")
        targets.append(Goal(f"{name}: further fits / MLPClassifier", TIME_GOAL, again, at_most=True))
    note = "The error of a difference is that of Nadeau and Bengio (2003), as folds share their training data."
    return [*shown, note, *targets]


def _data(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    found: tuple[np.ndarray, np.ndarray] = getattr(datasets, f"load_{name}")(return_X_y=True)
    return found


def _models() -> dict[str, Any]:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from ib_jax import BottleneckClassifier

    made = {OURS: BottleneckClassifier(random_state=0), PEER: MLPClassifier(random_state=0)}
    return {kind: make_pipeline(StandardScaler(), model) for kind, model in made.items()}


def _fit(model: Any, X: np.ndarray, y: np.ndarray) -> Turn:
    def turn(min_seconds: float) -> tuple[float, dict[str, Any]]:
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 200 epochs are not always enough for the peer, and are its default
            model.fit(X, y)
        seconds = time.perf_counter() - begin
        return seconds, {"seconds": seconds}

    return turn


def _folds(name: str, console: Console) -> Mapping[str, Mapping[str, list[float]]]:
    """What each measured on the 25 held-out folds."""
    from sklearn.model_selection import RepeatedStratifiedKFold

    from ib_jax.evaluation import expected_calibration_error

    X, y = _data(name)
    found: dict[str, dict[str, list[float]]] = {}
    for kind, model in _models().items():
        own = found.setdefault(kind, {})
        for train, test in RepeatedStratifiedKFold(**FOLDS, random_state=0).split(X, y):
            _fit(model, X[train], y[train])(0.0)
            shares = model.predict_proba(X[test])
            right = shares.argmax(-1) == y[test]
            values = {"accuracy": right.mean()}
            values["calibration_error"] = expected_calibration_error(shares.max(-1), right)
            if kind == OURS:
                bits = model[-1].information(model[:-1].transform(X[test]), y[test])
                values |= {"rate_bits": bits.rate_bits, "label_bits": bits.label_bits}
            for measured, value in values.items():
                own.setdefault(measured, []).append(float(value))
        console.print(f"{name}, {type(model[-1]).__name__}: {np.mean(own['accuracy']):.3f} right in 25 folds")
    return found
