"""The papers' experiments, one module for each figure or table. Only here the parts are composed."""

import importlib.util

_missing = [
    name for name in ("absl", "jinja2", "matplotlib", "pandas", "rich") if importlib.util.find_spec(name) is None
]
if _missing:
    raise ModuleNotFoundError(f"experiments need {', '.join(_missing)}: pip install -e '.[experiments]' in the clone")
