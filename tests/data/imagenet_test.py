"""ImageNet, read from a small copy that the official builder's own writer has made; tests/data/conftest.py."""

import concurrent.futures
import dataclasses
import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from ib_jax import data
from ib_jax.data import loading
from ib_jax.data.crops import RandomCrop
from ib_jax.data.imagenet import imagenet_a_spec, imagenet_spec

SIZE = 16


def open_train(copy, **options):
    return data.open_train("imagenet2012", **{"data_dir": copy.data_dir, "image_size": SIZE, "crop_seed": 5, **options})


def order(epoch):
    return np.random.default_rng(epoch).permutation(26)


def stream(copy, **options):
    return list(data.stream(open_train(copy), **{"order": order, "batch_size": 6, "num_steps": 12, **options}))


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        np.testing.assert_array_equal(batch.inputs, other.inputs)
        np.testing.assert_array_equal(batch.labels, other.labels)


def centre(encoded, size=SIZE):
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    shortest = round(size * 256 / 224)
    width, height = (int(shortest * side / min(image.size)) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[top : top + size, left : left + size]


def nine_of(copy):
    return sorted(copy.rows["train"])[:9]


def test_every_validation_image_comes_once_in_order_with_its_label(imagenet):
    source = data.open_split("imagenet2012", "validation", data_dir=imagenet.data_dir, image_size=SIZE)
    read = list(data.batches(source, 5, num_threads=2))
    assert [len(batch.labels) for batch in read] == [5, 5, 5, 5, 3]
    inputs, labels = (np.concatenate(fields) for fields in zip(*read, strict=True))
    assert inputs.shape == (23, SIZE, SIZE, 3)
    assert inputs.dtype == np.uint8
    assert labels.dtype == np.int32
    assert labels.tolist() == [label for _, label, _ in imagenet.rows["validation"]]
    assert {labels.min() >= 0, labels.max() < 1000, len(set(labels.tolist())) == 23} == {True}
    np.testing.assert_array_equal(inputs, np.stack([centre(encoded) for *_, encoded in imagenet.rows["validation"]]))


def test_the_copy_holds_what_real_imagenet_holds(imagenet):
    modes = [Image.open(io.BytesIO(encoded)) for *_, encoded in imagenet.rows["validation"]]
    assert {image.mode for image in modes} == {"RGB", "L", "CMYK"}
    assert {image.format for image in modes} == {"JPEG", "PNG"}
    assert all(name.endswith(".JPEG") for name, *_ in imagenet.rows["validation"])
    assert len({image.size for image in modes}) == 7


def test_the_batches_of_training_are_the_crops_of_their_epoch(imagenet):
    batches = stream(imagenet)
    assert batches[0].inputs.shape == (6, SIZE, SIZE, 3)
    for step, batch in enumerate(batches):
        epoch, start = step // 4, step % 4 * 6
        rows = order(epoch)[start : start + 6].tolist()
        decode = RandomCrop(SIZE, seed=5, epoch=epoch)
        expected = [decode(imagenet.rows["train"][row][2], row) for row in rows]
        np.testing.assert_array_equal(batch.inputs, np.stack(expected))
        assert batch.labels.tolist() == [imagenet.rows["train"][row][1] for row in rows]


@pytest.mark.parametrize("first_step", [1, 4, 7, 12])
def test_a_resumed_run_sees_the_same_crops(imagenet, first_step):
    assert_same(stream(imagenet, first_step=first_step), stream(imagenet)[first_step:])


def test_threads_reading_ahead_and_stretches_change_nothing(imagenet):
    whole = stream(imagenet)
    assert_same(stream(imagenet, num_threads=4, num_ahead=7), whole)
    stretches = stream(imagenet, steps_per_call=4)
    steps = [data.Split(*fields) for stretch in stretches for fields in zip(*stretch, strict=True)]
    assert_same(steps, whole)


def test_the_shares_of_the_processes_are_the_whole(imagenet):
    shares = [stream(imagenet, shard=(index, 3)) for index in range(3)]
    joined = [data.Split(*map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*shares, strict=True)]
    assert_same(joined, stream(imagenet))


@pytest.mark.standard
def test_another_process_reads_the_same_without_tensorflow(imagenet):
    code = """
import dataclasses, hashlib, sys
import numpy as np
from ib_jax import data
from ib_jax.data import imagenet, loading
spec = dataclasses.replace(imagenet.imagenet_spec(), split_sizes={"train": 26, "validation": 23})
loading._STREAMED["imagenet2012"] = lambda: spec
train = data.open_train("imagenet2012", data_dir=sys.argv[1], image_size=16, crop_seed=5)
order = lambda epoch: np.random.default_rng(epoch).permutation(26)
digest = hashlib.sha256()
for batch in data.stream(train, order=order, batch_size=6, num_steps=12, num_threads=2):
    digest.update(batch.inputs.tobytes())
validation = data.open_split("imagenet2012", "validation", data_dir=sys.argv[1], image_size=16)
assert sum(len(batch.labels) for batch in data.batches(validation, 10)) == 23
assert "tensorflow" not in sys.modules
print(digest.hexdigest())
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::EncodingWarning", "-c", code, str(imagenet.data_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout.strip() == hashlib.sha256(b"".join(b.inputs.tobytes() for b in stream(imagenet))).hexdigest()


def test_seed_and_epoch_change_the_crops_but_not_the_labels(imagenet):
    rows = np.arange(26)
    first = open_train(imagenet).at_epoch(0).read_rows(rows)
    others = [open_train(imagenet).at_epoch(1), open_train(imagenet, crop_seed=6).at_epoch(0)]
    for other in (source.read_rows(rows) for source in others):
        assert (first.inputs != other.inputs).any((1, 2, 3)).sum() >= 25
        np.testing.assert_array_equal(first.labels, other.labels)
    np.testing.assert_array_equal(open_train(imagenet).at_epoch(0)[7].inputs, first.inputs[7])


def test_without_an_epoch_there_is_nothing_to_read(imagenet):
    with pytest.raises(TypeError):
        open_train(imagenet)[0]


def test_what_is_held_out_is_left_out_and_changes_no_crop(imagenet):
    options = {"num_validation": 8, "seed": 3}
    train = open_train(imagenet, **options)
    held_out = data.open_split("imagenet2012", "held_out", data_dir=imagenet.data_dir, image_size=SIZE, **options)
    permutation = np.random.default_rng(3).permutation(26)
    kept = np.sort(permutation[:-8])
    assert (len(train), len(held_out)) == (18, 8)
    whole = open_train(imagenet).at_epoch(2).read_rows(kept)
    assert_same([train.at_epoch(2).read_rows(np.arange(18))], [whole])
    expected = [centre(imagenet.rows["train"][row][2]) for row in permutation[-8:]]
    np.testing.assert_array_equal(held_out.read_rows(np.arange(8)).inputs, np.stack(expected))
    batches = data.stream(train, order=lambda epoch: np.arange(18), batch_size=18, num_steps=3, first_step=2)
    assert_same(batches, [whole])


def test_training_images_are_cropped_in_the_centre_for_evaluation(imagenet):
    source = data.open_split("imagenet2012", "train", data_dir=imagenet.data_dir, image_size=SIZE)
    np.testing.assert_array_equal(source[11].inputs, centre(imagenet.rows["train"][11][2]))


def test_the_usual_size_is_224(imagenet):
    options = {"data_dir": imagenet.data_dir}
    assert data.open_split("imagenet2012", "validation", **options)[0].inputs.shape == (224, 224, 3)
    assert data.open_train("imagenet2012", **options).at_epoch(0)[0].inputs.shape == (224, 224, 3)


def test_sources_can_be_pickled_and_read_by_threads(imagenet):
    train = pickle.loads(pickle.dumps(open_train(imagenet, num_validation=3))).at_epoch(4)
    whole = open_train(imagenet, num_validation=3).at_epoch(4).read_rows(np.arange(23))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        examples = list(pool.map(train.__getitem__, [*range(23)] * 3))
    np.testing.assert_array_equal(np.stack([inputs for inputs, _ in examples]), np.tile(whole.inputs, (3, 1, 1, 1)))


@pytest.mark.parametrize("damage", [lambda jpeg: jpeg[: len(jpeg) // 2], lambda jpeg: b"no image", lambda jpeg: b""])
def test_a_damaged_image_is_named(imagenet, make_imagenet_copy, tmp_path, monkeypatch, damage):
    examples = [
        (name, label, damage(file) if name.endswith("5.JPEG") else file) for name, label, file in nine_of(imagenet)
    ]
    make_imagenet_copy(tmp_path, "imagenet2012", {"train": examples})
    spec = dataclasses.replace(imagenet_spec(), split_sizes={"train": 9})
    monkeypatch.setitem(loading._STREAMED, "imagenet2012", lambda: spec)
    train = data.open_train("imagenet2012", data_dir=tmp_path, image_size=SIZE)
    batches = data.stream(train, order=lambda epoch: np.arange(9), batch_size=9, num_steps=1)
    with pytest.raises(data.DatasetCorruptError) as caught:
        next(batches)
    folder = tmp_path / "imagenet2012" / "5.1.0"
    assert f"(train_00000005.JPEG) of the train split in {folder} could not be decoded" in str(caught.value)
    assert f"Delete {folder} and prepare it again" in str(caught.value)
    row = int(str(caught.value).split("image ")[1].split()[0])
    others = np.array([other for other in range(9) if other != row])
    assert len(train.at_epoch(0).read_rows(others).labels) == 8


def test_a_label_that_is_no_class_is_refused(imagenet, make_imagenet_copy, tmp_path, monkeypatch):
    # -1 is what tensorflow-datasets writes for images without a label.
    make_imagenet_copy(tmp_path, "imagenet2012", {"train": [(name, -1, file) for name, _, file in nine_of(imagenet)]})
    spec = dataclasses.replace(imagenet_spec(), split_sizes={"train": 9})
    monkeypatch.setitem(loading._STREAMED, "imagenet2012", lambda: spec)
    with pytest.raises(data.DatasetCorruptError, match=r"labels in -1\.\.-1, expected 0\.\.999"):
        data.open_train("imagenet2012", data_dir=tmp_path, image_size=SIZE).at_epoch(0)[0]


def test_a_copy_may_lack_the_split_that_is_not_asked_for(imagenet, make_imagenet_copy, tmp_path):
    make_imagenet_copy(tmp_path, "imagenet2012", {"validation": imagenet.rows["validation"]})
    assert len(data.open_split("imagenet2012", "validation", data_dir=tmp_path)) == 23
    with pytest.raises(data.DatasetCorruptError, match=r"lacks \['train'\]. Delete .* and prepare it again"):
        data.open_train("imagenet2012", data_dir=tmp_path)


def test_a_copy_of_another_size_is_refused(imagenet, monkeypatch):
    monkeypatch.setitem(loading._STREAMED, "imagenet2012", imagenet_spec)
    with pytest.raises(data.DatasetCorruptError, match=r"train split .* has 26 images, expected 1281167"):
        data.open_train("imagenet2012", data_dir=imagenet.data_dir)


def test_a_copy_that_needs_tensorflow_is_refused_with_the_way_to_convert_it(imagenet, tmp_path):
    folder = tmp_path / "imagenet2012" / "5.1.0"
    shutil.copytree(imagenet.data_dir / "imagenet2012" / "5.1.0", folder)
    info = json.loads((folder / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(data.DatasetUnavailableError, match="is in tfrecord format") as caught:
        data.open_train("imagenet2012", data_dir=tmp_path)
    assert f"tfds convert_format --dataset_version_dir={folder} --out_file_format=array_record" in str(caught.value)


@pytest.mark.parametrize(
    "name, split, spec", [("imagenet2012", "validation", imagenet_spec), ("imagenet_a", "test", imagenet_a_spec)]
)
def test_what_is_absent_is_said_at_once_with_the_way_to_prepare_it(name, split, spec, tmp_path):
    version = spec().version  # loads tensorflow-datasets, which takes a second
    start = time.monotonic()
    with pytest.raises(data.DatasetUnavailableError) as caught:
        data.open_split(name, split, data_dir=tmp_path)
    assert time.monotonic() - start < 2
    message = str(caught.value)
    assert f"{name} {version} is not on this machine" in message
    assert str(tmp_path / name / version) in message
    assert f"tfds build {name} --file_format=array_record --data_dir={tmp_path}" in message
    assert ("ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar" in message) == (name == "imagenet2012")
    assert (str(tmp_path / "downloads" / "manual") in message) == (name == "imagenet2012")
    assert not list(tmp_path.iterdir())


def test_imagenet_a_is_read_as_validation_is(imagenet, make_imagenet_copy, tmp_path, monkeypatch):
    make_imagenet_copy(tmp_path, "imagenet_a", {"test": imagenet.rows["validation"][:7]})
    spec = dataclasses.replace(imagenet_a_spec(), split_sizes={"test": 7})
    monkeypatch.setitem(loading._STREAMED, "imagenet_a", lambda: spec)
    source = data.open_split("imagenet_a", "test", data_dir=tmp_path, image_size=SIZE)
    (batch,) = data.batches(source, 10)
    expected = {label: centre(encoded) for _, label, encoded in imagenet.rows["validation"][:7]}
    assert sorted(batch.labels.tolist()) == sorted(expected)
    for pixels, label in zip(*batch, strict=True):
        np.testing.assert_array_equal(pixels, expected[int(label)])


def test_the_published_sizes():
    assert imagenet_spec().split_sizes == {"train": 1_281_167, "validation": 50_000}
    assert imagenet_a_spec().split_sizes == {"test": 7_500}
    for spec in (imagenet_spec(), imagenet_a_spec()):
        assert spec.num_classes == 1000
        assert spec.builder.name == spec.name


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: data.load("imagenet2012"), "name is 'imagenet2012', which does not fit into memory"),
        (
            lambda: data.open_split("svhn", "test"),
            "name is 'svhn'; expected one of digits, .*, imagenet2012, imagenet_a",
        ),
        (
            lambda: data.open_split("imagenet2012", "test"),
            "split is 'test'; imagenet2012 has train, validation, held_out",
        ),
        (lambda: data.open_split("imagenet_a", "held_out"), "split is 'held_out'; imagenet_a has test"),
        (lambda: data.open_train("imagenet_a"), "split is 'train'; imagenet_a has test"),
        (lambda: data.open_split("digits", "validation"), "split is 'validation'; digits has train, test, held_out"),
        (
            lambda: data.open_train("digits", image_size=8),
            "image_size is 8; digits has images of 8 x 8 pixels, so leave",
        ),
        (lambda: data.open_split("cifar10", "test", image_size=8), "image_size is 8; cifar10 has images of 32 x 32"),
        (lambda: data.open_train("imagenet2012", image_size=0), "image_size must be at least 1, got 0"),
        (lambda: data.open_train("imagenet2012", num_validation=-1), "num_validation is -1; expected 0 or more"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_bad_crop_seed_is_refused_when_it_is_given(imagenet):
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        open_train(imagenet, crop_seed=-1)
