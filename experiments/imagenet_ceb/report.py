"""What is shown of CEB on ImageNet under attack; Table 1, Figures 3 and 4 are what `experiments.corruptions` makes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.image_report import checks_grid, groups_of, together_table, white_box_table, with_levels
from experiments.core.records import Record
from experiments.core.report import Departures, Report

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.2"


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables of a folder of records."""
    frame, settings = with_levels(frame), {**records[0].models[0].settings, **records[0].settings}
    groups = groups_of(frame)
    intro = (
        f"{settings['num_epochs']} epochs. Accuracy in per cent on the first {settings['num_attack_images']} test "
        "images (clean: all of them), at the mean code as in the paper; EOT is against the sampled model. PGD takes "
        f"{settings['pgd_steps']} steps of {settings['pgd_path']:.3g} epsilon / n; radii in levels of 255."
    )
    sections: list[Any] = [
        white_box_table(groups, settings),
        together_table(groups, settings, settings["radius"]),
        checks_grid(groups, records),
        Departures(records),
    ]
    return Report(f"CEB on {settings['dataset']}", frame, sections, PAPER, intro)
