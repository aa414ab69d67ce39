"""One command that checks everything: `python -m tests`. Arguments go to pytest."""

import subprocess
import sys


def main() -> int:
    """Runs lint, format, types, and tests with the doctests; returns the exit status of the first that fails."""
    steps = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["pytest", "-n", "2", "-m", "not slow", *sys.argv[1:]],
    ]
    for step in steps:
        print("$", " ".join(step), flush=True)
        status = subprocess.run([sys.executable, "-m", *step]).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
