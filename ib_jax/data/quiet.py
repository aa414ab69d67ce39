"""Silences the progress bars of tensorflow-datasets."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Switches the progress bars of tensorflow-datasets off, and afterwards back to what the caller had chosen."""
    from tensorflow_datasets.core.utils import tqdm_utils

    # No public function returns the present choice; without the private one, assume that bars are on.
    before = getattr(tqdm_utils, "_active", True)
    tqdm_utils.display_progress_bar(False)
    try:
        yield
    finally:
        tqdm_utils.display_progress_bar(before)
