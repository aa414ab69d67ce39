"""Bottlenecks as scikit-learn estimators, over `training.train`."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.utils import Tags, check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ib_jax import attacks, bounds, evaluation, losses, models, objectives, training
from ib_jax.evaluation import AttackSpec, SuiteResult
from ib_jax.types import Array, Attack, AttackResult, DiagGaussian, Params

_CHUNK = 1024  # rows of one call; fewer are filled up to a power of two, so that few sizes are compiled


class Information(NamedTuple):
    """What the code of a fitted classifier keeps of examples, in bits; `print` it to read what each number says.

    Attributes:
      rate_bits: the mean rate, an upper bound on I(X;Z): what the code keeps of the inputs. None without noise.
      label_bits: H(Y) minus the cross-entropy, a lower bound on I(Z;Y): what the code tells of the labels.
      entropy_bits: H(Y) of these labels, the most that `label_bits` can be.
      residual_bits: an upper bound on I(X;Z|Y), what the code keeps beyond the label; None but for CEB.
    """

    rate_bits: float | None
    label_bits: float
    entropy_bits: float
    residual_bits: float | None = None

    def __str__(self) -> str:
        lines = [f"I(Z;Y) >= {self.label_bits:.2f} of {self.entropy_bits:.2f} bits: what the code tells of the label"]
        if self.rate_bits is not None:
            lines.insert(0, f"I(X;Z) <= {self.rate_bits:.2f} bits: what the code keeps of the input")
        if self.residual_bits is not None:
            lines.append(f"I(X;Z|Y) <= {self.residual_bits:.2f} bits: what it keeps beyond the label")
        return "\n".join(lines)


class Selection(NamedTuple):
    """How `select_beta` chose: the strongest bottleneck within one standard error of the lowest held-out error.

    Attributes:
      values: beta (or rho), [E].
      errors: mean held-out error of each over the folds, [E].
      standard_errors: of these means, [E].
      chosen: the value.
    """

    values: np.ndarray
    errors: np.ndarray
    standard_errors: np.ndarray
    chosen: float


class _Bottleneck(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What classifier and regressor share: scaling, training, and one noise for all examples of a prediction."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are float32
        tags.input_tags.three_d_array = self.encoder is not None
        return tags

    def transform(self, X: Any) -> np.ndarray:
        """The means of the codes, float32 [N, D]."""
        return self._answers("codes", X)

    @property
    def _n_features_out(self) -> int:
        return self._structure().encoder.code_dim

    def _checked(self, X: Any, y: Any = None, *, reset: bool = False) -> Any:
        """X (and y) as arrays of floats; of any shape [N, ...] where there is an encoder of one's own."""
        nd = self.encoder is not None
        settings: dict[str, Any] = {"dtype": [np.float64, np.float32], "ensure_2d": not nd, "allow_nd": nd}
        if y is None:
            return validate_data(self, X, reset=reset, **settings)
        numeric = isinstance(self, RegressorMixin)
        return validate_data(self, X, y, reset=reset, y_numeric=numeric, multi_output=numeric, **settings)

    def _begin(self, X: np.ndarray) -> None:
        """The seed, and the range of the training inputs, which an MLP sees as [0, 1]."""
        for name in ("num_epochs", "batch_size", "num_samples"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        axis = 0 if self.encoder is None else None
        self.range_ = np.stack([X.min(axis), X.max(axis)])

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        if self.encoder is not None:  # takes them as they are
            return np.asarray(X, np.float32)
        low, high = self.range_
        return np.asarray((X - low) / np.where(high > low, high - low, 1.0), np.float32)

    def _train(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, **more: Any) -> None:
        """Trains; rows of weight 0 fill the last batch, so that an epoch takes every example once."""
        structure, inputs = self._structure(), self._scaled(X)
        start = {**structure.init(jax.random.key(self.seed_), inputs[:1]), **more}
        batch_size = min(self.batch_size, 8 * math.ceil(len(y) / 8))
        filled = np.resize(np.arange(len(y)), batch_size * math.ceil(len(y) / batch_size))
        weights = np.where(np.arange(len(filled)) < len(y), weights[filled], 0.0).astype(np.float32)
        trained = training.train(
            structure.loss_fn,
            start,
            training.Batch(inputs[filled], y[filled], weights),
            num_epochs=self.num_epochs,
            batch_size=batch_size,
            optimizer=_adam(self.learning_rate),
            schedule=training.constant(self._strength()),
            seed=self.seed_,
            progress=bool(self.verbose),
            programs=structure.programs,
        )
        self.history_ = [{name: value for name, value in row.items() if name != "rho"} for row in trained.history]
        self.params_ = jax.tree.map(np.asarray, {**trained.params, **more})

    def _answers(self, name: str, X: Any) -> np.ndarray:
        """What a function of the structure says of each row, whatever rows stand beside it."""
        check_is_fitted(self)
        inputs = self._scaled(self._checked(X))
        fn, key, parts = getattr(self._structure(), name), jax.random.key(self.seed_), []
        for first in range(0, len(inputs), _CHUNK):
            rows = inputs[first : first + _CHUNK]
            size = max(8, 1 << (len(rows) - 1).bit_length())
            filled = np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])
            parts.append(np.asarray(fn(self.params_, key, filled, self.num_samples))[: len(rows)])
        return np.concatenate(parts)

    def _network(self, scale: models.head.Scale) -> models.Encoder:
        if self.encoder is not None:
            return self.encoder
        if self.latent_dim < 1 or any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden and latent_dim must be at least 1, got {self.hidden} and {self.latent_dim}")
        return models.MLPEncoder(self.latent_dim, tuple(self.hidden), scale)


