"""Fine-tune a BERT end to end on film reviews, and hand it on as a Hugging Face checkpoint.

Paper:    Weingarten et al., VUB (2024), section 4.2: BERT-base-uncased fine-tuned on IMDB, whose features are then
          frozen for the bottlenecks of `experiments.imdb_vub`. How it was fine-tuned is not told; here the usual way.
Run:      python -m experiments.imdb_finetune                       a small BERT from scratch on made-up reviews
          python -m experiments.imdb_finetune --preset=paper        bert-base-uncased on IMDB, 512 tokens
          python -m experiments.imdb_finetune --preset=small --encoder=FOLDER
          python -m experiments.imdb_finetune --objective=vub --beta=1e-3 --train_file=train.tsv --test_file=dev.tsv
          python -m experiments.imdb_vub --encoder=WORKDIR/encoder  bottlenecks on the fine-tuned features
Does:     trains all layers through a linear head, or through a bottleneck's, by AdamW with warm-up, linear decay and
          rates that fall with depth; over all devices of all processes. Texts of like length make a batch, padded to
          one of few lengths. The last checkpoint is evaluated on the held-out and the test texts and exported.
Needs:    pip install ib-jax[text]; imdb_reviews prepared by tensorflow-datasets as array_record for the other presets.
Expect:   IMDB with BERT-base: some 6 % error is what others report (Sun et al. 2019: 5.4 %). Not measured here.
Leaves:   config.json, metrics.jsonl, results.json and checkpoints in the workdir, and the encoder (config.json,
          model.safetensors, tokenizer.json) in encoder/ there, or in --export.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from experiments.core import app as machine
from experiments.core import flags, records, runner, trained_model
from experiments.core.app import Session
from experiments.core.evaluator import SPLITS, named_splits
from experiments.imdb_finetune.evaluator import TextEvaluator
from experiments.imdb_finetune.recipe import TextRecipe, load_encoder, load_texts
from experiments.imdb_finetune.settings import FinetuneConfig, preset
from ib_jax import data, hub, models, training
from ib_jax.types import Params

NAME = "imdb_finetune"
STOPPED = 143  # the exit status of a process ended by SIGTERM


def run(config: FinetuneConfig, console: Console, *, command: str = "") -> dict[str, Any] | None:
    """Fine-tunes (or goes on fine-tuning), evaluates and exports one model.

    Args:
      config: the settings.
      console: where to show progress and tables.
      command: the command line to write into the record.

    Returns:
      The contents of `results.json`, or None if the run was stopped before its end and can be resumed.

    Raises:
      ConfigMismatchError: the workdir holds a run with other settings.
      DatasetUnavailableError, HubUnavailableError: texts or encoder are not there.
      ValueError: the sizes do not fit each other, or a file does not hold what it should.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or records.new_workdir(f"finetune-{config.name}"))
    config = dataclasses.replace(config, workdir=str(workdir))
    texts = load_texts(config)
    recipe = TextRecipe(config, texts, load_encoder(config, texts))
    trained = runner.train(
        recipe,
        workdir,
        Session(NAME, command, console),
        evaluator=TextEvaluator(recipe),
        title=f"{config.name} on {texts.name}",
        unit="texts",
        texts={name: len(split.texts) for name, split in named_splits(recipe, SPLITS).items()},
    )
    if trained is None:
        return None
    folder = pathlib.Path(config.export or workdir / "encoder")
    if not (folder / "config.json").exists():
        export(recipe, trained.params, folder)
        console.print(f"Records are in {workdir}, the encoder in {folder}.", highlight=False)
    return trained_model.read_results(workdir)


def export(recipe: TextRecipe, params: Params, folder: pathlib.Path) -> pathlib.Path:
    """Writes the fine-tuned BERT and its tokeniser as Hugging Face's libraries and `text_encoder.load` read them."""
    if training.is_main():
        recipe.encoder.tokenise.save(folder)
        models.save_bert(folder, recipe.encoder.config, params["encoder"]["bert"])
    return folder


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    console = machine.console()
    try:
        config = flags.config_from_flags(FinetuneConfig, lambda given: preset(given.preset))
        finished = run(config, console, command=records.command(f"experiments.{NAME}"))
    except (
        training.NonFiniteLossError,
        data.DatasetUnavailableError,
        hub.HubUnavailableError,
        FileNotFoundError,
        ImportError,
        ValueError,
    ) as error:
        sys.exit(f"{NAME}: {error}")
    if finished is None:
        sys.exit(STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, FinetuneConfig, __doc__ or "")
