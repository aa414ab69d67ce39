"""The front door: one call that attacks a model in every way that an honest table needs."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ib_jax import attacks, losses
from ib_jax.attacks.runner import ApplyFn
from ib_jax.evaluation.attack_programs import AttackPrograms, TransferSource
from ib_jax.evaluation.attack_spec import AttackSpec
from ib_jax.evaluation.attack_suite import AttackSuite, SuiteKeys
from ib_jax.evaluation.suite_result import AttackRow, SuiteResult
from ib_jax.types import Array, Params


def standard_suite(
    epsilon: float,
    norm: str = "linf",
    *,
    stochastic: bool,
    num_eot_samples: int = 10,
    num_steps: int = 20,
    num_queries: int = 1000,
    num_slow_images: int | None = None,
    source: str = "",
) -> list[AttackSpec]:
    """The attacks that a reported robustness should withstand, at one radius.

    PGD; with a margin loss; with twice the steps; APGD; images made on another model, if there is one; Square, which
    needs no gradients; Carlini-Wagner in L2; and PGD without a limit, under which every example must fall. A stochastic
    model is attacked in expectation over its samples, and once by single ones.

    Args:
      epsilon: the radius, in units of the inputs.
      norm: "linf" or "l2".
      stochastic: whether the model answers at random.
      num_eot_samples: samples behind each gradient of a stochastic model.
      num_steps: of PGD; APGD takes five times as many, Carlini-Wagner ten times in each of 5 rounds.
      num_queries: of Square.
      num_slow_images: how many images Square and Carlini-Wagner attack; None for all.
      source: name of the model on which images are made; "" for no transfer.

    Returns:
      The specs, for an `AttackSuite`.

    Raises:
      ValueError: a setting is out of its range.

    Example:
      >>> from ib_jax import evaluation
      >>> for spec in evaluation.standard_suite(8 / 255, stochastic=False):
      ...     print(spec.label)
      pgd linf 0.0313725, 20 steps
      pgd linf 0.0313725, 20 steps, margin
      pgd linf 0.0313725, 40 steps
      apgd linf 0.0313725, 100 steps
      square linf 0.0313725, num_queries 1000
      pgd linf 1, 20 steps
      carlini_wagner l2, 200 steps, num_binary_steps 5
    """
    samples = num_eot_samples if stochastic else 1
    shared: dict[str, Any] = {"norm": norm, "num_eot_samples": samples}
    pgd = AttackSpec("pgd", epsilon, num_steps=num_steps, **shared)
    single = [AttackSpec("pgd", epsilon, norm, num_steps=num_steps)] if samples > 1 else []
    # A lucky draw must not end the search of a stochastic model.
    whole = {"early_stop": False} if stochastic else {}
    square = {"num_queries": num_queries}
    return [
        *single,
        pgd,
        AttackSpec("pgd", epsilon, loss="margin", num_steps=num_steps, **shared),
        AttackSpec("pgd", epsilon, num_steps=2 * num_steps, **shared),
        AttackSpec("apgd", epsilon, num_steps=5 * num_steps, options=whole, **shared),
        *([AttackSpec("pgd", epsilon, num_steps=num_steps, source=source, **shared)] if source else []),
        AttackSpec("square", epsilon, num_images=num_slow_images, options=square, **shared),
        AttackSpec("pgd", 1.0, num_steps=num_steps, num_eot_samples=samples),
        AttackSpec(
            "carlini_wagner",
            epsilon if norm == "l2" else None,
            num_steps=10 * num_steps,
            num_eot_samples=samples,
            num_images=num_slow_images,
            options={"num_binary_steps": 5},
        ),
    ]


def evaluate_attacks(
    key: Array,
    apply_fn: ApplyFn,
    params: Params,
    inputs: Array | np.ndarray,
    labels: Array | np.ndarray,
    *,
    suite: Sequence[AttackSpec],
    sources: Mapping[str, tuple[ApplyFn, Params]] | None = None,
    num_eval_samples: int = 12,
    batch_size: int = 1000,
    folder: str | os.PathLike[str] | None = None,
    keep_images: bool = False,
    report: Callable[[AttackRow], None] | None = None,
    **settings: Any,
) -> SuiteResult:
    """Runs every attack of a suite on a model, and says how far the result can be trusted.

    Args:
      key: a PRNG key; attacks, answers, checks and targets get streams of their own.
      apply_fn: (params, keys [B], inputs) -> logits [B, C], of any framework; a deterministic model ignores the keys.
      params: its parameters, a pytree of arrays.
      inputs: float [N, ...], by default in [0, 1].
      labels: true labels, int [N].
      suite: the attacks, such as `standard_suite(8 / 255, stochastic=False)`.
      sources: by the names in the specs, models on which images for transfer are made: (apply_fn, params).
      num_eval_samples: fresh samples behind each answer.
      batch_size: most examples at a time.
      folder: where finished attacks are kept; the same call after a kill goes on from there.
      keep_images: whether rows hold the attacked images, as `export_images` needs them.
      report: called with each row as soon as it is done.
      **settings: further ones of `AttackSuite`; without `targets`, random ones are drawn.

    Returns:
      SuiteResult: print its `table()`, read its `worst_accuracy` and `findings`.

    Raises:
      ValueError: as `AttackSuite` and its `evaluate`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> apply_fn = lambda weight, keys, x: x @ weight
      >>> inputs = jax.random.uniform(jax.random.key(0), (40, 4))
      >>> weight = jnp.eye(4)
      >>> suite = evaluation.standard_suite(0.1, stochastic=False, num_queries=50)
      >>> result = evaluation.evaluate_attacks(
      ...     jax.random.key(1), apply_fn, weight, inputs, inputs.argmax(-1), suite=suite)
      >>> print("\\n".join(result.table().splitlines()[:3]))
      attack                                            images  accuracy  together  median
      clean                                                 40   100.0 %   100.0 %
      pgd linf 0.1, 20 steps                                40    32.5 %    32.5 %
      >>> result.worst_accuracy, result.findings
      (0.325, [])
    """
    own, judge, check, aims, others = jax.random.split(key, 5)
    if settings.get("targets") is None and any(spec.targeted for spec in suite):
        keys = losses.per_example_keys(judge, 1)
        num_classes = losses.count_classes(lambda *args: apply_fn(params, *args), keys, jnp.asarray(inputs)[:1])
        settings["targets"] = attacks.random_targets(aims, jnp.asarray(labels), num_classes)
    made = AttackSuite(
        suite, apply_fn, inputs, labels, num_eval_samples=num_eval_samples, batch_size=batch_size, **settings
    )
    bounds = made.programs.bounds
    known = {
        name: TransferSource(AttackPrograms(source_fn, batch_size=batch_size, bounds=bounds), source_params, others)
        for name, (source_fn, source_params) in (sources or {}).items()
    }
    streams = SuiteKeys(own, judge, check)
    return made.evaluate(params, streams, sources=known, folder=folder, keep_images=keep_images, report=report)
