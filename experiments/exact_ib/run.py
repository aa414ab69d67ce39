"""Trains VIB, VUB and CEB where the information bottleneck is known, and compares with the exact curve."""

import functools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.core import records
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.exact_ib.problems import Problem, discrete_problem, gaussian_problem
from experiments.exact_ib.settings import ExactConfig
from ib_jax import bounds, losses, training
from ib_jax.types import Array, BoundTerms, Params

OBJECTIVES = ("vib", "vub", "ceb")


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
    """Trains every beta [K] and restart [R] in one program.

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
) -> list[list[Measurement]]:
    """For each beta the exact information of the restart with the lowest loss, and its distance from the curve."""
    rows = []
    curve = problem.curve(np.asarray(betas))
    for index in range(len(betas)):
        best = int(np.nanargmin(tails["loss"][index]))
        exact = problem.measure(jax.tree.map(lambda leaf, i=index, b=best: np.asarray(leaf[i, b]), params))
        frontier = float(problem.frontier(np.array([exact.information_xz]))[0])
        values = {
            **exact._asdict(),
            "frontier_zy": frontier,
            "shortfall": 1.0 - exact.information_zy / frontier if frontier > 0 else 0.0,
            "optimal_xz": float(curve.information_xz[index]),
            "optimal_zy": float(curve.information_zy[index]),
            "contained": bool(problem.contains(exact.information_xz)),
        }
        terms = {name: float(tail[index, best]) for name, tail in tails.items()}
        rows.append([Measurement({}, values), Measurement({"split": "train"}, terms)])
    return rows


def run(config: ExactConfig, session: Session) -> list[Record]:
    """Trains, measures and writes the records, the table and the figure; the records, one for each problem."""
    results, made = pathlib.Path(config.results), []
    problems = [
        (discrete_problem(num_steps=config.num_steps), config.discrete_betas),
        (gaussian_problem(num_steps=config.num_steps), config.gaussian_betas),
    ]
    for problem, betas in problems:
        models = []
        for number, objective in enumerate(OBJECTIVES):
            start = time.monotonic()
            key = jax.random.fold_in(jax.random.key(config.seed), number)
            params, tails = jax.block_until_ready(train(problem, objective, jnp.array(betas), key, config.num_restarts))
            for beta, measured in zip(betas, measure(problem, betas, params, tails), strict=True):
                own = {"objective": objective, "beta": beta, "problem": problem.name}
                models.append(Model(f"{objective}_beta{beta:g}", config.seed, measured, own))
            seconds, count = time.monotonic() - start, len(betas) * config.num_restarts
            line = f"{problem.name}, {objective}: {count} models in {seconds:.0f} s"
            session.console.print(line)
        curve = problem.curve(np.geomspace(min(betas) / 2, 0.95, 40))
        details = {"curve": {"information_xz": curve.information_xz, "information_zy": curve.information_zy}}
        made.append(session.record(models, config, details=details, file=problem.name))
        records.write(results / f"{problem.name}.json", made[-1])
    session.publish(results, made)
    return made