class BottleneckClassifier(ClassifierMixin, _Bottleneck):
    r"""A classifier trained through an information bottleneck, as a scikit-learn estimator.

    It minimises one of the bounds of `ib_jax.bounds` by Adam, for VIB
    :math:`E[-\log q(y|z)] + \beta D(p(z|x) \| r(z))`, with a Polyak average of the parameters. An MLP sees each feature
    scaled to [0, 1] by its range in training; an `encoder` of your own takes inputs as they are, of any shape.

    Args:
      objective: one of `ib_jax.objectives.OBJECTIVES` but "dropout".
      beta: weight of the rate in nats per nat, of "vib" and "vub", at least 0.
      rho: of "ceb" and "consistent_ceb", whose residual weighs e^-rho.
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
      verbose: whether training that takes over ten seconds shows how far it is.

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
        """Trains on X, float [N, features], and labels y of any kind, [N]; examples of weight 0 are left out."""
        X, y = self._checked(X, y, reset=True)
        check_classification_targets(y)
        weights = compute_sample_weight(self.class_weight, y)
        if sample_weight is not None:
            weights = weights * _weights(sample_weight, len(y))
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
        return self.classes_[self.predict_proba(X).argmax(-1)]

    def information(self, X: Any, y: Any) -> Information:
        """Bounds on what the codes of X keep of the inputs and tell of their labels, in bits."""
        inputs, labels = self._labelled(X, y)
        terms = self._structure().terms(self.params_, jax.random.key(self.seed_), inputs, labels, self.num_samples)
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
        result = attacks.Runner(attack, self._structure().boxed)(params, jax.random.key(self.seed_), unit, labels)
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
        others = {} if source is None else {"source": (source._structure().boxed, source._boxed(inputs, params)[0])}
        return evaluation.evaluate_attacks(
            jax.random.key(self.seed_),
            self._structure().boxed,
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
        """Chooses beta (or rho, of CEB) by cross-validation, and fits with it.

        The strongest bottleneck whose held-out error is within one standard error of the lowest: what more it keeps does
        not show. How it chose stands in `selection_`.

        Args:
          X: float [N, features].
          y: labels, [N].
          values: to choose from; by default 1e-4 to 1 in seven steps of beta, or 0 to 6 of rho.
          cv: folds, as in scikit-learn.
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
            raise ValueError(f"y must hold labels of training, {self.classes_.tolist()}, got {y[unknown][0]!r}")
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

    def _structure(self) -> "_Classification":
        if self.objective not in objectives.OBJECTIVES or self.objective == "dropout":
            known = [name for name in objectives.OBJECTIVES if name != "dropout"]
            raise ValueError(f"objective must be one of {', '.join(known)}, got {self.objective!r}")
        noisy = self.objective in objectives.BOTTLENECKS
        scale: Any = "unit" if self.objective in objectives.RESIDUAL_OBJECTIVES else "learned"
        return _classification(self.objective, self._network(scale if noisy else "zero"), len(self.classes_))


