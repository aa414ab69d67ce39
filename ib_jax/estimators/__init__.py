"""Bottlenecks as scikit-learn estimators, over `training.train`."""

from ib_jax.estimators.classifier import BottleneckClassifier
from ib_jax.estimators.regressor import BottleneckRegressor
from ib_jax.estimators.results import Information, Selection

__all__ = ["BottleneckClassifier", "BottleneckRegressor", "Information", "Selection"]
