"""The attack suite: PGD, CW and DeepFool beside torchattacks and foolbox, and many radii.

All attack one deterministic network with the same settings, on the first test images. Its weights are trained ones, for
how soon attacks may stop depends on them. Both JAX rows of PGD return images that fool the network wherever they can:
with all steps an image climbs on after it does, with early stop it is done, and its place in the batch is freed. CW is
measured twice: with `abort_early`, by which here each image ends a round on its own and in foolbox the whole batch does
(the results show what that costs), and with every step taken on both sides.
"""

import contextlib
import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import attack_comparison
from experiments.attack_comparison import AttackedModel, AttackEvaluator, Comparison, Peers
from experiments.benchmark import torch_worker
from experiments.benchmark.measure import Plan, Row, Turn, Work, timed
from experiments.benchmark.settings import AVX512, Config
from ib_jax import attacks, evaluation
from ib_jax.types import Array, AttackResult, Params

PGD, CW, CW_WHOLE, DEEPFOOL, RADII = "PGD-20", "CW 3 x 100", "CW 3 x 100, all steps", "DeepFool", "eight radii"
EPSILON, NUM_STEPS = 0.1, 20
EPSILONS = (0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3)


def compared() -> dict[str, Comparison]:
    """The attacks that other libraries have, too, by their tables."""
    cw = {"num_steps": 100, "num_binary_steps": 3, "learning_rate": 0.03, "initial_const": 1.0}
    return {
        PGD: attack_comparison.pgd(EPSILON, num_steps=NUM_STEPS),
        CW: attack_comparison.carlini_wagner(**cw, abort_early=True),
        CW_WHOLE: attack_comparison.carlini_wagner(**cw, abort_early=False),
        DEEPFOOL: attack_comparison.deepfool(),
    }


