"""The study of Carlini-Wagner on stochastic models: what it compares, what it records, and that it goes on."""

import io

import numpy as np
import pytest
from rich.console import Console

from experiments import mnist_vib
from experiments.carlini_wagner import run as study
from experiments.carlini_wagner.report import report
from experiments.carlini_wagner.settings import StudyConfig, plan, trials
from experiments.core import frames, records, render
from experiments.core.records import Measurement, Model
from experiments.core.session import Session
from experiments.core.settings import Preset
from experiments.core.workdir import WorkdirError

TINY = {"num_epochs": 1, "hidden_width": 8, "latent_dim": 2, "num_eval_samples": 2}


def test_every_combination_is_tried_and_the_default_beside_the_confidences():
    specs = plan(StudyConfig(samples=(1, 12), confidences=(0.0, 2.0)))
    seen = {
        (spec.num_eot_samples, spec.options.get("expectation_of"), spec.options.get("confidence"))
        for spec in specs
        if not (spec.targeted or spec.at_mean)
    }
    leads = (0.0, 2.0, None)
    ways = [(1, "losses"), (12, "losses"), (12, "probabilities")]
    assert seen == {(*way, lead) for way in ways for lead in leads}
    assert [spec.options["confidence"] for spec in specs if spec.at_mean] == [0.0, 2.0]
    assert sum(spec.targeted for spec in specs) == 4
    assert len({spec.label for spec in specs}) == len(specs)


def test_the_models_are_those_of_mnist_robustness():
    config = StudyConfig(betas=(1e-3, 0.1), num_seeds=2)
    assert list(trials(config)) == [
        "vib_beta0.001_seed0", "vib_beta0.1_seed0", "vib_beta0.001_seed1", "vib_beta0.1_seed1",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_leaves_a_record_for_each_model_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(mnist_vib.PRESETS, "quick", Preset("small", TINY))
    monkeypatch.setattr(render, "write_report", lambda *args: None)
    small = {"preset": "quick", "betas": (1e-3,), "num_seeds": 1, "samples": (1,), "confidences": (0.0,)}
    small |= {"num_cw_images": 8, "cw_steps": 3, "cw_binary_steps": 1, "num_eval_samples": 2}
    config = StudyConfig(**small, workdir=str(tmp_path))
    session = Session("carlini_wagner", "a test", Console(file=io.StringIO()))
    results = study.run(config, session)
    (record,) = records.load(results)
    frame = frames.frame([record])
    assert set(frame["confidence"].dropna()) == {0.0}
    assert len(frames.where(frame, metric="found", targeted=False)) == 3  # confidence 0, the default, at the mean
    monkeypatch.setattr(study, "Study", None)
    assert study.run(config, session) == results  # nothing is left to do
    with pytest.raises(WorkdirError, match="--cw_steps: 3 there, 4 now"):
        study.run(StudyConfig(**small | {"cw_steps": 4}, workdir=str(tmp_path)), session)


def test_the_report_says_what_was_predicted_and_found(tmp_path):
    config, made = StudyConfig(), []
    for seed in (0, 1):
        for beta in (1e-4, 1e-1):
            rows = []
            for spec in plan(config):
                lead = spec.options.get("confidence")
                success = 0.97 if lead is None else min(1.0, 0.1 + 0.3 * lead)
                values = {
                    "success": success,
                    "found": 1.0,
                    "median_l2": 1.5 if success > 0.5 else np.inf,
                    "mean_l2": 1.2,
                }
                rows.append(Measurement({"split": "test", **spec.conditions()}, values))
            model = Model(f"vib_beta{beta:g}", seed, rows, settings={"beta": beta, "num_epochs": 60})
            made.append(Session("carlini_wagner", "a test").record([model], config, file=f"{beta}_{seed}"))
    render.write(report(frames.frame(made), made), tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "| 0.1 | 12 samples, probabilities | 10 ± 0 % | 40 ± 0 % | 70 ± 0 % | 100 ± 0 % | 97 ± 0 % |" in table
    assert (
        "| At confidence 0 one sample succeeds on less than 20 % at every beta | 2 | 10.0 ± 0.0 % | - | **confirmed** |"
        in table
    )
    assert "2 % at every beta" not in table
    assert (tmp_path / "figure.png").stat().st_size > 1000
