"""Bottlenecks as scikit-learn estimators, over `training.train`.

In a pipeline, on a pandas frame, with beta chosen by held-out error:

  >>> from ib_jax import BottleneckClassifier
  >>> from sklearn.datasets import load_wine
  >>> from sklearn.model_selection import GridSearchCV
  >>> from sklearn.pipeline import make_pipeline
  >>> from sklearn.preprocessing import StandardScaler
  >>> frame, labels = load_wine(return_X_y=True, as_frame=True)
  >>> pipeline = make_pipeline(StandardScaler(), BottleneckClassifier(num_epochs=50, random_state=0))
  >>> search = GridSearchCV(pipeline, {"bottleneckclassifier__beta": [1e-3, 1e-1]}, cv=2).fit(frame, labels)
  >>> search.score(frame, labels) > 0.95
  True
"""

from ib_jax.estimators.classifier import BottleneckClassifier
from ib_jax.estimators.regressor import BottleneckRegressor
from ib_jax.estimators.results import Information, Selection

__all__ = ["BottleneckClassifier", "BottleneckRegressor", "Information", "Selection"]
