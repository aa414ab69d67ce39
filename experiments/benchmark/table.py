"""Write the tables of all benchmark records to one file, as the benchmark prints them.

Run:      python -m experiments.benchmark.table
Reads:    experiments/results/benchmark/*.json, each a record of `experiments.benchmark`.
Leaves:   tables.md beside them.
"""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from experiments.benchmark.run import RESULTS, SUITES

FOLDER = pathlib.Path(__file__).parents[2] / RESULTS
WIDTH = 150


def render(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown with each record's command, machine and tables."""
    parts = ["Tables of the benchmark's records in this folder, made by `python -m experiments.benchmark.table`.", ""]
    for name, record in records.items():
        text = io.StringIO()
        _, show = SUITES[record["config"]["suite"]]
        show(Console(file=text, width=WIDTH), record)
        environment = record["environment"]
        variables = "".join(
            f"{key}={value} " for key, value in record.get("variables", {}).items() if key != "JAX_PLATFORMS"
        )
        lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
        devices, machine = environment["devices"], environment["machine"]
        parts += [
            f"## {name}",
            "",
            f"`{variables}{record['command']}` on {machine['cpu']}, {machine['cores']} cores, {len(devices)} device"
            f"{'s' * (len(devices) > 1)} ({devices[0]}); jax {environment['versions']['jax']}, commit "
            f"{environment['commit'][:7]}.",
            "",
            "```text",
            *lines,
            "```",
            "",
        ]
    return "\n".join(parts)


def main() -> None:
    """Writes the file."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    (FOLDER / "tables.md").write_text(render(records))
    print(f"{FOLDER / 'tables.md'}: {', '.join(records)}")


if __name__ == "__main__":
    main()
