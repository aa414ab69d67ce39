"""What is shown of the records of `experiments.transferability`: which quantities the gap goes with, over pairs."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.claims import Claim, Correlation, correlate
from experiments.core.frames import distinct, diverged, groups, where, without_diverged
from experiments.core.plots import Figure, Scatter
from experiments.core.records import Record
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

PAPER = (
    "Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): Theorem 4, Figure 3 and "
    '"Transferability" in section 6'
)
PRODUCT, LOG_PRODUCT, TAU = "L", "log L", "tau"
QUANTITIES = (PRODUCT, LOG_PRODUCT, "log L, tighter", "log L of Theorem 3", TAU)
STATED = {PRODUCT: (0.57, 0.0015), TAU: (0.51, 0.0054)}
"""The paper's coefficients and their p-values."""
Attacks = Mapping[str, Mapping[str, Any]]
"""By what they are called, the conditions of attacks."""
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
MEASURED = (
    "Mean, and in brackets least and greatest, over the pairs of a beta; shares in per cent. delta is the share of the "
    "images on which the attacked classifier keeps its answer, delta' that of the other one."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and the figure of a folder of records, one for each data set."""
    sections: list[Any] = []
    for record in records:
        file = "figure.png" if len(records) == 1 else f"{record.file}.png"
        sections += _sections(without_diverged(where(frame, file=record.file), [record]), record, file)
    claims = [claim for section in sections if isinstance(section, Claims) for claim in section.claims]
    headlines = [
        Headline(f"Figure 3: r, {claim.text}", claim.larger, claim.paper, digits=2, claim=claim)
        for claim in claims
        if claim.paper is not None
    ]
    title = f"Transferability on {', '.join(record.settings['dataset'] for record in records)}"
    return Report(title, frame, sections, PAPER, headlines=headlines)


def _sections(frame: "pd.DataFrame", record: Record, file: str) -> Iterator[Any]:
    gaps = where(frame, metric="gap")
    attacks = {
        attack_label(at): at for at in distinct(gaps, "attack", "norm", "num_steps", "num_eot_samples", "epsilon")
    }
    pairs = pairs_of(frame, attacks)
    of_beta = sorted(groups(frame, "beta"), key=lambda group: group[0])
    correlations = {attack: correlations_with(pairs, attack) for attack in attacks}
    yield Text(_about(record, frame), record.settings["dataset"])
    yield Claims(_claims(pairs, correlations), "The paper's statements")
    yield Text(
        "FGSM stands for the paper's attack, which it does not name; PGD with EOT stands beside it. The last two "
        "statements compare coefficients, without a test of their own: their p is that of L given beta."
    )
    yield _figure(pairs, list(attacks), record, file)
    yield Grid(
        ["attack", "with", *next(iter(correlations.values()))[TAU]],
        [[attack, name, *map(str, own[name].values())] for attack, own in correlations.items() for name in QUANTITIES],
        "Correlation of the gap delta' - delta",
        COEFFICIENTS,
    )
    columns = [Column(f"beta {beta:g}", frame=part) for (beta,), part in of_beta]
    yield Table(title="What was measured", rows=_measured(attacks), columns=columns, notes=MEASURED)
    yield Grid(
        ["attack", "gap, mean over pairs", "its deviation over pairs", "of that by chance of the images"],
        [[attack, *(number(value, digits=2) for value in _spread(pairs, attack))] for attack in attacks],
        notes=CHANCE,
    )
    yield Text(_theorem(record, pairs, attacks), "Theorem 4 on these pairs")
    if any(model.findings for model in record.models):
        yield Findings([record], [Row(column.label, frame=column.frame) for column in columns])
    yield Departures([record])


def pairs_of(frame: "pd.DataFrame", attacks: Attacks) -> "pd.DataFrame":
    """A row for each pair: settings, the quantities, and under each attack's name the gap, and its error in points."""
    import pandas as pd

    def of(metric: str, **at: Any) -> "pd.Series[float]":
        return where(frame, metric=metric, **{"attack": None, **at}).set_index(["seed", "beta", "depth", "width"])[
            "value"
        ]

    columns = {
        PRODUCT: of("lipschitz_product"),
        LOG_PRODUCT: np.log(of("lipschitz_product")),
        "log L, tighter": np.log(of("lipschitz_averaged")),
        "log L of Theorem 3": of("log_density_corrected"),
        TAU: of("tau"),
    }
    for attack, at in attacks.items():
        columns |= {attack: 100 * of("gap", **at), f"{attack} error": 100 * of("gap_error", **at)}
    return pd.DataFrame(columns).reset_index()


def correlations_with(pairs: "pd.DataFrame", attack: str) -> dict[str, dict[str, Correlation]]:
    """By quantity the gap's correlation with it: over "all" pairs, "given beta", and for each beta, "beta 0.1"."""
    return {
        name: {
            "all": correlate(pairs[name], pairs[attack]),
            "given beta": correlate(pairs[name], pairs[attack], given=pairs["beta"]),
            **{f"beta {beta:g}": correlate(part[name], part[attack]) for beta, part in pairs.groupby("beta")},
        }
        for name in QUANTITIES
    }


def _claims(pairs: "pd.DataFrame", correlations: Mapping[str, Mapping[str, Mapping[str, Correlation]]]) -> list[Claim]:
    claims = []

    def claim(text: str, coefficient: float, p_value: float, ours: str, **settings: Any) -> None:
        claims.append(Claim(text, [coefficient], n=len(pairs), digits=2, p_value=p_value, ours=ours, **settings))

    for name, (coefficient, p_value) in STATED.items():
        for attack, own in correlations.items():
            text = f"{attack}: the gap grows with {name} (p {p_value} in the paper)"
            claim(text, *own[name]["all"], ours=str(own[name]["all"]), paper=coefficient)
    grows = correlate(np.log(pairs["beta"]), pairs[TAU])
    claim("tau grows with beta (drawn; log beta here)", *grows, ours=str(grows))
    for attack, own in correlations.items():
        single = [one.coefficient for name, one in own[LOG_PRODUCT].items() if name.startswith("beta ")]
        text = f"{attack}: at each beta the gap grows with L (drawn; log L here)"
        listed = ", ".join(f"{r:.2f}" for r in single)
        claim(text, min(single), own[LOG_PRODUCT]["given beta"].p_value, listed)
    for attack, own in correlations.items():
        smooth, error = own[LOG_PRODUCT]["given beta"], own[TAU]["given beta"]
        text = f"{attack}: given beta, the gap goes with L (log L here) more than with tau (said)"
        claim(text, *smooth, ours=f"{smooth} and {error}", smaller=[max(0.0, error.coefficient)])
    return claims


def _measured(attacks: Attacks) -> list[Row]:
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
    gone = sum(map(diverged, record.models))
    counts = distinct(where(frame, metric="gap"), "attack", "num_steps", "num_eot_samples", "num_images")
    attacked = ", ".join(f"{at['num_images']:,.0f} for {attack_label(at)}" for at in counts)
    return (
        f"{len(record.models)} pairs on {own['dataset']}{f' ({gone} diverged and are left out)' * bool(gone)}: "
        f"encoders of {lists['depths']} hidden layers of {lists['widths']} units, K = {own['latent_dim']}, beta "
        f"{lists['betas']}, {own['num_repeats']} of each; {own['num_epochs']} epochs of "
        f"{details['num_train_images']:,} images in one program, {details['training_seconds']:,.0f} s on "
        f"{environment['devices'][0]} ({environment['machine']['cores']} cores). Attacks on the first test images "
        f"({attacked}), {details['attack_seconds']:,.0f} s. The attacked classifier has a linear decoder, trained with "
        f"the encoder by VIB; the other one a decoder with a hidden layer of {own['decoder_width']} units, trained on "
        "the codes alone. Figure 3 of the paper has some 28 pairs (computed from its r and p)."
    )


def _theorem(record: Record, pairs: "pd.DataFrame", attacks: Attacks) -> str:
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
    widths = sorted(set(pairs["width"]))
    shift = 1.12 ** (2 * pairs["width"].map(widths.index) - len(widths) + 1)
    pairs = pairs.assign(
        layers=[f"{depth:g} hidden layer{'s' * (depth > 1)}" for depth in pairs["depth"]],
        narrow=pairs["width"] < max(widths),
        shifted=pairs["beta"] * shift,
        percent=100 * pairs[TAU],
    )
    scatter = functools.partial(Scatter, points=pairs, color="beta", marker="layers", hollow="narrow")
    gap = functools.partial(scatter, ylabel="delta' - delta, points", level=0)

    def against(name: str, attack: str) -> Scatter:
        title = f"{attack}: r with {name} {correlate(pairs[name], pairs[attack])}"
        own = functools.partial(gap, y=attack, error=f"{attack} error", title=title)
        if name == TAU:
            return own(x="percent", xlabel="tau, %")
        return own(x=PRODUCT, xlabel="L of the encoder (product of norms)", xscale="log", trend=True)

    taus = scatter(
        x="shifted",
        y="percent",
        title="tau, the larger error of the two",
        xlabel=r"$\beta$ (narrow encoders left, wide ones right)",
        ylabel="tau, %",
        xscale="log",
    )
    panels: list[Scatter] = []
    kinds = list(dict.fromkeys(attack.split(",")[0] for attack in attacks))
    for kind in kinds:
        own = [attack for attack in attacks if attack.split(",")[0] == kind]
        panels += [against(PRODUCT, attack) for attack in own]
        panels.append(against(TAU, own[0]) if len(panels) > len(own) else taus)
    columns = len(panels) // len(kinds)
    return Figure(
        file,
        panels,
        suptitle=f"{len(pairs)} pairs on {record.settings['dataset']}, each of one encoder; hollow: narrow ones",
        alt="The gap against the Lipschitz constant of the encoder, a panel for each attack; and tau against beta.",
        columns=columns,
        size=(3.6 * columns, 3.1 * len(kinds) + 0.7),
        legend=4,
    )
