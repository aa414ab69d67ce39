"""The terminal: what is printed is text as it is, whatever a user's folders are called, and however wide it is."""

import logging
import sys
import warnings
from typing import Any

from rich.console import Console

from ib_jax import training


class RunWarning(UserWarning):
    """Something beside the results of a run failed."""


_LEAST_WIDTH = 20
OURS = (RunWarning, training.CheckpointWarning)


class Terminal(Console):
    """A console of rich that takes nothing for markup and breaks no line of text; tables fit the width.

    Example:
      >>> Terminal().print("runs/[a]/beta=0.1")
      runs/[a]/beta=0.1
    """

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if self.width < _LEAST_WIDTH:  # as where the environment says COLUMNS=0: nothing would be printed at all
            self.width = _LEAST_WIDTH

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints; text alone is left in one line, so that a path or a command can be copied."""
        if all(isinstance(each, str) for each in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)


def prepare() -> None:
    """Lets this process print whatever it is told to, in any locale; our own warnings in a line each, orbax's not."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Orbax prints the traceback of every error of its threads, several times, and then raises it; tensorstore those of
    # the callbacks for which it is too late.
    logging.getLogger("absl").addFilter(lambda record: "/orbax/" not in record.pathname)
    unraisable = sys.unraisablehook

    def print_unraisable(error: Any) -> None:
        if "Event loop is closed" not in str(error.exc_value):
            unraisable(error)

    sys.unraisablehook = print_unraisable
    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, OURS):
            print(f"Warning: {message}.", file=sys.stderr, flush=True)
        else:
            usual(message, category, *where, **more)

    warnings.showwarning = show
    for category in OURS:
        warnings.simplefilter("always", category)
