import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation

RNG = np.random.default_rng(0)


def test_it_is_the_textbooks():
    """r by its definition, p from Student's t with n - 2 degrees of freedom, the interval by Fisher's transform."""
    x = RNG.normal(size=30)
    y = 0.5 * x + RNG.normal(size=30)
    found = evaluation.pearson(x, y, 0.9)
    r = np.mean((x - x.mean()) * (y - y.mean())) / (x.std() * y.std())
    p_value = 2 * scipy.stats.t.sf(abs(r) * np.sqrt(28 / (1 - r**2)), 28)
    reach = scipy.stats.norm.ppf(0.95) / np.sqrt(27)
    wanted = (r, p_value, np.tanh(np.arctanh(r) - reach), np.tanh(np.arctanh(r) + reach))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_the_papers_p_values_say_how_many_pairs_it_had():
    """r = 0.57 with p = 0.0015 and r = 0.51 with p = 0.0054 are those of 28 pairs."""
    for r, published in ((0.57, 0.0015), (0.51, 0.0054)):
        x = np.linspace(-1, 1, 28)
        noise = RNG.normal(size=28)
        noise -= np.polyval(np.polyfit(x, noise, 1), x)
        y = r * x / x.std() + np.sqrt(1 - r**2) * noise / noise.std()
        found = evaluation.pearson(x, y)
        np.testing.assert_allclose(found.coefficient, r)
        np.testing.assert_allclose(found.p_value, published, rtol=0.1)


@pytest.mark.parametrize(
    ("x", "y", "confidence", "message"),
    [
        ([1, 2], [1, 2], 0.95, r"x and y must both have shape \[n\] with n >= 3, got \(2,\) and \(2,\)"),
        ([1, 2, 3], [1, 2, 3, 4], 0.95, "x and y must both have shape"),
        ([1, 2, np.nan], [1, 2, 3], 0.95, "x must be finite, got nan"),
        ([1, 2, 3], [0.1, 0.1, 0.1], 0.95, r"y must vary, got 3 times 0\.1"),
        ([1, 2, 3], [1, 2, 4], 95, r"confidence must be in \(0, 1\), got 95"),
    ],
)
def test_what_has_no_correlation_is_refused(x, y, confidence, message):
    with pytest.raises(ValueError, match=message):
        evaluation.pearson(x, y, confidence)
