"""Features on disk: the network's numbers, whole shards or none, resumed, and never those of other settings."""

import io
import json
import re
import types

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.core.feature_cache import (
    CacheCorruptError,
    FeatureCache,
    Source,
    data_statement,
    fill_caches,
    of_images,
)
from ib_jax import data

N, SHARD = 23, 5
VARIABLES = np.arange(24.0, dtype=np.float32).reshape(12, 2)


class CountingSource(data.ArraySource):
    """Counts the rows read, and fails from a row on."""

    fails_from = N

    def read_rows(self, rows):
        if len(rows) and rows.max() >= self.fails_from:
            raise OSError("disk gone")
        self.read.extend(rows.tolist())
        return super().read_rows(rows)


@pytest.fixture
def source():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (N, 2, 2, 3), np.uint8)
    made = CountingSource(data.Split(images, generator.integers(0, 9, N).astype(np.int32)))
    object.__setattr__(made, "read", [])
    return made


def features(variables, images):
    return images.reshape(len(images), -1) @ variables


def cache(tmp_path, **statement):
    return FeatureCache(tmp_path, {"network": "a", "data": {}} | statement, N, 2, SHARD)


def fill(made, source, function=features, **settings):
    """Fills `made` as `fill_caches` does; what it shows."""
    text, split = io.StringIO(), Source(made.statement["data"], N, of_images(function, source, batch_size=4))
    config = types.SimpleNamespace(cache_dir=str(made.root), shard_size=SHARD)
    network = {name: value for name, value in made.statement.items() if name != "data"}
    console = Console(file=text, width=100)
    caches = fill_caches(config, network, VARIABLES, 2, {"train": split}, console, unit="images", **settings)
    assert caches == {"train": made}
    return re.findall("features of train: (.*) images,", text.getvalue())


def expected(source):
    images = source.examples.inputs.reshape(N, -1) / 255.0
    return images @ VARIABLES.astype(np.float64)


def test_shards_hold_the_networks_features(tmp_path, source):
    made = cache(tmp_path)
    assert made.missing() == [0, 1, 2, 3, 4]
    assert fill(made, source) == [f"{done} of 23" for done in (5, 10, 15, 20, 23)]
    assert made.missing() == []
    whole = made.read()
    np.testing.assert_allclose(whole.inputs, expected(source), rtol=1e-5)
    np.testing.assert_array_equal(whole.labels, source.examples.labels)
    assert whole.inputs.dtype == np.float32
    assert all(isinstance(shard, np.memmap) for shard in made.shards())
    mean, deviation = made.moments()
    np.testing.assert_allclose(mean, expected(source).mean(0), rtol=1e-5)
    np.testing.assert_allclose(deviation, expected(source).std(0), rtol=1e-5)


def test_a_run_that_broke_off_goes_on_where_it_stood(tmp_path, source):
    object.__setattr__(source, "fails_from", 12)  # in the middle of the third shard
    made = cache(tmp_path)
    with pytest.raises(OSError, match="disk gone"):
        fill(made, source)
    assert made.missing() == [2, 3, 4]
    (made.folder / ".shard_000002.npy.123.partial").write_bytes(b"half")  # what a kill leaves
    object.__setattr__(source, "fails_from", N)
    source.read.clear()
    assert fill(made, source) == ["15 of 23", "20 of 23", "23 of 23"]
    assert sorted(source.read) == list(range(10, N))
    np.testing.assert_allclose(made.read().inputs, expected(source), rtol=1e-5)
    source.read.clear()
    assert fill(made, source) == []
    assert source.read == []


def test_workers_share_the_shards(tmp_path, source):
    made = cache(tmp_path)
    assert fill(made, source, share=(1, 2)) == ["5 of 10", "10 of 10"]
    assert made.missing() == [0, 2, 4]
    with pytest.raises(FileNotFoundError):
        made.read()
    fill(made, source, share=(0, 2))
    np.testing.assert_allclose(made.read().inputs, expected(source), rtol=1e-5)


def test_other_settings_are_another_cache(tmp_path):
    made = cache(tmp_path)
    made.write(0, np.ones((SHARD, 2)), np.zeros(SHARD))
    others = [cache(tmp_path, network="b"), FeatureCache(tmp_path, made.statement, N, 2, SHARD + 1)]
    others += [cache(tmp_path, preprocessing="x"), FeatureCache(tmp_path, made.statement, N - 1, 2, SHARD)]
    assert len({each.folder for each in [made, *others]}) == 5
    assert made.missing() == [1, 2, 3, 4]
    assert all(0 in each.missing() for each in others)
    path = made.folder / "features.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"network": "b"}))
    with pytest.raises(CacheCorruptError, match="does not say what its folder's name stands for"):
        made.missing()


def test_data_are_told_apart(source):
    def statement(source=source, split="train", num_images=N):
        return data_statement(source, name="digits", split=split, num_images=num_images)

    assert statement() == statement()
    assert statement(split="test") != statement()
    assert statement(num_images=N - 1) != statement()
    images, labels = source.examples.inputs.copy(), source.examples.labels.copy()
    labels[-1] += 1
    assert statement(data.ArraySource(data.Split(images, labels)))["digest"] != statement()["digest"]
    images[0, 0, 0, 0] ^= 1
    changed = statement(data.ArraySource(data.Split(images, source.examples.labels)))
    assert changed["digest"] != statement()["digest"]


def test_damage_is_told(tmp_path):
    made = cache(tmp_path)
    for index in range(2):
        made.write(index, np.ones((SHARD, 2)), np.zeros(SHARD))
    path = made.folder / "shard_000001.npy"
    path.write_bytes(path.read_bytes()[:-3])
    for ask in (made.read, made.missing):  # the second goes before hours of computing
        with pytest.raises(CacheCorruptError, match=r"shard_000001.npy is damaged"):
            ask()
    np.save(path, np.load(made.folder / "shard_000000.npy")[:4])
    with pytest.raises(CacheCorruptError, match=r"shard_000001.npy holds \(4,\) of .* expected \(5,\) of"):
        made.moments()
    path.unlink()
    assert made.missing() == [1, 2, 3, 4]


@pytest.mark.not_under("debug_nans", "debug_infs", reason="the features are not finite")
def test_features_that_are_not_finite_are_not_kept(tmp_path, source):
    made = cache(tmp_path)
    with pytest.raises(FloatingPointError, match="features of shard 0 are not finite"):
        fill(made, source, lambda variables, images: features(variables, images) / jnp.zeros(()))
    assert not made.folder.exists()
