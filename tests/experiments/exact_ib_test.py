"""Trained codes come to the exact curve: small runs of the real experiment, and its committed records."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core import frames, records, render
from experiments.exact_ib import run as exact_ib
from experiments.exact_ib.problems import discrete_problem, gaussian_problem
from experiments.exact_ib.run import OBJECTIVES
from experiments.exact_ib.settings import ExactConfig
from experiments.report import find
from ib_jax import exact

BETAS = np.array([0.3, 0.1])
METRICS = ("information_zy", "frontier_zy", "shortfall", "contained")


def trained(problem, objective, num_restarts=1):
    params, tails = exact_ib.train(problem, objective, jnp.asarray(BETAS), jax.random.key(0), num_restarts)
    return [{**exact.values, "terms": terms.values} for exact, terms in exact_ib.measure(problem, BETAS, params, tails)]


@pytest.mark.standard
@pytest.mark.parametrize(
    "objective", ["vib", *(pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES if name != "vib")]
)
def test_linear_codes_of_gaussians_come_to_the_exact_curve(objective):
    size = (
        {"num_examples": 2**13, "num_steps": 600} if objective == "vib" else {"num_examples": 2**14, "num_steps": 1200}
    )
    rows = trained(gaussian_problem(**size), objective)
    for row, beta in zip(rows, BETAS, strict=True):
        assert -1e-9 <= row["shortfall"] < 0.01
        # VUB rewards the decoder's entropy: for two white dimensions its optimum is that of beta exp(I(Z;Y)).
        effective = beta * np.exp(row["information_zy"]) if objective == "vub" else beta
        optimum = exact.gaussian_curve([0.95, 0.7], [effective])
        np.testing.assert_allclose(row["information_zy"], optimum.information_zy[0], rtol=0.03)
        np.testing.assert_allclose(row["information_xz"], optimum.information_xz[0], rtol=0.06)
        terms = row["terms"]
        tight = terms["residual"] - row["residual"] if objective == "ceb" else terms["rate"] - row["information_xz"]
        assert abs(tight) < 0.05


@pytest.mark.slow
def test_gaussian_codes_of_a_discrete_problem_come_to_the_exact_curve_where_it_is_hard():
    rows = trained(discrete_problem(num_steps=500), "vib", num_restarts=2)
    assert rows[1]["contained"]
    assert 0 <= rows[1]["shortfall"] < 0.01
    assert rows[0]["shortfall"] > 0  # above the curve, where no Gaussian reaches it


def test_the_committed_records_hold_what_the_experiment_claims():
    (folder,) = find.folders("exact_ib")
    numbers = frames.frame(records.load(folder))
    assert (folder / "table.md").read_text() == render.markdown(find.make("exact_ib", folder))
    for (_, _), part in frames.groups(numbers, "problem", "objective"):
        zy, frontier, shortfall, contained = (frames.per_model(part, name) for name in METRICS)
        assert len(zy) == 8
        assert (zy <= frontier + 1e-9).all()  # above the curve: more rate for the same
        assert (shortfall[(contained > 0) & (zy > 1e-3)] < 0.01).all()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"--gaussian_betas must each be in \(0, 1\), got \(0.5, 1.5\)"):
        ExactConfig(gaussian_betas=(0.5, 1.5))
    with pytest.raises(ValueError, match="--num_steps must be at least 64, got 10"):
        ExactConfig(num_steps=10)
