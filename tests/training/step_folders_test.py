"""Checkpoints on disk: those that are not whole are set aside, and the run goes on from the last that is."""

import json
import os
import pathlib
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import training
from ib_jax.files import DamagedFileError
from ib_jax.training import step_folders

OPTIMIZER = optax.sgd(0.1)


def state_at(step):
    state = training.init_state(jax.random.key(0), {"w": jnp.arange(2000.0) * step}, OPTIMIZER, 0.9)
    return state._replace(step=jnp.int32(step))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the checkpoints of steps 1, the best, and 3, the last."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with training.Checkpoints(folder, settings={"beta": 0.1, "names": ["a"]}) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(state_at(step), score=float(step))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "copy")


def test_only_checkpoints_are_left(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["1", "3"]
    assert step_folders.whole_steps(folder) == [1, 3]
    assert training.last_checkpoint(folder) == 3


def test_the_settings_lie_in_every_checkpoint(folder):
    assert training.saved_settings(folder) == {"beta": 0.1, "names": ["a"]}
    shutil.rmtree(folder / "3")
    assert training.saved_settings(folder) == {"beta": 0.1, "names": ["a"]}
    shutil.rmtree(folder / "1")
    assert training.saved_settings(folder) is None


def data_file(folder):
    """The file with the arrays."""
    return max((folder / "3/default/d").iterdir(), key=lambda path: path.stat().st_size)


DAMAGE = {
    "empty folder": lambda folder: (shutil.rmtree(folder / "3"), (folder / "3").mkdir()),
    "without its metadata": lambda folder: (folder / "3/_CHECKPOINT_METADATA").unlink(),
    "metadata cut off": lambda folder: (folder / "3/_CHECKPOINT_METADATA").write_text('{"item', "utf-8"),
    "metadata of zeros": lambda folder: (folder / "3/default/_METADATA").write_bytes(bytes(100)),
    "without a score": lambda folder: (folder / "3/metrics/metrics").unlink(),
    "manifest empty": lambda folder: (folder / "3/default/manifest.ocdbt").write_bytes(b""),
    "manifest of another": lambda folder: (folder / "3/default/manifest.ocdbt").write_bytes(os.urandom(300)),
    "arrays missing": lambda folder: shutil.rmtree(folder / "3/default/d"),
    "arrays cut off": lambda folder: os.truncate(data_file(folder), data_file(folder).stat().st_size // 2),
    "arrays of zeros": lambda folder: data_file(folder).write_bytes(bytes(data_file(folder).stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_the_run_goes_on_from_the_one_before(folder, damage):
    damage(folder)
    message = "copy/3 is not a complete checkpoint; it is set aside as damaged-3"
    told = pytest.warns(training.CheckpointWarning, match=message)
    with told, training.Checkpoints(folder) as checkpoints:
        restored = checkpoints.resume(state_at(0))
        assert (checkpoints.last_step(), checkpoints.best_step()) == (1, 1)
        checkpoints.save(state_at(3), score=0.5)
    assert int(restored.step) == 1
    np.testing.assert_array_equal(restored.params["w"], state_at(1).params["w"])
    assert sorted(path.name for path in folder.iterdir()) == ["3", "damaged-3"]
    with training.Checkpoints(folder) as checkpoints:
        assert int(checkpoints.resume(state_at(0)).step) == 3


def test_if_all_are_damaged_the_run_begins_again(folder):
    for step in (1, 3):
        shutil.rmtree(folder / f"{step}/default/d")
    with pytest.warns(training.CheckpointWarning), training.Checkpoints(folder) as checkpoints:
        assert checkpoints.resume(state_at(0)) is None


def test_reading_alone_changes_nothing_and_names_what_is_damaged(folder):
    DAMAGE["arrays cut off"](folder)
    refused = pytest.raises(DamagedFileError, match=r"copy/3 is not a complete checkpoint \(.*\); delete it")
    with training.Checkpoints(folder, read_only=True) as checkpoints, refused:
        checkpoints.restore(state_at(0))
    assert sorted(path.name for path in folder.iterdir()) == ["1", "3"]


def test_a_checkpoint_of_another_network_is_not_taken_for_a_damaged_one(folder):
    other = state_at(0)._replace(params={"w": jnp.ones(3)})
    with training.Checkpoints(folder) as checkpoints, pytest.raises(ValueError, match=r"params/w: .* expected"):
        checkpoints.resume(other)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "3"]


def test_what_kills_left_is_removed(folder):
    for name in ("deleted/2/default/d", "5.orbax-checkpoint-tmp/default"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(b"x")
    with training.Checkpoints(folder) as checkpoints:
        assert sorted(path.name for path in folder.iterdir()) == ["1", "3"]
        assert checkpoints.last_step() == 3


@pytest.mark.parametrize("scores", [(1.0, np.nan, 2.0), (2.0, 1.0, np.nan), (np.nan, 1.0, 2.0)])
def test_a_score_that_is_no_number_is_never_the_best(tmp_path, scores):
    with training.Checkpoints(tmp_path) as checkpoints:
        for step, score in enumerate(scores):
            checkpoints.save(state_at(step), score=score)
        checkpoints.wait()
        best = int(np.nanargmin(scores))
        assert checkpoints.best_step() == best
        assert sorted(int(path.name) for path in tmp_path.glob("[0-9]")) == sorted({best, 2})


@pytest.mark.parametrize("name", ["run[beta=0.1]", "back\\slash", "a*b?", "sp ace", "ünï/漢字", "x" * 100, "new\nline"])
def test_any_path_will_do(tmp_path, name):
    for _ in range(2):
        with training.Checkpoints(tmp_path / name) as checkpoints:
            resumed = checkpoints.resume(state_at(0))
            checkpoints.save(state_at(4), score=1.0)
    np.testing.assert_array_equal(resumed.params["w"], state_at(4).params["w"])
    assert (tmp_path / name / "4").is_dir()


def test_home_is_resolved_and_a_bucket_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with training.Checkpoints("~/run") as checkpoints:
        assert checkpoints.directory == tmp_path / "run"
    with pytest.raises(ValueError, match="directory must be a folder or file of this machine, got 'gs://bucket/run'"):
        training.Checkpoints("gs://bucket/run")


def test_a_refusal_of_the_file_system_says_where_why_and_what_is_left(folder, monkeypatch):
    with training.Checkpoints(folder) as checkpoints:

        def save(*args, **kwargs):
            raise ValueError("RESOURCE_EXHAUSTED: Error writing ... [Errno 28] No space left on device [a='b']")

        monkeypatch.setattr(checkpoints._manager, "save", save)
        with pytest.raises(training.SaveError) as raised:
            checkpoints.save(state_at(4), score=1.0)
    expected = (
        f"no checkpoint can be written in {folder}: No space left on device; the last whole one is that of step 3"
    )
    assert str(raised.value) == expected


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        training.Checkpoints(tmp_path / "file")


def test_checkpoints_of_before_keep_no_settings_and_are_whole(folder):
    path = folder / "3/_CHECKPOINT_METADATA"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"custom_metadata": {}}), "utf-8")
    assert training.saved_settings(folder) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with training.Checkpoints(pathlib.Path(folder)) as checkpoints:
            assert int(checkpoints.resume(state_at(0)).step) == 3
