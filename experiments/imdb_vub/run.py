"""Bottleneck heads on a frozen text encoder, attacked with DeepWordBug and PWWS.

Paper:    Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): section 4.2, Table 2, Table 3,
          Figure 3.
Run:      python -m experiments.imdb_vub                                    made-up reviews, no download, two minutes
          python -m experiments.imdb_vub --preset=small --workdir=DIR       IMDB, MiniLM: as measured here
          python -m experiments.imdb_vub --preset=paper --encoder=FOLDER    a BERT of imdb_finetune, or one's own
Needs:    pip install ib-jax[text]; for PWWS `python -m nltk.downloader wordnet`.
Does:     computes the encoder's features of all texts once and keeps them on disk; trains a deterministic head and
          heads with VIB, VUB and CEB at each beta and seed, those of one objective as one population; then attacks all
          of them side by side, so that a text which many heads are asked about goes through the encoder once. A search
          is told the mean of --num_score_samples samples of z; success is judged on fresh ones. All that is done is
          kept: after a stop the same command goes on.
Cost:     small: about two and a half hours on two CPU cores, nearly all of it an encoder of 10.6 million weights that
          reads 40 to 60 texts of 128 tokens a second: half an hour or less for the features, 72 minutes for DeepWordBug
          and 44 for PWWS on 35 heads.
Expect:   the paper: 93.0 % vanilla, VIB 91.0 %, VUB 93.2 % at beta 1e-3; DeepWordBug succeeds on 54.3, 35.1, 27.5 %,
          PWWS on 100, 41.6, 28.4 %. What was measured here stands in experiments/results/imdb_vub/table.md.
Leaves:   a record for each objective, table.md, figure3.png and robustness.png in --results; features, heads and every
          adversarial text in the workdir, some of them as a page, adversarial.html.
"""

import dataclasses
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from experiments.core import app as machine
from experiments.core import flags, records
from experiments.imdb_vub import features as imdb_vub_features
from experiments.imdb_vub import heads as imdb_vub_heads
from experiments.imdb_vub import summary as imdb_vub_summary
from experiments.imdb_vub import table as tables
from experiments.imdb_vub.attack import Answers, Siege, make_attack
from experiments.imdb_vub.settings import (
    VANILLA,
    Model,
    TextConfig,
    attacked,
    departures,
    models_of,
    objectives,
    preset,
    split,
)
from experiments.mnist_vib import run as mnist_vib
from experiments.text_attack_comparison import markup as text_markup
from ib_jax import data, hub, models, training

_SHOWN = 20  # texts on the page
_HIDDEN = ("workdir", "results", "data_dir", "cache_dir")  # of this machine


def run(config: TextConfig, console: Console, *, command: str = "") -> pathlib.Path | None:
    """Computes what is missing: features, heads, attacks; and makes the table and the figures.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the records.

    Returns:
      The folder of the records, or None if training was stopped and can be resumed.

    Raises:
      ConfigMismatchError: the workdir was made with other settings.
      DatasetUnavailableError: the texts are not there.
      HubUnavailableError, CheckpointError: the encoder is not there, or is no BERT.
    """
    workdir = pathlib.Path(config.workdir)
    records.check_workdir(workdir, config)
    for name in split(config.attacks):
        make_attack(config, name, stochastic=False)  # whatever is missing is missed now, not after an hour
    texts = imdb_vub_features.load_texts(config)
    encoder = imdb_vub_features.load_encoder(config, texts)
    records.write_json(workdir / "config.json", dataclasses.asdict(config))
    features = imdb_vub_features.compute(config, texts, encoder, console)
    members: dict[str, list[dict[str, Any]]] = {}
    for objective in objectives(config):
        trained = imdb_vub_heads.train(config, objective, features, workdir, console)
        if trained is None:
            console.print("Stopped and saved. The same command goes on.")
            return None
        members[objective] = trained
    siege = Siege(config, features, encoder, attacked(config), workdir)
    start, answers = time.monotonic(), {}
    for name in split(config.attacks):
        answers[name] = siege.attack(name, console)
    seconds = time.monotonic() - start
    results = pathlib.Path(config.results or workdir / "results")
    for objective, found in members.items():
        record = {
            "experiment": "imdb_vub",
            "command": command,
            "departures": departures(config),
            "settings": {name: value for name, value in dataclasses.asdict(config).items() if name not in _HIDDEN},
            "origin": features.origin,
            "environment": records.environment(),
            "num_attacked": len(features.test_texts),
            "attack_seconds_of_this_start": seconds,
            "members": [
                _member(model, own, siege, answers)
                for model, own in zip(models_of(config, objective), found, strict=True)
            ],
        }
        records.write_json(results / f"{objective}.json", record)
    _page(workdir / "adversarial.html", config, answers, texts.class_names)
    table = tables.make(results, figures=config.figures)
    console.print(Markdown(table))
    console.print(f"Records, table and figures are in {results}.", highlight=False)
    return results


def _member(model: Model, own: Mapping[str, Any], siege: Siege, answers: Mapping[str, Answers]) -> dict[str, Any]:
    """What a record holds of one head."""
    source = Model(VANILLA, None, 1 if model == Model(VANILLA, None, 0) else 0)
    found_by: dict[str, dict[str, Any]] = {}
    for name, all_of in answers.items():
        if model.name not in all_of:
            continue
        found = imdb_vub_summary.of_attack(all_of[model.name])
        found["success_rate_one_sample"] = siege.success_at_one_sample(all_of[model.name], model)
        crafted = [one.perturbed for one in all_of[source.name]] if source.name in all_of else None
        found["transfer"] = siege.transfer(crafted, model) if crafted else {"success_rate": None}
        found_by[name] = found
    return {**model._asdict(), **own, "beta": model.beta, "attacks": found_by}


def _page(path: pathlib.Path, config: TextConfig, answers: Mapping[str, Answers], class_names: Sequence[str]) -> None:
    """The paper's Table 3 and more: the first texts under each attack, of the first head of each objective."""
    first = {model.objective: model for model in reversed(attacked(config))}
    heads = [first[objective] for objective in objectives(config) if objective in first]
    columns = [
        text_markup.Attacked(head.name, name, all_of[head.name][:_SHOWN])
        for name, all_of in answers.items()
        for head in heads
    ]
    text_markup.write_page(path, columns, class_names, title="Adversarial texts")


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        config = flags.config_from_flags(TextConfig, lambda given: preset(given.preset))
        finished = run(config, machine.console(), command=records.command("experiments.imdb_vub"))
    except (
        training.NonFiniteLossError,
        data.DatasetUnavailableError,
        hub.HubUnavailableError,
        models.CheckpointError,
        ImportError,
        LookupError,
        FileNotFoundError,
        ValueError,
    ) as error:
        sys.exit(f"imdb_vub: {error}")
    if finished is None:
        sys.exit(mnist_vib.STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, TextConfig, __doc__ or "")
