import functools

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
    settings = {"encode_fn": encode_fn, "decode_fn": decode_fn, "prior": PRIOR, "num_samples": 12, "labels": LABELS}
    return evaluation.evaluate_examples(jax.random.key(0), jnp.asarray(INPUTS), **(settings | kwargs))


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


@functools.partial(jax.jit, static_argnums=1)
def scaled_terms(scale, num_samples):
    return terms_of(decode_fn=lambda z: scale * decode_fn(z), num_samples=num_samples)


@pytest.mark.parametrize("num_samples", [1, 12])
@pytest.mark.parametrize("scale", [1e-9, 1e-8, 1.0, 1e4, 1e10])
def test_verdicts_are_those_of_the_argmax_at_every_scale_of_the_logits(scale, num_samples):
    """In NumPy's float64 the mean softmax of small logits is their mean; of large ones it counts votes, with ties."""
    terms = scaled_terms(scale, num_samples)
    codes = np.asarray(losses.sample(jax.random.key(0), encode_fn(jnp.asarray(INPUTS)), num_samples), np.float64)
    logits = scale * (codes @ WEIGHT.astype(np.float64))
    np.testing.assert_array_equal(terms.correct_one, logits[0].argmax(-1) == LABELS)
    np.testing.assert_array_equal(terms.correct_mean, (INPUTS @ WEIGHT).argmax(-1) == LABELS)
    mean = scipy.special.softmax(logits, -1).mean(0) if scale > 1e-6 else logits.mean(0)
    first, second = np.sort(mean, -1)[:, ::-1][:, :2].T
    clear = first - second > 1e-4 * min(scale, 1.0)
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(terms.correct_avg[clear], (mean.argmax(-1) == LABELS)[clear])


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
@pytest.mark.parametrize("where", ["all", "one sample", "the mean"])
@pytest.mark.parametrize("label", [0, -1])
def test_no_answer_is_never_right_and_leaves_nothing_to_summarise(where, label):
    """Though the argmax of NaN is class 0."""

    def decode(codes):
        at_mean = codes.ndim == 2
        nan = {"all": True, "the mean": at_mean, "one sample": not at_mean and jnp.arange(12)[:, None, None] == 5}[
            where
        ]
        return jnp.where(
            nan, jnp.nan, jnp.broadcast_to(jax.nn.one_hot(0, 5, dtype=jnp.float32), decode_fn(codes).shape)
        )

    terms = terms_of(decode_fn=decode, labels=np.full(40, label))
    if label == 0:
        assert not (terms.correct_avg & terms.correct_mean).any()
        with pytest.raises(ValueError, match="the model has no answer for 40 of 40 examples, the first of them 0"):
            evaluation.summarise(terms, np.zeros(40, int), 5)
    else:
        assert not (terms.correct_one | terms.correct_avg | terms.correct_mean).any()


def test_one_example_without_an_answer_is_named():
    right = np.ones(4, bool)
    entropies = np.array([0.1, 0.2, np.nan, 0.3])
    for terms in (
        evaluation.ExampleTerms(right, right, right, entropies, np.ones(4), rate=np.ones(4)),
        evaluation.ExampleTerms(right, right, right, np.ones(4), entropies, rate=np.ones(4)),
    ):
        for reduce in (evaluation.summarise, evaluation.bound_information):
            with pytest.raises(ValueError, match="no answer for 1 of 4 examples, the first of them 2"):
                reduce(terms, np.zeros(4, int), 2)


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
