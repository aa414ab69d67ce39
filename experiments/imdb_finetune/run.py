"""Fine-tunes a BERT."""

import dataclasses
import pathlib

from experiments.core import runner
from experiments.core.evaluator import SPLITS, named_splits
from experiments.core.records import Record
from experiments.core.session import Session
from experiments.core.workdir import new_workdir
from experiments.imdb_finetune.recipe import TextEvaluator, TextRecipe, load_texts
from experiments.imdb_finetune.settings import FinetuneConfig
from experiments.imdb_vub import encoder_for
from ib_jax import training


def run(config: FinetuneConfig, session: Session) -> Record | None:
    """Fine-tunes (or goes on fine-tuning), evaluates and exports one model.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The record, which is `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      DatasetUnavailableError, HubUnavailableError: texts or encoder are not there.
      ValueError: the sizes do not fit each other, or a file does not hold what it should.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or new_workdir(f"finetune-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    texts = load_texts(config)
    recipe = TextRecipe(config, texts, encoder_for(config, texts))
    trained = runner.train(
        recipe,
        workdir,
        session,
        evaluator=TextEvaluator(recipe),
        title=f"{config.name} on {texts.name}",
        unit="texts",
        texts={name: len(split.texts) for name, split in named_splits(recipe, SPLITS).items()},
    )
    if trained is None:
        return None
    folder = pathlib.Path(config.export or workdir / "encoder")
    if not (folder / "config.json").exists():
        if training.is_main():
            recipe.encoder.save(folder, trained.params["encoder"]["bert"])
        session.console.print(f"Records are in {workdir}, the encoder in {folder}.", highlight=False)
    return trained.record