class BottleneckRegressor(RegressorMixin, _Bottleneck):
    r"""A regressor trained through the variational information bottleneck, as a scikit-learn estimator.

    :math:`E[-\log q(y|z)] + \beta D(p(z|x) \| N(0, I))`, q a Gaussian whose mean is linear in z and whose scale is
    learned, for targets scaled to mean 0 and deviation 1.

    Args:
      beta: weight of the rate, in nats per nat; 0 with `noisy=False` is ordinary maximum likelihood.
      noisy: whether codes are drawn; False for the deterministic limit, which has no rate.
      hidden, latent_dim, encoder, learning_rate, num_epochs, batch_size, num_samples, random_state, verbose: as of
        `BottleneckClassifier`.

    Example:
      >>> import numpy as np
      >>> from ib_jax import BottleneckRegressor
      >>> X = np.random.default_rng(0).normal(size=(200, 3))
      >>> BottleneckRegressor(random_state=0).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.8
      True
    """

    def __init__(
        self,
        *,
        beta: float = 1e-3,
        noisy: bool = True,
        hidden: Sequence[int] = (100,),
        latent_dim: int = 16,
        encoder: Any = None,
        learning_rate: float = 1e-3,
        num_epochs: int = 200,
        batch_size: int = 32,
        num_samples: int = 12,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.beta = beta
        self.noisy = noisy
        self.hidden = hidden
        self.latent_dim = latent_dim
        self.encoder = encoder
        self.learning_rate = learning_rate
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.num_samples = num_samples
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BottleneckRegressor":
        """Trains on X, float [N, features], and targets y, float [N] or [N, Y]; examples of weight 0 are left out."""
        X, y = self._checked(X, y, reset=True)
        weights = np.ones(len(y)) if sample_weight is None else _weights(sample_weight, len(y))
        kept = weights > 0
        X, targets, weights = X[kept], y[kept].reshape(kept.sum(), -1), weights[kept]
        self._begin(X)
        deviation = targets.std(0)
        self.target_ = np.stack([targets.mean(0), np.where(deviation > 0, deviation, 1.0)])
        self.flat_ = y.ndim == 1
        self._train(X, ((targets - self.target_[0]) / self.target_[1]).astype(np.float32), weights)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The mean of q(y|z) over `num_samples` samples of z, in the units of y, [N] or [N, Y]."""
        found = self.target_[0] + self.target_[1] * self._answers("targets", X)
        return found[:, 0] if self.flat_ else found

    def _strength(self) -> float:
        return float(self.beta)

    def _structure(self) -> "_Regression":
        return _regression(self._network("learned" if self.noisy else "zero"), self.target_.shape[1], self.noisy)


class _Classification:
    """The functions of classifiers of one kind; parameters, the classes' shares among them, are arguments."""

    def __init__(self, objective: str, encoder: models.Encoder, num_classes: int):
        self.objective, self.encoder, self.num_classes = objective, encoder, num_classes
        self.programs: dict[Any, Any] = {}
        self.noisy, self.strength = objective in objectives.BOTTLENECKS, objectives.strength_of(objective)
        self.codes = jax.jit(self._codes, static_argnums=3)
        self.probabilities = jax.jit(self._probabilities, static_argnums=3)
        self.terms = jax.jit(self._terms, static_argnums=4)

    def model(self, shares: Array) -> models.Classifier:
        residual = self.objective in objectives.RESIDUAL_OBJECTIVES
        return models.make_classifier(
            self.encoder,
            num_classes=self.num_classes,
            backward="unit" if residual else "none",
            linear_decoder=self.objective != "consistent_ceb",
            class_probabilities=shares if residual else None,
        )

    def init(self, key: Array, inputs: Array) -> Params:
        return {"own": self.model(jnp.full(self.num_classes, 1 / self.num_classes)).init(key, inputs)}

    def loss_fn(self, params: Params, keys: Array, inputs: Array, labels: Array, value: Array) -> Any:
        shares = jax.lax.stop_gradient(params["shares"])
        loss_fn = objectives.make_loss(self.objective, self.model(shares), shares)
        return loss_fn(params["own"], keys, inputs, labels, **({self.strength: value} if self.strength else {}))

    def logits(self, params: Params, keys: Array, inputs: Array, num_samples: int) -> Array:
        model, own = self.model(params["shares"]), params["own"]
        return model.decode(own, losses.sample(keys, model.encode(own, inputs), num_samples if self.noisy else 1))

    def boxed(self, params: Params, keys: Array, unit: Array) -> Array:
        """Logits [B, C] at one sample of z, of inputs in [0, 1] of their box."""
        low, width = params["scale"]
        inputs = (params["low"] + params["width"] * unit - low) / width
        return self.logits(params["own"], keys, inputs, 1)[0]

    def _probabilities(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        same = jnp.broadcast_to(key, inputs.shape[:1])
        return evaluation.mean_probabilities(self.logits(params, same, inputs, num_samples))

    def _codes(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        return self.model(params["shares"]).encode(params["own"], inputs).mean

    def _terms(self, params: Params, key: Array, inputs: Array, labels: Array, num_samples: int) -> Any:
        model, own = self.model(params["shares"]), params["own"]
        return evaluation.evaluate_examples(
            key,
            inputs,
            labels,
            encode_fn=functools.partial(model.encode, own),
            decode_fn=functools.partial(model.decode, own),
            prior=model.prior(own) if self.noisy else None,
            backward=None if model.backward is None else model.backward(own),
            num_samples=num_samples if self.noisy else 1,
        )


class _Regression:
    """The functions of regressors of one kind."""

    def __init__(self, encoder: models.Encoder, num_targets: int, noisy: bool):
        self.encoder, self.noisy, self.decoder = encoder, noisy, nn.Dense(num_targets)
        self.programs: dict[Any, Any] = {}
        self.codes = jax.jit(self._codes, static_argnums=3)
        self.targets = jax.jit(self._targets, static_argnums=3)

    def init(self, key: Array, inputs: Array) -> Params:
        keys = jax.random.split(key)
        decoder = self.decoder.init(keys[1], jnp.zeros((1, self.encoder.code_dim)))["params"]
        start = self.encoder.init(keys[0], inputs)["params"]  # type: ignore[attr-defined]
        return {"encoder": start, "decoder": decoder, "log_scale": jnp.zeros(self.decoder.features)}

    def encode(self, params: Params, inputs: Array) -> Any:
        return self.encoder.apply({"params": params["encoder"]}, inputs)  # type: ignore[attr-defined]

    def decode(self, params: Params, codes: Array) -> DiagGaussian:
        mean = self.decoder.apply({"params": params["decoder"]}, codes)
        return DiagGaussian(mean, jnp.broadcast_to(jnp.exp(params["log_scale"]), mean.shape))

    def loss_fn(self, params: Params, keys: Array, inputs: Array, targets: Array, beta: Array) -> Any:
        functions: dict[str, Any] = {
            "encode_fn": functools.partial(self.encode, params),
            "decode_fn": functools.partial(self.decode, params),
        }
        if not self.noisy:
            return bounds.cross_entropy(keys, inputs, targets, **functions)
        prior = losses.standard_normal(self.encoder.code_dim)
        return bounds.vib(keys, inputs, targets, prior=prior, beta=beta, **functions)

    def _targets(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        same = jnp.broadcast_to(key, inputs.shape[:1])
        codes = losses.sample(same, self.encode(params, inputs), num_samples if self.noisy else 1)
        return self.decode(params, codes).mean.mean(0)

    def _codes(self, params: Params, key: Array, inputs: Array, num_samples: int) -> Array:
        return self.encode(params, inputs).mean


_classification = functools.lru_cache(maxsize=16)(_Classification)
_regression = functools.lru_cache(maxsize=16)(_Regression)


@functools.lru_cache(maxsize=16)
def _adam(learning_rate: float) -> optax.GradientTransformation:
    return optax.adam(learning_rate)


def _weights(sample_weight: Any, count: int) -> np.ndarray:
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (count,) or not (weights >= 0).all() or not weights.any():
        raise ValueError(f"sample_weight must be [{count}], at least 0 and not all 0, got {weights}")
    return weights
