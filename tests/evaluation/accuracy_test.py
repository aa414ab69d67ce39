import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ib_jax import DiagGaussian, evaluation, losses

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 5)).astype(np.float32)
INPUTS, LABELS = RNG.normal(size=(40, 4)).astype(np.float32), RNG.integers(0, 5, 40)
PRIOR = losses.standard_normal(4)


def encode_fn(inputs):
    return DiagGaussian(inputs, jnp.full_like(inputs, 0.7))


def decode_fn(codes):
    return codes @ jnp.asarray(WEIGHT)


def terms_of(**kwargs):
    settings = {"encode_fn": encode_fn, "decode_fn": decode_fn, "prior": PRIOR, "num_samples": 12}
    return evaluation.evaluate_examples(
        jax.random.key(0), jnp.asarray(INPUTS), jnp.asarray(LABELS), **(settings | kwargs)
    )


def test_terms_equal_naive_numpy():
    terms = terms_of()
    codes = np.asarray(losses.sample(jax.random.key(0), encode_fn(jnp.asarray(INPUTS)), 12), np.float64)
    logits = codes @ WEIGHT
    probabilities = scipy.special.softmax(logits, -1)
    np.testing.assert_array_equal(terms.correct_one, logits[0].argmax(-1) == LABELS)
    np.testing.assert_array_equal(terms.correct_avg, probabilities.mean(0).argmax(-1) == LABELS)
    np.testing.assert_array_equal(terms.correct_mean, (INPUTS @ WEIGHT).argmax(-1) == LABELS)
    np.testing.assert_allclose(terms.cross_entropy, -np.log(probabilities[:, np.arange(40), LABELS]).mean(0), rtol=1e-4)
    np.testing.assert_allclose(terms.confidence, probabilities.mean(0).max(-1), rtol=1e-5)
    rate = np.sum(0.5 * (0.49 + INPUTS.astype(np.float64) ** 2 - 1) - np.log(0.7), -1)
    np.testing.assert_allclose(terms.rate, rate, rtol=1e-4)


def test_summary_is_in_the_stated_units():
    terms = terms_of()
    summary = evaluation.summarise(terms, LABELS, 5)
    np.testing.assert_allclose(summary["error_avg"], 1 - np.mean(terms.correct_avg))
    np.testing.assert_allclose(summary["rate_bits"], np.mean(terms.rate) / np.log(2), rtol=1e-6)
    shares = np.bincount(LABELS, minlength=5) / 40
    bits = scipy.special.entr(shares).sum() / np.log(2) - np.mean(terms.cross_entropy) / np.log(2)
    np.testing.assert_allclose(summary["information_zy_bits"], bits, rtol=1e-5)
    assert "rate_bits" not in evaluation.summarise(terms_of(prior=None), LABELS, 5)


def test_a_deterministic_model_gives_the_same_however_it_is_sampled():
    terms = terms_of(encode_fn=lambda x: DiagGaussian(x, jnp.zeros_like(x)), prior=None)
    np.testing.assert_array_equal(terms.correct_one, terms.correct_mean)
    np.testing.assert_array_equal(terms.correct_avg, terms.correct_mean)


def test_label_entropy():
    np.testing.assert_allclose(evaluation.label_entropy(np.arange(10).repeat(7), 10), np.log(10))
    assert evaluation.label_entropy(np.zeros(5, int), 10) == 0.0
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\), got values from 0 to 3"):
        evaluation.label_entropy(np.arange(4), 3)
    with pytest.raises(ValueError, match="at least one label"):
        evaluation.label_entropy(np.zeros(0, int), 3)


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_calibration_error_equals_a_naive_loop(num_bins):
    confidence, correct = RNG.uniform(size=300), RNG.uniform(size=300) < 0.5
    expected = 0.0
    for low in range(num_bins):
        inside = (confidence > low / num_bins) & (confidence <= (low + 1) / num_bins)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    got = evaluation.expected_calibration_error(confidence, correct, num_bins)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_calibration_error_of_the_perfect_and_the_overconfident():
    assert evaluation.expected_calibration_error(np.ones(4), np.ones(4, bool)) == 0.0
    assert evaluation.expected_calibration_error(np.ones(4), np.zeros(4, bool)) == 1.0
    for bad in (np.array([1.2, 0.0]), np.array([np.nan, 0.0])):
        with pytest.raises(ValueError, match=r"confidence must be in \[0, 1\]"):
            evaluation.expected_calibration_error(bad, np.ones(2, bool))
    with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
        evaluation.expected_calibration_error(np.ones(2), np.ones(2, bool), 0)
    with pytest.raises(ValueError, match="N >= 1"):
        evaluation.expected_calibration_error(np.ones(0), np.ones(0, bool))
