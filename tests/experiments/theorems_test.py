"""The experiment on the theorems: a small run, and what its committed record claims."""

import numpy as np
import pytest

from experiments.core import records, render
from experiments.core.session import Session
from experiments.report import find
from experiments.theorems import problems as theorems_problems
from experiments.theorems import run as theorems
from experiments.theorems import toy as theorems_toy
from experiments.theorems.report import NAMES
from experiments.theorems.settings import TheoremsConfig
from ib_jax import exact

FALSE = {"theorem 3, printed", "theorem 4, most likely label", "quantised, printed"}


def claims(record):
    """What is claimed of any record; the numbers of its models."""
    models = {model.name: model.measurements[0].values for model in record.models}
    for name in set(NAMES) - FALSE:
        assert models[name]["violations"] == 0, name
        assert models[name]["slack_least"] >= 1 - 1e-9, name
    counts = models["counts"]
    assert counts["theorem_2_below_trivial"] == counts["theorem_4_printed_below_1"] == 0
    assert counts["attackable_sufficient"] == counts["attackable_minimal"] == 0
    assert counts["attackable"] > 0
    assert counts["not_minimal"] > 0
    assert counts["off_support"] > 0
    best, longer, *others = (model for model in record.models if model.settings["kind"] == "two Gaussians")
    shares = {m.name: [each.values["adversarial"] for each in m.measurements[1:]] for m in (best, longer, *others)}
    assert set(shares[best.name]) == set(shares[longer.name]) == {0.0}
    assert models[best.name]["error"] == pytest.approx(record.details["bayes_error"])
    assert models[longer.name]["rate"] > models[best.name]["rate"]
    assert models[longer.name]["information"] == pytest.approx(models[best.name]["information"])
    for model in others:
        assert np.all(np.diff(shares[model.name]) >= 0)
        assert shares[model.name][0] == pytest.approx(models[model.name]["disagreement"], abs=0.03)
        assert shares[model.name][-1] > 0.9
    return models


def test_a_small_run_writes_record_table_and_figures(tmp_path):
    config = TheoremsConfig(num_problems=10, num_tables=4, num_points=2000, num_sets=3, results=str(tmp_path))
    record = theorems.run(config, Session("theorems", "here"))
    claims(record)
    assert record.command == "here"
    assert {path.name for path in tmp_path.iterdir()} == {"theorems.json", "table.md", "toy.png", "slack.png"}
    assert (tmp_path / "table.md").read_text() == render.markdown(find.make("theorems", tmp_path))
    more = theorems_problems.measure(4, seed=0)["lemma 1"]
    np.testing.assert_array_equal(theorems_problems.measure(3, seed=0)["lemma 1"], more[:3])


def test_the_committed_record_holds_what_the_experiment_claims():
    (folder,) = find.folders("theorems")
    models = claims(records.load(folder)[0])
    assert (folder / "table.md").read_text() == render.markdown(find.make("theorems", folder))
    assert models["counts"]["theorem_4_below_1"] > 0
    assert models["theorem 4, most likely label"]["violations"] > 0
    assert models["quantised, printed"]["violations"] > 0


def test_slack_is_counted_as_it_should_be():
    (model,) = theorems.summarise({"lemma 1": np.array([[1.0, 2.0], [1.0, 0.5], [0.0, 0.0], [2.0, 8.0], [1.0, 3.0]])})
    (measured,) = model.measurements
    assert (measured.values["problems"], measured.values["violations"]) == (5, 1)
    assert (measured.values["slack_least"], measured.values["slack_median"]) == (0.5, 3.0)


def test_a_decoder_learned_from_many_points_is_nearly_the_best():
    problem = theorems_toy.toy_problem()
    statistic = np.stack([problem.oracle().weights, problem.nuisance()])
    rule = theorems_toy.learned_decoder(statistic, *problem.sample(np.random.default_rng(0), 200_000))
    assert problem.disagreement(rule) < 0.01
    assert isinstance(rule, exact.LinearClassifier)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="--num_training must be at least 6, got 2"):
        TheoremsConfig(num_training=2)
