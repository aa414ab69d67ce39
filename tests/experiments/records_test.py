import json

import jax.numpy as jnp
import numpy as np
from absl import flags as absl_flags

from experiments.core import flags, records
from experiments.mnist_vib.settings import PRESETS, Config


def test_json_is_plain_whole_and_without_nan(tmp_path):
    path = tmp_path / "deep" / "record.json"
    records.write_json(path, {"a": np.float32(0.5), "b": (np.int64(3), float("nan")), "c": jnp.ones(2), 4: None})
    assert json.loads(path.read_text()) == {"a": 0.5, "b": [3, None], "c": [1.0, 1.0], "4": None}
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


def test_a_line_cut_off_by_a_kill_is_left_out_and_later_rows_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert records.read_jsonl(path) == []
    for step in (1, 2, 3):
        records.append_jsonl(path, {"step": step})
    with open(path, "a") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in records.read_jsonl(path)] == [1, 2, 3]
    assert [row["step"] for row in records.rewind_jsonl(path, 2)] == [1, 2]
    records.append_jsonl(path, {"step": 3})
    assert [row["step"] for row in records.read_jsonl(path)] == [1, 2, 3]


def parse(*arguments):
    values = absl_flags.FlagValues()
    flags.define(Config, values)
    values(["program", *arguments])
    return flags.config_from_flags(Config, lambda given: preset(given.preset, given.dataset), values)


def test_flags_override_the_preset_and_the_preset_the_defaults():
    assert parse() == Config(**PRESETS["quick"].on("digits"))
    paper = parse("--preset=paper", "--dataset=mnist", "--attack_epsilons=0.1,0.2", "--nofigures")
    assert (paper.num_epochs, paper.learning_rate) == (200, 1e-4)
    assert (paper.attack_epsilons, paper.figures) == ((0.1, 0.2), False)
    assert parse("--preset=paper", "--num_epochs=300").num_epochs == 300  # also where the flag repeats the default


def test_flags_can_be_defined_twice_in_one_process():
    assert parse("--seed=1").seed == 1
    assert parse("--seed=2").seed == 2


def test_the_environment_names_versions_machine_and_commit():
    environment = records.environment()
    assert environment["versions"]["jax"]
    assert environment["devices"]
    assert environment["machine"]["cores"] >= 1
    assert environment["commit"]


def test_the_command_line_is_quoted():
    assert records.command("experiments.x", ["--a=b c"]) == "python -m experiments.x '--a=b c'"
