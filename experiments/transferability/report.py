"""What is shown of the records of `experiments.transferability`: which quantities the gap goes with, over pairs."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.claims import Claim, Correlation, correlate
from experiments.core.plots import Figure
from experiments.core.records import Record, distinct, groups, per_model, where
from experiments.core.report import (
    Claims,
    Column,
    Departures,
    Findings,
    Grid,
    Headline,
    Report,
    Row,
    Table,
    Text,
    attack_label,
    number,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PAPER = (
    "Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): Theorem 4, Figure 3 and "
    '"Transferability" in section 6'
)
PRODUCT, LOG_PRODUCT, TAU = "L", "log L", "tau"
QUANTITIES = (PRODUCT, LOG_PRODUCT, "log L, tighter", "log L of Theorem 3", TAU)
STATED = {PRODUCT: (0.57, 0.0015), TAU: (0.51, 0.0054)}
"""The paper's coefficients and their p-values."""
MARKERS = "os^Dv*"  # one for each depth
COEFFICIENTS = (
    "L is the product of the layers' norms, as the paper's seems to be, and tighter the mean over all ways to cut the "
    "chain; Theorem 3 is the logarithm of the density's constant (corrected form). Given beta correlates deviations "
    "from the mean of all pairs of the same beta, since beta moves L, tau and the gap at once. Every pair has initial "
    "weights, order of the data and noise of its own, but all are trained and attacked on the same images, and the "
    "pairs of a depth, width and beta repeat one setting rather than being free draws: p takes them for independent "
    "and looks surer than it is."
)
CHANCE = (
    "In points. The last column is the root mean square of the standard errors over images: where it comes near the "
    "one before, the gaps differ by chance, and nothing can correlate with them."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and the figure of a folder of records, one for each data set."""
    parts = [(record, sound(where(frame, file=record.file), record)) for record in records]
    sections = [section for record, part in parts for section in _sections(part, record, alone=len(records) == 1)]
    claims = [claim for section in sections if isinstance(section, Claims) for claim in section.claims]
    headlines = [
        Headline(f"Figure 3: r, {claim.text}", claim.larger, claim.paper, digits=2, claim=claim)
        for claim in claims
        if claim.paper is not None
    ]
    title = f"Transferability on {', '.join(record.settings['dataset'] for record in records)}"
    return Report(title, frame, sections, PAPER, headlines=headlines)


def sound(frame: "pd.DataFrame", record: Record) -> "pd.DataFrame":
    """The numbers of the pairs that did not diverge."""
    return where(frame, seed=[model.seed for model in record.models if model.details["diverged_at"] < 0])


def _sections(frame: "pd.DataFrame", record: Record, *, alone: bool) -> list[Any]:
    gaps = where(frame, metric="gap")
    attacks = {
        attack_label(at): at for at in distinct(gaps, "attack", "norm", "num_steps", "num_eot_samples", "epsilon")
    }
    pairs = pairs_of(frame, attacks)
    found = {attack: correlations(pairs, attack) for attack in attacks}
    betas = [Column(f"beta {beta:g}", frame=part, key=beta) for (beta,), part in sorted_groups(frame)]
    with_findings = any(model.findings for model in record.models)
    rows = [Row(column.label, frame=column.frame) for column in betas]
    return [
        Text(_about(record, frame), record.settings["dataset"]),
        Claims(_claims(pairs, found), "The paper's statements"),
        Text(
            "FGSM stands for the paper's attack, which it does not name; PGD with EOT stands beside it. The last two "
            "statements compare coefficients, without a test of their own: their p is that of L given beta."
        ),
        _figure(pairs, list(attacks), record, "figure.png" if alone else f"{record.file}.png"),
        Grid(
            ["attack", "with", *found[next(iter(found))][TAU]],
            [[attack, name, *map(str, each[name].values())] for attack, each in found.items() for name in QUANTITIES],
            "Correlation of the gap delta' - delta",
            COEFFICIENTS,
        ),
        Table(
            title="What was measured",
            rows=_measured(attacks),
            columns=betas,
            notes="Mean, and in brackets least and greatest, over the pairs of a beta; shares in per cent. delta is "
            "the share of the images on which the attacked classifier keeps its answer, delta' that of the other one.",
        ),
        Grid(
            ["attack", "gap, mean over pairs", "its deviation over pairs", "of that by chance of the images"],
            [[attack, *(number(value, digits=2) for value in _spread(pairs, attack))] for attack in attacks],
            notes=CHANCE,
        ),
        Text(_theorem(record, pairs, attacks), "Theorem 4 on these pairs"),
        *([Findings([record], rows)] if with_findings else []),
        Departures([record]),
    ]


def pairs_of(frame: "pd.DataFrame", attacks: dict[str, dict[str, Any]]) -> "pd.DataFrame":
    """A row for each pair: settings, the quantities, and under each attack's name the gap, and its error in points."""
    import pandas as pd

    of = functools.partial(per_model, frame, split="test")
    product, averaged = of("lipschitz_product"), of("lipschitz_averaged")
    columns = {
        PRODUCT: product,
        LOG_PRODUCT: np.log(product),
        "log L, tighter": np.log(averaged),
        "log L of Theorem 3": of("log_density_corrected"),
        TAU: of("tau"),
    }
    for attack, at in attacks.items():
        columns |= {attack: 100 * per_model(frame, "gap", **at)}
        columns |= {f"{attack} error": 100 * per_model(frame, "gap_error", **at)}
    settings = frame.drop_duplicates("seed").set_index(product.index.names)[["beta", "depth", "width"]]
    return pd.DataFrame(columns).join(settings)


def correlations(pairs: "pd.DataFrame", attack: str) -> dict[str, dict[str, Correlation]]:
    """By quantity the gap's correlation with it: over "all" pairs, "given beta", and for each beta, "beta 0.1"."""
    return {
        name: {
            "all": correlate(pairs[name], pairs[attack]),
            "given beta": correlate(pairs[name], pairs[attack], given=pairs["beta"]),
            **{f"beta {beta:g}": correlate(part[name], part[attack]) for (beta,), part in sorted_groups(pairs)},
        }
        for name in QUANTITIES
    }


def sorted_groups(frame: "pd.DataFrame") -> list[tuple[tuple[float], "pd.DataFrame"]]:
    """The parts with each beta, from the smallest."""
    return sorted(groups(frame, "beta"), key=lambda group: group[0])


def _claims(pairs: "pd.DataFrame", found: dict[str, dict[str, dict[str, Correlation]]]) -> list[Claim]:
    claim, claims = functools.partial(Claim, n=len(pairs), digits=2), []
    for name, (coefficient, p_value) in STATED.items():
        for attack, each in found.items():
            own, text = each[name]["all"], f"{attack}: the gap grows with {name} (p {p_value} in the paper)"
            claims.append(claim(text, [own.coefficient], paper=coefficient, p_value=own.p_value, ours=str(own)))
    own = correlate(np.log(pairs["beta"]), pairs[TAU])
    text = "tau grows with beta (drawn; log beta here)"
    claims.append(claim(text, [own.coefficient], p_value=own.p_value, ours=str(own)))
    for attack, each in found.items():
        single = [one.coefficient for name, one in each[LOG_PRODUCT].items() if name.startswith("beta ")]
        text = f"{attack}: at each beta the gap grows with L (drawn; log L here)"
        p_value, listed = each[LOG_PRODUCT]["given beta"].p_value, ", ".join(f"{r:.2f}" for r in single)
        claims.append(claim(text, [min(single)], p_value=p_value, ours=listed))
    for attack, each in found.items():
        smooth, error = each[LOG_PRODUCT]["given beta"], each[TAU]["given beta"]
        text = f"{attack}: given beta, the gap goes with L (log L here) more than with tau (said)"
        least = [max(0.0, error.coefficient)]
        ours = f"{smooth} and {error}"
        claims.append(claim(text, [smooth.coefficient], least, p_value=smooth.p_value, ours=ours))
    return claims


def _measured(attacks: dict[str, dict[str, Any]]) -> list[Row]:
    row = functools.partial(Row, at={"split": "test"}, spread="range")
    share, log10 = functools.partial(row, scale=100, digits=2), functools.partial(row, scale=1 / np.log(10), digits=0)
    return [
        row("L, product", "lipschitz_product", digits=0),
        row("L, tighter", "lipschitz_averaged", digits=0),
        row("least scale of z", "least_scale", digits=3),
        log10("log10 of Theorem 3's constant", "log_density_corrected"),
        log10("the same as printed", "log_density_printed"),
        row("I(X;T) <=, bits", "rate_bits"),
        share("error of the attacked one", "error_first"),
        share("error of the other", "error_second"),
        share("tau", "tau"),
        *(
            Row(f"{label}, {attack}", metric, at=at, scale=100, spread="range")
            for attack, at in attacks.items()
            for label, metric in (("delta", "delta"), ("delta'", "delta_prime"), ("gap", "gap"))
        ),
    ]


def _spread(pairs: "pd.DataFrame", attack: str) -> list[float]:
    """How much of the spread of the gaps is that of the finitely many images."""
    chance = float(np.sqrt(np.mean(np.square(pairs[f"{attack} error"]))))
    return [float(pairs[attack].mean()), float(pairs[attack].std(ddof=1)), chance]


def _about(record: Record, frame: "pd.DataFrame") -> str:
    own, details, environment = record.settings, record.details, record.environment
    lists = {name: ", ".join(f"{value:g}" for value in own[name]) for name in ("depths", "widths", "betas")}
    diverged = len(record.models) - frame["seed"].nunique()
    counts = distinct(where(frame, metric="gap"), "attack", "num_steps", "num_eot_samples", "num_images")
    attacked = ", ".join(f"{at['num_images']:,.0f} for {attack_label(at)}" for at in counts)
    return (
        f"{len(record.models)} pairs on {own['dataset']}{f' ({diverged} diverged and are left out)' * bool(diverged)}: "
        f"encoders of {lists['depths']} hidden layers of {lists['widths']} units, K = {own['latent_dim']}, beta "
        f"{lists['betas']}, {own['num_repeats']} of each; {own['num_epochs']} epochs of "
        f"{details['num_train_images']:,} images in one program, {details['training_seconds']:,.0f} s on "
        f"{environment['devices'][0]} ({environment['machine']['cores']} cores). Attacks on the first test images "
        f"({attacked}), {details['attack_seconds']:,.0f} s. The attacked classifier has a linear decoder, trained with "
        f"the encoder by VIB; the other one a decoder with a hidden layer of {own['decoder_width']} units, trained on "
        "the codes alone. Figure 3 of the paper has some 28 pairs (computed from its r and p)."
    )


def _theorem(record: Record, pairs: "pd.DataFrame", attacks: dict[str, dict[str, Any]]) -> str:
    """How far the right-hand side is from saying something."""
    epsilon = min(at["epsilon"] for at in attacks.values())
    reach = np.log10(np.sqrt(record.details["num_pixels"]) * epsilon)  # of the L2 ball that holds the L-inf ball
    logs = pairs["log L of Theorem 3"] / np.log(10) + reach
    above = sum(int((pairs[attack] > 100 * 4 * pairs[TAU]).sum()) for attack in attacks)
    return (
        "delta' <= delta + 4 tau + |T| L epsilon says nothing here: a continuous code has infinitely many values, so "
        f"|T| is infinite, and for a single value L epsilon (Theorem 3's L, epsilon {epsilon:g} in L-inf, in L2 at "
        f"most {10**reach:.1f}) lies between 10^{min(logs):.0f} and 10^{max(logs):.0f}, where a gap is at most 1. "
        f"{above} of the {len(pairs) * len(attacks)} gaps exceed 4 tau, the part of the bound that is finite."
    )


def _figure(pairs: "pd.DataFrame", attacks: Sequence[str], record: Record, file: str) -> Figure:
    """The paper's Figure 3: the gap against L with a trend for each beta, for every attack; and tau against beta."""
    names = list(dict.fromkeys(attack.split(",")[0] for attack in attacks))
    panels: list[Any] = []
    for row, name in enumerate(names):
        own = [attack for attack in attacks if attack.split(",")[0] == name]
        panels += [functools.partial(_panel, pairs, PRODUCT, attack) for attack in own]
        panels.append(functools.partial(_panel, pairs, TAU, own[0]) if row else functools.partial(_taus, pairs))
    columns, depths = len(panels) // len(names), sorted(set(pairs["depth"]))
    title = f"{len(pairs)} pairs of classifiers, each on one encoder, {record.settings['dataset']}; hollow: narrow ones"
    size = (3.6 * columns, 3.1 * len(names) + 0.5)
    legend = pairs["beta"].nunique() + len(depths)
    alt = "The gap against the Lipschitz constant of the encoder, a panel for each attack; and tau against beta."
    return Figure(file, panels, suptitle=title, alt=alt, columns=columns, size=size, legend=legend)


def _panel(pairs: "pd.DataFrame", name: str, attack: str, axes: "Axes", frame: "pd.DataFrame") -> None:
    """The gap under an attack against L, with trends in log L, or tau."""
    scale = 1 if name == PRODUCT else 100
    for place, ((beta,), part) in enumerate(sorted_groups(pairs)):
        _scatter(axes, pairs, part, scale * part[name], f"C{place}", part[attack], part[f"{attack} error"])
        if name == PRODUCT and len(part) > 2 and np.ptp(part[LOG_PRODUCT]) > 0:
            slope, start = np.polyfit(part[LOG_PRODUCT], part[attack], 1)
            ends = np.array([part[LOG_PRODUCT].min(), part[LOG_PRODUCT].max()])
            axes.plot(np.exp(ends), start + slope * ends, color=f"C{place}", label=rf"$\beta$ = {beta:g}")
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    label = "L of the encoder (product of norms)" if name == PRODUCT else "tau, %"
    axes.set(xlabel=label, ylabel="delta' - delta, points", xscale="log" if name == PRODUCT else "linear")
    axes.set_title(f"{attack}: r with {name} {correlate(pairs[name], pairs[attack])}", fontsize="small")


def _taus(pairs: "pd.DataFrame", axes: "Axes", frame: "pd.DataFrame") -> None:
    widths = sorted(set(pairs["width"]))
    for place, ((beta,), part) in enumerate(sorted_groups(pairs)):
        shift = np.array([1.12 ** (2 * widths.index(width) - len(widths) + 1) for width in part["width"]])
        _scatter(axes, pairs, part, beta * shift, f"C{place}", 100 * part[TAU])
    for place, depth in enumerate(sorted(set(pairs["depth"]))):
        label = f"{depth:g} hidden layer{'s' * (depth > 1)}"
        axes.plot([], [], MARKERS[place % len(MARKERS)], color="0.4", label=label)
    axes.set(xscale="log", xlabel=r"$\beta$ (narrow encoders left, wide ones right)", ylabel="tau, %")
    axes.set_title("tau, the larger error of the two", fontsize="small")


def _scatter(
    axes: "Axes", pairs: "pd.DataFrame", part: "pd.DataFrame", x: Any, color: str, y: Any, error: Any = None
) -> None:
    """Points with a marker for each depth, hollow for all but the widest encoders; bars are standard errors."""
    depths, widest = sorted(set(pairs["depth"])), pairs["width"].max()
    if error is not None:
        axes.errorbar(x, y, error, linestyle="", color=color, elinewidth=0.7, alpha=0.4, zorder=1)
    for left, height, depth, width in zip(x, y, part["depth"], part["width"], strict=True):
        marker, face = MARKERS[depths.index(depth) % len(MARKERS)], color if width == widest else "none"
        axes.plot(left, height, marker, color=color, markerfacecolor=face, markersize=5)
