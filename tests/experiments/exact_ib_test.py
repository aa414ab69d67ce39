"""Trained codes come to the exact curve: small runs of the real experiment, and its committed records."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.exact_ib import run as exact_ib
from experiments.exact_ib import table as exact_ib_table
from experiments.exact_ib.problems import discrete_problem, gaussian_problem
from experiments.exact_ib.run import OBJECTIVES
from experiments.exact_ib.settings import ExactConfig
from ib_jax import exact

BETAS = np.array([0.3, 0.1])


def trained(problem, objective, num_restarts=1):
    params, tails = exact_ib.train(problem, objective, jnp.asarray(BETAS), jax.random.key(0), num_restarts)
    return exact_ib.measure(problem, BETAS, params, tails)


@pytest.mark.standard
@pytest.mark.parametrize(
    "objective", ["vib", *(pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES if name != "vib")]
)
def test_linear_codes_of_gaussians_come_to_the_exact_curve(objective):
    rows = trained(gaussian_problem(num_examples=2**14, num_steps=1200), objective)
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
    rows = trained(discrete_problem(num_steps=800), "vib", num_restarts=4)
    assert rows[1]["contained"]
    assert 0 <= rows[1]["shortfall"] < 0.01
    assert rows[0]["shortfall"] > 0  # above the curve, where no Gaussian reaches it


def test_the_committed_records_hold_what_the_experiment_claims():
    folder = exact_ib_table.RESULTS
    records = exact_ib_table.read_records(folder)
    assert (folder / "table.md").read_text() == exact_ib_table.render(records)
    for record in records:
        for objective, rows in record["objectives"].items():
            assert len(rows) == 8
            for row in rows:
                assert row["information_zy"] <= row["frontier_zy"] + 1e-9  # above the curve: more rate for the same
                if row["contained"] and row["information_zy"] > 1e-3:
                    assert row["shortfall"] < 0.01, (record["problem"], objective, row["beta"])


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"--gaussian_betas must each be in \(0, 1\), got \(0.5, 1.5\)"):
        ExactConfig(gaussian_betas=(0.5, 1.5))
    with pytest.raises(ValueError, match="--num_steps must be at least 64, got 10"):
        ExactConfig(num_steps=10)
