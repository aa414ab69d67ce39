import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ib_jax.evaluation import restrict_to_classes

#                    0    1     2    3    4
LOGITS = np.array(
    [
        [9.0, 1.0, 2.0, 8.0, 0.0],  # 0 leads in all, 2 among {1, 2, 4}
        [0.0, 1.0, 0.0, 0.0, 3.0],  # 4 leads in both
        [9.0, -5.0, -7.0, 8.0, -6.0],  # 1, though all of the chosen are unlikely
        [0.0, -1.0, -1.0, 0.0, -1.0],  # a tie among the chosen: the first
    ],
    np.float32,
)


@pytest.mark.not_under("debug_infs", reason="a class that is left out is at minus infinity")
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_answer_is_the_best_of_the_chosen_under_its_own_number(wrap):
    answers = wrap(lambda logits: restrict_to_classes(logits, [4, 1, 2]).argmax(-1))(LOGITS)
    assert answers.tolist() == [2, 4, 1, 1]


@pytest.mark.not_under("debug_infs", reason="a class that is left out is at minus infinity")
def test_it_is_what_picking_the_columns_gives():
    logits = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)
    classes = np.array([3, 7, 8, 20, 29])
    restricted = np.asarray(restrict_to_classes(logits, classes))
    np.testing.assert_array_equal(restricted.argmax(-1), classes[logits[:, classes].argmax(-1)])
    np.testing.assert_array_equal(restricted[:, classes], logits[:, classes])
    probabilities = np.asarray(jax.nn.softmax(restricted, -1))
    np.testing.assert_allclose(probabilities[:, classes], scipy.special.softmax(logits[:, classes], -1), rtol=1e-5)
    assert not np.delete(probabilities, classes, -1).any()


def test_shape_and_dtype_are_kept():
    samples = jnp.zeros((2, 3, 5), jnp.bfloat16)
    restricted = restrict_to_classes(samples, np.arange(5, dtype=np.int32))
    assert restricted.dtype == jnp.bfloat16
    np.testing.assert_array_equal(restricted, samples)


@pytest.mark.parametrize(
    "classes, message",
    [
        ([], r"classes must be integers \[K\] with K >= 1, got float64 \(0,\)"),
        ([[1, 2]], r"classes must be integers \[K\] .* got int64 \(1, 2\)"),
        ([1.0, 2.0], r"classes must be integers \[K\] .* got float64 \(2,\)"),
        ([True, False, True, True, True], r"classes must be integers \[K\] .* got bool \(5,\)"),
        ([0, 5], r"classes must be in 0\.\.4, got 0\.\.5"),
        ([-1, 3], r"classes must be in 0\.\.4, got -1\.\.3"),
        ([1, 2, 1], "classes must be distinct, got 3 of which 2 are"),
    ],
)
def test_bad_classes_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        restrict_to_classes(jnp.asarray(LOGITS), classes)
