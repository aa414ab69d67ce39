"""The attack suite: PGD, CW and DeepFool beside torchattacks and foolbox, and many radii.

All attack one deterministic network with the same settings, on the first test images. Its weights are trained ones, for
how soon attacks may stop depends on them. Both JAX rows of PGD return images that fool the network wherever they can:
with all steps an image climbs on after it does, with early stop it is done, and its place in the batch is freed. CW is
measured twice: with `abort_early`, by which here each image ends a round on its own and in foolbox the whole batch does
(the results show what that costs), and with every step taken on both sides.
"""

import contextlib
import functools
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import attack_comparison
from experiments.attack_comparison import AttackedModel, AttackEvaluator, Comparison, Peers
from experiments.benchmark.machine import Cost
from experiments.benchmark.measure import Plan, Row, Turn, refuse_peer, timed
from experiments.benchmark.settings import AVX512, LIBRARIES, Config
from experiments.benchmark.tables import (
    FIRST,
    PEAK,
    SPEED,
    Columns,
    Goal,
    Section,
    Timed,
    faster,
    fastest,
    matrix_peak,
    table,
    tables_of,
)
from experiments.core.records import Record
from ib_jax import attacks, evaluation
from ib_jax.types import Array, AttackResult, Params

PGD, CW, CW_WHOLE, DEEPFOOL, RADII = "PGD-20", "CW 3 x 100", "CW 3 x 100, all steps", "DeepFool", "eight radii"
REFERENCES = {"PGD-20": ("jax", "jax-early"), "eight radii": ("one", "one-early")}
"""The attacks that all others are divided by; else jax."""
ATTACK_GOALS = {
    "PGD-20": (LIBRARIES, {"": 2.2, AVX512: 1.2}),
    "CW 3 x 100": (LIBRARIES, {"": 2.6, AVX512: 1.5}),
    "CW 3 x 100, all steps": (LIBRARIES, {"": 2.6, AVX512: 1.5}),
    "DeepFool": (("torchattacks",), {"": 10.0, AVX512: 10.0}),
}
"""How much faster than the fastest of these, as installed and with AVX-512 forced."""
EIGHT_RADII_GOAL = 4.0
EPSILON, NUM_STEPS = 0.1, 20
EPSILONS = (0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3)
pgd = functools.partial(attacks.pgd, num_steps=NUM_STEPS, step_size=attacks.path_length(2.5))
EARLY = pgd(EPSILON, early_stop=True)


