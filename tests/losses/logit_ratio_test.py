"""DLR against naive NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import losses

LOGITS = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32) * 3
LABELS = np.arange(20) % 6


def test_dlr_by_hand():
    for logits, label, value in zip(LOGITS, LABELS, losses.dlr(LOGITS, jnp.asarray(LABELS)), strict=True):
        ordered = np.sort(logits)[::-1]
        others = max(value for c, value in enumerate(logits) if c != label)
        np.testing.assert_allclose(value, -(logits[label] - others) / (ordered[0] - ordered[2]), rtol=1e-5)


def test_targeted_dlr_by_hand():
    targets = (LABELS + 2) % 6
    values = losses.targeted_dlr(LOGITS, jnp.asarray(LABELS), jnp.asarray(targets))
    for logits, label, target, value in zip(LOGITS, LABELS, targets, values, strict=True):
        ordered = np.sort(logits)[::-1]
        gap = ordered[0] - (ordered[2] + ordered[3]) / 2
        np.testing.assert_allclose(value, -(logits[label] - logits[target]) / gap, rtol=1e-5)


def test_neither_shift_nor_scale_matters_and_the_sign_is_that_of_a_mistake():
    values = losses.dlr(LOGITS, jnp.asarray(LABELS))
    np.testing.assert_allclose(losses.dlr(7 * LOGITS - 40, jnp.asarray(LABELS)), values, rtol=1e-4)
    np.testing.assert_array_equal(values > 0, LOGITS.argmax(-1) != LABELS)


def test_a_saturated_softmax_keeps_its_gradient():
    slope = jax.grad(lambda logits: losses.dlr(logits, jnp.array([0])).sum())(jnp.array([[1000.0, 1.0, 0.0]]))
    assert np.abs(slope).max() > 1e-6


@pytest.mark.not_under("debug_nans", reason="a label out of range is NaN on purpose")
def test_bad_input():
    with pytest.raises(ValueError, match=r"dlr needs logits .* at least 3 classes"):
        losses.dlr(jnp.ones((2, 2)), jnp.array([0, 1]))
    with pytest.raises(ValueError, match=r"targeted_dlr needs logits .* at least 4 classes"):
        losses.targeted_dlr(jnp.ones((2, 3)), jnp.array([0, 1]), jnp.array([1, 0]))
    assert np.isnan(losses.dlr(jnp.ones((1, 3)), jnp.array([3]))).all()
    assert np.isnan(losses.targeted_dlr(jnp.ones((1, 4)), jnp.array([0]), jnp.array([-1]))).all()


@pytest.mark.not_under("debug_infs", reason="some logits are infinite")
def test_without_three_finite_logits_it_is_the_difference_itself():
    """Masked classes leave no third logit, and equal ones no unit; neither value nor gradient may be NaN."""
    masked = jnp.array([[3.0, 1.0, -jnp.inf, -jnp.inf]])
    labels, targets = jnp.array([0]), jnp.array([1])
    np.testing.assert_array_equal(losses.dlr(masked, labels), [-2.0])
    np.testing.assert_array_equal(losses.targeted_dlr(masked, labels, targets), [-2.0])
    slope = jax.grad(lambda logits: losses.dlr(logits, labels).sum())
    np.testing.assert_array_equal(slope(masked), [[-1.0, 1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(losses.dlr(jnp.ones((1, 4)), labels), [0.0])
    assert jnp.isfinite(slope(jnp.ones((1, 4)))).all()
    small = jnp.array([[4.0, 1.0, 0.0]]) * 1e-12
    np.testing.assert_allclose(losses.dlr(small, labels), [-0.75], rtol=1e-5)
