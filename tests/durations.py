"""A plugin of pytest: how long tests take, kept in `durations.json` so that growth is seen.

At the end of a run it prints the ten slowest tests, the total of each folder beside the kept one, and which tests are
longer than their tier allows. `--keep-durations` writes the file; what did not run keeps what it had.
"""

import collections
import json
import pathlib
from collections.abc import Iterable

import pytest

KEPT = pathlib.Path(__file__).with_name("durations.json")
LIMITS = {"fast": 5.0, "standard": 30.0}
"""Seconds of one test on a quiet machine, its fixtures and its compiling within."""
_SHOWN = 10


def kept_files() -> dict[str, float]:
    """Seconds of each file, as kept."""
    return json.loads(KEPT.read_text())["files"] if KEPT.exists() else {}


def file_of(nodeid: str) -> str:
    return nodeid.split("::")[0]


def folder_of(file: str) -> str:
    """tests/attacks/text/pool_test.py -> tests/attacks; doctests count with the package's folder."""
    parts = pathlib.PurePosixPath(file).parts
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def totals(seconds: dict[str, float], key) -> dict[str, float]:
    """Sums over what `key` says of each name, the largest first."""
    sums: collections.Counter[str] = collections.Counter()
    for name, value in seconds.items():
        sums[key(name)] += value
    return dict(sums.most_common())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-durations", action="store_true", help="write tests/durations.json")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    reports = [one for kind in terminalreporter.stats.values() for one in kind if isinstance(one, pytest.TestReport)]
    if not reports:
        return
    seconds, tiers = totals_of(reports)
    terminalreporter.section("durations, in seconds")
    for line in lines(seconds, tiers, kept_files()):
        terminalreporter.write_line(line)
    if config.getoption("--keep-durations"):
        keep(seconds)
        terminalreporter.write_line(f"Kept in {KEPT.name}.")


def totals_of(reports: Iterable[pytest.TestReport]) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds of each test, its setup and teardown within, and its tier."""
    seconds: collections.Counter[str] = collections.Counter()
    tiers: dict[str, str] = {}
    for report in reports:
        seconds[report.nodeid] += report.duration
        tiers[report.nodeid] = dict(report.user_properties).get("tier", "fast")
    return dict(seconds.most_common()), tiers


def lines(seconds: dict[str, float], tiers: dict[str, str], kept: dict[str, float]) -> Iterable[str]:
    """What is printed."""
    for name in list(seconds)[:_SHOWN]:
        yield f"{seconds[name]:8.1f}  {name}"
    yield ""
    ran = {file_of(name) for name in seconds}
    before = totals({name: value for name, value in kept.items() if name in ran}, folder_of)
    for folder, total in totals(seconds, lambda name: folder_of(file_of(name))).items():
        yield f"{total:8.1f}  {folder}" + (f" (kept: {before[folder]:.1f})" if folder in before else "")
    for tier in dict.fromkeys(tiers.values()):
        members = [name for name in seconds if tiers[name] == tier]
        yield f"{sum(seconds[name] for name in members):8.1f}  in {len(members)} {tier} tests"
    for name, value in seconds.items():
        if value > LIMITS.get(tiers[name], value):
            yield f"{value:8.1f}  is too long for a {tiers[name]} test: {name}"


def keep(seconds: dict[str, float]) -> None:
    """Writes the seconds of each file that was run; the others stay, and those that are gone go."""
    files = kept_files() | totals(seconds, file_of)
    files = {name: round(files[name], 1) for name in sorted(files) if pathlib.Path(name).exists()}
    KEPT.write_text(json.dumps({"files": files, "folders": totals(files, folder_of)}, indent=1) + "\n")
