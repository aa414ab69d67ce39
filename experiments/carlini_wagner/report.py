"""What is shown of Carlini-Wagner on stochastic models: success and distance by samples, expectation and confidence."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.claims import Claim
from experiments.core.frames import groups, per_seed, where
from experiments.core.plots import Figure, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Claims, Column, Departures, Headline, Report, Row, Table

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): section 4.2.3 and Figure 6"
CLAIMS_OF = "ours"  # they are predictions of our own
CORNER = ("beta", "gradient of")
DEFAULT = "default"
MOST = 0.95  # what counts as an attack that succeeds


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """Tables, figure and verdicts."""
    attacked, settings = where(frame, attack="carlini_wagner"), records[0].settings
    intro = (
        f"VIB on {settings['dataset']}, K = 256, {records[0].models[0].settings['num_epochs']} epochs; the first "
        f"{settings['num_cw_images']} test images, of which only those count that were right before; "
        f"{settings['cw_binary_steps']} rounds of {settings['cw_steps']} steps. Success: the mean softmax over "
        f"{settings['num_eval_samples']} fresh samples of z is wrong, or is the target. Found: the attack itself took "
        "an image for a success. Confidence is the lead in nats that it asks for in the search, the default three "
        "standard errors of what the model's noise does to the margin. Mean and standard deviation over seeds "
        f"({frame['seed'].nunique()} of them)."
    )
    untargeted, targeted = where(attacked, targeted=False), where(attacked, targeted=True)
    sections: list[Any] = [Claims(_claims(untargeted), "Predictions, written before the runs")]
    sections += _tables(untargeted, "Untargeted")
    sections += _tables(targeted, "Targeted, at random classes") if len(targeted) else []
    sections += [_figure(untargeted), Departures(records)]
    paper, ours = ({"num_eot_samples": 12, "expectation_of": averaged} for averaged in ("probabilities", "losses"))
    headlines = [
        Headline(
            "Carlini-Wagner with the paper's 12 samples, success",
            _pooled(untargeted, confidence=0.0, **paper),
            unit="%",
        ),
        Headline("Carlini-Wagner with the default lead, 12 samples, success", _pooled(untargeted, **ours), unit="%"),
    ]
    title = f"Carlini-Wagner on stochastic models, {settings['dataset']}"
    return Report(title, attacked, sections, PAPER, intro, headlines)


def _leads(attacked: "pd.DataFrame") -> dict[str, float | None]:
    return {f"{lead:g}": float(lead) for lead in sorted(attacked["confidence"].dropna().unique())} | {DEFAULT: None}


def _gradients(attacked: "pd.DataFrame") -> dict[str, dict[str, Any]]:
    """By name the ways to take a gradient."""
    found = {}
    for samples in sorted(attacked["num_eot_samples"].unique()):
        for averaged in ("losses", "probabilities"):
            at = {"num_eot_samples": samples, "expectation_of": averaged, "at_mean": None}
            label = "1 sample" if samples == 1 else f"{samples:g} samples, {averaged}"
            if len(where(attacked, **at)):
                found[label] = at
    at_mean = {"at_mean": True}
    return found | ({"the mean of z": at_mean} if len(where(attacked, **at_mean)) else {})


def _tables(attacked: "pd.DataFrame", title: str) -> list[Table]:
    gradients = _gradients(attacked)
    if "expectation_of" in attacked and attacked["expectation_of"].isna().all():  # with targets it is not varied
        gradients = {
            f"{n:g} sample{'s' * int(n > 1)}": {"num_eot_samples": n}
            for n in sorted(attacked["num_eot_samples"].unique())
        }
    rows = [
        Row((f"{beta:g}", label), at=at, frame=part)
        for (beta,), part in sorted(groups(attacked, "beta"), key=lambda group: group[0])
        for label, at in gradients.items()
    ]
    leads = {label: {"confidence": lead} for label, lead in _leads(attacked).items()}
    column = functools.partial(Column, unit="%", digits=0)
    shares = [column(f"success, {label}", "success", at=at) for label, at in leads.items()]
    shares += [
        column(f"found, {label}", "found", at=at, spread="none")
        for label, at in leads.items()
        if label in ("0", DEFAULT)
    ]
    distances = [Column(label, "median_l2", at=at, digits=2) for label, at in leads.items()]
    note = "The share of images, by the confidence of the search."
    far = (
        "The median L2 distance by the confidence of the search; a failure counts as infinitely far, hence the dashes."
    )
    return [
        Table(title=title, rows=rows, columns=shares, corner=CORNER, notes=note),
        Table(rows=rows, columns=distances, corner=CORNER, notes=far),
    ]


def _figure(attacked: "pd.DataFrame") -> Figure:
    """Success and distance against the confidence, a panel for each beta."""
    panels: list[Any] = []
    betas = sorted(attacked["beta"].unique())
    for metric, scale, label, limits in (
        ("success", 100, "success, %", (0, 102)),
        ("mean_l2", 1, "mean L2", (0, None)),
    ):
        for beta in betas:
            part = where(attacked, beta=beta)
            lines = [Line(name, metric, at=at, frame=part, scale=scale) for name, at in _gradients(attacked).items()]
            known = [line for line in lines if line.frame is not None]
            panels.append(
                Panel(lines=known, x="confidence", title=f"beta = {beta:g}", ylabel=label, ylim=limits, legend=False)
            )
    alt = "Success of Carlini-Wagner and mean distance of its successes against the confidence, a panel for each beta."
    size = (2.6 * len(betas), 6.2)
    return Figure("figure.png", panels, title="By the confidence", alt=alt, columns=len(betas), size=size, legend=3)


def _at_each_beta(attacked: "pd.DataFrame", **at: Any) -> Any:
    """Success by seed at the beta where it is least, and where it is greatest: [2, seeds]."""
    found = np.array([per_seed(part, "success", **{"at_mean": None} | at) for _, part in groups(attacked, "beta")])
    order = found.mean(1).argsort()
    return found[order[0]], found[order[-1]]


def _pooled(attacked: "pd.DataFrame", **at: Any) -> np.ndarray:
    """Success by seed, averaged over the betas."""
    at = {"at_mean": None, "confidence": None} | at
    return np.mean([per_seed(part, "success", **at) for _, part in groups(attacked, "beta")], 0)


def _claims(attacked: "pd.DataFrame") -> list[Claim]:
    """What a pilot on 100 images of one seed, and of three betas, let us expect of all."""
    one: dict[str, Any] = {"num_eot_samples": 1}
    twelve = {"num_eot_samples": 12, "expectation_of": "losses"}
    paper = {"num_eot_samples": 12, "expectation_of": "probabilities"}
    share = functools.partial(Claim, unit="%")

    def below(text: str, limit: float, at: dict[str, Any]) -> Claim:
        return share(
            f"{text} succeeds on less than {limit:g} % at every beta", limit, 100 * _at_each_beta(attacked, **at)[1]
        )

    def above(text: str, limit: float, at: dict[str, Any]) -> Claim:
        return share(
            f"{text} succeeds on more than {limit:g} % at every beta", 100 * _at_each_beta(attacked, **at)[0], limit
        )

    claims = [
        below("At confidence 0 one sample", 20, one | {"confidence": 0.0}),
        below("At confidence 0 the paper's mean softmax of 12 samples", 60, paper | {"confidence": 0.0}),
        above("At confidence 5 one sample", 80, one | {"confidence": 5.0}),
        above("At confidence 2 the paper's mean softmax of 12 samples", 90, paper | {"confidence": 2.0}),
        above("With the default lead 12 samples, losses averaged,", 100 * MOST, twelve | {"confidence": None}),
        above("With the default lead the paper's mean softmax of 12 samples", 90, paper | {"confidence": None}),
        share(
            "With one sample, leading by 5 nats rather than 0 gains more than taking 40 samples at confidence 0",
            100 * (_pooled(attacked, confidence=5.0, **one) - _pooled(attacked, confidence=0.0, **one)),
            100
            * (
                _pooled(attacked, confidence=0.0, num_eot_samples=40, expectation_of="losses")
                - _pooled(attacked, confidence=0.0, **one)
            ),
        ),
    ]
    return [claim for claim in claims if claim.count]
