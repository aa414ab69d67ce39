"""Table 1 of the VIB paper: whose numbers stand beside ours, and by what rule they are compared."""

import dataclasses

from experiments.core import frames, render
from experiments.core.records import Measurement, Model, Record
from experiments.mnist_vib import Config
from experiments.mnist_vib_table.report import KNOWN, report
from experiments.mnist_vib_table.settings import TableConfig

ERRORS = {"cross_entropy": 1.45, "dropout": 1.3, "confidence_penalty": 1.4, "label_smoothing": 1.35, "vib": 1.2}


def record(objective, folder, seed, error, **settings):
    config = dataclasses.asdict(Config(objective=objective, dataset="mnist", seed=seed, **settings))
    values = {"error_avg": error, "error_one": error, "cross_entropy": error, "calibration_error": 0.01}
    splits = [Measurement({"split": split}, values) for split in ("validation", "test")]
    name = f"{folder}/{objective}_{settings.get('dropout_rate', f'seed{seed}')}"
    return Record("mnist_vib_table", "a test", config, [Model(objective, seed, splits)], file=name)


def test_it_compares_the_papers_models_with_five_seeds():
    config = TableConfig()
    assert config.compared == tuple(KNOWN)
    assert (config.num_seeds, list(config.candidates("vib").values())) == (
        5,
        [{"beta": beta} for beta in (1e-2, 1e-3, 1e-4, 1e-5)],
    )


def test_the_table_has_the_numbers_of_others_and_the_rule_its_verdicts(tmp_path):
    made = [
        record(name, "seeds", seed, (error + 0.02 * seed) / 100) for name, error in ERRORS.items() for seed in (0, 1)
    ]
    made += [
        record("dropout", "tuning", 0, 0.01 + rate / 100, dropout_rate=rate, num_validation=9) for rate in (0.2, 0.4)
    ]
    page = report(frames.frame(made), made)
    render.write(page, tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert (
        "| VIB | beta = 0.001 | 0, 1 | 1.21 ± 0.01 % | 1.21 ± 0.01 % | 1.00 ± 0.00 % | 1.13 | 1.21 |  | 1.29 |" in table
    )
    assert "| label smoothing | label smoothing = 0.1 | 0, 1 | 1.36 ± 0.01 % | - |" in table
    assert "| VIB errs less than deterministic | 2 | 0.25 ± 0.00 % | 0.25 % | **confirmed** |" in table
    assert "| VIB errs less than dropout | 2 | 0.10 ± 0.00 % | 0.21 % | **weaker** |" in table
    assert "| dropout | dropout rate = 0.2 | **1.20 %** | 0.0120 |" in table
    assert [each.paper for each in page.headlines] == [1.38, 1.34, 1.36, 1.40, 1.13]


def test_of_another_data_set_there_is_no_paper_to_compare_with(tmp_path):
    made = [record(name, "seeds", 0, error / 100) for name, error in ERRORS.items()]
    made = [dataclasses.replace(each, settings={**each.settings, "dataset": "digits"}) for each in made]
    render.write(report(frames.frame(made), made), tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "1.13" not in table
    assert "errs less" not in table
