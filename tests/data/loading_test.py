import json
import subprocess
import sys

import numpy as np
import pytest

from ib_jax import data
from ib_jax.data import loading, mnist, raw_files, source


def test_the_names():
    assert data.DATASETS == ("digits", "mnist", "fashion_mnist", "cifar10")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="name is 'svhn'; expected one of digits, mnist, fashion_mnist, cifar10"):
        data.load("svhn")


@pytest.mark.parametrize(("num_train", "kept"), [(None, 1337), (0, 1337), (64, 64), (1337, 1337)])
def test_only_the_first_training_images_that_are_left_are_kept(num_train, kept):
    whole, cut = (data.load("digits", num_validation=100, num_train=n) for n in (None, num_train))
    for mine, theirs in zip(cut.train, whole.train, strict=True):
        np.testing.assert_array_equal(mine, theirs[:kept])
    np.testing.assert_array_equal(cut.validation.inputs, whole.validation.inputs)
    np.testing.assert_array_equal(cut.test.inputs, whole.test.inputs)


def test_more_training_images_than_there_are_are_refused():
    with pytest.raises(ValueError, match="num_train is 1338; digits has 1337 training images to be kept"):
        data.load("digits", num_validation=100, num_train=1338)
    with pytest.raises(ValueError, match="num_train is -1; expected 0 or more"):
        data.load("digits", num_train=-1)


@pytest.mark.parametrize("num_validation", [-1, 1437])
def test_a_bad_number_for_validation_is_refused(num_validation):
    with pytest.raises(ValueError, match=f"num_validation is {num_validation}; expected 0"):
        data.load("digits", num_validation=num_validation)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_absent_and_offline(name, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_files, "unreachable", lambda url: "no network")
    with pytest.raises(data.DatasetUnavailableError, match=rf"The data set {name} "):
        data.load(name, data_dir=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_load_end_to_end(name, make_archives, manual_copy, monkeypatch):
    spec, files, _ = make_archives(name)
    monkeypatch.setitem(loading._SPECS, name, lambda: spec)
    data_dir = manual_copy(spec, files)
    whole = data.load(name, data_dir=data_dir)
    held = data.load(name, data_dir=data_dir, num_validation=15, seed=2)
    assert whole.name == name
    assert whole.num_classes == 10
    assert held.validation is not None
    permutation = np.random.default_rng(2).permutation(40)
    np.testing.assert_array_equal(held.validation.inputs, whole.train.inputs[permutation[-15:]])
    np.testing.assert_array_equal(held.train.inputs, whole.train.inputs[np.sort(permutation[:-15])])
    np.testing.assert_array_equal(held.test.inputs, whole.test.inputs)


def _run(code: str, *arguments: str) -> None:
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_importing_loads_neither_tensorflow_datasets_nor_scikit_learn_nor_grain():
    _run(
        "import sys, ib_jax.data\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'tensorflow', 'tensorflow_datasets', 'sklearn', 'grain'}, loaded"
    )


@pytest.mark.standard
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_preparing_and_reading_load_no_tensorflow(name, make_archives, manual_copy):
    spec, files, _ = make_archives(name)
    code = f"""
import dataclasses, json, pathlib, sys
from ib_jax.data import {name}, source
from ib_jax.data.spec import RawFile
files = tuple(RawFile(*file) for file in json.loads(sys.argv[2]))
spec = dataclasses.replace({name}.{name}_spec(), files=files, split_sizes=json.loads(sys.argv[3]))
for _ in ("prepare and read", "read"):
    assert len(source.load_splits(spec, pathlib.Path(sys.argv[1]))["test"].labels) == 12
assert "tensorflow_datasets" in sys.modules
assert "tensorflow" not in sys.modules
"""
    _run(code, str(manual_copy(spec, files)), json.dumps(spec.files), json.dumps(dict(spec.split_sizes)))


@pytest.mark.slow
def test_the_real_mnist_where_it_is_prepared():
    folder = mnist.mnist_spec().prepared_dir(source.resolve_data_dir(None))
    if not folder.exists():
        pytest.skip(f"no prepared MNIST in {folder}")
    real = data.load("mnist", num_validation=10_000)
    assert real.train.inputs.shape == (50_000, 28, 28, 1)
    assert real.test.inputs.shape == (10_000, 28, 28, 1)
    # Counts of the published test labels.
    assert np.bincount(real.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
