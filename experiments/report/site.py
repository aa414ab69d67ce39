"""The site: an overview, a page for each report, and one CSV of all numbers; it needs no network and no server."""

import ast
import dataclasses
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

from experiments.core import claims, drawing, frames, render
from experiments.core.records import Record
from experiments.core.report import Cell, Departures, Grid, Report, Text, number
from experiments.core.tables import DASH
from experiments.report import find, statements


class Page:
    """A report on the site: its experiment, the folder of its records, and where it goes."""

    def __init__(self, name: str, folder: pathlib.Path):
        self.folder, self.records, self.about = folder, find.load(name, folder), about(name)
        self.report = find.make(name, folder, self.records)
        below = folder.relative_to(find.RESULTS / name).parts if folder.is_relative_to(find.RESULTS / name) else ()
        self.name, self.stem = name, "-".join((name, *below))
        self.file = f"{self.stem}.html"


def build(site: pathlib.Path, names: Sequence[str] = ()) -> list[pathlib.Path]:
    """Writes the site into a folder, of all experiments that have a report by default.

    Returns:
      The pages, the overview first.

    Raises:
      RecordError: a record cannot be read.
    """
    import pandas as pd

    site.mkdir(parents=True, exist_ok=True)
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates")
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    pages = [Page(name, folder) for name in names or find.names() for folder in find.folders(name)]
    for page in pages:
        (site / page.file).write_text(
            templates.get_template("experiment.html").render(_experiment(page, site)), encoding="utf-8"
        )
    numbers = pd.concat([page.report.frame for page in pages]) if pages else frames.frame([])
    numbers.to_csv(site / "numbers.csv", index=False)
    rows = [row for page in pages for row in overview(page)]
    rows += [_without_records(name) for name in names or find.commands() if name not in {page.name for page in pages}]
    said = [each for page in pages for each in statements.of_report(page.name, page.folder, page.report)]
    values = {
        "title": "Experiments of ib_jax", "rows": rows, "rule": claims.RULE, "num_numbers": f"{len(numbers):,}",
        "verdicts": statements.VERDICTS, "counts": statements.counts(said),
    }  # fmt: skip
    (site / "index.html").write_text(templates.get_template("index.html").render(values), encoding="utf-8")
    return [site / "index.html", *(site / page.file for page in pages)]


def about(name: str) -> dict[str, str]:
    """The parts of the docstring of an experiment's program, such as its `Cost`.

    Example:
      >>> sorted(about("mnist_vib"))
      ['Cost', 'Expect', 'Leaves', 'Paper', 'Run']
    """
    text = ast.get_docstring(ast.parse((find.ROOT / name / "__main__.py").read_text(encoding="utf-8"))) or ""
    parts = re.split(r"^([A-Z]\w+): ", text, flags=re.MULTILINE)[1:]
    bodies = [" ".join(body.split()) for body in parts[1::2]]
    return dict(zip(["Paper" if part == "Papers" else part for part in parts[::2]], bodies, strict=True))


def _experiment(page: Page, site: pathlib.Path) -> dict[str, Any]:
    """What the page of a report shows; copies its figures, and draws those that are not there."""
    blocks = []
    for block in page.report.blocks:
        if not isinstance(block, (Text, Grid)):
            file = f"{page.stem}-{block.file}"
            if (page.folder / block.file).exists():
                shutil.copyfile(page.folder / block.file, site / file)
            else:
                drawing.draw(block, page.report.frame, site / file)
            block = dataclasses.replace(block, file=file)
        blocks.append(markupsafe.Markup(render.html_block(block)))
    shown = any(isinstance(section, Departures) for section in page.report.sections)
    departures = Report("", page.report.frame, [Departures(page.records)]).blocks[0]
    return {
        "title": page.report.title,
        "about": dict.fromkeys(("Does", "Cost", "Expect"), "") | page.about | {"Paper": page.report.paper},
        "blocks": blocks,
        "commands": list(dict.fromkeys(record.command for record in page.records)),
        "origin": _origin([record.environment for record in page.records]),
        "departures": "" if shown else markupsafe.Markup(render.html_block(departures)),
    }


def _origin(environments: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Machines, devices, versions and commits of records, each once."""
    parts: dict[str, list[str]] = {"Machine": [], "Devices": [], "Versions": [], "Commits": []}
    for each in environments:
        machine, devices = each.get("machine", {}), each.get("devices", [])
        cores = f"{machine.get('cores', '?')} cores"
        parts["Machine"].append(f"{machine.get('cpu', 'unknown')}, {cores}, {machine.get('system', '')}")
        parts["Devices"].append(f"{len(devices)} x {devices[0]}" if devices else "unknown")
        parts["Versions"].append(", ".join(f"{name} {version}" for name, version in each.get("versions", {}).items()))
        parts["Commits"].append(str(each.get("commit", "unknown"))[:12])
    return {part: "; ".join(dict.fromkeys(texts)) for part, texts in parts.items()}


def overview(page: Page) -> list[dict[str, Any]]:
    """A row for each headline of a report, one without numbers where it has none."""
    count = len({each["name"] for record in page.records for each in record.departures})
    as_paper = "as the paper, where it says" if page.report.paper else ""
    row = _row(page.report.title, page.about) | {
        "page": page.file,
        "item": page.report.paper,
        "status": f"{_plural(count, 'setting')} of our own" if count else as_paper,
        "size": _size(page.records),
        "command": page.records[0].command,
    }
    rows = []
    for item, ours, paper, unit, digits, claim in page.report.headlines:
        shown = Cell(ours) if isinstance(ours, str) else number(ours, unit=unit, digits=digits)
        theirs = (DASH if paper is None else paper) if isinstance(paper, str | None) else f"{paper:g} {unit}".strip()
        verdict = DASH if claim is None else page.report.verdict_of(claim).verdict
        rows.append(row | {"item": item, "ours": shown, "paper": theirs, "verdict": verdict})
    return rows or [row]


def _without_records(name: str) -> dict[str, Any]:
    """The overview's row of an experiment of which no record is committed."""
    parts = about(name)
    command = f"python -m experiments.{name}"
    return _row(name, parts) | {"item": parts.get("Paper", DASH), "status": "no record yet", "command": command}


def _row(name: str, parts: Mapping[str, str]) -> dict[str, Any]:
    """A row of the overview without numbers."""
    dashes = dict.fromkeys(("paper", "verdict", "size"), DASH)
    return {"name": name, "page": "", "ours": Cell(DASH), "cost": parts.get("Cost", DASH), **dashes}


def _size(found: Sequence[Record]) -> str:
    """At what size the records were run.

    Example:
      >>> from experiments.core.records import Model
      >>> _size([Record("x", "", {"dataset": "digits", "num_epochs": 2}, [Model("vib", 0), Model("vib", 1)])])
      'digits, 2 epochs, 2 models, 2 seeds'
    """
    models = [model for record in found for model in record.models]
    parts = [
        *dict.fromkeys(str(record.settings["dataset"]) for record in found if "dataset" in record.settings),
        *dict.fromkeys(
            f"{record.settings['num_epochs']} epochs" for record in found if "num_epochs" in record.settings
        ),
        _plural(len(models), "model"),
        _plural(len({model.seed for model in models}), "seed"),
    ]
    return ", ".join(parts)


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"
