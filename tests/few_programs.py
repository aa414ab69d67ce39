"""A plugin of pytest: compiled programs are forgotten before they are too many.

Each lies in several mappings of memory, of which Linux gives a process 65,530. The whole of the tests come to that, and
the process ends without a word; the cache on disk brings back what is needed again.

Tracing makes many small objects: Python looks for garbage among them less often, which saves a tenth of the time.
"""

import gc
import pathlib

import jax
import pytest

MOST = 40_000
"""Mappings; a module of tests adds up to some six thousand."""
_MAPS = pathlib.Path("/proc/self/maps")  # of Linux; elsewhere there is no such limit
gc.set_threshold(100_000, 20, 20)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Between modules, whose fixtures hold on to compiled functions."""
    if nextitem is None or nextitem.path == item.path or not _MAPS.exists():
        return
    if _MAPS.read_bytes().count(b"\n") > MOST:
        jax.clear_caches()
