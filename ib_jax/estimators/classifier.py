"""The bottleneck classifier as a scikit-learn estimator."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ib_jax import attacks, evaluation, objectives
from ib_jax.estimators.base import Bottleneck, checked_weights
from ib_jax.estimators.functions import ClassifierFunctions, classifier_functions
from ib_jax.estimators.results import Information, Selection
from ib_jax.evaluation import AttackSpec, SuiteResult
from ib_jax.types import Attack, AttackResult, Params


class BottleneckClassifier(ClassifierMixin, Bottleneck):
    r"""A classifier trained through an information bottleneck, as a scikit-learn estimator.

    It minimises one of the bounds of `ib_jax.bounds` by Adam, for VIB
    :math:`E[-\log q(y|z)] + \beta D(p(z|x) \| r(z))`, with a Polyak average of the parameters. An MLP sees each feature
    scaled to [0, 1] by its range in training; an `encoder` of your own takes inputs as they are, of any shape.

    Args:
      objective: one of `ib_jax.objectives.OBJECTIVES` but "dropout".
      beta: weight of the rate in nats per nat, of "vib" and "vub", at least 0.
      rho: of "ceb" and "consistent_ceb", whose residual information has weight :math:`e^{-\rho}`.
      smoothing: of "label_smoothing", in [0, 1).
      penalty: of "confidence_penalty", at least 0.
      hidden: widths of the MLP's hidden layers.
      latent_dim: D, dimensions of the code.
      encoder: a Flax Linen module as of `models.Encoder`, in place of the MLP.
      learning_rate: Adam's.
      num_epochs: passes over the training data.
      batch_size: examples of a step; all of a smaller data set.
      num_samples: samples of z behind each predicted probability, the same noise for every example.
      class_weight: by class, or "balanced", as in scikit-learn.
      random_state: of the first parameters, the order of the data and all noise.
      verbose: whether training of over ten seconds shows its progress.

    Attributes:
      classes_: the labels, sorted.
      params_: NumPy parameters; with the settings they are all that a pickle needs.
      history_: a row for each epoch, in nats.

    Raises:
      ValueError: from `fit`: a setting is out of its range, or there are fewer than two classes.

    There is no `partial_fit`: learning rate, average and class shares belong to one run over all of the data.

    Example:
      >>> from ib_jax import BottleneckClassifier
      >>> from sklearn.datasets import load_wine
      >>> X, y = load_wine(return_X_y=True)
      >>> model = BottleneckClassifier(objective="vib", beta=1e-2, random_state=0).fit(X[::2], y[::2])
      >>> model.score(X[1::2], y[1::2]) > 0.9
      True
      >>> model.information(X[1::2], y[1::2]).label_bits > 1.0
      True
    """

    def __init__(
        self,
        objective: str = "vib",
        *,
        beta: float = 1e-3,
        rho: float = 3.0,
        smoothing: float = 0.1,
        penalty: float = 0.1,
        hidden: Sequence[int] = (100,),
        latent_dim: int = 16,
        encoder: Any = None,
        learning_rate: float = 1e-3,
        num_epochs: int = 200,
        batch_size: int = 32,
        num_samples: int = 12,
        class_weight: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.objective = objective
        self.beta = beta
        self.rho = rho
        self.smoothing = smoothing
        self.penalty = penalty
        self.hidden = hidden
        self.latent_dim = latent_dim
        self.encoder = encoder
        self.learning_rate = learning_rate
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.num_samples = num_samples
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BottleneckClassifier":
        """Trains on examples and their labels.

        Args:
          X: float [N, features].
          y: labels of any kind, [N], of at least two classes.
          sample_weight: float [N], >= 0; examples of weight 0 are left out. None weighs all alike.

        Returns:
          The classifier itself.

        Raises:
          ValueError: a setting is out of its range, y holds one class, or the weights have another length.
        """
        X, y = self._checked(X, y, reset=True)
        check_classification_targets(y)
        weights = compute_sample_weight(self.class_weight, y)
        if sample_weight is not None:
            weights = weights * checked_weights(sample_weight, len(y))
        kept = weights > 0
        self.classes_, labels = np.unique(y[kept], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got one class: {self.classes_.tolist()}")
        self._begin(X[kept])
        counts = np.bincount(labels, weights[kept])
        self._train(X[kept], labels.astype(np.int32), weights[kept], shares=np.float32(counts / counts.sum()))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, float [N, C]: the mean softmax over `num_samples` samples of z."""
        return self._answers("probabilities", X).astype(np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable labels, [N]."""
        places = self.predict_proba(X).argmax(-1)
        return self.classes_[places]

    def information(self, X: Any, y: Any) -> Information:
        """Bounds on the information of the codes about the inputs X and the labels y, in bits."""
        inputs, labels = self._labelled(X, y)
        terms = self._functions().terms(self.params_, jax.random.key(self.seed_), inputs, labels, self.num_samples)
        found = evaluation.summarise(terms, labels, len(self.classes_))
        entropy = float(evaluation.nats_to_bits(evaluation.label_entropy(labels, len(self.classes_))))
        return Information(found.get("rate_bits"), found["information_zy_bits"], entropy, found.get("residual_bits"))

    def attack(self, attack: Attack, X: Any, y: Any) -> AttackResult:
        """Attacks each example of X.

        Args:
          attack: one of `ib_jax.attacks` for inputs in [0, 1], such as `attacks.pgd(0.1, num_eot_samples=10)`. Its
            radius is a share of each feature's range, over the training data and X together.
          X: float [N, features], or as your encoder takes it; with it the range is one for all.
          y: true labels, [N].

        Returns:
          AttackResult of NumPy arrays, inputs in the units of X.
        """
        inputs, labels = self._labelled(X, y, scaled=False)
        params, unit = self._boxed(inputs)
        result = attacks.Runner(attack, self._functions().boxed)(
            params, jax.random.key(self.seed_), jnp.asarray(unit), jnp.asarray(labels)
        )
        low, width = (np.asarray(params[name], np.float64) for name in ("low", "width"))
        return result._replace(inputs=low + width * np.asarray(result.inputs))

    def robustness(
        self, X: Any, y: Any, epsilons: Sequence[float], *, norm: str = "linf", source: Any = None
    ) -> SuiteResult:
        """Accuracy at each radius under PGD, PGD with a margin loss and Square, gradients averaged over samples.

        Args:
          X: float [N, features].
          y: true labels, [N].
          epsilons: radii, as of `attack`.
          norm: "linf" or "l2".
          source: another fitted classifier, on which images for a transfer attack are made.

        Returns:
          SuiteResult: print its `table()`; `together(epsilon).accuracy` is that of one radius.
        """
        inputs, labels = self._labelled(X, y, scaled=False)
        params, unit = self._boxed(inputs)
        noisy = self.objective in objectives.BOTTLENECKS
        shared: dict[str, Any] = {"norm": norm, "num_eot_samples": 10 if noisy else 1}
        suite = []
        for epsilon in epsilons:
            suite += [AttackSpec("pgd", epsilon, **shared), AttackSpec("pgd", epsilon, loss="margin", **shared)]
            suite.append(AttackSpec("square", epsilon, options={"num_queries": 500}, **shared))
            if source is not None:
                suite.append(AttackSpec("pgd", epsilon, norm, source="source"))
        others = {} if source is None else {"source": (source._functions().boxed, source._boxed(inputs, params)[0])}
        return evaluation.evaluate_attacks(
            jax.random.key(self.seed_),
            self._functions().boxed,
            params,
            unit,
            labels,
            suite=suite,
            sources=others,
            num_eval_samples=self.num_samples if noisy else 1,
        )

    def select_beta(
        self, X: Any, y: Any, values: Sequence[float] | None = None, *, cv: Any = 5
    ) -> "BottleneckClassifier":
        """Chooses beta (for CEB, rho) by cross-validation, and fits with it.

        The choice is the strongest bottleneck whose held-out error is within one standard error of the lowest.
        `selection_` holds the errors behind it.

        Args:
          X: float [N, features].
          y: labels, [N].
          values: to choose from; by default 1e-4 to 1 in seven steps of beta, or 0 to 6 of rho.
          cv: folds, as in scikit-learn.

        Returns:
          The classifier itself, fitted with the chosen value.

        Raises:
          ValueError: the objective is not a bottleneck; or as `fit`.
        """
        name = objectives.strength_of(self.objective)
        if name not in ("beta", "rho"):
            raise ValueError(f"objective must be one of {', '.join(objectives.BOTTLENECKS)}, got {self.objective!r}")
        grid = np.asarray(
            values if values is not None else (np.logspace(-4, 0, 7) if name == "beta" else np.arange(7.0))
        )
        folds = list(check_cv(cv, y, classifier=True).split(X, y))
        models = [clone(self).set_params(**{name: float(value)}) for value in grid]
        scores = 1.0 - np.array([cross_val_score(model, X, y, cv=folds) for model in models])
        errors, spread = scores.mean(1), scores.std(1, ddof=1) / math.sqrt(len(folds))
        best = errors.argmin()
        near = grid[errors <= errors[best] + spread[best]]
        chosen = float(near.max() if name == "beta" else near.min())
        self.set_params(**{name: chosen}).fit(X, y)
        self.selection_ = Selection(grid, errors, spread, chosen)
        return self

    def _strength(self) -> float:
        name = objectives.strength_of(self.objective)
        return float(getattr(self, name)) if name else 0.0

    def _labelled(self, X: Any, y: Any, *, scaled: bool = True) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        X, y = self._checked(X, y)
        places = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (unknown := self.classes_[places] != y).any():
            first = y[unknown][:1].tolist()[0]
            raise ValueError(f"y must hold labels of training, {self.classes_.tolist()}, got {first!r}")
        return self._scaled(X) if scaled else X, places.astype(np.int32)

    def _boxed(self, X: np.ndarray, box: Params | None = None) -> tuple[Params, np.ndarray]:
        """Parameters for `boxed`, and X as shares of the box: the range of the training data and of X."""
        low = np.minimum(self.range_[0], X.min(0 if self.range_.ndim > 1 else None))
        high = np.maximum(self.range_[1], X.max(0 if self.range_.ndim > 1 else None))
        found = {"low": low, "width": high - low} if box is None else {name: box[name] for name in ("low", "width")}
        unit = (X - found["low"]) / np.where(found["width"] > 0, found["width"], 1.0)
        scale = (np.zeros(()), np.ones(())) if self.encoder is not None else tuple(self.range_)
        params = {
            "own": self.params_,
            **found,
            "scale": (scale[0], np.where(scale[1] > scale[0], scale[1] - scale[0], 1.0)),
        }
        as_float32 = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params)
        return as_float32, unit.clip(0.0, 1.0).astype(np.float32)

    def _functions(self) -> "ClassifierFunctions":
        if self.objective not in objectives.OBJECTIVES or self.objective == "dropout":
            known = [name for name in objectives.OBJECTIVES if name != "dropout"]
            raise ValueError(f"objective must be one of {', '.join(known)}, got {self.objective!r}")
        noisy = self.objective in objectives.BOTTLENECKS
        scale: Any = "unit" if self.objective in objectives.RESIDUAL_OBJECTIVES else "learned"
        return classifier_functions(self.objective, self._network(scale if noisy else "zero"), len(self.classes_))
