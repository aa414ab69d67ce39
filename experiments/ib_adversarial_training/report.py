"""What is shown of IB with adversarial training: the paper's three tables, the attacks it lacks, and its statements."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from experiments.core.frames import distinct, per_model, where
from experiments.core.plots import Bars, Figure, Line, Panel
from experiments.core.records import Record
from experiments.core.report import Claims, Column, Departures, Findings, Headline, Report, Row, Table, values_of
from experiments.ib_adversarial_training import paper
from experiments.ib_adversarial_training.measured import PAPER_ATTACKS, Measured, paper_attack
from experiments.ib_adversarial_training.paper import ATTACKS, BETA, RADIUS
from experiments.ib_adversarial_training.verdicts import WORST, adversarial_claims, objective_claims

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous), Tables 1 to 3"
HALVED = {1.0: "", 0.5: "; half the radii, as if the paper's were for inputs in [-1, 1]"}
"""Factors of the paper's radii, and what tables of the second are called."""
MOST_SHOWN = 20  # models of which the first panels of the figure can be read
INFORMATION_NOTE = (
    "I(X';T') is the mean rate on the attacked images under the one prior N(0, I): an upper bound, in bits. The paper "
    "gives no unit."
)
ACCURACY_NOTE = (
    "DeepFool and CW have no radius: an accuracy under them says how often the search failed, and the distances below "
    "how far it went. The one c of CW is so small that staying near counts for more than being wrong, for "
    "cross-entropy too, which has no samples; beside it c is searched. One sample of z in each gradient makes DeepFool "
    "fail often. Where a model trained against FGSM is more accurate under it than on clean images, the attack has "
    "told it the label (label leaking)."
)
TRANSFER_NOTE = (
    "Transfer is from cross-entropy trained on clean images, and to that from another seed (or VIB, if there is one "
    "seed)."
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and the figure of a data set's records."""
    settings, details = records[0].settings, records[0].details
    intro = (
        f"{frame['seed'].nunique()} seeds, {settings['num_epochs']} epochs of {details['num_train_images']} images in "
        f"batches of {settings['batch_size']}, network {settings['network']}, N = {settings['num_layers']}, K = "
        f"{settings['latent_dim']}; in training {settings['adversary_fraction']:.0%} of a batch is attacked at "
        f"{settings['adversary_epsilon']:g} (BIM and PGD with {settings['adversary_steps']} steps). The first "
        f"{details['num_attacked']} test images are attacked, {settings['num_square_images']} by Square "
        f"({settings['num_queries']} queries), {settings['num_cw_images']} by CW EOT; an answer is the mean of "
        f"{settings['num_eval_samples']} samples. Mean ± standard deviation over seeds; in brackets the paper's."
    )
    own = Sections(frame, settings)
    if len(own.variants) > 1:
        intro += " In brackets behind a name: in what its models differ from that."
    claims = [claim for claim in (*adversarial_claims(own), *objective_claims(own)) if claim.count]
    checks = Findings(records, [Row(group.title, frame=group.frame) for group in own.groups])
    tables = [*own.information(), *own.objectives(), own.together(), own.distances()]
    headlines = [
        Headline(claim.text, claim.differences, claim.paper, claim=claim)
        for claim in claims
        if f"above CE under {WORST}" in claim.text and "both" not in claim.text
    ]
    sections = [*tables, own.figure(), Claims(claims), checks, Departures(records)]
    return Report(f"IB and adversarial training on {own.dataset}", frame, sections, PAPER, intro, headlines)


class Sections(Measured):
    """The sections of a data set's report."""

    def information(self) -> Iterator[Table]:
        """I(X';T') and accuracy under attack of VIB, trained against the attack of the column or on clean images."""
        rows = []
        for label, metric, scale in (("I(X';T') <=, bits", "rate_bits", 1.0), ("accuracy, %", "accuracy", 100.0)):
            for beta, variant in itertools.product(self.betas, self.variants):
                vib = where(self.frame, objective="vib", beta=beta, variant=variant)
                for images, against in (("clean images", False), ("clean and attacked images", True)):
                    part, key = vib[(vib["adversary"] != "none") == against], (metric, beta, against)
                    images += f" ({variant})" if variant else ""
                    if len(part):
                        rows.append(Row((label, f"{beta:g}", images), metric, scale=scale, frame=part, key=key))
        title = "Table 1: I(X';T') and accuracy at radius {:g}, attacks with one sample of z{}"
        corner = ("", "beta", "trained on")
        for factor, halved in HALVED.items():
            columns = [
                Column(
                    name,
                    at=paper_attack(attack, factor * RADIUS),
                    frame=where(self.frame, adversary=["none", attack]),
                    paper={key: row[place] for key, row in self.first_table.items()},
                )
                for place, (attack, name) in enumerate(ATTACKS.items())
            ]
            if self.attacked_at(factor * RADIUS):
                text = title.format(factor * RADIUS, halved)
                yield Table(title=text, rows=rows, columns=columns, corner=corner, notes=INFORMATION_NOTE)

    def objectives(self) -> Iterator[Table]:
        """Accuracy of both objectives, each with and without FGSM in training, under the paper's attacks.

        A second time at half the radii, if these were tried: what the paper's would be for inputs in [-1, 1].
        """
        beta = BETA if BETA in self.betas else min(self.betas, default=0.0)
        rows = [
            Row(group.title, "accuracy", scale=100, frame=group.frame, key=(group.objective, group.adversary))
            for adversary in ("none", "fgsm")
            for group in self.groups
            if group.adversary == adversary and group.beta in (beta, 0.0)
        ]
        search = {"num_binary_steps": self.settings["cw_binary_steps"]}
        title = f"Table {3 if self.dataset == 'cifar10' else 2}: accuracy in %, attacks with one sample of z"
        for factor, halved in HALVED.items():
            columns = []
            for place, (label, (attack, *radius)) in enumerate(paper.COLUMNS.items()):
                at = paper_attack(attack, *(factor * epsilon for epsilon in radius))
                known = {key: row[place] for key, row in self.published.items()}
                own = label if factor == 1.0 or not radius else f"{label.split()[0]} {factor * radius[0]:g}"
                columns.append(Column(own, at=at, paper=known))
                if attack == "carlini_wagner":
                    columns.append(Column("CW, c searched", at=at | search))
            if all(values_of(self.frame, rows[0], column).size for column in columns if "FGSM" in column.label):
                yield Table(title=title + halved, rows=rows, columns=columns, notes=ACCURACY_NOTE)

    def together(self) -> Table:
        """Gradients averaged over samples of z, a margin loss, transfer and Square, and the worst of all together."""
        samples = self.settings["num_eot_samples"]
        rows = []
        for radius in self.radii:
            for group in self.groups:
                at = {"epsilon": radius, "num_eot_samples": samples if group.beta else 1, "together": True}
                rows.append(Row((f"{radius:.3g}", group.title), "accuracy", at=at, scale=100, frame=group.frame))
        sources = [each["source"] for each in distinct(self.frame, "source") if each]
        columns = [
            Column("clean", at={"attack": "clean", "num_eot_samples": None}),
            Column("PGD EOT", at={"attack": "pgd", "loss": "cross_entropy", "source": None}),
            Column("PGD margin EOT", at={"attack": "pgd", "loss": "margin"}),
            Column("transfer", at={"attack": "pgd", "source": sources, "num_eot_samples": samples}),
            Column("Square", at={"attack": "square"}),
            Column("worst of all", at={"attack": "worst", "num_eot_samples": None}),
        ]
        title = f"Beside: gradients averaged over {samples} samples, transfer, black box; accuracy in %"
        return Table(title=title, rows=rows, columns=columns, corner=("radius", ""), notes=TRANSFER_NOTE)

    def distances(self) -> Table:
        """How far the attacks without a radius go."""
        search = {"attack": "carlini_wagner", "num_binary_steps": self.settings["cw_binary_steps"]}

        def distance(part: "pd.DataFrame", samples: int) -> "pd.Series[float]":
            own = samples if (part["objective"] == "vib").any() else 1
            return per_model(part, "median_l2", **search, num_eot_samples=own)

        columns = [Column("DeepFool L2", "median_l2", at={"attack": "deepfool"}, digits=2)]
        for label, samples in (("CW L2", 1), ("CW EOT L2", self.settings["num_eot_samples"])):
            columns.append(Column(label, functools.partial(distance, samples=samples), digits=2))
        rows = [Row(group.title, frame=group.frame) for group in self.groups]
        notes = "Medians over all images, a failure counted as infinitely far (-)."
        return Table(title="Distances", rows=rows, columns=columns, notes=notes)

    def figure(self) -> Figure:
        """Information and accuracy on attacked images against beta, or by attack for one beta; and all attacks."""
        panels: list[Any] = [
            self._against_beta("rate_bits", 1, "I(X';T') upper bound, bits"),
            self._against_beta("accuracy", 100, "accuracy under attack, %"),
        ]
        if not self.attacked_at(RADIUS) or len(self.groups) > MOST_SHOWN:
            panels = []
        elif len(self.betas) < 2:
            rows = [Row(label, "accuracy", at=at, scale=100) for label, at in PAPER_ATTACKS.items()]
            columns = [Column(group.title, frame=group.frame) for group in self.groups]
            panels = [Bars(rows=rows, columns=columns, title="one sample of z", label="accuracy, %", limits=(0, 100))]
        worst = Bars(
            rows=[Row(group.title, "accuracy", frame=group.frame, scale=100) for group in self.groups],
            columns=[
                Column("clean", at={"attack": "clean", "epsilon": self.radii[0], "together": True}),
                *(Column(f"worst of all at {e:.2g}", at={"attack": "worst", "epsilon": e}) for e in self.radii),
            ],
            title="all attacks of a radius together, EOT and Square among them",
            label="accuracy, %",
            limits=(0, 100),
            horizontal=True,
            colors=["0.8", *(f"C{place}" for place in range(len(self.radii)))],
        )
        widths = [1.0] * len(panels) + [1.5]
        alt = "Information and accuracy on attacked images, and what all attacks of a radius together leave."
        size = (15 if panels else 7, max(4.6, 0.3 * len(self.groups)))
        return Figure("figure.png", [*panels, worst], alt=alt, size=size, widths=widths)

    def _against_beta(self, metric: str, scale: float, label: str) -> Panel:
        lines = [
            Line(
                f"{name}, trained {'on clean' if against == 'none' else 'against it'}",
                metric,
                at=paper_attack(attack, RADIUS),
                frame=where(self.frame, objective="vib", adversary=against),
                scale=scale,
                color=f"C{place}",
                style="--" if against == "none" else "-",
                marker="o",
            )
            for place, (attack, name) in enumerate(ATTACKS.items())
            for against in ("none", attack)
        ]
        title, legend = f"VIB, radius {RADIUS:g}, one sample of z", metric == "rate_bits"
        return Panel(lines=lines, x="beta", xscale="log", ylabel=label, ylim=(0, None), title=title, legend=legend)
