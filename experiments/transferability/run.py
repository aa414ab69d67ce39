"""Attack one of two classifiers on the same stochastic encoder, and see how well that works on the other: Figure 3.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): Theorem 4, Figure 3 and
          "Transferability" in section 6.
Run:      python -m experiments.transferability                                      digits, no download, 12 pairs
          python -m experiments.transferability --preset=small --dataset=mnist       Figure 3, as measured
Does:     trains pairs with encoders of many depths and widths at several betas, as one program: the first decoder,
          which is linear, together with its encoder by VIB, and a second one, with a hidden layer and a draw of z of
          its own, on the codes alone, as one who builds on a pretrained encoder would; the encoder gets no gradient
          from it.
          Then attacks the first classifier, by FGSM with one sample of z and by PGD with gradients averaged over
          samples (EOT), and shows the images to the second. The paper names neither its attack nor its decoders.
          A pair that is trained, and a record that is there, are kept.
Units:    images lie in [0, 1], and so does epsilon, in L-inf; Lipschitz constants are in L2, of units of z for a unit
          of the image.
Cost:     small on MNIST some six minutes on two CPU cores.
Expect:   the paper: delta' - delta correlates with the encoder's Lipschitz constant (Pearson's r 0.57, p 0.0015) and
          with tau, the larger of the two errors (0.51, p 0.0054). What was measured here stands in
          experiments/results/transferability/table.md.
Leaves:   DATASET.json, table.md and figure.png in --results.
"""

import functools
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from experiments.core import app as machine
from experiments.core import flags, records
from experiments.core.app import Session
from experiments.core.population import PopulationTrainer
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.trained_model import TrainedModel
from experiments.transferability import table as transferability_table
from experiments.transferability.measure import PairAttacker, PairEvaluator
from experiments.transferability.models import functions_of, pair_of
from experiments.transferability.settings import PairConfig, members, preset
from ib_jax import data, training

NAME = "transferability"
STOPPED = 143  # the exit status of a process ended by SIGTERM
HIDDEN = ("workdir", "results", "data_dir", "members_at_once")  # of this machine


def run(config: PairConfig, console: Console, *, command: str = "") -> pathlib.Path | None:
    """Trains what is not trained, measures it unless there is a record, and makes the table and the figure.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the record.

    Returns:
      The folder of the record, or None if training was stopped and can be resumed.

    Raises:
      ConfigMismatchError: the workdir or the record was made with other settings.
      NonFiniteLossError: training diverged.
    """
    workdir = pathlib.Path(config.workdir or f"workdirs/{NAME}") / config.dataset
    results = pathlib.Path(config.results or workdir / "results")
    path = results / f"{config.dataset}.json"
    if path.exists():
        records.check_config(json.loads(path.read_text())["config"], config, path)
    else:
        record = measure(config, workdir, console)
        if record is None:
            return None
        records.write_json(path, {"experiment": NAME, "command": command} | record)
    table = transferability_table.make(path)
    console.print(Markdown(table))
    console.print(f"Record, table and figure are in {results}.", highlight=False)
    return results


def measure(config: PairConfig, workdir: pathlib.Path, console: Console) -> dict[str, Any] | None:
    """The record of a run; None if training was stopped."""
    records.check_workdir(workdir, config)
    dataset = data.load(config.dataset, data_dir=config.data_dir or None, num_validation=0, seed=config.seed)
    pair = pair_of(config, dataset.num_classes)
    recipe, own = Recipe(config, dataset, functions_of(pair)), members(config)
    trainer = PopulationTrainer(
        recipe,
        own,
        workdir,
        Session(NAME, console=console),
        title=f"{len(own['seed'])} pairs",
        layout=config,
        make_evaluator=functools.partial(PairEvaluator, pair),
    )
    records.write_json(workdir / "config.json", config.__dict__)
    trained = trainer.train()
    if trained is None:
        return None
    start, attacker, pairs = time.monotonic(), PairAttacker(pair, config, dataset.test), []
    with WorkLine(console, len(trained)) as line:
        for model in trained:
            own = model.settings
            pairs.append(_summary(model) | attacker.measure(own, model.params))
            line("pair", f"depth {own['depth']}, width {own['width']}, beta {own['beta']:g}", 1.0)
    seconds = {"training_seconds": trainer.seconds, "attack_seconds": time.monotonic() - start}
    settings = {name: value for name, value in config.__dict__.items() if name not in HIDDEN}
    sizes = {"num_train_images": recipe.num_examples, "num_test_images": len(dataset.test.labels)}
    sizes["num_pixels"] = int(np.prod(dataset.test.inputs.shape[1:]))
    common = {"environment": records.environment(), "config": settings, "plan": trainer.plan.message}
    return common | sizes | seconds | {"pairs": pairs}


def _summary(model: TrainedModel) -> dict[str, Any]:
    """Of a trained member what the record keeps; beta as it was given, not as float32 has it."""
    own, test = model.settings, model.summary["test"]
    kept = {name: own[name] for name in ("depth", "width", "seed")} | {"beta": float(f"{own['beta']:.6g}")}
    kept |= {"diverged_at": model.summary["diverged_at"], **test}
    tau = max(test["error_first"], test["error_second"])
    return kept | {"tau": tau, "last_loss": model.history[-1]["train"]["loss"]}


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        config = flags.config_from_flags(PairConfig, lambda given: preset(given.preset, given.dataset))
        finished = run(config, machine.console(), command=records.command(f"experiments.{NAME}"))
    except (training.NonFiniteLossError, data.DatasetUnavailableError, ValueError) as error:
        sys.exit(f"{NAME}: {error}")
    if finished is None:
        sys.exit(STOPPED)


def launch() -> None:
    """Defines the flags and runs."""
    machine.run_app(main, PairConfig, __doc__ or "")
