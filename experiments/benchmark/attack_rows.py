"""What `experiments.benchmark.attacks` measures: the attacks, here and in the other libraries, at the same settings."""

import contextlib
import dataclasses
import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.attack_comparison import peers as attack_peers
from experiments.attack_comparison.victim import Judge, Victim
from experiments.benchmark.attacks_report import AVX512, CW, CW_WHOLE, DEEPFOOL, LIBRARIES, PGD, RADII
from experiments.core import worker as torch_worker
from experiments.core.carlini_wagner import carlini_wagner
from ib_jax import attacks, evaluation
from ib_jax.types import Array, AttackResult, Params

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

PEERS = tuple(library + suffix for suffix in ("", AVX512) for library in LIBRARIES)
"""-avx512: MKL's AVX-512 path forced."""

EPSILON, NUM_STEPS = 0.1, 20
STEP_SIZE = 2.5 * EPSILON / NUM_STEPS
EPSILONS = (0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3)
CW_SETTINGS: dict[str, Any] = {"num_steps": 100, "num_binary_steps": 3, "learning_rate": 0.03, "initial_const": 1.0}
DEEPFOOL_SETTINGS: dict[str, Any] = {"num_steps": 50, "num_candidates": 10, "overshoot": 0.02}
SETTINGS: dict[str, dict[str, Any]] = {
    PGD: {"norm": "linf", "epsilon": EPSILON, "num_steps": NUM_STEPS, "step_size": STEP_SIZE, "random_start": True},
    CW: CW_SETTINGS | {"abort_early": True},
    CW_WHOLE: CW_SETTINGS | {"abort_early": False},
    DEEPFOOL: {"norm": "l2", **DEEPFOOL_SETTINGS},
    RADII: {"norm": "linf", "epsilons": EPSILONS, "one": EPSILON, "num_steps": NUM_STEPS},
}
"""By our names; the peers' are the same by theirs."""

FOOLBOX_CW = {"binary_search_steps": 3, "steps": 100, "stepsize": 0.03, "initial_const": 1.0}
PEER_ATTACKS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    (PGD, "torchattacks"): (
        "torchattacks.PGD",
        {"eps": EPSILON, "alpha": STEP_SIZE, "steps": NUM_STEPS, "random_start": True},
    ),
    (PGD, "foolbox"): (
        "foolbox.LinfPGD",
        {"eps": EPSILON, "abs_stepsize": STEP_SIZE, "steps": NUM_STEPS, "random_start": True},
    ),
    (CW, "foolbox"): ("foolbox.L2CarliniWagnerAttack", FOOLBOX_CW | {"abort_early": True}),
    (CW_WHOLE, "foolbox"): ("foolbox.L2CarliniWagnerAttack", FOOLBOX_CW | {"abort_early": False}),
    (DEEPFOOL, "torchattacks"): ("torchattacks.DeepFool", {"steps": 50, "overshoot": 0.02}),
    (DEEPFOOL, "foolbox"): ("foolbox.L2DeepFoolAttack", {"steps": 50, "candidates": 10, "overshoot": 0.02}),
}

Turn = Callable[[float], tuple[float, dict[str, Any]]]
"""From the seconds to go on for (0: one call) to a call's median seconds, and what came out."""


class Row(NamedTuple):
    """One line of a task: `turn` makes what is measured, starting a worker if need be."""

    label: str
    num_images: int
    start: Callable[[], Turn]


Rows = dict[tuple[str, str], Row]
"""By task and name."""


