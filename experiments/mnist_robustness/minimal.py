"""Carlini-Wagner on VIB: as the paper sets it, and with the lead that a stochastic model needs; table and Figure 6."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import per_model, where
from experiments.core.plots import Figure, Level, Line, Panel
from experiments.core.report import Column, Row, Table
from experiments.mnist_robustness.settings import DETERMINISTIC, DROPOUT, PAPER_SAMPLES, VIB

if TYPE_CHECKING:
    import pandas as pd

BASELINES = {DETERMINISTIC: "deterministic", DROPOUT: "dropout"}


def names(frame: "pd.DataFrame") -> tuple[str, str]:
    """What the paper's way and ours are called; of older records one sample at confidence 0, and many."""
    if _has_leads(frame):
        return f"{PAPER_SAMPLES} samples' mean softmax, confidence 0", "with a lead"
    return "1 sample", "many samples"


def most(metric: str, **at: Any) -> Callable[["pd.DataFrame"], Any]:
    """A number of each model under an attack, of several at that with most samples: one, where there is no noise."""

    def found(part: "pd.DataFrame") -> Any:
        tried = where(part, **at)
        samples = tried["num_eot_samples"]
        return per_model(tried[samples.isna() | (samples == samples.max())], metric)

    return found


def measured(metric: str, targeted: bool, *, as_the_paper: bool = False) -> Callable[["pd.DataFrame"], Any]:
    """A number of each model under Carlini-Wagner; of one without noise there is but one way."""

    def found(part: "pd.DataFrame") -> Any:
        tried = where(part, attack="carlini_wagner", targeted=targeted)
        if not as_the_paper:
            return most(metric, confidence=None)(tried)
        fewest = tried["num_eot_samples"] == tried["num_eot_samples"].min()
        return per_model(where(tried, confidence=0.0) if _has_leads(tried) else tried[fewest], metric)

    return found


def table(frame: "pd.DataFrame", rows: Sequence[Row], settings: Mapping[str, Any]) -> Table:
    """Success by each way, and what the better one needs."""
    share, distance = functools.partial(Column, scale=100), functools.partial(Column, digits=2)
    (theirs, ours), columns = names(frame), []
    for kind, targeted in (("untargeted", False), ("targeted", True)):
        columns.append(share(f"{kind}, {theirs}: success", measured("success", targeted, as_the_paper=True)))
        columns.append(share(f"{kind}, {ours}: success", measured("success", targeted)))
        if targeted:
            columns.append(share("accuracy", measured("accuracy", targeted)))
        columns.append(distance(f"median L2, {kind}", measured("median_l2", targeted)))
    aims = "every other class" if settings["cw_targets"] == "all" else "one other class at random"
    # Older records counted images that were wrong from the start as successes.
    counts = frame["metric"].value_counts()
    among = " to images that were right before" if counts.get("num_right") == counts["success"] else ""
    if _has_leads(frame):
        rule = "A search with a lead ends where the wrong class leads by three standard errors of the model's noise."
    else:
        rule = "At confidence 0; searches ended where every sample of a step was wrong, which one easily is."
    notes = (
        f"Carlini-Wagner L2 on the first {where(frame, attack='carlini_wagner')['num_images'].max():g} test images, "
        f"{settings['cw_binary_steps']} rounds of {settings['cw_steps']} steps, up to {settings['num_cw_eot_samples']} "
        f"samples of z in each gradient; targets: {aims}. {rule} Success in % of fresh answers{among}; the median "
        "counts a failure as infinitely far."
    )
    return Table(title="Carlini-Wagner", rows=rows, columns=columns, notes=notes)


def figure6(frame: "pd.DataFrame") -> Figure:
    """Accuracy under Carlini-Wagner against beta, and how far it goes."""
    vib, panels, (theirs, ours) = on_log_axis(where(frame, objective=VIB)), [], names(frame)
    for metric, label, limits, ways in (
        ("accuracy", "accuracy under CW", (-0.03, 1.03), ((theirs, True), (ours, False))),
        ("median_l2", "median L2", (0, None), ((ours, False),)),
    ):
        lines = [
            Line(
                f"{kind}, {name}",
                measured(metric, targeted, as_the_paper=paper),
                frame=vib,
                color="C0" if targeted else "C2",
                style="-" if paper else "--",
            )
            for kind, targeted in (("untargeted", False), ("targeted", True))
            for name, paper in ways
        ]
        levels = [
            Level(measured(metric, targeted)(base), BASELINES[name] if targeted else "", "red", style)
            for name, style in zip(BASELINES, ("--", ":"), strict=True)
            for targeted in (False, True)
            if len(base := where(frame, objective=name))
        ]
        panel = Panel(lines=lines, levels=levels, x="beta", ylabel=label, xscale="log", ylim=limits, legend=False)
        panels.append(panel)
    alt = "Accuracy under Carlini-Wagner and its median distance, a failure being infinitely far, against beta."
    return Figure("figure6.png", panels, title="Figure 6", alt=alt, size=(10, 4.6), legend=2)


def on_log_axis(vib: "pd.DataFrame") -> "pd.DataFrame":
    """Without beta = 0, which such an axis does not have."""
    return vib[vib["beta"] > 0]


def _has_leads(frame: "pd.DataFrame") -> bool:
    return "confidence" in frame and bool(frame["confidence"].notna().any())
