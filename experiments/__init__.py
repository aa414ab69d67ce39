"""The papers' experiments, a folder for each command; see README.md beside. Only here the parts are composed."""

import importlib.util
import os

# On a CPU JAX takes what a kept program prefers for what the processor lacks, and says so in an error for each.
if not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu")):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_missing = [
    name for name in ("absl", "jinja2", "matplotlib", "pandas", "rich") if importlib.util.find_spec(name) is None
]
if _missing and "IB_JAX_WORKER" not in os.environ:  # a worker's environment has what its module needs, and no more
    raise ModuleNotFoundError(f"experiments need {', '.join(_missing)}: pip install -e '.[experiments]' in the clone")
