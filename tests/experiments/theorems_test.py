"""The experiment on the theorems: a small run, and what its committed record claims."""

import io

import numpy as np
import pytest
from rich.console import Console

from experiments.core.app import Session
from experiments.theorems import problems as theorems_problems
from experiments.theorems import run as theorems
from experiments.theorems import table as theorems_table
from experiments.theorems import toy as theorems_toy
from experiments.theorems.settings import TheoremsConfig
from ib_jax import exact

FALSE = {"theorem 3, printed", "theorem 4, most likely label", "quantised, printed"}


def claims(record):
    for row in record["inequalities"]:
        if row["name"] not in FALSE:
            assert row["violations"] == 0, row
            assert row["least"] >= 1 - 1e-9, row
    assert record["vacuity"]["theorem_2_below_trivial"] == record["vacuity"]["theorem_4_printed_below_1"] == 0
    counts = record["statistics"]
    assert counts["attackable_sufficient"] == counts["attackable_minimal"] == 0
    assert counts["attackable"] > 0
    assert counts["not_minimal"] > 0
    assert counts["off_support"] > 0
    best, longer, insufficient, *learned = record["toy"]["rows"]
    assert set(best["shares"]) == set(longer["shares"]) == {0.0}
    assert best["error"] == pytest.approx(record["toy"]["bayes_error"])
    assert longer["rate"] > best["rate"]
    assert longer["information"] == pytest.approx(best["information"])
    for row in (insufficient, *learned):
        assert np.all(np.diff(row["shares"]) >= 0)
        assert row["shares"][0] == pytest.approx(row["disagreement"], abs=0.03)
        assert row["shares"][-1] > 0.9


def test_a_small_run_writes_record_table_and_figures(tmp_path):
    config = TheoremsConfig(num_problems=20, num_tables=4, num_points=2000, num_sets=3, results=str(tmp_path))
    console = Console(file=io.StringIO())
    record = theorems.run(config, Session(console=console, command="here"))
    claims(record)
    assert record["command"] == "here"
    assert {path.name for path in tmp_path.iterdir()} == {"theorems.json", "table.md", "toy.png", "slack.png"}
    assert (tmp_path / "table.md").read_text() == theorems_table.render(theorems_table.read_record(tmp_path))
    more = theorems_problems.measure(5, seed=0)["lemma 1"]
    np.testing.assert_array_equal(theorems_problems.measure(3, seed=0)["lemma 1"], more[:3])


def test_the_committed_record_holds_what_the_experiment_claims():
    record = theorems_table.read_record(theorems_table.RESULTS)
    claims(record)
    assert (theorems_table.RESULTS / "table.md").read_text() == theorems_table.render(record)
    assert record["vacuity"]["theorem_4_below_1"] > 0
    violations = {row["name"]: row["violations"] for row in record["inequalities"]}
    assert violations["theorem 4, most likely label"] > 0
    assert violations["quantised, printed"] > 0


def test_slack_is_counted_as_it_should_be():
    rows = theorems.summarise({"lemma 1": np.array([[1.0, 2.0], [1.0, 0.5], [0.0, 0.0], [2.0, 8.0], [1.0, 3.0]])})
    assert rows[0]["violations"] == 1
    assert rows[0]["least"] == 0.5
    assert rows[0]["quantiles"][2] == 3.0


def test_a_decoder_learned_from_many_points_is_nearly_the_best():
    problem = theorems_toy.toy_problem()
    statistic = np.stack([problem.oracle().weights, problem.nuisance()])
    rule = theorems_toy.learned_decoder(statistic, *problem.sample(np.random.default_rng(0), 200_000))
    assert problem.disagreement(rule) < 0.01
    assert isinstance(rule, exact.LinearClassifier)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="--num_training must be at least 6, got 2"):
        TheoremsConfig(num_training=2)
