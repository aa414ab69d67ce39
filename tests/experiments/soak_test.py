"""The soak, short: runs that are ended at random moments end as undisturbed ones do. `python -m tests.soak` is long."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


@pytest.mark.parametrize(
    ("option", "count", "name"),
    [("kills", 8, "one process"), ("pair_kills", 4, "two processes"), ("full", 3, "full disk"), ("pair_full", 3, "")],
)
def test_no_run_is_lost(option, count, name):
    counts = {"kills": 0, "pair_kills": 0, "full": 0, "pair_full": 0} | {option: count}
    command = [sys.executable, "-m", "tests.soak", *(f"--{name}={value}" for name, value in counts.items())]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=900)
    if "must be superuser" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("nobody here may mount a small file system")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'"disturbed": {count}' in done.stdout
    assert name in done.stdout
