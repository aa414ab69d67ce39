"""A plugin of pytest: compiled programs are forgotten from time to time.

Each lies in several mappings of memory, of which Linux gives a process 65,530. The whole of the tests come to that, and
the process ends without a word; the cache on disk brings back what is needed again.
"""

import jax
import pytest

_TESTS = 200
"""About as many tests as are run between; some of them compile a hundred programs."""

_since = 0


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Between modules, whose fixtures hold on to compiled functions."""
    global _since
    _since += 1
    if _since >= _TESTS and nextitem is not None and nextitem.path != item.path:
        jax.clear_caches()
        _since = 0
