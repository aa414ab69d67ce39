"""A plugin of pytest: how long tests take, kept in `durations.json` so that growth is seen.

At the end of a run it prints the ten slowest tests, the total of each folder beside the kept one, and which tests are
longer than their tier allows. `--keep-durations` writes the file; tiers that did not run keep what they had.

A worker takes whole files (`--dist loadfile`), so that a fixture is made once; the longest start first, by what is
kept, so that none is left for the end.
"""

import collections
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest

from tests.tiers import tier_of

KEPT = pathlib.Path(__file__).with_name("durations.json")
LIMITS = {"fast": 5.0, "standard": 30.0}
"""Seconds of one test on two quiet cores, its fixtures and its compiling within."""
_SHOWN = 10

Seconds = Mapping[str, float]
Kept = Mapping[str, Seconds]
"""Seconds of the tests of each file that are of one tier, by tier."""


def read_kept() -> dict[str, dict[str, float]]:
    """As kept, or nothing."""
    return json.loads(KEPT.read_text())["tiers"] if KEPT.exists() else {}


def file_of(nodeid: str) -> str:
    return nodeid.split("::")[0]


def folder_of(file: str) -> str:
    """tests/attacks/text/pool_test.py -> tests/attacks."""
    parts = pathlib.PurePosixPath(file).parts
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def totals(seconds: Iterable[tuple[str, float]], key: Callable[[str], str]) -> dict[str, float]:
    """Sums over what `key` says of each name, the largest first."""
    sums: collections.Counter[str] = collections.Counter()
    for name, value in seconds:
        sums[key(name)] += value
    return dict(sums.most_common())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-durations", action="store_true", help="write tests/durations.json")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, after `-m` has chosen: by their tests of the tiers that are run."""
    kept = read_kept()
    tiers = sorted({(tier_of(item), file_of(item.nodeid)) for item in items})  # the same sums in every worker
    weights = totals(((file, kept.get(tier, {}).get(file, 0.0)) for tier, file in tiers), str)
    items.sort(key=lambda item: -weights[file_of(item.nodeid)])


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    reports = [one for kind in terminalreporter.stats.values() for one in kind if isinstance(one, pytest.TestReport)]
    if not reports or hasattr(config, "workerinput"):  # a worker knows only its own
        return
    seconds: collections.Counter[str] = collections.Counter()
    tiers: dict[str, str] = {}
    for report in reports:  # of setup, call and teardown
        seconds[report.nodeid] += report.duration
        tiers[report.nodeid] = dict(report.user_properties).get("tier", "fast")
    terminalreporter.section("durations, in seconds")
    for line in lines(dict(seconds.most_common()), tiers, read_kept()):
        terminalreporter.write_line(line)
    if config.getoption("--keep-durations"):
        keep(seconds, tiers)
        terminalreporter.write_line(f"Kept in {KEPT.name}.")


def lines(seconds: Seconds, tiers: Mapping[str, str], kept: Kept) -> Iterator[str]:
    """What is printed of tests with the slowest first."""
    for name in list(seconds)[:_SHOWN]:
        yield f"{seconds[name]:8.1f}  {name}"
    yield ""
    ran = {(tiers[name], file_of(name)) for name in seconds}
    before = totals(((file, kept.get(tier, {}).get(file, 0.0)) for tier, file in ran), folder_of)
    for folder, total in totals(seconds.items(), lambda name: folder_of(file_of(name))).items():
        yield f"{total:8.1f}  {folder} (kept: {before[folder]:.1f})"
    for tier in dict.fromkeys(tiers.values()):
        members = [name for name in seconds if tiers[name] == tier]
        yield f"{sum(seconds[name] for name in members):8.1f}  in {len(members)} {tier} tests"
    for name, value in seconds.items():
        if value > LIMITS.get(tiers[name], value):
            yield f"{value:8.1f}  is too long for a {tiers[name]} test: {name}"


def keep(seconds: Seconds, tiers: Mapping[str, str]) -> None:
    """Writes the seconds of each file in the tiers that were run."""
    kept = read_kept()
    for tier in sorted(set(tiers.values())):
        ran = totals(((name, value) for name, value in seconds.items() if tiers[name] == tier), file_of)
        files = {name: round(value, 1) for name, value in (kept.get(tier, {}) | ran).items()}
        kept[tier] = {name: files[name] for name in sorted(files) if files[name] and pathlib.Path(name).exists()}
    folders = {tier: totals(files.items(), folder_of) for tier, files in kept.items()}
    folders = {tier: {name: round(value, 1) for name, value in sums.items()} for tier, sums in folders.items()}
    KEPT.write_text(json.dumps({"folders": folders, "tiers": kept}, indent=1) + "\n")
