import dataclasses
import functools
import hashlib
import http.server
import threading
import time
import urllib.error
import urllib.request

import pytest

from ib_jax.data import DatasetCorruptError, DatasetUnavailableError, raw_files


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError(OSError("Network is unreachable"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves a folder on this machine; yields the folder and its URL."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def _served_at(spec, url):
    return dataclasses.replace(
        spec, files=tuple(file._replace(url=f"{url}/{spec.name}/{file.name}") for file in spec.files)
    )


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_offline_is_told_at_once_with_name_places_and_remedies(make_archives, tmp_path, offline, name):
    spec, _, _ = make_archives(name)
    start = time.monotonic()
    with pytest.raises(DatasetUnavailableError) as caught:
        raw_files.obtain(spec, tmp_path)
    assert time.monotonic() - start < 5.0
    message = str(caught.value)
    assert f"The data set {name} " in message
    assert "Network is unreachable" in message
    assert str(tmp_path / name / spec.version) in message
    assert str(tmp_path / "downloads" / "manual" / name) in message
    assert "TFDS_DATA_DIR" in message
    assert f"load('{name}')" in message
    for file in spec.files:
        assert f"{file.url} ({file.num_bytes} bytes, sha256 {file.sha256})" in message
    assert list(tmp_path.iterdir()) == []


def test_only_the_missing_files_are_asked_for(make_archives, manual_copy, offline):
    spec, files, _ = make_archives("mnist")
    missing = files.popitem()[0]
    with pytest.raises(DatasetUnavailableError) as caught:
        raw_files.obtain(spec, manual_copy(spec, files))
    urls = {file.name: file.url for file in spec.files}
    assert urls[missing] in str(caught.value)
    assert not any(urls[name] in str(caught.value) for name in files)


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    release = threading.Event()

    def hang(*args, **kwargs):
        release.wait(30)
        raise OSError("too late")

    monkeypatch.setattr(urllib.request, "urlopen", hang)
    monkeypatch.setattr(raw_files, "PROBE_SECONDS", 0.1)
    start = time.monotonic()
    reason = raw_files.unreachable("http://example.invalid/file")
    release.set()
    assert reason == "no answer within 0.1 seconds"
    assert time.monotonic() - start < 5.0


def test_files_in_the_manual_folder_need_no_network(make_archives, manual_copy, offline):
    spec, files, _ = make_archives("mnist")
    data_dir = manual_copy(spec, files)
    found = raw_files.obtain(spec, data_dir)
    assert found == {name: data_dir / "downloads" / "manual" / "mnist" / name for name in files}


def test_files_of_another_data_set_are_not_taken(make_archives, manual_copy, offline):
    spec, files, _ = make_archives("mnist")
    other, _, _ = make_archives("fashion_mnist")
    with pytest.raises(DatasetUnavailableError, match="The data set fashion_mnist "):
        raw_files.obtain(other, manual_copy(spec, files))


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_file_with_another_checksum_is_refused(make_archives, manual_copy, offline, damage):
    spec, files, _ = make_archives("cifar10")
    (file,) = spec.files
    damaged = damage(files[file.name])
    data_dir = manual_copy(spec, {file.name: damaged})
    with pytest.raises(DatasetCorruptError) as caught:
        raw_files.obtain(spec, data_dir)
    message = str(caught.value)
    assert str(data_dir / "downloads" / "manual" / "cifar10" / file.name) in message
    assert f"expected {file.num_bytes} bytes with sha256 {file.sha256}" in message
    assert f"found {len(damaged)} bytes with sha256 {hashlib.sha256(damaged).hexdigest()}" in message


def test_missing_files_are_downloaded_and_found_again(make_archives, tmp_path, server, monkeypatch, capfd):
    folder, url = server
    spec, files, _ = make_archives("mnist")
    spec = _served_at(spec, url)
    (folder / "mnist").mkdir()
    for name, data in files.items():
        (folder / "mnist" / name).write_bytes(data)
    found = raw_files.obtain(spec, tmp_path / "data")
    assert {name: path.read_bytes() for name, path in found.items()} == files
    assert capfd.readouterr() == ("", "")

    def refuse(*args, **kwargs):
        raise AssertionError("asked the network for files that are here already")

    monkeypatch.setattr(raw_files, "unreachable", refuse)
    again = raw_files.obtain(spec, tmp_path / "data")
    assert {name: path.read_bytes() for name, path in again.items()} == files


def test_a_download_with_another_checksum_is_refused(make_archives, tmp_path, server):
    folder, url = server
    spec, files, _ = make_archives("cifar10")
    (name,) = files
    (folder / "cifar10").mkdir()
    (folder / "cifar10" / name).write_bytes(files[name][:-1])
    with pytest.raises(DatasetUnavailableError, match="wrong checksum"):
        raw_files.obtain(_served_at(spec, url), tmp_path / "data")
    assert raw_files._find(spec, tmp_path / "data") == {}


def test_a_file_that_the_server_lacks_is_told_at_once(make_archives, tmp_path, server):
    _, url = server
    spec, _, _ = make_archives("mnist")
    with pytest.raises(DatasetUnavailableError, match="the server answered 404"):
        raw_files.obtain(_served_at(spec, url), tmp_path / "data")


def test_an_earlier_download_is_known_by_its_content(make_archives, tmp_path, offline):
    spec, files, _ = make_archives("cifar10")
    ((name, data),) = files.items()
    folder = tmp_path / "downloads" / "cifar10"
    folder.mkdir(parents=True)
    (folder / "a_damaged.tar.gz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DatasetUnavailableError):
        raw_files.obtain(spec, tmp_path)
    (folder / "renamed.tar.gz").write_bytes(data)
    assert raw_files.obtain(spec, tmp_path) == {name: folder / "renamed.tar.gz"}