def jax_rows(config: "Config", victim: Victim, judge: Judge) -> Rows:
    """Our side: every attack here, on the judge's images."""
    images, labels, key = jnp.asarray(judge.images), jnp.asarray(judge.labels), jax.random.key(0)
    num_images, num_cw = len(labels), min(config.cw_images, len(labels))
    pgd = functools.partial(attacks.pgd, num_steps=NUM_STEPS, step_size=attacks.path_length(2.5))

    def runner(attack: Any, count: int = num_images) -> attacks.Runner:
        return attacks.Runner(attack, victim.apply_fn, batch_size=count)

    def attack(run: attacks.Runner, task: str, count: int = num_images) -> Callable[[], Turn]:
        return lambda: _timed(
            lambda: run(victim.params, key, images[:count], labels[:count]).inputs,
            lambda found: _outcome(judge, task, np.asarray(found)),
        )

    every, early = runner(pgd(EPSILON)), runner(pgd(EPSILON, early_stop=True))

    def at_radii(keys: Array, inputs: Any, labels: Any, radii: Any) -> AttackResult:
        return early(victim.params, keys, inputs, labels, epsilon=radii)

    @jax.jit
    def vmapped(params: Params) -> Array:
        logits_fn = functools.partial(victim.apply_fn, params)
        settings: dict[str, Any] = {"make_attack": pgd, "epsilons": jnp.asarray(EPSILONS), "num_samples": 1}
        return evaluation.robust_correct(key, logits_fn, images, labels, **settings)

    def curve(call: Callable[[], Any]) -> Callable[[], Turn]:
        return lambda: _timed(call, lambda found: {"robust_accuracy": np.asarray(found).mean(0).tolist()})

    spared = curve(lambda: evaluation.robustness_curve(at_radii, key, images, labels, EPSILONS))
    at_once = curve(lambda: vmapped(victim.params))

    def cw(task: str) -> Callable[[], Turn]:
        return attack(runner(carlini_wagner(**SETTINGS[task]), num_cw), task, num_cw)

    return {
        (PGD, "jax"): Row("JAX, all steps", num_images, attack(every, PGD)),
        (PGD, "jax-early"): Row("JAX, early stop", num_images, attack(early, PGD)),
        (CW, "jax"): Row("JAX", num_cw, cw(CW)),
        (CW_WHOLE, "jax"): Row("JAX", num_cw, cw(CW_WHOLE)),
        (DEEPFOOL, "jax"): Row("JAX", num_images, attack(runner(attacks.deepfool(**DEEPFOOL_SETTINGS)), DEEPFOOL)),
        (RADII, "one"): Row("one radius, all steps", num_images, attack(every, PGD)),
        (RADII, "one-early"): Row("one radius, early stop", num_images, attack(early, PGD)),
        (RADII, "curve"): Row("eight radii, early stop", num_images, spared),
        (RADII, "vmapped"): Row("eight radii, vmapped", num_images, at_once),
    }


def _timed(call: Callable[[], Any], judged: Callable[[Any], dict[str, Any]]) -> Turn:
    def turn(min_seconds: float) -> tuple[float, dict[str, Any]]:
        rounds: list[float] = []
        while not rounds or sum(rounds) < min_seconds:
            begin = time.perf_counter()
            found = jax.block_until_ready(call())
            rounds.append(time.perf_counter() - begin)
        return statistics.median(rounds), judged(found)

    return turn


def _outcome(judge: Judge, task: str, images: np.ndarray) -> dict[str, Any]:
    if task == PGD:
        judged = judge(images, norm="linf", epsilon=EPSILON)
        return {"robust_accuracy": judged["robust_accuracy"]}
    judged = judge(images, norm="l2")
    return {name: judged[name] for name in ("success_rate", "median_l2_all")}


def peer_rows(config: "Config", workers: "Workers") -> Rows:
    """The other libraries' side."""
    rows = {}
    for (task, library), (attack, settings) in PEER_ATTACKS.items():
        count = config.cw_images if task in (CW, CW_WHOLE) else config.num_images
        if (task, library) == (DEEPFOOL, "torchattacks"):
            count = config.slow_images
        count = min(count, workers.num_images)
        for peer in (peer for peer in config.peer_names if peer.removesuffix(AVX512) == library):
            begin = functools.partial(workers.turn, peer, task, attack, settings, count)
            rows[task, peer] = Row(peer.replace(AVX512, ", AVX-512"), count, begin)
    return rows


class Workers:
    """The peers: one process as installed, one with AVX-512 forced, each started when it is first needed."""

    def __init__(self, victim: Victim, judge: Judge, stack: contextlib.ExitStack):
        self._judge, self._stack, self.num_images = judge, stack, len(judge.labels)
        self._folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        attack_peers.save_task(self._folder / "task.npz", victim.layers, judge.images, judge.labels)
        self._workers: dict[bool, torch_worker.Worker] = {}
        self.info: dict[str, Any] = {}

    def turn(self, peer: str, task: str, attack: str, settings: Mapping[str, Any], num_images: int) -> Turn:
        """What measures a peer's attack."""
        forced = peer.endswith(AVX512)
        reason = attack_peers.missing(peer.removesuffix(AVX512), avx512=forced)
        if not reason and jax.default_backend() != "cpu":
            reason = f"skipped: the peers run on the CPU, JAX on the {jax.default_backend()}"
        if reason:
            raise torch_worker.WorkerError(reason)
        if forced not in self._workers:
            started = attack_peers.start(self._folder / "task.npz", avx512=forced)
            self._workers[forced] = self._stack.enter_context(started)
            self.info["AVX-512 forced" if forced else "as installed"] = dict(started.info)
        worker, output = self._workers[forced], str(self._folder / "out.npz")

        def turn(min_seconds: float) -> tuple[float, dict[str, Any]]:
            calls = {"num_images": num_images, "batch_size": num_images, "min_seconds": min_seconds}
            reply = worker(dataclasses.asdict(attack_peers.Request(attack, output, settings, **calls)))  # type: ignore[arg-type]
            with np.load(output) as file:
                return reply["seconds"], _outcome(self._judge, task, file["images"])

        return turn
