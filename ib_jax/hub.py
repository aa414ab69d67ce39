"""Locates the files of a pretrained model: in a local folder, or on the Hugging Face hub."""

import os
import pathlib
import re
from collections.abc import Sequence

from ib_jax.files import one_line
from ib_jax.paths import is_url, local_path

_CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
_LOCAL = re.compile(r"[./~\\]|.*(\\|/.*/)|.*/$")  # a name on the hub is NAME or OWNER/NAME
_WANTED = "a folder with config.json, model.safetensors and tokenizer.json"
MODEL_FILES = ("config.json", "*.safetensors", "tokenizer.json")
"""The files of a BERT and of its tokenizer, as patterns."""


class HubUnavailableError(RuntimeError):
    """A pretrained model is not on this machine and cannot be downloaded; the message says what to do."""


def local_folder(name: str | os.PathLike[str], *, files: Sequence[str] = MODEL_FILES) -> pathlib.Path:
    """The folder with a model's files, downloaded if need be and kept by huggingface_hub in its own cache.

    Args:
      name: a folder of this machine, or a name on the hub such as "bert-base-uncased".
      files: which files are downloaded, as patterns.

    Returns:
      The folder.

    Raises:
      HubUnavailableError: there is no such folder, and huggingface_hub is missing or cannot download it; or the name is
        an address.

    Example:
      >>> import tempfile
      >>> from ib_jax import hub
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     hub.local_folder(folder).is_dir()
      True
      >>> hub.local_folder("https://huggingface.co/bert-base-uncased")
      Traceback (most recent call last):
      ib_jax.hub.HubUnavailableError: model is 'https://huggingface.co/bert-base-uncased'; give its name on the hub \
alone, such as bert-base-uncased, or a folder of this machine
    """
    text = os.fspath(name)
    if is_url(text):
        raise HubUnavailableError(
            f"model is {text!r}; give its name on the hub alone, such as bert-base-uncased, or a folder of this machine"
        )
    try:
        path = local_path(name, "model")
    except ValueError as error:
        raise HubUnavailableError(str(error)) from None
    if path.is_dir():
        return path
    if path.exists() or _LOCAL.match(text):
        what = "a file" if path.exists() else "no folder"
        raise HubUnavailableError(f"model is {text!r}, which is {what} here; give {_WANTED}")
    if not _has_cache():
        raise HubUnavailableError(
            f"{text!r} is no folder here, and without a home folder there is no place for the hub's files; set the "
            f"environment variable HF_HOME, or give {_WANTED}"
        )
    try:
        import huggingface_hub
    except ImportError:
        raise HubUnavailableError(
            f"{text!r} is no folder here, and huggingface_hub, which could download it, is not installed: "
            f"pip install 'ib-jax[text]', or give {_WANTED}"
        ) from None
    try:
        return pathlib.Path(huggingface_hub.snapshot_download(text, allow_patterns=list(files)))
    except Exception as error:  # many libraries' errors: a misspelt name, no network
        raise HubUnavailableError(
            f"{text!r} is no folder here, and the hub did not give it ({type(error).__name__}: {one_line(error)}). "
            f"Check the name and the network, or give {_WANTED}"
        ) from error


def _has_cache() -> bool:
    """Whether huggingface_hub has its own cache folder; without one it would create a folder named ~."""
    try:
        return any(map(os.environ.get, _CACHES)) or local_path("~", "home").is_absolute()
    except ValueError:
        return False
