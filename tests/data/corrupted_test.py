"""The corrupted sets: names against tensorflow-datasets, CIFAR-10-C from an archive in the published format."""

import dataclasses
import io
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from ib_jax import data
from ib_jax.data import corrupted, raw_files
from ib_jax.data.corrupted import corrupted_spec

ALL = (*data.CORRUPTIONS, *data.EXTRA_CORRUPTIONS)
NUM_TEST = 12
ARCHIVE = "CIFAR-10-C.tar"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(raw_files, "unreachable", lambda url: "no network in tests")


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"CIFAR-10-C/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def arrays():
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (5 * NUM_TEST, 32, 32, 3), np.uint8) for name in ("fog", "glass_blur")}
    return {**images, "labels": np.tile(rng.integers(0, 10, NUM_TEST, np.uint8), 5)}


@pytest.fixture
def cifar10_c(tmp_path, reseal, monkeypatch):
    """members -> a data directory with an archive of them, which passes for the official one."""

    def make(members):
        content = tar(members)
        folder = tmp_path / "downloads" / "manual" / "cifar10_corrupted"
        folder.mkdir(parents=True)
        (folder / ARCHIVE).write_bytes(content)

        def spec(name, corruption, severity):
            small = dataclasses.replace(corrupted_spec(name, corruption, severity), split_sizes={"test": NUM_TEST})
            return reseal(small, {ARCHIVE: content})

        monkeypatch.setattr(corrupted, "corrupted_spec", spec)
        return tmp_path

    return make


def by_pixels(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("corruption, folder", [("fog", "fog"), ("glass_blur", "frosted_glass_blur")])
def test_each_severity_is_its_fifth_of_the_array(cifar10_c, corruption, folder):
    published = arrays()
    data_dir = cifar10_c({f"{name}.npy": npy(array) for name, array in published.items()})
    for severity in range(1, 6):
        source = data.open_corrupted("cifar10", corruption, severity, data_dir=data_dir)
        read = source.read_rows(np.arange(NUM_TEST))
        assert read.inputs.dtype == np.uint8
        assert read.labels.dtype == np.int32
        part = slice((severity - 1) * NUM_TEST, severity * NUM_TEST)
        assert by_pixels(*read) == by_pixels(published[corruption][part], published["labels"][part])
        assert (data_dir / "cifar10_corrupted" / f"{folder}_{severity}" / "1.0.0" / "features.json").exists()


def test_a_prepared_copy_is_what_tensorflow_datasets_expects_and_needs_no_archive(cifar10_c):
    import tensorflow_datasets as tfds

    data_dir = cifar10_c({f"{name}.npy": npy(array) for name, array in arrays().items()})
    first = data.open_corrupted("cifar10", "fog", 2, data_dir=data_dir).read_rows(np.arange(NUM_TEST))
    (data_dir / "downloads" / "manual" / "cifar10_corrupted" / ARCHIVE).unlink()
    again = data.open_corrupted("cifar10", "fog", 2, data_dir=data_dir).read_rows(np.arange(NUM_TEST))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    stock = tfds.data_source("cifar10_corrupted/fog_2", split="test", data_dir=data_dir, download=False)
    np.testing.assert_array_equal(np.stack([record["image"] for record in stock]), first.inputs)
    assert [record["label"] for record in stock] == first.labels.tolist()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"fog.npy": None}, "KeyError: .*CIFAR-10-C/fog.npy"),
        ({"labels.npy": None}, "KeyError: .*CIFAR-10-C/labels.npy"),
        ({"fog.npy": npy(np.zeros((59, 32, 32, 3), np.uint8))}, "CIFAR-10-C/fog.npy has 59 rows, expected 5 times"),
        ({"fog.npy": b"no array"}, "CIFAR-10-C.tar: expected a whole archive"),
        ({"fog.npy": npy(np.zeros((60, 32, 32, 3), np.uint8))[:-7]}, "CIFAR-10-C.tar: expected a whole archive"),
        (
            {"fog.npy": npy(np.zeros((60, 28, 28, 3), np.uint8))},
            r"image shape \(12, 28, 28, 3\), expected \(12, 32, 32",
        ),
        ({"fog.npy": npy(np.zeros((60, 32, 32, 3)))}, "image dtype float64, expected uint8"),
        ({"labels.npy": npy(np.full(60, 10))}, r"labels in 10\.\.10, expected 0\.\.9"),
        ({"labels.npy": npy(np.zeros(55))}, r"label shape \(11,\), expected \(12,\)"),
    ],
)
def test_a_broken_archive_is_refused_and_leaves_nothing_behind(cifar10_c, change, message):
    members = {f"{name}.npy": npy(array) for name, array in arrays().items()} | change
    data_dir = cifar10_c({name: content for name, content in members.items() if content is not None})
    with pytest.raises(data.DatasetCorruptError, match=message):
        data.open_corrupted("cifar10", "fog", 1, data_dir=data_dir)
    assert not (data_dir / "cifar10_corrupted").exists()