def attack(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan | None:
    """Every attack: JAX and the libraries; None if training the network was stopped."""
    model = attacked_model(config, console)
    if model is None:
        return None
    made = AttackBenchmark(config, model, stack)
    return Plan([*made.compared(), *made.radii()], made.describe, min_seconds=config.min_seconds)


def attacked_model(config: Config, console: Console) -> AttackedModel | None:
    """The network that is attacked: one's own, or one trained now; None if that was stopped."""
    if config.checkpoint:
        return attack_comparison.load_model(config.checkpoint)
    names = ("dataset", "num_epochs", "batch_size", "latent_dim", "hidden_width")
    console.print(f"Training a network on {config.dataset}.")
    model = attack_comparison.train_model(**{name: getattr(config, name) for name in names})
    if model is None:
        console.print("Stopped while the network was trained; nothing is measured.")
    return model


class AttackBenchmark:
    """The rows of the suite, on one network and its first test images."""

    def __init__(self, config: Config, model: AttackedModel, stack: contextlib.ExitStack):
        self.config, self.model = config, model
        self.evaluator = AttackEvaluator(model, config.num_images)
        self.peers = stack.enter_context(Peers(model, self.evaluator))
        self.images, self.labels = jnp.asarray(self.evaluator.images), jnp.asarray(self.evaluator.labels)
        self.layers = [list(kernel.shape) for kernel, _ in model.layers]
        self.flops = 4 * sum(map(math.prod, self.layers))  # of an image's step: forth, and back to the image

    def describe(self) -> dict[str, Any]:
        """What the record says of all rows."""
        return {
            "network": {**self.model.description, "layers": self.layers},
            "clean_accuracy": float(self.evaluator.correct.mean()),
            "flops_per_image_and_step": self.flops,
            "processes": self.peers.info,
        }

    def compared(self) -> list[Row]:
        """The attacks that other libraries have, too."""
        cw = {"num_steps": 100, "num_binary_steps": 3, "learning_rate": 0.03, "initial_const": 1.0}
        tables = {
            PGD: attack_comparison.pgd(EPSILON, num_steps=NUM_STEPS),
            CW: attack_comparison.carlini_wagner(**cw, abort_early=True),
            CW_WHOLE: attack_comparison.carlini_wagner(**cw, abort_early=False),
            DEEPFOOL: attack_comparison.deepfool(),
        }
        rows = []
        for title, comparison in tables.items():
            most = self.config.cw_images if title in (CW, CW_WHOLE) else self.config.num_images
            label = "JAX, all steps" if title == PGD else "JAX"
            rows.append(self.row(title, "jax", label, most, self.ours, comparison.attack, comparison))
            if title == PGD:
                rows.append(self.row(title, "jax-early", "JAX, early stop", most, self.ours, EARLY, comparison))
            for peer in self.config.peer_names:
                for name in comparison.peers:
                    if name.startswith(f"{peer.removesuffix(AVX512)}."):
                        count = self.config.slow_images if name == "torchattacks.DeepFool" else most
                        label, forced = peer.replace(AVX512, ", AVX-512"), peer.endswith(AVX512)
                        rows.append(self.row(title, peer, label, count, self.theirs, comparison, name, forced))
        return rows

    def radii(self) -> list[Row]:
        """One radius, and eight of them at once: those that are fooled at a small one are spared the larger ones."""
        one, key = attack_comparison.pgd(EPSILON, num_steps=NUM_STEPS), jax.random.key(0)
        run = attacks.Runner(EARLY, self.model.apply_fn, batch_size=len(self.labels))

        def at_radii(keys: Array, inputs: Any, labels: Any, radii: Any) -> AttackResult:
            return run(self.model.params, keys, inputs, labels, epsilon=radii)

        @jax.jit
        def vmapped(params: Params) -> Array:
            settings: dict[str, Any] = {"make_attack": pgd, "epsilons": jnp.asarray(EPSILONS), "num_samples": 1}
            apply_fn = functools.partial(self.model.apply_fn, params)
            return evaluation.robust_correct(key, apply_fn, self.images, self.labels, **settings)

        def curve(count: int, call: Callable[[], Any]) -> Turn:
            describe = lambda stands: {"robust_accuracy": np.asarray(stands).mean(0).tolist()}  # noqa: E731
            return timed(call, average=statistics.median, describe=describe)

        sparing = functools.partial(evaluation.robustness_curve, at_radii, key, self.images, self.labels, EPSILONS)
        at_once = functools.partial(vmapped, self.model.params)
        count = self.config.num_images
        return [
            self.row(RADII, "one", "one radius, all steps", count, self.ours, one.attack, one),
            self.row(RADII, "one-early", "one radius, early stop", count, self.ours, EARLY, one),
            self.row(RADII, "curve", "eight radii, early stop", count, curve, sparing),
            self.row(RADII, "vmapped", "eight radii, vmapped", count, curve, at_once),
        ]

    def row(
        self, table: str, name: str, label: str, most: int, start: Callable[..., Turn], *args: Any, **more: Any
    ) -> Row:
        """Only the steps of PGD without early stop are known before; `more` are settings of the row."""
        count = min(most, len(self.labels))
        known = table == PGD and name != "jax-early"
        cost = Cost(count * NUM_STEPS * self.flops) if known else Cost()
        start = functools.partial(start, count, *args)
        return Row(table, name, label, start, count, cost=lambda: cost, settings={"num_images": count, **more})

    def ours(self, count: int, attack: Any, comparison: Comparison) -> Turn:
        """An attack on the first images."""
        run = attacks.Runner(attack, self.model.apply_fn, batch_size=count)
        call = functools.partial(run, self.model.params, jax.random.key(0), self.images[:count], self.labels[:count])

        def describe(images: np.ndarray) -> Mapping[str, Any]:
            return _outcome(comparison, self.evaluator(images, norm=comparison.norm, epsilon=comparison.epsilon))

        return timed(lambda: call().inputs, average=statistics.median, describe=describe)

    def theirs(self, count: int, comparison: Comparison, name: str, avx512: bool) -> Turn:
        """The same by a library, in a process of its own."""
        refuse_peer()
        call: dict[str, Any] = {"avx512": avx512, "num_images": count, "batch_size": count}
        call |= {"norm": comparison.norm, "epsilon": comparison.epsilon}

        def turn(min_seconds: float) -> tuple[float, Mapping[str, Any]]:
            reply = self.peers(name, comparison.peers[name], min_seconds=min_seconds, **call)
            return reply["seconds"], {**_outcome(comparison, reply), "peak_bytes": self.peers.peak_bytes}

        return turn


def _outcome(comparison: Comparison, values: Mapping[str, Any]) -> dict[str, Any]:
    sizes = ("success_rate", "median_l2_all", f"median_{comparison.norm}_all")
    return {name: values[name] for name in (sizes if comparison.epsilon is None else ("robust_accuracy",))}


def report(record: Record) -> list[Section]:
    """Attacks beside other libraries', and many radii."""
    details, network = record.details, record.details["network"]
    sizes = "-".join(str(size) for size in (network["layers"][0][0], *(layer[1] for layer in network["layers"])))
    shown: list[Section] = [
        f"Attacks on {sizes}, {network['dataset']}, {network['num_epochs']} epochs ({network['checkpoint']}), "
        f"{details['clean_accuracy']:.1%} right before the attack; {record.settings['repeats']} rounds."
    ]
    targets = []
    for name, rows in tables_of(record).items():
        references = [rows[each] for each in REFERENCES.get(name, ("jax",))]
        others = [row for row in rows.values() if row not in references]
        columns: Columns = {"images": lambda row: str(row.settings["num_images"])}
        columns |= FIRST | SPEED | PEAK
        for ours in references:
            columns |= faster(f"time / {ours.label}", ours, others)
        shown.append(table(name, rows, columns | {"result": _result}))
        libraries, goals = ATTACK_GOALS.get(name, ((), {}))
        for suffix, goal in goals.items():
            if best := fastest(rows, [library + suffix for library in libraries]):
                label = f"{best.label}{'' if suffix else ', as installed'}"
                for ours in references:
                    targets.append(Goal(f"{name}: {ours.label} / {label}", goal, ours.rates / best.rates))
        if name == "eight radii":
            for one in references:
                ratio = one.rates / rows["curve"].rates
                targets.append(Goal(f"time of {name} / {one.label}", EIGHT_RADII_GOAL, ratio, at_most=True))
    return [*shown, matrix_peak(record), *targets]


def _result(row: Timed) -> str:
    if curve := row.details.get("robust_accuracy"):
        return " ".join(f"{value:.0%}" for value in curve)
    accuracy, size = row.rounds("robust_accuracy")[0], row.rounds("median_l2_all")[0]
    if not math.isnan(accuracy):
        return f"{accuracy:.1%} stand"
    return f"median L2 {size:.3f}" if math.isfinite(size) else "most failed"
