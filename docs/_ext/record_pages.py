"""A page of the site for every folder of records: its table.md, which `experiments.report` makes from them alone.

The page of experiments/results/NAME/PART/table.md is results/records/NAME-PART. They are written anew at each build.
"""

import pathlib
import re

from sphinx.application import Sphinx

RESULTS = pathlib.Path(__file__).parents[2] / "experiments" / "results"


def page_of(folder: pathlib.Path) -> str:
    """The name of the page of a folder of records."""
    return "-".join(folder.relative_to(RESULTS).parts)


def text_of(folder: pathlib.Path) -> str:
    """Its table.md, with figures where they lie and links to other folders' pages."""

    def moved(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if target.name == "table.md":
            return f"]({page_of(target.parent)}.md)"
        return f"](/../{target.relative_to(RESULTS.parents[1]).as_posix()})"

    return re.sub(r"\]\((?!https?:)([^)]+)\)", moved, (folder / "table.md").read_text(encoding="utf-8"))


def write(app: Sphinx) -> None:
    """Writes the pages of all folders, and removes those of folders that are gone."""
    pages = pathlib.Path(app.srcdir) / "results" / "records"
    pages.mkdir(parents=True, exist_ok=True)
    wanted = {f"{page_of(table.parent)}.md": text_of(table.parent) for table in sorted(RESULTS.rglob("table.md"))}
    for gone in {page.name for page in pages.glob("*.md")} - set(wanted):
        (pages / gone).unlink()
    for name, text in wanted.items():
        path = pages / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # an unchanged page is not built again
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
