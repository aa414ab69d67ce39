"""Fine-tunes a BERT."""

import dataclasses
import json
import pathlib
from typing import Any

import jax

from experiments.core import progress as show
from experiments.core import records
from experiments.core.app import Session
from experiments.core.runner import train
from experiments.core.workdir import check_workdir, environment, new_workdir, write_config
from experiments.imdb_finetune.evaluator import TextEvaluator
from experiments.imdb_finetune.recipe import TextRecipe, load_encoder, load_texts
from experiments.imdb_finetune.settings import FinetuneConfig
from ib_jax import data, models, training
from ib_jax.types import Params

NAME = "imdb_finetune"


def run(config: FinetuneConfig, session: Session) -> dict[str, Any] | None:
    """Fine-tunes (or goes on fine-tuning), evaluates and exports one model.

    Args:
      config: the settings.
      session: where to show progress and tables, and the command for the records.

    Returns:
      The contents of `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      WorkdirError: the workdir holds a run with other settings.
      DatasetUnavailableError, HubUnavailableError: texts or encoder are not there.
      ValueError: the sizes do not fit each other, or a file does not hold what it should.
      NonFiniteLossError: training diverged.
    """
    console, command = session.console, session.command
    workdir = pathlib.Path(config.workdir or new_workdir(f"finetune-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    check_workdir(workdir, config)
    done = workdir / "results.json"
    if done.exists():
        return dict(json.loads(done.read_text()))
    texts = load_texts(config)
    encoder = load_encoder(config, texts)
    recipe = TextRecipe(config, texts, encoder)
    evaluator, state = TextEvaluator(recipe), recipe.init()
    # Nothing is written before this line, so that a setting or a data set that will not do leaves nothing behind.
    write_config(workdir, config)
    with training.Checkpoints(workdir / "checkpoints") as checkpoints, training.StopRequest() as stop:
        state = train(recipe, state, console, evaluator, checkpoints, workdir, stop, unit="texts")
    if int(state.step) < recipe.num_steps:
        console.print(
            f"Stopped and saved at step {int(state.step)}. The same command with --workdir={workdir} goes on."
        )
        return None
    params = training.averaged_params(state, config.average_decay)
    folder = export(recipe, params, pathlib.Path(config.export or workdir / "encoder"))
    splits, history = evaluator.during_training(params), records.read_jsonl(workdir / "metrics.jsonl")
    results = {
        "experiment": NAME,
        "command": command,
        "config": dataclasses.asdict(config),
        "environment": environment(),
        "texts": {name: len(split.texts) for name, split in _splits(texts).items()},
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "steps": int(state.step),
        "training_seconds": sum(row["seconds"] for row in history),
        **splits,
        "history": [row for row in history if "test" in row],
    }
    if training.is_main():
        records.write_json(done, results)
        show.print_results(console, f"{config.name} on {texts.name}", splits, config.num_eval_samples)
        console.print(f"Records are in {workdir}, the encoder in {folder}.", highlight=False)
    return results


def export(recipe: TextRecipe, params: Params, folder: pathlib.Path) -> pathlib.Path:
    """Writes the fine-tuned BERT and its tokeniser as Hugging Face's libraries and `text_encoder.load` read them."""
    if training.is_main():
        recipe.encoder.tokenise.save(folder)
        models.save_bert(folder, recipe.encoder.config, params["encoder"]["bert"])
    return folder


def _splits(texts: data.TextDataset) -> dict[str, data.TextSplit]:
    named = {"train": texts.train, "validation": texts.validation, "test": texts.test}
    return {name: split for name, split in named.items() if split is not None}
