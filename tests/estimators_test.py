"""The estimators: scikit-learn's own checks, its tools around them, and what only a bottleneck tells."""

import pickle

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ib_jax import BottleneckClassifier, BottleneckRegressor, DiagGaussian, attacks, losses, objectives

SMALL = {"num_epochs": 40, "hidden": (32,), "random_state": 0}
DRAWN = "batches and noise are drawn at random: an example given twice is not one of twice the weight, to seven digits"
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": DRAWN}
X, Y = load_wine(return_X_y=True)
NAMES = np.array(["barbera", "grignolino", "barolo"])[Y]


@parametrize_with_checks(
    [BottleneckClassifier(num_epochs=40, hidden=(32,)), BottleneckRegressor(num_epochs=40, hidden=(32,))],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def fitted():
    return BottleneckClassifier(beta=1e-3, num_epochs=100, random_state=0).fit(X[::2], NAMES[::2])


@pytest.mark.parametrize("objective", [name for name in objectives.OBJECTIVES if name != "dropout"])
def test_every_objective_learns(objective):
    model = BottleneckClassifier(objective, **SMALL).fit(X[::2], NAMES[::2])
    assert model.score(X[1::2], NAMES[1::2]) > 0.85
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1.0, atol=1e-6)
    assert model.transform(X).shape == (178, 16)


def test_it_is_pickled_by_its_parameters_and_cloned_by_its_settings(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert len(pickle.dumps(fitted)) < 100_000
    assert clone(fitted).get_params() == fitted.get_params()


def test_it_works_in_pipelines_searches_and_cross_validation():
    pipeline = make_pipeline(StandardScaler(), BottleneckClassifier(**SMALL))
    assert cross_val_score(pipeline, X, NAMES, cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"bottleneckclassifier__beta": [1e-3, 100.0]}, cv=2).fit(X, NAMES)
    assert search.best_params_ == {"bottleneckclassifier__beta": 1e-3}  # of 100 nothing is left
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=load_wine().feature_names)
    model = pipeline.set_output(transform="pandas").fit(frame, NAMES)
    assert list(model.transform(frame).columns[:2]) == ["bottleneckclassifier0", "bottleneckclassifier1"]


def test_fits_that_differ_in_the_strength_share_their_programs(fitted):
    before = fitted._functions().programs
    count = len(before)
    other = clone(fitted).set_params(beta=1.0).fit(X[::2], NAMES[::2])
    assert other._functions().programs is before
    assert len(before) == count
    assert other.history_[-1]["rate"] < 0.5 * fitted.history_[-1]["rate"]


def test_information_falls_with_beta_and_says_what_it_means(fitted):
    free = fitted.information(X, NAMES)
    tight = clone(fitted).set_params(beta=1.0).fit(X[::2], NAMES[::2]).information(X, NAMES)
    assert free.rate_bits > tight.rate_bits
    assert free.label_bits > tight.label_bits
    assert free.label_bits <= free.entropy_bits == pytest.approx(1.567, abs=1e-3)  # of 59, 71 and 48 wines
    assert "I(X;Z) <=" in str(free)
    ceb = BottleneckClassifier("ceb", **SMALL).fit(X, NAMES).information(X, NAMES)
    assert ceb.residual_bits is not None
    assert BottleneckClassifier("cross_entropy", **SMALL).fit(X, NAMES).information(X, NAMES).rate_bits is None


def test_probabilities_are_those_of_naive_numpy(fitted):
    """The mean softmax over samples of z with one noise for every example."""
    own, model = fitted.params_, fitted._functions().model(fitted.params_["shares"])
    low, high = X[::2].min(0), X[::2].max(0)
    encoding = model.encode(own, jnp.asarray((X - low) / (high - low), jnp.float32))
    codes = losses.sample(jnp.broadcast_to(jax.random.key(fitted.seed_), (len(X),)), encoding, 12)
    np.testing.assert_allclose(np.ptp((codes - encoding.mean) / encoding.scale, axis=1), 0.0, atol=1e-2)
    logits = np.asarray(codes @ own["decoder"]["Dense_0"]["kernel"] + own["decoder"]["Dense_0"]["bias"], np.float64)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    expected = (shares / shares.sum(-1, keepdims=True)).mean(0)
    np.testing.assert_allclose(fitted.predict_proba(X), expected, atol=1e-4)


def test_attacks_stay_in_their_radius_in_shares_of_each_range(fitted):
    result = fitted.attack(attacks.pgd(0.1, num_steps=5, num_eot_samples=4), X, NAMES)
    assert (np.abs(result.inputs - X) <= 0.1 * np.ptp(X, axis=0) * (1 + 1e-5)).all()
    assert result.inputs.min(0) == pytest.approx(np.maximum(X.min(0), result.inputs.min(0)), rel=1e-4)
    attacked = (fitted.predict(result.inputs) == NAMES).mean()
    assert attacked < fitted.score(X, NAMES) - 0.1
    assert result.success.mean() == pytest.approx(1 - attacked, abs=0.1)


