"""Fano's inequality against exact problems, where it is attained, and the paper's form beside it."""

import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_no_decoder_errs_less_often_and_some_code_attains_it(num_classes):
    rng = np.random.default_rng(0)
    for sharpness in np.geomspace(0.01, 10, 60):
        given = rng.dirichlet(np.full(num_classes, sharpness), 5)  # p(y|t)
        p_t = rng.dirichlet(np.ones(5))
        entropy, error = p_t @ scipy.stats.entropy(given, axis=1), 1.0 - p_t @ given.max(1)
        assert evaluation.fano_error(entropy, num_classes) <= error + 1e-9
        assert evaluation.fano_error(entropy, num_classes, form="weak") <= error + 1e-9
    for error in np.linspace(0.0, 1.0 - 1.0 / num_classes, 7):
        alike = np.append(1.0 - error, np.full(num_classes - 1, error / (num_classes - 1)))
        assert evaluation.fano_error(scipy.stats.entropy(alike), num_classes) == pytest.approx(error, abs=1e-7)


def test_the_sharp_form_is_never_below_the_paper_s_and_both_are_in_nats():
    entropy = np.linspace(0.0, np.log(10.0), 200)
    sharp, weak = (evaluation.fano_error(entropy, 10, form=form) for form in ("sharp", "weak"))
    assert (sharp >= weak - 1e-12).all()
    assert (np.diff(sharp) > 0).all()
    np.testing.assert_allclose(
        weak, np.maximum(0, (entropy / np.log(2) - 1) / np.log2(10)), atol=1e-12
    )  # eq. 3 in bits
    assert (sharp[0], weak[0]) == (0.0, 0.0)
    assert sharp[-1] == pytest.approx(0.9)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.1, 1), "num_classes must be at least 2, got 1"),
        ((2.4, 10), r"conditional_entropy must be in \[0, log C = 2.303\], got 2.4"),
        ((-0.1, 10), "got -0.1"),
        ((float("nan"), 10), "got nan"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation.fano_error(*arguments)
    with pytest.raises(ValueError, match="form must be one of sharp, weak, got 'loose'"):
        evaluation.fano_error(0.1, 2, form="loose")
