"""Evaluates trained models on corrupted images."""

import pathlib

from rich.markdown import Markdown

from experiments.core.app import Session
from experiments.core.settings import SettingError
from experiments.corruptions import checkpoints as image_checkpoints
from experiments.corruptions import table as corruptions_table
from experiments.corruptions.measure import NAME, evaluate
from experiments.corruptions.settings import CorruptionSettings
from ib_jax import training


def run(settings: CorruptionSettings, session: Session) -> pathlib.Path:
    """Evaluates what has no record, and makes the table and the figure.

    Args:
      settings: which models, and on what.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The folder of the records.

    Raises:
      WorkdirError: a record was made with other settings.
      FileNotFoundError: there is no such workdir, or no finished model in it.
      SettingError: no known experiment made a model, or they cannot be evaluated together.
      DatasetUnavailableError: a data set is not there.
    """
    console, command = session.console, session.command
    if not settings.paths:
        raise SettingError("--workdirs must name a trained model's folder, or the folder above several; see --help")

    def tell(text: str) -> None:
        console.print(text, highlight=False)

    found = image_checkpoints.find(settings.paths, tell)
    models = [image_checkpoints.read(workdir, data_dir=settings.data_dir) for workdir in found]
    results = pathlib.Path(settings.results or pathlib.Path(settings.paths[0]) / NAME)
    evaluate(models, settings, results, console, command=command)
    if training.is_main():
        console.print(Markdown(corruptions_table.make(results)))
        tell(f"Records, table and figure are in {results}.")
    return results