def test_robustness_never_stands_alone(fitted):
    other = BottleneckClassifier("cross_entropy", **SMALL).fit(X[::2], NAMES[::2])
    result = fitted.robustness(X[1::2], NAMES[1::2], [0.05, 0.2], source=other)
    small, large = (result.together(epsilon).accuracy["worst"] for epsilon in (0.05, 0.2))
    assert 0.0 <= large < small <= result.clean_accuracy
    assert {row.spec.attack for row in result.rows} == {"pgd", "square"}
    assert sum(row.spec.source == "source" for row in result.rows) == 2


def test_weights_of_zero_leave_out_and_class_weights_count():
    weights = (np.arange(178) % 2 == 0).astype(float)
    weighted, fewer = (BottleneckClassifier(**SMALL).fit(*data) for data in ((X, Y, weights), (X[::2], Y[::2])))
    np.testing.assert_array_equal(weighted.predict_proba(X), fewer.predict_proba(X))
    heavy = BottleneckClassifier(class_weight={0: 1, 1: 1, 2: 100}, **SMALL).fit(X, Y)
    assert (heavy.predict(X) == 2).sum() > (BottleneckClassifier(**SMALL).fit(X, Y).predict(X) == 2).sum()


def test_the_strongest_bottleneck_within_one_standard_error_is_chosen():
    model = BottleneckClassifier(**SMALL).select_beta(X, NAMES, [1e-4, 1e-2, 100.0], cv=3)
    chosen = model.selection_
    assert chosen.errors[2] > 0.5
    assert model.beta == chosen.chosen == 1e-2
    assert model.score(X, NAMES) > 0.9
    with pytest.raises(ValueError, match="objective must be one of vib, vub, ceb, consistent_ceb"):
        BottleneckClassifier("cross_entropy").select_beta(X, NAMES)


class Rows(nn.Module):
    code_dim: int = 3

    @nn.compact
    def __call__(self, inputs, *, train=False):
        hidden = nn.relu(nn.Conv(4, (3, 3))(inputs)).mean((1, 2))
        return DiagGaussian(nn.Dense(3)(hidden), jnp.full((len(inputs), 3), 0.1))


def test_an_encoder_of_ones_own_takes_images_as_they_are():
    images = np.random.default_rng(0).uniform(size=(60, 5, 5, 1)) * np.linspace(0.2, 1.0, 60)[:, None, None, None]
    labels = images.mean((1, 2, 3)) > 0.3
    model = BottleneckClassifier(encoder=Rows(), num_epochs=30, learning_rate=1e-2, random_state=0).fit(images, labels)
    assert model.score(images, labels) > 0.8
    result = model.attack(attacks.pgd(0.1, num_steps=3), images, labels)
    assert result.inputs.shape == images.shape


class Normed(nn.Module):
    code_dim: int = 3

    @nn.compact
    def __call__(self, inputs, *, train=False):
        mean = nn.Dense(3)(nn.BatchNorm(use_running_average=not train)(inputs))
        return DiagGaussian(mean, jnp.full_like(mean, 0.1))


def test_an_encoder_may_keep_running_statistics():
    model = BottleneckClassifier(encoder=Normed(), num_epochs=200, learning_rate=1e-2, random_state=0).fit(X, NAMES)
    assert model.score(X, NAMES) > 0.9
    assert float(np.ptp(model.params_["batch_stats"]["BatchNorm_0"]["mean"])) > 100.0  # wines' features are apart


def test_a_regressor_beats_the_mean_and_its_noise_costs():
    inputs = np.random.default_rng(0).normal(size=(200, 3))
    targets = np.stack([inputs[:, 0] ** 2, 100 + inputs[:, 1]], -1)
    free = BottleneckRegressor(**SMALL | {"num_epochs": 200}).fit(inputs, targets)
    assert free.score(inputs, targets) > 0.8
    assert free.predict(inputs).shape == (200, 2)
    assert BottleneckRegressor(**SMALL, beta=100.0).fit(inputs, targets).score(inputs, targets) < 0.1
    assert "rate" not in BottleneckRegressor(**SMALL, noisy=False).fit(inputs, targets).history_[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "vibe"}, "objective must be one of vib, .* got 'vibe'"),
        ({"hidden": (0,)}, r"hidden and latent_dim must be at least 1, got \(0,\) and 16"),
        ({"num_epochs": 0}, "num_epochs must be at least 1, got 0"),
        ({"beta": -1.0}, "beta must be at least 0, got -1.0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"objective": "label_smoothing", "smoothing": 1.5}, r"smoothing must be in \[0, 1\), got 1.5"),
    ],
)
def test_what_will_not_do_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        BottleneckClassifier(**settings).fit(X, NAMES)


def test_sparse_inputs_and_unknown_labels_are_refused_by_name(fitted):
    with pytest.raises(TypeError, match="Sparse data was passed"):
        fitted.predict(scipy.sparse.csr_array(X))
    with pytest.raises(ValueError, match=r"y must hold labels of training, .* got 'chianti'"):
        fitted.information(X, np.where(NAMES == "barolo", "chianti", NAMES))
