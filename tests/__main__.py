"""One command that checks everything: `python -m tests`. Arguments go to pytest.

Programs are compiled without LLVM's optimisation; `XLA_FLAGS= python -m tests` tests the code that users run, in a
third more time.
"""

import os
import subprocess
import sys
import tempfile

ENVIRONMENT = {  # most of the tests' time is compiling, of programs that many of them share
    "XLA_FLAGS": "--xla_backend_optimization_level=0",  # a quarter of it is LLVM's optimisation
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # on the CPU each program from the cache is greeted with a kilobyte of warnings
}


def main() -> int:
    """Runs lint, format, types, and tests with the doctests; returns the exit status of the first that fails."""
    steps = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["pytest", "-p", "tests.few_programs", "-n", "2", "-m", "not slow", *sys.argv[1:]],
    ]
    with tempfile.TemporaryDirectory() as cache:
        environment = ENVIRONMENT | {"JAX_COMPILATION_CACHE_DIR": cache} | os.environ
        for step in steps:
            print("$", " ".join(step), flush=True)
            status = subprocess.run([sys.executable, "-m", *step], env=environment).returncode
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
