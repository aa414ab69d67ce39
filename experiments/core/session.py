"""What a run has besides its settings, and what it leaves: its record, the report, where they are."""

import dataclasses
import importlib
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from experiments.core import records
from experiments.core.failures import describe, log_traceback
from experiments.core.records import Model, Record
from experiments.core.settings import Settings, departures, recorded
from experiments.core.terminal import RunWarning, Terminal
from experiments.core.workdir import environment
from ib_jax import training


@dataclasses.dataclass(frozen=True)
class Session:
    """What a run has besides its settings.

    Attributes:
      experiment: its name.
      command: the command line for the record, without local paths.
      console: the terminal, of process 0 alone.
    """

    experiment: str = ""
    command: str = ""
    console: Terminal = dataclasses.field(default_factory=lambda: Terminal(quiet=True))

    def record(
        self,
        models: Sequence[Model],
        *settings: Settings,
        details: Mapping[str, Any] | None = None,
        file: str = "",
        swept: Collection[str] = (),
    ) -> Record:
        """The record of a run of this session: command, settings, departures from the paper, versions and machine.

        Args:
          models: what was trained and measured.
          *settings: of the run; those of this machine are left out.
          details: as of `Record`.
          file: its name, without ".json".
          swept: settings that the experiment goes over, which depart from no paper.
        """
        departed = [each._asdict() for each in departures(*settings) if each.name not in swept]
        kept = recorded(*settings)
        return Record(self.experiment, self.command, kept, models, details or {}, departed, environment(), file=file)

    def publish(self, folder: str | os.PathLike[str], made: Sequence[Record] | None = None, **options: Any) -> None:
        """Makes the report of records by the experiment's report.py: table.md, figures, and tables on the terminal.

        A report that cannot be made is a warning: the records are written, and it can be made of them later.

        Args:
          folder: where table.md and the figures go.
          made: the records. Default: all that lie in the folder.
          **options: of `report`.
        """
        training.from_main(0)  # from here on there is what process 0 has written
        if not training.is_main():
            return
        from experiments.core import render  # pandas and matplotlib take a second to import

        module = importlib.import_module(f"experiments.{self.experiment}.report")
        try:
            if made is None:
                made = records.load(folder, recursive=getattr(module, "RECURSIVE", False))
            render.write_report(
                lambda frame, loaded: module.report(frame, loaded, **options), made, folder, self.console
            )
        except Exception as error:
            log_traceback()
            warnings.warn(
                f"the records are written, but the report of them failed ({type(error).__name__}: {describe(error)}). "
                f"It can be made later, by python -m experiments.report {self.experiment} --folder={folder}",
                RunWarning,
                stacklevel=2,
            )
        else:
            self.console.print(f"Records, table and figures are in {folder}.")
