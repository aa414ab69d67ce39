"""Make the table and the figure of transferability from a record.

Run:      python -m experiments.transferability.table [FILE]
Reads:    experiments/results/transferability/mnist.json, or FILE.
Leaves:   table.md and figure.png beside it.
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from experiments.core.claims import CONFIRMED, NOT_FOUND, WEAKER
from experiments.transferability.statistics import (
    LOG_PRODUCT,
    PRODUCT,
    QUANTITIES,
    RULE,
    TAU,
    Found,
    Pair,
    attacks_of,
    correlate,
    correlations,
    gaps,
    rows_of,
    sound,
)

RESULT = pathlib.Path(__file__).parents[1] / "results" / "transferability" / "mnist.json"
PAPER = {PRODUCT: "0.57 (p 0.0015)", TAU: "0.51 (p 0.0054)"}
Record = Mapping[str, Any]


def make(path: pathlib.Path) -> str:
    """Writes table.md and figure.png beside a record, and returns the table."""
    from experiments.transferability import figure as transferability_figure  # matplotlib takes a second to import

    record = json.loads(path.read_text())
    table = render(record)
    path.with_name("table.md").write_text(table)
    transferability_figure.draw(path.with_name("figure.png"), record)
    return table


def render(record: Record) -> str:
    """The table in Markdown."""
    pairs, shown = sound(record), attacks_of(record)
    found = {each: correlations(pairs, *each) for each in shown}
    parts = [
        _about(record, pairs),
        "## The paper's statements",
        _statements(pairs, found),
        RULE
        + " FGSM stands for the paper's attack, which it does not name; PGD with EOT stands beside it. The last two "
        "statements compare coefficients, without a test of their own: *confirmed* if they hold and the coefficient "
        "of L given beta is confirmed, *weaker* if they hold and it is positive. "
        f"Each statement about the gap is tried under {len(shown)} attacks, so that one p below 0.05 among them is no "
        f"surprise: all together ask for {0.05 / len(shown):.2g} (Bonferroni).",
        "## Correlation of the gap delta' - delta",
        _coefficients(found),
        "*L* is the product of the layers' norms, as the paper's seems to be, and *tighter* the mean over all ways to "
        "cut the chain; *Theorem 3* is the logarithm of the density's constant (corrected form). *Given beta* "
        "correlates deviations from the mean of all pairs of the same beta, since beta moves L, tau and the gap at "
        "once. Every pair has initial weights, order of the data and noise of its own, but all are trained and "
        "attacked on the same images, and the pairs of a depth, width and beta repeat one setting rather than being "
        "free draws: p takes them for independent and looks surer than it is.",
        "## What was measured",
        _by_beta(pairs, shown),
        "Mean, and in brackets least and greatest, over the pairs of a beta; shares in per cent. delta is the share of "
        "the images on which the attacked classifier keeps its answer, delta' that of the other one.",
        _noise(pairs, shown),
        "## Theorem 4 on these pairs",
        _theorem(record, pairs),
    ]
    return "\n\n".join(parts) + "\n"


def _about(record: Record, pairs: Sequence[Pair]) -> str:
    config, environment = record["config"], record["environment"]
    lists = {name: ", ".join(f"{value:g}" for value in config[name]) for name in ("depths", "widths", "betas")}
    fallen = len(record["pairs"]) - len(pairs)
    left_out = f" ({fallen} diverged and are left out)" if fallen else ""
    counts = {row["attack"]: f"{row['num_images']:,} for {row['attack']}" for row in pairs[0]["attacks"]}
    return (
        f"{len(record['pairs'])} pairs on {config['dataset']}{left_out}: encoders of {lists['depths']} hidden layers "
        f"of {lists['widths']} units, K = {config['latent_dim']}, beta {lists['betas']}, {config['num_repeats']} of "
        f"each; {config['num_epochs']} epochs of {record['num_train_images']:,} images in one program, "
        f"{record['training_seconds']:,.0f} s on {environment['devices'][0]} ({environment['machine']['cores']} cores)."
        f" Attacks on the first test images ({', '.join(counts.values())}), {record['attack_seconds']:,.0f} s. The "
        "attacked classifier has a linear decoder, trained with the encoder by VIB; the other one a decoder with a "
        f"hidden layer of {config['decoder_width']} units, trained on the codes alone. Figure 3 of the paper has some "
        "28 pairs (computed from its r and p)."
    )


def _noise(pairs: Sequence[Pair], shown: Sequence[tuple[str, float]]) -> str:
    """How much of the spread of the gaps is that of the finitely many images."""
    lines = [
        "| attack | gap, mean over pairs | its deviation over pairs | of that by chance of the images |",
        "|---|---|---|---|",
    ]
    for attack, epsilon in shown:
        gap = 100 * gaps(pairs, attack, epsilon)
        errors = [100 * rows_of(pair, attack, epsilon)[0]["gap_error"] for pair in pairs]
        chance = float(np.sqrt(np.mean(np.square(errors))))
        lines.append(f"| {attack} {epsilon:g} | {gap.mean():.2f} | {gap.std(ddof=1):.2f} | {chance:.2f} |")
    return "\n".join(lines) + (
        "\n\nIn points. The last column is the root mean square of the standard errors over images: where it comes "
        "near the one before, the gaps differ by chance, and nothing can correlate with them."
    )


def _statements(pairs: Sequence[Pair], found: Mapping[tuple[str, float], Mapping[str, Mapping[str, Found]]]) -> str:
    lines = ["| statement | paper | attack | ours | verdict |", "|---|---|---|---|---|"]

    def add(statement: str, paper: str, attack: str, ours: str, verdict: str) -> None:
        lines.append(f"| {statement} | {paper} | {attack} | {ours} | **{verdict}** |")

    for text, name in (("the gap grows with L", PRODUCT), ("the gap grows with tau", TAU)):
        for (attack, epsilon), each in found.items():
            ours = each[name]["all"]
            add(text, PAPER[name], f"{attack} {epsilon:g}", str(ours), ours.verdict)
    own = correlate(np.log([pair["beta"] for pair in pairs]).tolist(), [pair["tau"] for pair in pairs])
    add("tau grows with beta (log beta here)", "drawn", "none", str(own), own.verdict)
    for (attack, epsilon), each in found.items():
        smooth = each[LOG_PRODUCT]
        single = [one.coefficient for name, one in smooth.items() if name.startswith("beta ")]
        listed, verdict = ", ".join(f"{r:.2f}" for r in single), _ordered(min(single) > 0, smooth["given beta"])
        add("at each beta the gap grows with L (log L here)", "drawn", f"{attack} {epsilon:g}", listed, verdict)
    for (attack, epsilon), each in found.items():
        rate, error = each[LOG_PRODUCT]["given beta"], each[TAU]["given beta"]
        text = "given beta, the gap goes with L (log L here) more than with tau"
        verdict = _ordered(rate.coefficient > error.coefficient, rate)
        add(text, "said", f"{attack} {epsilon:g}", f"{rate} and {error}", verdict)
    return "\n".join(lines)


def _ordered(holds: bool, found: Found) -> str:
    if not holds or not found.coefficient > 0:
        return NOT_FOUND
    return CONFIRMED if found.verdict == CONFIRMED else WEAKER


def _coefficients(found: Mapping[tuple[str, float], Mapping[str, Mapping[str, Found]]]) -> str:
    columns = list(next(iter(found.values()))[TAU])
    lines = [f"| attack | with | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for (attack, epsilon), each in found.items():
        for name in QUANTITIES:
            cells = [str(each[name][column]) for column in columns]
            lines.append(f"| {attack} {epsilon:g} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_beta(pairs: Sequence[Pair], shown: Sequence[tuple[str, float]]) -> str:
    betas = sorted({pair["beta"] for pair in pairs})
    lines = [f"|  | {' | '.join(f'beta {beta:g}' for beta in betas)} |", "|---" * (len(betas) + 1) + "|"]

    def add(label: str, form: str, factor: float, of: Any) -> None:
        groups = [[factor * of(pair) for pair in pairs if pair["beta"] == beta] for beta in betas]
        cells = [
            f"{form.format(float(np.mean(own)))} ({form.format(min(own))} to {form.format(max(own))})" for own in groups
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")

    add("L, product", "{:.0f}", 1.0, lambda pair: pair["lipschitz"]["product"])
    add("L, tighter", "{:.0f}", 1.0, lambda pair: pair["lipschitz"]["averaged"])
    add("least scale of z", "{:.3f}", 1.0, lambda pair: pair["lipschitz"]["min_scale"])
    for label, form in (("log10 of Theorem 3's constant", "corrected"), ("the same as printed", "printed")):
        key = f"log_density_{form}"
        add(label, "{:.0f}", 1 / np.log(10), lambda pair, key=key: pair["lipschitz"][key])
    add("I(X;T) <=, bits", "{:.1f}", 1.0, lambda pair: pair["rate_bits"])
    add("error of the attacked one", "{:.2f}", 100.0, lambda pair: pair["error_first"])
    add("error of the other", "{:.2f}", 100.0, lambda pair: pair["error_second"])
    add("tau", "{:.2f}", 100.0, lambda pair: pair["tau"])
    for attack, epsilon in shown:
        for label, key in (("delta", "delta"), ("delta'", "delta_prime"), ("gap", "gap")):
            row = f"{label}, {attack} {epsilon:g}"
            add(row, "{:.1f}", 100.0, lambda pair, key=key, at=(attack, epsilon): rows_of(pair, *at)[0][key])
    return "\n".join(lines)


def _theorem(record: Record, pairs: Sequence[Pair]) -> str:
    """How far the right-hand side is from saying something."""
    shown = attacks_of(record)
    epsilon = min(radius for _, radius in shown)
    reach = np.log10(np.sqrt(record["num_pixels"]) * epsilon)  # of the L2 ball that holds the L-inf ball
    logs = [pair["lipschitz"]["log_density_corrected"] / np.log(10) + reach for pair in pairs]
    taus = np.array([4 * pair["tau"] for pair in pairs])
    above = sum(int((gaps(pairs, *each) > taus).sum()) for each in shown)
    return (
        "delta' <= delta + 4 tau + |T| L epsilon says nothing here: a continuous code has infinitely many values, so "
        f"|T| is infinite, and for a single value L epsilon (Theorem 3's L, epsilon {epsilon:g} in L-inf, in L2 at "
        f"most {10**reach:.1f}) lies between 10^{min(logs):.0f} and 10^{max(logs):.0f}, where a gap is at most 1. "
        f"{above} of the {len(pairs) * len(shown)} gaps exceed 4 tau, the part of the bound that is finite."
    )


def main() -> None:
    """Makes both from the record that is named, or the committed one."""
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else RESULT
    if not path.exists():
        sys.exit(f"transferability_table: {path} is not there; experiments.transferability makes it")
    Console().print(Markdown(make(path)))


if __name__ == "__main__":
    main()
