"""Make one site of all experiments' records, or the tables and figures of one experiment anew.

Run:      python -m experiments.report                      the site, in workdirs/site; open its index.html
          python -m experiments.report --site=DIR           the same elsewhere
          python -m experiments.report mnist_vib            table.md and figures beside the committed records
          python -m experiments.report mnist_vib --folder=workdirs/x
Leaves:   table.md and the figures beside the records; of the site pages, figures and numbers.csv.
"""

import argparse
import pathlib
import sys

from experiments.core import records, render
from experiments.core.terminal import Terminal
from experiments.report import find, site


def main(arguments: list[str]) -> None:
    """Reads the command line and makes what it names."""
    parser = argparse.ArgumentParser(
        "python -m experiments.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="experiments whose tables are made. Default: the site of all"
    )
    parser.add_argument(
        "--folder", type=pathlib.Path, help="of the records, for one experiment. Default: the committed"
    )
    parser.add_argument("--site", type=pathlib.Path, help="folder of the site. Default: workdirs/site")
    given = parser.parse_args(arguments)
    if given.folder is not None and len(given.names) != 1:
        parser.error("--folder is for one NAME")
    console = Terminal()
    try:
        if given.site is not None or not given.names:
            pages = site.build(given.site or pathlib.Path("workdirs/site"), given.names)
            console.print(f"{len(pages)} pages; open {pages[0]}")
            return
        for name in given.names:
            for folder in [given.folder] if given.folder else find.folders(name):
                made = find.make(name, folder)
                render.show(made, console)
                paths = render.write(made, folder)
                console.print(f"{folder}: {', '.join(path.name for path in paths)}")
    except records.RecordError as error:
        sys.exit(f"report: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
