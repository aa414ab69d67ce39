import shutil

import numpy as np
import pytest
from PIL import Image

from ib_jax.data.prepare import is_prepared, prepare
from ib_jax.data.source import load_splits


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_both_metadata_files_make_a_copy(make_archives, manual_copy, name):
    spec, files, _ = make_archives("mnist")
    data_dir = manual_copy(spec, files)
    folder = spec.prepared_dir(data_dir)
    assert not is_prepared(folder)
    prepare(spec, data_dir)
    assert is_prepared(folder)
    (folder / name).unlink()
    assert not is_prepared(folder)


def test_two_processes_may_prepare_at_once(make_archives, manual_copy, monkeypatch):
    spec, files, _ = make_archives("mnist")
    data_dir = manual_copy(spec, files)
    prepare(spec, data_dir)
    expected = load_splits(spec, data_dir)
    folder, aside = spec.prepared_dir(data_dir), data_dir / "aside"
    folder.rename(aside)
    original = Image.fromarray

    def overtaken(pixels):
        # The other process finishes while this one is writing.
        if not folder.exists():
            shutil.copytree(aside, folder)
        return original(pixels)

    monkeypatch.setattr(Image, "fromarray", overtaken)
    prepare(spec, data_dir)
    for name, split in load_splits(spec, data_dir).items():
        np.testing.assert_array_equal(split.inputs, expected[name].inputs)
    assert [path.name for path in folder.parent.iterdir()] == [spec.version]


def test_the_caller_keeps_its_progress_bars(make_archives, manual_copy):
    from tensorflow_datasets.core.utils import tqdm_utils

    spec, files, _ = make_archives("mnist")
    assert tqdm_utils._active
    prepare(spec, manual_copy(spec, files))
    assert tqdm_utils._active