def attack(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan | None:
    """Every attack: JAX and the libraries; None if training the network was stopped."""
    model: AttackedModel | None
    if config.checkpoint:
        model = attack_comparison.load_model(config.checkpoint)
    else:
        names = ("dataset", "num_epochs", "batch_size", "latent_dim", "hidden_width")
        console.print(f"Training a network on {config.dataset}.", highlight=False)
        model = attack_comparison.train_model(**{name: getattr(config, name) for name in names})
    if model is None:
        console.print("Stopped while the network was trained; nothing is measured.", highlight=False)
        return None
    evaluator = AttackEvaluator(model, config.num_images)
    peers = stack.enter_context(Peers(model, evaluator))
    flops = matmul_flops([kernel.shape for kernel, _ in model.layers])
    rows = []
    for table, comparison in compared().items():
        most = config.cw_images if table in (CW, CW_WHOLE) else config.num_images
        rows += _ours(table, comparison, model, evaluator, min(most, len(evaluator.labels)), flops)
        for peer in config.peer_names:
            rows += _theirs(table, comparison, peer, peers, config, most, len(evaluator.labels), flops)
    rows += _many_radii(model, evaluator)
    facts = {
        "network": {**model.description, "layers": [list(kernel.shape) for kernel, _ in model.layers]},
        "clean_accuracy": float(evaluator.correct.mean()),
        "flops_per_image_and_step": flops,
    }
    return Plan(rows, lambda: {**facts, "processes": peers.info}, min_seconds=config.min_seconds)


def matmul_flops(layers: Sequence[Sequence[int]]) -> int:
    """FLOPs of the matrix products of one attack step on one image: forth, and back to the image.

    Args:
      layers: inputs and outputs of each dense layer.

    Example:
      >>> from experiments.benchmark import attacks as benchmark_attacks
      >>> benchmark_attacks.matmul_flops([[3, 4], [4, 2]])
      80
    """
    return 2 * 2 * sum(fan_in * fan_out for fan_in, fan_out in layers)


def _work(table: str, num_images: int, flops: int) -> Work:
    """Only the steps of PGD are known before."""
    return Work(num_images, flops=num_images * NUM_STEPS * flops if table == PGD else None)


def _outcome(comparison: Comparison, values: Mapping[str, Any]) -> dict[str, Any]:
    names = ("success_rate", "median_l2_all") if comparison.epsilon is None else ("robust_accuracy",)
    return {name: values[name] for name in names}


def _attacked(
    attack: Any, comparison: Comparison, model: AttackedModel, evaluator: AttackEvaluator, count: int
) -> Turn:
    images, labels, key = jnp.asarray(evaluator.images), jnp.asarray(evaluator.labels), jax.random.key(0)
    run = attacks.Runner(attack, model.apply_fn, batch_size=count)

    def describe(found: Array) -> Mapping[str, Any]:
        size: dict[str, Any] = {"norm": comparison.norm, "epsilon": comparison.epsilon}
        return _outcome(comparison, evaluator(np.asarray(found), **size))

    call = functools.partial(run, model.params, key, images[:count], labels[:count])
    return timed(lambda: call().inputs, average=statistics.median, describe=describe)


def _early_pgd() -> Any:
    step_size = attacks.path_length(2.5)
    return attacks.pgd(EPSILON, num_steps=NUM_STEPS, step_size=step_size, early_stop=True)


def _ours(
    table: str, comparison: Comparison, model: AttackedModel, evaluator: AttackEvaluator, count: int, flops: int
) -> list[Row]:
    row = functools.partial(Row, table, settings={"num_images": count})
    start = functools.partial(_attacked, comparison.attack, comparison, model, evaluator, count)
    label = "JAX, all steps" if table == PGD else "JAX"
    rows = [row("jax", label, start, functools.partial(_work, table, count, flops))]
    if table == PGD:
        start = functools.partial(_attacked, _early_pgd(), comparison, model, evaluator, count)
        rows.append(row("jax-early", "JAX, early stop", start, lambda: Work(count)))
    return rows


def _theirs(
    table: str, comparison: Comparison, peer: str, peers: Peers, config: Config, most: int, available: int, flops: int
) -> list[Row]:
    library, forced = peer.removesuffix(AVX512), peer.endswith(AVX512)
    name = next((name for name in comparison.peers if name.startswith(f"{library}.")), None)
    if name is None:
        return []
    slow = name == "torchattacks.DeepFool"
    count = min(config.slow_images if slow else most, available)
    call: dict[str, Any] = {"avx512": forced, "num_images": count, "batch_size": count}
    call |= {"norm": comparison.norm, "epsilon": comparison.epsilon}

    def start() -> Turn:
        torch_worker.refuse("", jax.default_backend())

        def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
            reply = peers(name, comparison.peers[name], min_seconds=min_seconds, **call)
            return reply["seconds"], _outcome(comparison, reply)

        return turn

    label = peer.replace(AVX512, ", AVX-512")
    work = functools.partial(_work, table, count, flops)
    return [Row(table, peer, label, start, work, settings={"num_images": count})]


def _many_radii(model: AttackedModel, evaluator: AttackEvaluator) -> list[Row]:
    """One radius, and eight of them at once: those that are fooled at a small one are spared the larger ones."""
    images, labels, key = jnp.asarray(evaluator.images), jnp.asarray(evaluator.labels), jax.random.key(0)
    pgd, count = compared()[PGD], len(evaluator.labels)
    run = attacks.Runner(_early_pgd(), model.apply_fn, batch_size=count)

    def at_radii(keys: Array, inputs: Any, labels: Any, radii: Any) -> AttackResult:
        return run(model.params, keys, inputs, labels, epsilon=radii)

    @jax.jit
    def vmapped(params: Params) -> Array:
        make = functools.partial(attacks.pgd, num_steps=NUM_STEPS, step_size=attacks.path_length(2.5))
        settings: dict[str, Any] = {"make_attack": make, "epsilons": jnp.asarray(EPSILONS), "num_samples": 1}
        return evaluation.robust_correct(key, functools.partial(model.apply_fn, params), images, labels, **settings)

    def curve(call: Callable[[], Any]) -> Callable[[], Turn]:
        def describe(found: Any) -> Mapping[str, Any]:
            return {"robust_accuracy": np.asarray(found).mean(0).tolist()}

        return lambda: timed(call, average=statistics.median, describe=describe)

    starts: dict[tuple[str, str], Callable[[], Turn]] = {
        ("one", "one radius, all steps"): lambda: _attacked(pgd.attack, pgd, model, evaluator, count),
        ("one-early", "one radius, early stop"): lambda: _attacked(_early_pgd(), pgd, model, evaluator, count),
        ("curve", "eight radii, early stop"): curve(
            lambda: evaluation.robustness_curve(at_radii, key, images, labels, EPSILONS)
        ),
        ("vmapped", "eight radii, vmapped"): curve(lambda: vmapped(model.params)),
    }
    settings = {"num_images": count}
    return [
        Row(RADII, name, label, start, lambda: Work(count), settings=settings)
        for (name, label), start in starts.items()
    ]
