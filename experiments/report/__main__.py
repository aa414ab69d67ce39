"""Make tables and figures of experiments anew from their records.

Run:      python -m experiments.report                      all experiments
          python -m experiments.report mnist_vib            one
          python -m experiments.report mnist_vib --folder=workdirs/x
Leaves:   table.md and the figures beside the records.
"""

import argparse
import pathlib
import sys

from rich.console import Console

from experiments.core import records, render
from experiments.report import find


def main(arguments: list[str]) -> None:
    """Reads the command line and makes what it names."""
    parser = argparse.ArgumentParser(
        "python -m experiments.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments. Default: all that have a report")
    parser.add_argument(
        "--folder", type=pathlib.Path, help="of the records, for one experiment. Default: the committed"
    )
    given = parser.parse_args(arguments)
    if given.folder is not None and len(given.names) != 1:
        parser.error("--folder is for one NAME")
    console = Console()
    try:
        for name in given.names or find.names():
            for folder in [given.folder] if given.folder else find.folders(name):
                made = find.make(name, folder)
                render.show(made, console)
                paths = render.write(made, folder)
                console.print(f"{folder}: {', '.join(path.name for path in paths)}", highlight=False)
    except records.RecordError as error:
        sys.exit(f"report: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
