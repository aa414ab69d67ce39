"""Train VIB, VUB and CEB where the information bottleneck is known, and compare with the exact curve.

Papers:   Tishby et al., The Information Bottleneck Method (2000); Chechik et al., Information Bottleneck for Gaussian
          Variables (2005); the bounds of Alemi et al. (2017), Fischer and Alemi (2020) and arXiv 2402.07639.
Run:      python -m experiments.exact_ib
Cost:     some minutes on two CPU cores; each objective's eight betas and all restarts are one compiled program.
Expect:   VIB and CEB within 1 % of the exact I(Z;Y) at their I(X;Z) wherever the family of encoders contains the
          optimum, and at the exact optimum of their beta. VUB comes to the curve too, but not at its beta.
Leaves:   gaussian.json, discrete.json, table.md and figure.png in --results.
"""

import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.markdown import Markdown

from experiments.core import flags, records
from experiments.core.flags import setting
from experiments.exact_ib import table as exact_ib_table
from experiments.exact_ib.problems import Problem, discrete_problem, gaussian_problem
from ib_jax import bounds, losses, training
from ib_jax.types import Array, BoundTerms, Params

OBJECTIVES = ("vib", "vub", "ceb")


@dataclasses.dataclass(frozen=True)
class ExactConfig:
    """The settings."""

    gaussian_betas: tuple[float, ...] = setting(
        (0.7, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02), "Problems", "Betas of the jointly Gaussian problem, in (0, 1)."
    )
    discrete_betas: tuple[float, ...] = setting(
        (0.5, 0.4, 0.35, 0.3, 0.2, 0.1, 0.05, 0.03), "Problems", "Betas of the discrete problem, in (0, 1)."
    )
    num_steps: int = setting(
        3000,
        "Training",
        "Steps of Adam, in whole passes over the data (64 steps of the Gaussian problem).",
        unit="steps",
    )
    num_restarts: int = setting(4, "Training", "Runs from other parameters; the one with the lowest loss counts.")
    seed: int = setting(0, "Training", "Seed of parameters and noise.")
    results: str = setting("workdirs/exact_ib", "Output", "Folder of the records, the table and the figure.")

    def __post_init__(self) -> None:
        for name in ("gaussian_betas", "discrete_betas"):
            if not all(0 < beta < 1 for beta in getattr(self, name)) or not getattr(self, name):
                raise ValueError(f"--{name} must be numbers in (0, 1), got {getattr(self, name)}")
        for name, least in {"num_steps": 64, "num_restarts": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(self, name)}")


def make_loss(problem: Problem, objective: str, beta: Array) -> Callable[..., BoundTerms]:
    """The loss function of an objective at a beta; CEB gets the rho that has the same optimum."""

    def loss_fn(params: Params, keys: Array, inputs: Array, labels: Array) -> BoundTerms:
        apply_fns: dict[str, Any] = {
            "encode_fn": functools.partial(problem.encode, params),
            "decode_fn": functools.partial(problem.decode, params),
            "num_samples": problem.num_samples,
        }
        if objective == "ceb":
            backward, rho = problem.backward(params), losses.beta_to_rho(beta)
            return bounds.ceb(keys, inputs, labels, backward=backward, rho=rho, **apply_fns)
        prior = problem.prior(params)
        if objective == "vib":
            return bounds.vib(keys, inputs, labels, prior=prior, beta=beta, **apply_fns)
        entropy = problem.label_entropy
        return bounds.vub(keys, inputs, labels, prior=prior, beta=beta, label_entropy=entropy, **apply_fns)

    return loss_fn


