"""How long the paper's whole sweep would take, from FLOPs and a rate."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.benchmark import Config

MODELS, EPOCHS, IMAGES = 45, 200, 60_000
ASSUMPTIONS = (
    "every step costs what it costs here, at this batch size and precision",
    "the rate holds for the whole run, whatever the number of members on a device",
    "no time for compiling, evaluation and checkpoints",
)


def project(flops_per_step: Mapping[str, float | None], config: "Config", row: Mapping[str, Any]) -> dict[str, Any]:
    """The paper's sweep, 45 models of 200 epochs of 60,000 images, at the measured and at a given rate.

    Args:
      flops_per_step: `xla` as XLA counts, or None; then `matmul`, of the matrix products; of one model and one batch.
      config: its `project_flops` is the given rate, 0 for none.
      row: the measured one, with its speed.
    """
    counted_by = "matmul" if flops_per_step["xla"] is None else "xla"
    flops_per_image = (flops_per_step[counted_by] or 0.0) / config.batch_size
    flops = MODELS * EPOCHS * IMAGES * flops_per_image
    measured = row["images_per_second"]["median"] * flops_per_image
    given = config.project_flops
    return {
        "models": MODELS,
        "epochs": EPOCHS,
        "images_per_epoch": IMAGES,
        "latent_dim": config.latent_dim,
        "hidden_width": config.hidden_width,
        "counted_by": counted_by,
        "flops_per_image": flops_per_image,
        "flops": flops,
        "measured": {"row": row["label"], "flops_per_second": measured, "hours": hours(flops, measured)},
        "given": {"flops_per_second": given, "hours": hours(flops, given)} if given else None,
        "assumptions": list(ASSUMPTIONS),
    }


def hours(flops: float, flops_per_second: float) -> float:
    """Hours that so many FLOPs take.

    Example:
      >>> from experiments import benchmark_projection
      >>> benchmark_projection.hours(7.2e15, 1e12)
      2.0
    """
    return flops / flops_per_second / 3600
