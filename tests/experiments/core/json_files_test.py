"""JSON on disk: plain, whole, and cut off by a kill."""

import json

import jax.numpy as jnp
import numpy as np

from experiments.core import json_files


def test_json_is_plain_whole_and_without_nan(tmp_path):
    path = tmp_path / "deep" / "record.json"
    json_files.write_json(path, {"a": np.float32(0.5), "b": (np.int64(3), float("nan")), "c": jnp.ones(2), 4: None})
    assert json.loads(path.read_text()) == {"a": 0.5, "b": [3, None], "c": [1.0, 1.0], "4": None}
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


def test_a_line_cut_off_by_a_kill_is_left_out_and_later_rows_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert json_files.read_jsonl(path) == []
    for step in (1, 2, 3):
        json_files.append_jsonl(path, {"step": step})
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in json_files.read_jsonl(path)] == [1, 2, 3]
    assert [row["step"] for row in json_files.rewind_jsonl(path, 2)] == [1, 2]
    json_files.append_jsonl(path, {"step": 3})
    assert [row["step"] for row in json_files.read_jsonl(path)] == [1, 2, 3]
