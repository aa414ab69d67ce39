"""A plugin of pytest: the tiers.

fast       no marker: a kernel, a refusal, a record; under five seconds. `--fast`: on every JAX and Python supported.
standard   several seconds, a model trained by an experiment, or a process. With the fast ones: `python -m tests`.
slow       experiments end to end, kill and resume, several processes, peers. `python -m tests --all`, or `--slow`.
manual     more memory or minutes than a shared machine has. By hand, with `-m manual`.
"""

import time

import pytest

pytest_plugins = ("tests.jax_settings",)
TIERS = ("fast", "standard", "slow", "manual")
_START = pytest.StashKey[float]()


def tier_of(item: pytest.Item) -> str:
    """The slowest tier that marks the test, its class or its file."""
    return next((tier for tier in reversed(TIERS) if item.get_closest_marker(tier)), TIERS[0])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, help="start no test after so many minutes; say which")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each test is marked with its tier, before `-m` chooses."""
    for item in items:
        item.add_marker(tier_of(item))
        item.user_properties.append(("tier", tier_of(item)))
    config.stash[_START] = time.monotonic()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Nothing is started when the time is over."""
    minutes = item.config.getoption("--minutes")
    if minutes is not None and time.monotonic() - item.config.stash[_START] > 60 * minutes:
        pytest.skip(f"the {minutes:g} minutes are over")
