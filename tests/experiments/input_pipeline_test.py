"""The main job with images read as they are needed ends as with all of them on the device."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from rich.console import Console

from experiments.core import records
from experiments.core.app import Session
from experiments.mnist_vib import run as mnist_vib
from experiments.mnist_vib.settings import Config
from ib_jax import training

SMALL = Config(
    num_epochs=2, epochs_per_eval=1, hidden_width=16, latent_dim=2, num_attack_images=0, num_eval_samples=2,
    figures=False, steps_per_call=7,
)  # fmt: skip


@pytest.fixture
def compiled_once(tmp_path):
    """The three runs share all programs but one."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path / "cache"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for values in (settings, before):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        if values is settings:
            yield


def run(workdir, **settings):
    config = dataclasses.replace(SMALL, workdir=str(workdir), **settings)
    return mnist_vib.run(config, Session(console=Console(file=io.StringIO())))


def numbers(workdir):
    rows = records.read_jsonl(workdir / "metrics.jsonl")
    rows = [{name: row[name] for name in row if name not in ("seconds", "images_per_second")} for row in rows]
    return jax.tree_util.tree_leaves_with_path(rows)


@pytest.mark.standard
def test_grain_ends_as_resident_also_when_stopped_in_between(compiled_once, tmp_path, monkeypatch):
    resident = run(tmp_path / "resident")
    stops = iter([True])
    with monkeypatch.context() as patch:
        stopped = property(lambda self: next(stops), lambda self, value: None)
        patch.setattr(training.StopRequest, "requested", stopped, raising=False)
        assert run(tmp_path / "grain", input_pipeline="grain") is None
    grain = run(tmp_path / "grain", input_pipeline="grain")
    for split in ("train", "test"):
        got, expected = (list(each.models[0].values_at(split=split).values()) for each in (grain, resident))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    rows, expected_rows = numbers(tmp_path / "grain"), numbers(tmp_path / "resident")
    for (path, got), (its_path, expected) in zip(rows, expected_rows, strict=True):
        assert path == its_path
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, err_msg=jax.tree_util.keystr(path))
