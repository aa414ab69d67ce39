"""Reports as text for the terminal, as Markdown with figures, and as fragments of HTML; all they show is escaped."""

import dataclasses
import html
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from experiments.core.frames import frame
from experiments.core.records import Record
from experiments.core.report import Cell, Grid, Report, Text
from ib_jax import training
from ib_jax.files import write_whole

_CODE = re.compile(r"`([^`]+)`")


def write(report: Report, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Writes table.md and the figures of a report; the paths."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "table.md"]
    write_whole(paths[0], lambda file: file.write(markdown(report).encode()))
    figures = [block for block in report.blocks if not isinstance(block, (Text, Grid))]
    if figures:
        from experiments.core import drawing  # matplotlib takes a second to import

        for figure in figures:
            drawing.draw(figure, report.frame, folder / figure.file)
            paths.append(folder / figure.file)
    return paths


def write_report(
    make: Callable[..., Report], records: Sequence[Record], folder: str | os.PathLike[str], console: Console
) -> Report:
    """Makes the report of records, by process 0 alone: table.md and figures in a folder, the tables on the console."""
    made = make(frame(records), records)
    if training.is_main():
        show(made, console)
        write(made, folder)
    return made


def show(report: Report, console: Console) -> None:
    """Prints a report; a table that is too wide and has few rows is turned over."""
    console.print(RichText(report.title, style="bold"))
    for block in report.blocks:
        title = getattr(block, "title", "")
        if isinstance(block, Text):
            console.print(RichText("\n" + "\n".join(filter(None, (title, block.text.replace("`", ""))))))
        elif isinstance(block, Grid):
            console.print()
            _print_grid(block, console)


def markdown(report: Report) -> str:
    """The whole of a report, figures as links to files beside it."""
    parts = [f"# {escape_markdown(report.title)}"]
    if report.paper:
        parts.append(f"Paper: {escape_markdown(report.paper)}")
    for block in report.blocks:
        if block.title:
            parts.append(f"## {escape_markdown(block.title)}")
        if isinstance(block, Text):
            parts.append(_markdown_text(block.text))
        elif isinstance(block, Grid):
            parts += [_markdown_grid(block)] if block.rows else []
            parts += [_markdown_text(block.notes)] if block.notes else []
        else:
            alt = re.sub(r"(?<!\\)([\[\]])", r"\\\1", escape_markdown(block.alt))
            parts.append(f"![{alt}]({block.file})")
    return "\n\n".join(parts) + "\n"


def html_block(block: Any) -> str:
    """A paragraph, table or figure as HTML; tables can be sorted by the site's script."""
    title = f"<h2>{html.escape(block.title)}</h2>" if block.title else ""
    if isinstance(block, Text):
        return title + _paragraph(block.text)
    if isinstance(block, Grid):
        return title + (_html_grid(block) if block.rows else "") + (_paragraph(block.notes) if block.notes else "")
    file, alt = html.escape(block.file), html.escape(block.alt)
    return f'{title}<figure><a href="{file}"><img src="{file}" alt="{alt}" loading="lazy"></a></figure>'


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in a paragraph as in a cell.

    Example:
      >>> print(escape_markdown("I(X;Z|Y) <= *2* <b>, [a](b), pgd_steps"))
      I(X;Z\\|Y) <= \\*2\\* &lt;b>, [a\\](b), pgd_steps
    """
    text = " ".join(text.split())
    text = re.sub(r"([\\*|$~`])", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text)
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
    text = re.sub(r"\](?=[(\[:])", r"\\]", text)
    return re.sub(r"^(#|>|[-+]\s|-{2,}|={2,}|\d+(?=[.)]\s))", lambda start: _escape_start(start[1]), text)


def _escape_start(start: str) -> str:
    return f"{start[:-1]}&#{ord(start[-1])};" if start[-1].isdigit() else f"\\{start}"


def _inline(text: str, escape: Callable[[str], str], code: Callable[[str], str]) -> str:
    """Text with what is between backticks as code."""
    pieces = _CODE.split(text)
    return "".join(code(piece) if place % 2 else escape(piece) for place, piece in enumerate(pieces))


def _markdown_text(text: str) -> str:
    return _inline(text, _markdown_piece, lambda code: f"`{code}`")


def _markdown_piece(piece: str) -> str:
    """Escaped, with the spaces at its ends, which separate it from code."""
    before, after = (" " if piece[place:][:1].isspace() else "" for place in (0, -1))
    return f"{before}{escape_markdown(piece)}{after}" if piece.strip() else piece


def _markdown_grid(grid: Grid) -> str:
    lines = [list(map(escape_markdown, grid.columns)), ["---:" if right else "---" for right in grid.numeric]]
    lines += [[_markdown_cell(cell) for cell in row] for row in grid.cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    return f"**{text}**" if cell.bold and text else text


def _paragraph(text: str) -> str:
    return f"<p>{_inline(text, html.escape, lambda code: f'<code>{html.escape(code)}</code>')}</p>"


def _html_grid(grid: Grid) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in grid.columns)
    body = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in grid.cells)
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _html_cell(cell: Cell) -> str:
    text = html.escape(cell.text)
    text = f"<b>{text}</b>" if cell.bold else text
    return f"<td>{text}</td>" if cell.value is None else f'<td class="number" data-value="{cell.value!r}">{text}</td>'


def _print_grid(grid: Grid, console: Console) -> None:
    if 0 < len(grid.rows) < min(4, len(grid.columns)) and _width(grid) > console.width:
        turned = list(zip(grid.columns, *grid.cells, strict=True))
        grid = dataclasses.replace(grid, columns=[""] * len(turned[0]), rows=turned)
    table = RichTable(title=RichText(grid.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    if grid.rows:
        for column, right in zip(grid.columns, grid.numeric, strict=True):
            table.add_column(RichText(column), justify="right" if right else "left")
        for row in grid.cells:
            table.add_row(*(RichText(cell.text, style="bold" if cell.bold else "") for cell in row))
        console.print(table)
    if grid.notes:
        console.print(RichText(grid.notes.replace("`", ""), style="dim"))


def _width(grid: Grid) -> int:
    columns = zip(grid.columns, *([cell.text for cell in row] for row in grid.cells), strict=True)
    return sum(3 + max(map(len, column)) for column in columns)