def test_a_truncated_archive_is_refused(cifar10_c, reseal, monkeypatch):
    data_dir = cifar10_c({f"{name}.npy": npy(array) for name, array in arrays().items()})
    path = data_dir / "downloads" / "manual" / "cifar10_corrupted" / ARCHIVE
    content = path.read_bytes()[:100_000]
    path.write_bytes(content)
    spec = dataclasses.replace(corrupted_spec("cifar10", "fog", 1), split_sizes={"test": NUM_TEST})
    monkeypatch.setattr(corrupted, "corrupted_spec", lambda *_: reseal(spec, {ARCHIVE: content}))
    with pytest.raises(data.DatasetCorruptError, match=r"CIFAR-10-C\.tar: expected a whole archive"):
        data.open_corrupted("cifar10", "fog", 1, data_dir=data_dir)


def test_there_are_fifteen_and_four():
    from tensorflow_datasets.datasets.imagenet2012_corrupted import imagenet2012_corrupted_dataset_builder as builder

    assert len(data.CORRUPTIONS) == 15
    assert list(data.CORRUPTIONS) == builder.BENCHMARK_CORRUPTIONS
    assert sorted(data.EXTRA_CORRUPTIONS) == sorted(builder.EXTRA_CORRUPTIONS)


def test_every_name_leads_to_the_configuration_of_its_published_file():
    from tensorflow_datasets.image_classification import cifar10_corrupted

    for corruption in ALL:
        for severity in range(1, data.NUM_SEVERITIES + 1):
            spec = corrupted_spec("cifar10", corruption, severity)
            config = spec.builder.builder_configs[spec.config]
            assert config.severity == severity
            assert cifar10_corrupted._CORRUPTIONS_TO_FILENAMES[config.corruption] == f"{corruption}.npy"
            spec = corrupted_spec("imagenet2012", corruption, severity)
            config = spec.builder.builder_configs[spec.config]
            assert (config.corruption_type, config.severity) == (corruption, severity)


def test_imagenets_are_read_from_the_copy_of_tensorflow_datasets(
    make_imagenet_copy, make_photo, encode_image, tmp_path, monkeypatch
):
    files = [encode_image(make_photo(np.random.default_rng(index), 224, 224)) for index in range(3)]
    examples = [(f"ILSVRC2012_val_{index:08d}.JPEG", 300 + index, file) for index, file in enumerate(files)]
    make_imagenet_copy(tmp_path, "imagenet2012_corrupted", {"validation": examples}, config="glass_blur_3")
    spec = dataclasses.replace(corrupted_spec("imagenet2012", "glass_blur", 3), split_sizes={"validation": 3})
    assert spec.prepared_dir(tmp_path).exists()
    monkeypatch.setattr(corrupted, "corrupted_spec", lambda *_: spec)
    read = data.open_corrupted("imagenet2012", "glass_blur", 3, data_dir=tmp_path).read_rows(np.arange(3))
    for pixels, label in zip(*read, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(files[label - 300]))))


def test_what_is_absent_is_said_at_once(tmp_path):
    corrupted_spec("imagenet2012", "fog", 5)  # loads tensorflow-datasets
    start = time.monotonic()
    with pytest.raises(data.DatasetUnavailableError) as caught:
        data.open_corrupted("imagenet2012", "fog", 5, data_dir=tmp_path)
    command = f"tfds build imagenet2012_corrupted/fog_5 --file_format=array_record --data_dir={tmp_path}"
    assert command in str(caught.value)
    assert "put ILSVRC2012_img_val.tar, as" in str(caught.value)
    with pytest.raises(data.DatasetUnavailableError) as caught:
        data.open_corrupted("cifar10", "elastic_transform", 5, data_dir=tmp_path)
    assert "data.open_corrupted('cifar10', 'elastic_transform', 5)" in str(caught.value)
    assert f"into {tmp_path / 'downloads' / 'manual' / 'cifar10_corrupted'} and run again" in str(caught.value)
    assert str(tmp_path / "cifar10_corrupted" / "elastic_5") in str(caught.value)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("mnist", "fog", 1), "name is 'mnist'; expected one of cifar10, imagenet2012"),
        (("cifar10", "elastic", 1), "corruption is 'elastic'; expected one of gaussian_noise, .*, saturate"),
        (("cifar10", "fog", 0), "severity is 0; expected 1 to 5"),
        (("imagenet2012", "fog", 6), "severity is 6; expected 1 to 5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.open_corrupted(*arguments)
