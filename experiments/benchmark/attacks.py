"""The attack suite of `experiments.benchmark`: PGD, CW and DeepFool beside torchattacks and foolbox, and many radii.

All attack one deterministic network with the same settings, on the first test images. Its weights are trained ones, for
how soon attacks may stop depends on them. Both JAX rows of PGD return images that fool the network wherever they can:
with all steps an image climbs on after it does, with early stop it is done, and its place in the batch is freed. CW is
measured twice: with `abort_early`, by which here each image ends a round on its own and in foolbox the whole batch does
(the results show what that costs), and with every step taken on both sides.
"""

import contextlib
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from experiments.attack_comparison import victim as attack_victim
from experiments.attack_comparison.victim import Judge
from experiments.benchmark.attack_rows import NUM_STEPS, SETTINGS, Rows, Turn, Workers, jax_rows, peer_rows
from experiments.benchmark.attacks_report import PGD, REFERENCES, attack_targets
from experiments.benchmark.device import MatrixPeak, peak_memory
from experiments.benchmark.show import progress, summary
from experiments.core import worker as torch_worker

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config


def attacks_suite(config: "Config", console: Console, matmul_sizes: Sequence[int]) -> dict[str, Any]:
    """Every attack: JAX, the libraries and the matrix peak, taking turns."""
    if config.checkpoint:
        victim = attack_victim.from_workdir(config.checkpoint)
    else:
        names = ("dataset", "num_epochs", "batch_size", "latent_dim", "hidden_width")
        console.print(f"Training a network on {config.dataset}.", highlight=False)
        victim = attack_victim.trained(**{name: getattr(config, name) for name in names})
    judge = Judge(victim, config.num_images)
    tasks: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        workers = Workers(victim, judge, stack)
        rows = jax_rows(config, victim, judge) | peer_rows(config, workers)
        for task, name in sorted(rows, key=lambda key: list(SETTINGS).index(key[0])):
            empty = {"settings": SETTINGS[task], "references": REFERENCES[task], "rows": {}}
            row = rows[task, name]
            tasks.setdefault(task, empty)["rows"][name] = {"label": row.label, "num_images": row.num_images}
        matrix_peak = MatrixPeak(matmul_sizes)
        _measure(config, console, rows, tasks, matrix_peak)
        processes = workers.info
    peak = matrix_peak.summary()
    flops = matmul_flops([kernel.shape for kernel, _ in victim.layers])
    _derive(tasks, NUM_STEPS * flops / peak["flops_per_second"])
    return {
        "network": {**victim.description, "layers": [list(kernel.shape) for kernel, _ in victim.layers]},
        "clean_accuracy": float(judge.correct.mean()),
        "processes": processes,
        "matrix_peak": peak,
        "peak_memory": peak_memory(),
        "flops_per_image_and_step": flops,
        "tasks": tasks,
        "targets": attack_targets(tasks),
    }


def matmul_flops(layers: Sequence[Sequence[int]]) -> int:
    """FLOPs of the matrix products of one attack step on one image: forth, and back to the image.

    Args:
      layers: inputs and outputs of each dense layer.

    Returns:
      FLOPs, two for each multiply-add.

    Example:
      >>> from experiments.benchmark import attacks as benchmark_attacks
      >>> benchmark_attacks.matmul_flops([[3, 4], [4, 2]])
      80
    """
    return 2 * 2 * sum(fan_in * fan_out for fan_in, fan_out in layers)


def _measure(
    config: "Config",
    console: Console,
    rows: Rows,
    tasks: dict[str, dict[str, Any]],
    matrix_peak: MatrixPeak,
) -> None:
    """Runs the rounds; what was measured goes into `tasks` and `matrix_peak`."""
    turns: dict[tuple[str, str], Turn] = {}
    ordered = [(task, name) for task, found in tasks.items() for name in found["rows"]]
    with progress(console) as bar:
        line = bar.add_task("", total=len(rows) * (config.repeats + 1), what="preparing")
        for task, name in ordered:
            said = tasks[task]["rows"][name]
            bar.update(line, what=f"{task}, compiling: {said['label']}")
            try:
                turn = rows[task, name].start()
                said["first_call_seconds"], _ = turn(0.0)
                said |= {"status": "measured", "seconds": []}
                turns[task, name] = turn
            except (torch_worker.WorkerError, OSError) as error:
                said["status"] = str(error)
            bar.advance(line)
        for index in range(config.repeats):
            matrix_peak.measure()
            for (task, name), turn in turns.items():
                said = tasks[task]["rows"][name]
                bar.update(line, what=f"round {index + 1}/{config.repeats}: {task}, {said['label']}")
                seconds, said["outcome"] = turn(config.min_seconds)
                said["seconds"].append(seconds)
                bar.advance(line)
            if not console.is_terminal:
                console.print(f"round {index + 1}/{config.repeats} done", highlight=False)


def _derive(tasks: dict[str, dict[str, Any]], peak_seconds: float) -> None:
    """Adds speeds, and times as multiples of those of the task's references in the same round."""
    for name, task in tasks.items():
        measured = {key: row for key, row in task["rows"].items() if row["status"] == "measured"}
        each = {key: [time / row["num_images"] for time in row["seconds"]] for key, row in measured.items()}
        for key, row in measured.items():
            row["images_per_second"] = summary([1 / seconds for seconds in each[key]])
            if name == PGD and key != "jax-early":
                row["mfu"] = peak_seconds / statistics.median(each[key])
            if key not in task["references"]:
                row["ratios"] = {
                    reference: summary([mine / other for mine, other in zip(each[key], each[reference], strict=True)])
                    for reference in task["references"]
                }
