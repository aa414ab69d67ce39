"""The papers' experiments, a folder for each command; see README.md beside. Only here the parts are composed."""

import importlib.util
import os

_missing = [
    name for name in ("absl", "jinja2", "matplotlib", "pandas", "rich") if importlib.util.find_spec(name) is None
]
if _missing and "IB_JAX_WORKER" not in os.environ:  # a worker's environment has what its module needs, and no more
    raise ModuleNotFoundError(f"experiments need {', '.join(_missing)}: pip install -e '.[experiments]' in the clone")
