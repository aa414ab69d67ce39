"""JSON on disk: plain and whole."""

import json

import jax.numpy as jnp
import numpy as np

from experiments.core import json_files


def test_json_is_plain_whole_and_without_nan(tmp_path):
    path = tmp_path / "deep" / "record.json"
    json_files.write_json(path, {"a": np.float32(0.5), "b": (np.int64(3), float("nan")), "c": jnp.ones(2), 4: None})
    assert json.loads(path.read_text()) == {"a": 0.5, "b": [3, None], "c": [1.0, 1.0], "4": None}
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]
