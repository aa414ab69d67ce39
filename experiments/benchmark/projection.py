"""How long the paper's whole sweep would take, from FLOPs and a rate."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.benchmark.settings import Config

MODELS, EPOCHS, IMAGES = 45, 200, 60_000
ASSUMPTIONS = (
    "every step costs what it costs here, at this batch size and precision",
    "the rate holds for the whole run, whatever the number of members on a device",
    "no time for compiling, evaluation and checkpoints",
)


def project(network: Mapping[str, Any], config: "Config", row: Mapping[str, Any]) -> dict[str, Any]:
    """The paper's sweep, 45 models of 200 epochs of 60,000 images, at the measured and at given rates.

    Args:
      network: `flops_per_step` of one model and one batch, with `xla` as XLA counts, or None, and `matmul`, of the
        matrix products; and `bytes_per_step`, as XLA counts, or None.
      config: its `project_flops` and `project_bandwidth` are the given rates, 0 for none; the slower one decides.
      row: the measured one, with its speed.
    """
    found = network["flops_per_step"]
    counted_by = "matmul" if found["xla"] is None else "xla"
    flops_per_image = found[counted_by] / config.batch_size
    images = MODELS * EPOCHS * IMAGES
    flops, num_bytes = images * flops_per_image, images * (network["bytes_per_step"] or 0.0) / config.batch_size
    measured = row["images_per_second"]["median"] * flops_per_image
    given = {"flops_per_second": config.project_flops, "bytes_per_second": config.project_bandwidth}
    bounds = [hours(work, rate) for work, rate in zip((flops, num_bytes), given.values(), strict=True) if rate]
    return {
        "models": MODELS,
        "epochs": EPOCHS,
        "images_per_epoch": IMAGES,
        "latent_dim": config.latent_dim,
        "hidden_width": config.hidden_width,
        "counted_by": counted_by,
        "flops_per_image": flops_per_image,
        "flops": flops,
        "bytes": num_bytes,
        "measured": {"row": row["label"], "flops_per_second": measured, "hours": hours(flops, measured)},
        "given": {**given, "hours": max(bounds)} if bounds else None,
        "assumptions": list(ASSUMPTIONS),
    }


def hours(flops: float, flops_per_second: float) -> float:
    """Hours that so many FLOPs take.

    Example:
      >>> from experiments.benchmark import projection as benchmark_projection
      >>> benchmark_projection.hours(7.2e15, 1e12)
      2.0
    """
    return flops / flops_per_second / 3600
