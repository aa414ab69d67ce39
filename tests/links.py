"""Checks the links inside a site that is built: every page, picture and heading that a page links to is there.

    python -m tests.links workdirs/docs

Addresses of other sites are not asked, so that it needs no network. Sphinx warns of its own references; this also sees
links in raw HTML, in downloads, in what a template writes, and headings that have another name than was thought.
"""

import html.parser
import pathlib
import sys
import urllib.parse
from collections.abc import Iterator

SKIPPED = ("genindex.html", "search.html")
"""Made by Sphinx's own templates from the same entries."""


class Page(html.parser.HTMLParser):
    """What a page links to, and the names of its places."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and tag != "base":
                self.links.append(value)
            elif value and (name == "id" or (name == "name" and tag == "a")):
                self.places.add(value)


def broken(folder: pathlib.Path) -> Iterator[str]:
    """A line for each link that leads nowhere."""
    root = folder.resolve()
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.html"))}
    for path, page in pages.items():
        if path.name in SKIPPED:
            continue
        for link in dict.fromkeys(page.links):
            address = urllib.parse.urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(address.path)).resolve() if address.path else path
            place = urllib.parse.unquote(address.fragment)
            if not target.exists() or not target.is_relative_to(root):
                yield f"{path.relative_to(root)}: {link} is not there"
            elif place and target in pages and place not in pages[target].places:
                yield f"{path.relative_to(root)}: {link} has no such place"


def main(folder: str) -> int:
    """Prints what is broken; the exit status."""
    root = pathlib.Path(folder)
    if not any(root.rglob("*.html")):
        print(f"There is no page in {folder}: build the site first.")
        return 1
    found = list(broken(root))
    print("\n".join(found) or f"All links inside {folder} lead somewhere.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
