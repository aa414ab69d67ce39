"""The frame of records: a row for each number, and the numbers of models found again by their conditions."""

import math
import time

import pytest

from experiments.core.frames import (  # fmt: skip
    conditions_of,
    distinct,
    frame,
    groups,
    per_model,
    per_seed,
    where,
    without_diverged,
)
from experiments.core.records import Measurement, Model, Record


def record(seed, file="", **settings):
    measurements = [
        Measurement({"split": "train"}, {"error": 0.0, "rate_bits": 8.0 + seed}),
        Measurement({"split": "test"}, {"error": seed / 100, "rate_bits": None}),
        Measurement({"split": "test", "epoch": 1.0}, {"error": 0.5}),
        Measurement({"split": "test", "attack": "pgd", "epsilon": 0.1, "num_steps": 20}, {"accuracy": 0.9}),
        Measurement({"split": "test", "attack": "pgd", "epsilon": 0.3, "num_steps": 20}, {"accuracy": 0.1 * seed}),
    ]
    settings = {"beta": 0.1, "radii": [0.1, 0.3], "num_steps": 7} | settings
    return Record("x", "c", settings, [Model("vib", seed, measurements, {"latent_dim": 2})], file=file or f"seed{seed}")


@pytest.fixture
def numbers():
    return frame([record(2), record(1), record(0, beta=None)])


def test_every_number_is_a_row_with_settings_and_conditions(numbers):
    assert len(numbers) == 3 * 7
    assert conditions_of(numbers) == ["split", "epoch", "attack", "epsilon", "num_steps"]
    row = where(numbers, seed=1, attack="pgd", epsilon=0.3).iloc[0]
    assert (row.experiment, row.file, row.model, row.metric, row.value) == ("x", "seed1", "vib", "accuracy", 0.1)
    assert (row.beta, row.radii, row.latent_dim) == (0.1, (0.1, 0.3), 2)
    assert (row.num_steps, row["setting.num_steps"]) == (20, 7)  # a condition and a setting of the same name


def test_the_frame_of_nothing_is_empty():
    assert len(frame([])) == len(frame([Record("x", "", {}, [])])) == 0


def test_where_takes_a_value_several_or_none(numbers):
    assert set(where(numbers, epsilon=[0.1, 0.3]).metric) == {"accuracy"}
    assert set(where(numbers, beta=None).seed) == {0}
    assert set(where(numbers, radii=(0.1, 0.3)).seed) == {0, 1, 2}
    assert len(where(numbers, radii=(0.1,))) == len(where(numbers, norm="l2")) == 0
    assert len(where(numbers, norm=None)) == len(numbers)


def test_groups_and_distinct_keep_the_order_and_show_what_is_missing_as_none(numbers):
    assert [(key, len(part)) for key, part in groups(numbers, "beta")] == [((0.1,), 14), ((None,), 7)]
    attacks = distinct(numbers, "attack", "epsilon", "norm")
    assert attacks == [{}, {"attack": "pgd", "epsilon": 0.1}, {"attack": "pgd", "epsilon": 0.3}]


def test_models_that_diverged_are_left_out():
    models = [Model("vib", seed, [Measurement({}, {"e": 1})], details={"diverged_at": -seed}) for seed in (0, 1)]
    records = [Record("x", "", {}, models, file="a")]
    assert without_diverged(frame(records), records)["seed"].tolist() == [1]


def test_the_numbers_of_models_come_by_seed(numbers):
    assert per_seed(numbers, "accuracy", epsilon=0.3).to_dict() == {0: 0.0, 1: 0.1, 2: 0.2}
    assert list(per_model(numbers, "accuracy", epsilon=0.3).index) == [(f"seed{s}", "vib", s) for s in (2, 1, 0)]
    assert all(map(math.isnan, per_seed(numbers, "rate_bits", split="test")))
    assert per_seed(numbers, "unheard", split="test").empty


def test_the_last_evaluation_counts_and_not_those_of_epochs(numbers):
    assert per_seed(numbers, "error", split="test").to_dict() == {0: 0.0, 1: 0.01, 2: 0.02}
    assert per_seed(numbers, "error", split="test", epoch=1.0).to_dict() == {0: 0.5, 1: 0.5, 2: 0.5}


def test_conditions_that_do_not_say_which_are_refused(numbers):
    with pytest.raises(ValueError, match=r"accuracy at .* 2 times of vib; say which of epsilon: 0.1 or 0.3"):
        per_model(numbers, "accuracy", attack="pgd")
    with pytest.raises(ValueError, match=r"error at \{\} was measured 3 times .*; say which of split: train or test"):
        per_model(numbers, "error")
    with pytest.raises(ValueError, match="several models with the same seed"):
        per_seed(frame([record(0), record(0, "other")]), "accuracy", epsilon=0.3)


def test_fifty_thousand_numbers_take_a_second():
    measurements = [Measurement({"split": "test", "epoch": epoch}, {"a": 1.0, "b": 2.0}) for epoch in range(500)]
    settings = {f"setting{index}": index for index in range(80)}
    many = [Record("x", "", settings, [Model("m", seed, measurements)], file=str(seed)) for seed in range(50)]
    start = time.monotonic()
    numbers = frame(many)
    assert len(numbers) == 50_000
    assert per_seed(numbers, "a", epoch=499).mean() == 1.0
    assert time.monotonic() - start < 5  # some 0.3 s on an idle core
