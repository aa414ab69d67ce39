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

from experiments.core import claims, plots, records, render
from experiments.core.records import Record
from experiments.core.report import Cell, Departures, Grid, Report, Text, number
from experiments.core.tables import DASH
from experiments.report import find

_PARTS = ("Paper", "Does", "Cost", "Expect")


@dataclasses.dataclass(frozen=True)
class Page:
    """A report on the site: its experiment, the folder of its records, and where it goes."""

    name: str
    folder: pathlib.Path
    records: Sequence[Record]
    report: Report
    file: str
    about: Mapping[str, str]


def build(site: pathlib.Path, names: Sequence[str] = ()) -> list[pathlib.Path]:
    """Writes the site.

    Args:
      site: the folder; what is in it of the same names is replaced.
      names: of experiments. Default: all that have a report.

    Returns:
      The pages, the overview first.

    Raises:
      RecordError: a record cannot be read.
    """
    import pandas as pd

    site.mkdir(parents=True, exist_ok=True)
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates")
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    pages = [_page(name, folder) for name in names or find.names() for folder in find.folders(name)]
    for page in pages:
        (site / page.file).write_text(templates.get_template("experiment.html").render(_experiment(page, site)))
    numbers = pd.concat([page.report.frame for page in pages]) if pages else records.frame([])
    numbers.to_csv(site / "numbers.csv", index=False)
    rows = [row for page in pages for row in _overview(page)]
    rows += [_without_records(name) for name in names or find.commands() if name not in {page.name for page in pages}]
    values = {"title": "Experiments of ib_jax", "rows": rows, "rule": claims.RULE, "num_numbers": f"{len(numbers):,}"}
    (site / "index.html").write_text(templates.get_template("index.html").render(values))
    return [site / "index.html", *(site / page.file for page in pages)]


def about(name: str) -> dict[str, str]:
    """The parts of the docstring of an experiment's program, such as its `Cost`.

    Example:
      >>> sorted(about("mnist_vib"))
      ['Cost', 'Expect', 'Leaves', 'Paper', 'Run']
    """
    text = ast.get_docstring(ast.parse((find.ROOT / name / "__main__.py").read_text())) or ""
    parts = re.split(r"^([A-Z]\w+): ", text, flags=re.MULTILINE)[1:]
    return {part.removesuffix("s") if part == "Papers" else part: " ".join(body.split())
            for part, body in zip(parts[::2], parts[1::2], strict=True)}  # fmt: skip


def _page(name: str, folder: pathlib.Path) -> Page:
    found = find.load(name, folder)
    below = folder.relative_to(find.RESULTS / name).as_posix() if folder.is_relative_to(find.RESULTS / name) else "."
    file = name if below == "." else f"{name}-{below.replace('/', '-')}"
    made = find.module(name).report(records.frame(found), found)
    return Page(name, folder, found, made, f"{file}.html", about(name))


def _experiment(page: Page, site: pathlib.Path) -> dict[str, Any]:
    """What the page of a report shows; copies its figures, and draws those that are not there."""
    blocks = []
    for block in page.report.blocks:
        if not isinstance(block, (Text, Grid)):
            file = f"{page.file.removesuffix('.html')}-{block.file}"
            if (page.folder / block.file).exists():
                shutil.copyfile(page.folder / block.file, site / file)
            else:
                plots.draw(block, page.report.frame, site / file)
            block = dataclasses.replace(block, file=file)
        blocks.append(markupsafe.Markup(render.html_block(block)))
    shown = any(isinstance(section, Departures) for section in page.report.sections)
    departures = Report("", page.report.frame, [Departures(page.records)]).blocks[0]
    return {
        "title": page.report.title,
        "about": {part: page.about.get(part, "") for part in _PARTS} | {"Paper": page.report.paper},
        "blocks": blocks,
        "commands": list(dict.fromkeys(record.command for record in page.records)),
        "origin": _origin(page.records),
        "departures": "" if shown else markupsafe.Markup(render.html_block(departures)),
    }


def _origin(found: Sequence[Record]) -> list[tuple[str, str]]:
    """Machines, versions and commits of records, each once."""
    origin: dict[str, dict[str, None]] = {"Machine": {}, "Devices": {}, "Versions": {}, "Commits": {}}
    for record in found:
        environment = record.environment
        machine, devices = environment.get("machine", {}), environment.get("devices", [])
        versions = environment.get("versions", {})
        told = (
            f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores, {machine.get('system', '')}",
            f"{len(devices)} x {devices[0]}" if devices else "unknown",
            ", ".join(f"{name} {version}" for name, version in versions.items()),
            str(environment.get("commit", "unknown"))[:12],
        )
        for part, text in zip(origin.values(), told, strict=True):
            part[text] = None
    return [(name, "; ".join(texts)) for name, texts in origin.items()]


def _overview(page: Page) -> list[dict[str, Any]]:
    """A row for each headline of a report, one without numbers where it has none."""
    count = len({each["name"] for record in page.records for each in record.departures})
    row = {
        "name": page.report.title,
        "page": page.file,
        "item": page.report.paper,
        "ours": Cell(DASH),
        "paper": DASH,
        "verdict": DASH,
        "status": f"{_plural(count, 'setting')} of our own" if count else "as the paper, where it says",
        "size": _size(page.records),
        "command": page.records[0].command,
        "cost": page.about.get("Cost", DASH),
    }
    rows = []
    for item, ours, paper, unit, digits, claim in page.report.headlines:
        shown = Cell(ours) if isinstance(ours, str) else number(ours, unit=unit, digits=digits)
        theirs = (
            DASH if paper is None else paper if isinstance(paper, str) else f"{paper:g}{f' {unit}' if unit else ''}"
        )
        verdict = DASH if claim is None else page.report.verdict_of(claim).verdict
        rows.append(row | {"item": item, "ours": shown, "paper": theirs, "verdict": verdict})
    return rows or [row]


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


def _without_records(name: str) -> dict[str, Any]:
    """The overview's row of an experiment of which no record is committed."""
    parts, dashes = about(name), dict.fromkeys(("paper", "verdict", "size"), DASH)
    row = {"name": name, "page": "", "item": parts.get("Paper", DASH), "ours": Cell(DASH), "status": "no record yet"}
    return row | dashes | {"command": f"python -m experiments.{name}", "cost": parts.get("Cost", DASH)}
