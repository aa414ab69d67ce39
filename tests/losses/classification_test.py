import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ib_jax import losses

logits_strategy = arrays.arrays(
    np.float32, st.tuples(st.integers(0, 4), st.integers(2, 6)), elements=st.floats(-1e4, 1e4, width=32)
)


def naive_cross_entropy(logits, labels):
    logits = np.asarray(logits, np.float64)
    return scipy.special.logsumexp(logits, axis=-1) - np.take_along_axis(logits, labels[..., None], -1)[..., 0]


@hypothesis.given(logits_strategy, st.integers(0, 2**31))
@hypothesis.settings(deadline=None, max_examples=50)
def test_cross_entropy_equals_the_naive_one_in_float64(logits, seed):
    labels = np.random.default_rng(seed).integers(0, logits.shape[1], logits.shape[0])
    got = jax.jit(losses.cross_entropy)(logits, labels)
    assert got.shape == labels.shape
    np.testing.assert_allclose(got, naive_cross_entropy(logits, labels), rtol=2e-5, atol=1e-3 * (labels.size > 0))


@hypothesis.given(logits_strategy)
@hypothesis.settings(deadline=None, max_examples=50)
def test_entropy_equals_scipys(logits):
    expected = scipy.special.entr(scipy.special.softmax(logits.astype(np.float64), -1)).sum(-1)
    got = jax.jit(losses.entropy)(logits)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert np.all(got >= 0)
    assert np.all(got <= np.log(logits.shape[1]) * 1.0001)


def test_confident_predictions_keep_value_and_gradient():
    """A gap of 60 nats: p(y) rounds to 1 in float32, and the usual form gives exactly zero for both."""
    logits, label = jnp.array([60.0, 0.0, -3.0]), jnp.array(0)
    np.testing.assert_allclose(losses.cross_entropy(logits, label), np.log1p(np.exp(-60.0) + np.exp(-63.0)), rtol=1e-5)
    gradient = jax.grad(losses.cross_entropy)(logits, label)
    exact = scipy.special.softmax(np.asarray(logits, np.float64))
    np.testing.assert_allclose(gradient[1:], exact[1:], rtol=1e-5)
    np.testing.assert_allclose(gradient[0], -exact[1:].sum(), rtol=1e-5)


def test_cross_entropy_gradient_is_softmax_minus_one_hot():
    logits = jax.random.normal(jax.random.key(0), (5, 7))
    labels = jnp.array([0, 6, 3, 3, 1])
    gradient = jax.grad(lambda x: losses.cross_entropy(x, labels).sum())(logits)
    expected = scipy.special.softmax(np.asarray(logits, np.float64), -1) - np.eye(7)[labels]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_margin_masks_the_label_with_minus_infinity():
    logits = jnp.array([[-5.0, -7.0, -6.0], [1.0, 4.0, 2.0]])
    np.testing.assert_array_equal(losses.margin(logits, jnp.array([0, 0])), [1.0, -3.0])


@pytest.mark.not_under("debug_nans", reason="a label out of range is NaN on purpose")
@pytest.mark.parametrize("kernel", [losses.cross_entropy, losses.margin])
def test_labels_broadcast_over_samples_and_out_of_range_is_nan(kernel):
    logits = jax.random.normal(jax.random.key(0), (12, 3, 4))
    got = kernel(logits, jnp.array([0, -1, 4]))
    assert got.shape == (12, 3)
    np.testing.assert_array_equal(np.isnan(got), np.tile([False, True, True], (12, 1)))


@pytest.mark.parametrize("name", ["cross_entropy", "margin", "correct", "dlr", "targeted_dlr"])
def test_labels_may_be_a_list(name):
    logits, kernel = jax.random.normal(jax.random.key(0), (3, 4)), getattr(losses, name)
    classes = [[2, 0, 3], [0, 1, 1]] if name == "targeted_dlr" else [[2, 0, 3]]
    np.testing.assert_array_equal(kernel(logits, *classes), kernel(logits, *map(jnp.array, classes)))


@pytest.mark.parametrize("kernel", [losses.cross_entropy, losses.margin])
def test_bad_input_is_refused(kernel):
    with pytest.raises(ValueError, match="C >= 2 classes, got shape"):
        kernel(jnp.zeros((3, 1)), jnp.zeros(3, jnp.int32))
    if kernel is losses.margin:
        with pytest.raises(AssertionError):
            kernel(jnp.zeros((3, 2)), jnp.zeros(3))
    else:
        with pytest.raises(ValueError, match=r"one-hot or soft, float \[3, 2\] .*, got float(32|64) \[3\]"):
            kernel(jnp.zeros((3, 2)), jnp.zeros(3))
        with pytest.raises(AssertionError):
            kernel(jnp.zeros((3, 2), jnp.int32), jnp.zeros((3, 2)))


@pytest.mark.parametrize("kernel", [losses.cross_entropy, losses.margin, lambda logits, labels: losses.entropy(logits)])
def test_bfloat16_is_accumulated_in_float32_and_float64_stays(kernel):
    logits = jax.random.normal(jax.random.key(0), (4, 1000)).astype(jnp.bfloat16)
    labels = jnp.arange(4)
    got = kernel(logits, labels)
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, kernel(logits.astype(jnp.float32), labels))
    with jax.enable_x64(True):
        assert kernel(jnp.asarray(np.asarray(logits, np.float64)), labels).dtype == jnp.float64


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_cross_entropy_of_soft_labels_equals_the_naive_one_in_float64(scale):
    logits = scale * jax.random.normal(jax.random.key(0), (12, 6, 7))
    labels = jax.random.dirichlet(jax.random.key(1), jnp.ones(7), (6,))
    wide = np.asarray(logits, np.float64)
    log_q = wide - scipy.special.logsumexp(wide, axis=-1, keepdims=True)
    expected = -(np.asarray(labels, np.float64) * log_q).sum(-1)
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), expected, rtol=1e-5)
    gradient = jax.grad(lambda x: losses.cross_entropy(x, labels).sum())(logits)
    np.testing.assert_allclose(gradient, np.exp(log_q) - np.asarray(labels), atol=1e-5)


def test_one_hot_labels_keep_the_gradient_of_a_confident_prediction():
    """60 nats sure: the plain form gives a loss and a gradient of exactly 0 in float32."""
    logits, label = jnp.array([60.0, 0.0, 0.0]), jnp.array([True, False, False])
    loss, gradient = jax.value_and_grad(losses.cross_entropy)(logits, label)
    np.testing.assert_allclose(loss, 2 * np.exp(-60.0), rtol=1e-5)
    np.testing.assert_allclose(gradient, np.exp(-60.0) * np.array([-2.0, 1.0, 1.0]), rtol=1e-5)


@pytest.mark.not_under("debug_infs", reason="a logit is infinite")
def test_a_class_at_minus_infinity_adds_nothing_where_its_label_is_zero():
    logits = jnp.array([0.0, 0.0, -jnp.inf])
    np.testing.assert_allclose(losses.cross_entropy(logits, jnp.array([0.5, 0.5, 0.0])), np.log(2), rtol=1e-6)
    assert losses.cross_entropy(logits, jnp.array([0.5, 0.25, 0.25])) == np.inf


def test_correct_compares_the_most_probable_class():
    logits = jnp.array([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(losses.correct(logits, jnp.array([1, 1, 1])), [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(
        losses.correct(logits, jnp.array([[0.4, 0.6], [0.4, 0.6], [0.9, 0.1]])), [1.0, 0.0, 0.0]
    )
