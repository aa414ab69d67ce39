"""Where the files of a pretrained model lie: a folder of this machine, or a name on the Hugging Face hub."""

import os
import pathlib
from collections.abc import Sequence

MODEL_FILES = ("config.json", "*.safetensors", "tokenizer.json")


class HubUnavailableError(RuntimeError):
    """A pretrained model can be neither found nor downloaded; the message says what to do."""


def local_folder(name: str | os.PathLike[str], *, files: Sequence[str] = MODEL_FILES) -> pathlib.Path:
    """The folder with a model's files, downloaded if need be and kept by huggingface_hub in its own cache.

    Args:
      name: a folder of this machine, or a name on the hub such as "bert-base-uncased".
      files: which files are downloaded, as patterns.

    Returns:
      The folder.

    Raises:
      HubUnavailableError: there is no such folder, and huggingface_hub is missing or cannot get it.

    Example:
      >>> import tempfile
      >>> from ib_jax import hub
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     hub.local_folder(folder).is_dir()
      True
    """
    path = pathlib.Path(name).expanduser()
    if path.is_dir():
        return path
    text = os.fspath(name)
    try:
        import huggingface_hub
    except ImportError:
        raise HubUnavailableError(
            f"{text!r} is no folder here, and huggingface_hub, which could download it, is not installed: "
            "pip install 'ib-jax[text]', or give a folder with config.json, model.safetensors and tokenizer.json"
        ) from None
    try:
        return pathlib.Path(huggingface_hub.snapshot_download(text, allow_patterns=list(files)))
    except Exception as error:  # errors of many libraries, as a name may be misspelt or the network away
        raise HubUnavailableError(
            f"{text!r} is no folder here, and the hub did not give it ({type(error).__name__}: {error}). Check "
            "the name and the network, or give a folder with config.json, model.safetensors and tokenizer.json"
        ) from error