def train(
    problem: Problem, objective: str, betas: Array, key: Array, num_restarts: int
) -> tuple[Params, dict[str, Array]]:
    """Trains every beta and restart in one program.

    Args:
      problem: from `experiments.exact_ib.problems`.
      objective: one of OBJECTIVES.
      betas: float [K].
      key: PRNG key.
      num_restarts: R.

    Returns:
      Averaged parameters with fields [K, R, ...], and each metric's mean over the last tenth of training, [K, R].
    """
    num_examples = len(problem.data.labels)
    steps_per_epoch = num_examples // problem.batch_size
    optimizer = optax.adam(optax.cosine_decay_schedule(problem.learning_rate, problem.num_steps))
    decay = 1.0 - 20.0 / problem.num_steps

    def train_one(beta: Array, key: Array) -> tuple[Params, dict[str, Array]]:
        step = training.make_train_step(make_loss(problem, objective, beta), optimizer, average_decay=decay)
        epoch = training.make_epoch(
            step, num_examples=num_examples, batch_size=problem.batch_size, num_steps=steps_per_epoch
        )
        init_key, run_key = jax.random.split(key)
        state = training.init_state(run_key, problem.init(init_key), optimizer, decay)
        num_epochs = problem.num_steps // steps_per_epoch
        state, metrics = jax.lax.scan(lambda state, _: epoch(state, problem.data), state, None, length=num_epochs)
        tail = {name: trace.reshape(-1)[-max(1, problem.num_steps // 10) :].mean() for name, trace in metrics.items()}
        return training.averaged_params(state, decay), tail

    keys = jax.random.split(key, (len(betas), num_restarts))
    return jax.jit(jax.vmap(jax.vmap(train_one, (None, 0))))(betas, keys)


def measure(
    problem: Problem, betas: Sequence[float], params: Params, tails: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """A row for each beta: exact information of the restart with the lowest loss, and its distance from the curve."""
    rows = []
    curve = problem.curve(np.asarray(betas))
    for index, beta in enumerate(betas):
        best = int(np.nanargmin(tails["loss"][index]))
        exact = problem.measure(jax.tree.map(lambda leaf, i=index, b=best: np.asarray(leaf[i, b]), params))
        frontier = float(problem.frontier(np.array([exact.information_xz]))[0])
        rows.append(
            {
                "beta": beta,
                **exact._asdict(),
                "frontier_zy": frontier,
                "shortfall": 1.0 - exact.information_zy / frontier if frontier > 0 else 0.0,
                "optimal_xz": curve.information_xz[index],
                "optimal_zy": curve.information_zy[index],
                "contained": problem.contains(exact.information_xz),
                "terms": {name: float(tail[index, best]) for name, tail in tails.items()},
            }
        )
    return rows


def run(config: ExactConfig, console: Console, *, command: str = "") -> dict[str, Any]:
    """Trains, measures and writes the records, the table and the figure.

    Args:
      config: the settings.
      console: where to show progress and the table.
      command: the command line to write into the records.

    Returns:
      The records by the problem's name.
    """
    results = pathlib.Path(config.results)
    problems = [
        (gaussian_problem(num_steps=config.num_steps), config.gaussian_betas),
        (discrete_problem(num_steps=config.num_steps), config.discrete_betas),
    ]
    made = {}
    for problem, betas in problems:
        rows: dict[str, Any] = {}
        for number, objective in enumerate(OBJECTIVES):
            start = time.monotonic()
            key = jax.random.fold_in(jax.random.key(config.seed), number)
            params, tails = jax.block_until_ready(train(problem, objective, jnp.array(betas), key, config.num_restarts))
            rows[objective] = measure(problem, betas, params, tails)
            seconds = time.monotonic() - start
            models = len(betas) * config.num_restarts
            console.print(f"{problem.name}, {objective}: {models} models in {seconds:.0f} s", highlight=False)
        points = problem.curve(np.geomspace(min(betas) / 2, 0.95, 40))
        made[problem.name] = {
            "experiment": "exact_ib",
            "problem": problem.name,
            "command": command,
            "config": dataclasses.asdict(config),
            "environment": records.environment(),
            "curve": {"information_xz": points.information_xz, "information_zy": points.information_zy},
            "objectives": rows,
        }
        records.write_json(results / f"{problem.name}.json", made[problem.name])
    saved = exact_ib_table.read_records(results)
    (results / "table.md").write_text(exact_ib_table.render(saved))
    from experiments.core import plots as figures  # matplotlib takes a second to import

    figures.exact_curves(results / "figure.png", saved)
    console.print(Markdown(exact_ib_table.render(saved)))
    console.print(f"Records, table and figure are in {results}.", highlight=False)
    return made


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs."""
    del argv
    try:
        run(flags.config_from_flags(ExactConfig), Console(), command=records.command("experiments.exact_ib"))
    except ValueError as error:
        sys.exit(f"exact_ib: {error}")


def launch() -> None:
    """Defines the flags and runs."""
    flags.run_app(main, ExactConfig, __doc__ or "")
