"""Finds a data set's raw files, or fetches them: the manual folder first, then earlier downloads, then the network."""

import hashlib
import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from ib_jax.data.dataset import DatasetCorruptError, DatasetUnavailableError
from ib_jax.data.quiet import no_progress_bars
from ib_jax.data.spec import ImageSpec, RawFile

PROBE_SECONDS = 5.0


def manual_dir(spec: ImageSpec, data_dir: Path) -> Path:
    """The folder for raw files put there by hand.

    It lies in the manual folder of tensorflow-datasets, one folder for each data set, because the files of MNIST and of
    Fashion-MNIST have the same names.
    """
    return data_dir / "downloads" / "manual" / str(spec.builder.name)


def obtain(spec: ImageSpec, data_dir: Path) -> dict[str, Path]:
    """Gets every raw file of a data set, verified against its checksum.

    Args:
      spec: the data set.
      data_dir: the folder in which tensorflow-datasets keeps its data.

    Returns:
      The path of each raw file, by its name.

    Raises:
      DatasetCorruptError: if a file in the manual folder is not the official one.
      DatasetUnavailableError: if files are missing and cannot be downloaded.
    """
    found = _find(spec, data_dir)
    missing = [file for file in spec.files if file.name not in found]
    if missing:
        # tensorflow-datasets tries for minutes before it gives up, so one quick question goes first.
        reason = unreachable(missing[0].url)
        if reason is not None:
            raise DatasetUnavailableError(_how_to_get(spec, data_dir, missing, reason))
        found |= _download(spec, data_dir, missing)
    return found


def unreachable(url: str) -> str | None:
    """Asks for a URL's headers and waits at most `PROBE_SECONDS`.

    A real request rather than a bare connection, so that proxies are honoured as they will be in the download.

    Args:
      url: what to download.

    Returns:
      None if the server answered, otherwise why the URL cannot be had.
    """
    answers: list[str | None] = []

    def probe() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
                answers.append(None)
        except urllib.error.HTTPError as error:
            # Some servers refuse HEAD but would serve the file.
            answers.append(None if error.code in (405, 501) else f"the server answered {error.code} {error.reason}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            answers.append(str(error))

    # In a thread, because the timeout of a socket does not bound the look-up of the host's name.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS + 1.0)
    return answers[0] if answers else f"no answer within {PROBE_SECONDS:g} seconds"


def _find(spec: ImageSpec, data_dir: Path) -> dict[str, Path]:
    found = {}
    downloads = data_dir / "downloads"
    # tensorflow-datasets renames what it downloads, so earlier downloads are known by their content.
    earlier = [path for folder in (downloads / str(spec.builder.name), downloads) for path in sorted(folder.glob("*"))]
    for file in spec.files:
        by_hand = manual_dir(spec, data_dir) / file.name
        if by_hand.exists():
            _verify(by_hand, file)
            found[file.name] = by_hand
            continue
        for path in earlier:
            if path.is_file() and path.stat().st_size == file.num_bytes and _sha256(path) == file.sha256:
                found[file.name] = path
                break
    return found


def _verify(path: Path, file: RawFile) -> None:
    num_bytes, sha256 = path.stat().st_size, _sha256(path)
    if (num_bytes, sha256) != (file.num_bytes, file.sha256):
        raise DatasetCorruptError(
            f"{path}: expected {file.num_bytes} bytes with sha256 {file.sha256}, found {num_bytes} bytes with sha256 "
            f"{sha256}. Replace it with {file.url}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(spec: ImageSpec, data_dir: Path, missing: Sequence[RawFile]) -> dict[str, Path]:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums, download_manager

    try:
        with no_progress_bars():
            manager = tfds.download.DownloadManager(
                download_dir=data_dir / "downloads",
                dataset_name=str(spec.builder.name),
                url_infos={
                    file.url: checksums.UrlInfo(size=file.num_bytes, checksum=file.sha256, filename=file.name)
                    for file in missing
                },
                force_checksums_validation=True,
            )
            paths = manager.download({file.name: file.url for file in missing})
    except (OSError, tfds.download.DownloadError, download_manager.NonMatchingChecksumError) as error:
        raise DatasetUnavailableError(_how_to_get(spec, data_dir, missing, str(error))) from error
    return {name: Path(path) for name, path in paths.items()}


def _how_to_get(spec: ImageSpec, data_dir: Path, missing: Sequence[RawFile], reason: str) -> str:
    files = "\n".join(f"       {file.url} ({file.num_bytes} bytes, sha256 {file.sha256})" for file in missing)
    return f"""The data set {spec.name} {spec.version} is not on this machine and could not be downloaded: {reason}
Looked for a prepared copy in {spec.prepared_dir(data_dir)}
and for its raw files in {manual_dir(spec, data_dir)} and {data_dir / "downloads"}
Any one of these will do:
  1. If it lies elsewhere, pass data_dir= or set the environment variable TFDS_DATA_DIR.
  2. On a machine with network run
       python -c "from ib_jax import data; data.{spec.call}"
     once, and copy the folder {spec.name} from its data directory to {data_dir / spec.name}
  3. Put these files, under these names, into {manual_dir(spec, data_dir)} and run again:
{files}"""
