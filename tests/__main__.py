"""Checks everything, by tiers (tests/tiers.py). What follows the options goes to pytest.

    python -m tests                 lint, format, types, doctests, the fast and the standard tests
    python -m tests --all           the slow ones, too
    python -m tests --fast          the fast tests alone; --slow: the slow ones alone
    python -m tests --keep          and keep the durations in tests/durations.json

The fast tests also run under each of JAX's strict settings, said before the command:

    JAX_NUMPY_DTYPE_PROMOTION=strict python -m tests --fast    (and JAX_NUMPY_RANK_PROMOTION=raise, JAX_DEBUG_NANS=1,
                                                               JAX_DEBUG_INFS=1, JAX_ENABLE_X64=1)

tests/jax_settings.py skips, with the reason, what cannot be under one; tests/contracts/jax_settings_test.py has a
little of everything under each, every time.

Compiled programs are kept in .pytest_cache/jax, so that the second run is the quicker one. They are compiled without
LLVM's optimisation; `XLA_FLAGS= python -m tests` tests the code that users run, in much more time.
"""

import argparse
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import time

CACHE = pathlib.Path(".pytest_cache/jax")
CACHE_BYTES = 4 * 2**30
JAXLIB = importlib.metadata.version("jaxlib")
FLAGS = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if JAXLIB.startswith("0.10."):  # later ones do not know it; it halves the rest
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
ENVIRONMENT = {  # most of the tests' time is compiling, of programs that many of them share
    "XLA_FLAGS": " ".join(FLAGS),  # a fifth to a third of the time of compiling what users run
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "PYTHONWARNDEFAULTENCODING": "1",  # of which pytest makes errors in our own files (pyproject.toml)
    "PYTHONWARNINGS": "ignore::EncodingWarning",  # in processes that tests start
    "TF_CPP_MIN_LOG_LEVEL": "3",  # on the CPU each program from the cache is greeted with a kilobyte of warnings
}
LINT = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]
PYTEST = ["pytest", "-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
PLUGINS = ["tests.few_programs", "tests.tiers", "tests.durations"]


def main() -> int:
    """Runs each step and says how long it took; returns the exit status of the first that fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tiers = parser.add_mutually_exclusive_group()
    tiers.add_argument(
        "--all", dest="tiers", action="store_const", const="not manual", default="not slow and not manual"
    )
    tiers.add_argument("--fast", dest="tiers", action="store_const", const="fast")
    tiers.add_argument("--slow", dest="tiers", action="store_const", const="slow")
    parser.add_argument("--keep", action="store_true")
    options, more = parser.parse_known_args()
    tests = [*PYTEST, *(part for name in PLUGINS for part in ("-p", name)), "-m", options.tiers, *more]
    steps = [*([] if options.tiers in ("fast", "slow") else LINT), tests + ["--keep-durations"] * options.keep]
    environment = ENVIRONMENT | {"JAX_COMPILATION_CACHE_DIR": str(cache_of_these_versions())} | os.environ
    for step in steps:
        print("$", " ".join(step), flush=True)
        start = time.monotonic()
        status = subprocess.run([sys.executable, "-m", *step], env=environment).returncode
        print(f"{step[0]}: {time.monotonic() - start:.0f} s", flush=True)
        if status:
            return status
    return 0


def cache_of_these_versions() -> pathlib.Path:
    """Where compiled programs are kept; begun anew when it has grown too large."""
    folder = (CACHE / f"python{sys.version_info.major}.{sys.version_info.minor}-jaxlib{JAXLIB}").absolute()
    if folder.exists() and sum(path.stat().st_size for path in folder.iterdir()) > CACHE_BYTES:
        shutil.rmtree(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
