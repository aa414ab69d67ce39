"""What is shown of IB with adversarial training: the paper's three tables, the attacks it lacks, and its statements."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.claims import Claim
from experiments.core.plots import Bars, Figure, Line, Panel
from experiments.core.records import Record, distinct, groups, per_seed, where
from experiments.core.report import Claims, Column, Departures, Findings, Headline, Report, Row, Table
from experiments.ib_adversarial_training import paper

if TYPE_CHECKING:
    import pandas as pd

PAPER = "Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous), Tables 1 to 3"
RADIUS, BETA = 0.3, 1e-3
ADVERSARIES = {"fgsm": paper.FGSM, "bim": paper.BIM, "pgd": paper.PGD}
WORST = "the worst of all attacks"
ONE_ROUND = {paper.CW: {"num_binary_steps": 1}}
ONE = {"num_eot_samples": 1, "source": None, "together": None}  # sample of z in each gradient, as in the paper
INFORMATION_NOTE = (
    "I(X';T') is the mean rate on the attacked images under the one prior N(0, I): an upper bound, in bits. The paper "
    "gives no unit."
)
ACCURACY_NOTE = (
    "DeepFool and CW have no radius: an accuracy under them says how often the search failed, and the distances below "
    "how far it went. One sample of z in each gradient makes both fail often. Where a model trained against FGSM is "
    "more accurate under it than on clean images, the attack has told it the label (label leaking)."
)
TRANSFER_NOTE = (
    "Transfer is from cross-entropy trained on clean images, and to that from another seed (or VIB, if there is one "
    "seed)."
)


class Group(NamedTuple):
    """The models of all seeds with the same objective, beta (0 for cross-entropy) and adversary."""

    objective: str
    beta: float
    adversary: str
    frame: "pd.DataFrame"

    @property
    def title(self) -> str:
        """What they are called."""
        name = {"vib": "IB", "cross_entropy": "CE"}.get(self.objective, self.objective)
        against = f" + {self.adversary.upper()}" if self.adversary != "none" else ""
        return f"{name}{against}{f', beta {self.beta:g}' if self.beta else ''}"


class Sections:
    """The sections of a data set's report.

    Args:
      frame: of its records.
      settings: of one of them.
    """

    def __init__(self, frame: "pd.DataFrame", settings: Any):
        self.frame, self.settings, self.dataset = frame, settings, settings["dataset"]
        self.groups = [
            Group(objective, beta if objective == "vib" else 0.0, adversary, part)
            for (objective, beta, adversary), part in groups(frame, "objective", "beta", "adversary")
        ]
        order = ["none", *ADVERSARIES]
        self.groups.sort(key=lambda group: (group.objective != "vib", -group.beta, order.index(group.adversary)))
        self.betas = sorted({group.beta for group in self.groups if group.beta}, reverse=True)
        self.published = paper.OBJECTIVES.get(self.dataset, {})

    def of(self, objective: str, beta: float, adversary: str) -> Group:
        """A group; an empty one, if it was not trained."""
        kind = (objective, beta, adversary)
        return next((group for group in self.groups if group[:3] == kind), Group(*kind, self.frame.iloc[:0]))

    def first(self) -> Table:
        """I(X';T') and accuracy under attack of VIB, trained against the attack of the column or on clean images."""
        rows = []
        for label, metric, scale in (("I(X';T') <=, bits", "rate_bits", 1.0), ("accuracy, %", "accuracy", 100.0)):
            for beta in self.betas:
                vib = where(self.frame, objective="vib", beta=beta)
                for images, against in (("clean images", False), ("clean and attacked images", True)):
                    part = vib[(vib["adversary"] != "none") == against]
                    labels, key = (label, f"{beta:g}", images), (metric, beta, against)
                    rows.append(Row(labels, metric, scale=scale, frame=part, key=key))
        columns = [
            Column(
                attack,
                at=paper_attack(attack, RADIUS),
                frame=where(self.frame, adversary=["none", adversary]),
                paper=paper.first_table(attack) if self.dataset == "mnist" else None,
            )
            for adversary, attack in ADVERSARIES.items()
        ]
        title = f"Table 1: I(X';T') and accuracy at radius {RADIUS:g}, attacks with one sample of z"
        corner = ("", "beta", "trained on")
        return Table(title=title, rows=rows, columns=columns, corner=corner, notes=INFORMATION_NOTE)

    def second(self) -> Table:
        """Accuracy of both objectives, each with and without FGSM in training, under the paper's attacks."""
        beta = BETA if BETA in self.betas else min(self.betas, default=0.0)
        kinds = [self.of(*kind, adversary) for adversary in ("none", "fgsm") for kind in (("vib", beta), CROSS_ENTROPY)]
        rows = [
            Row(group.title, "accuracy", scale=100, frame=group.frame, key=(group.objective, group.adversary))
            for group in kinds
        ]
        title = f"Table {3 if self.dataset == 'cifar10' else 2}: accuracy in %, attacks with one sample of z"
        return Table(title=title, rows=rows, columns=self._paper_columns(), notes=ACCURACY_NOTE)

    def together(self) -> Table:
        """Gradients averaged over samples of z, a margin loss, transfer and Square, and the worst of all together."""
        samples = self.settings["num_eot_samples"]
        rows = []
        for radius in self.settings["honest_epsilons"]:
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
        rounds = self.settings["cw_binary_steps"]
        attacks: dict[str, dict[str, Any]] = {
            "DeepFool L2": {"attack": "deepfool"},
            "CW EOT L2": {"attack": "carlini_wagner", "num_binary_steps": rounds},
        }
        columns = [Column(name, "median_l2", at=at, digits=2) for name, at in attacks.items()]
        rows = [Row(group.title, frame=group.frame) for group in self.groups]
        notes = "Medians over all images, a failure counted as infinitely far (-)."
        return Table(title="Distances", rows=rows, columns=columns, notes=notes)

    def claims(self) -> list[Claim]:
        """The paper's statements about these tables, as differences."""
        found = [claim for beta in self.betas for adversary in ADVERSARIES for claim in self._against(beta, adversary)]
        for adversary, how in (("none", ""), ("fgsm", ", both trained against FGSM")):
            plain = self.of(*CROSS_ENTROPY, adversary).frame
            theirs = [self.published.get((objective, adversary)) for objective in ("vib", "cross_entropy")]
            for place, (label, at) in list(enumerate(_paper_attacks()))[1:]:
                text = f"IB of beta {BETA:g} above CE under {label}, one sample{how} (points)"
                parts = self.of("vib", BETA, adversary).frame, plain
                own, other = (100 * per_seed(part, "accuracy", **at) for part in parts)
                found.append(Claim(text, own, other, _minus(*(row and row[place] for row in theirs))))
            for radius in self.settings["honest_epsilons"]:
                for beta in reversed(self.betas):
                    text = f"IB of beta {beta:g} above CE under {WORST} at {radius:.3g}{how} (points)"
                    parts = self.of("vib", beta, adversary).frame, plain
                    own, other = (100 * per_seed(part, "accuracy", attack="worst", epsilon=radius) for part in parts)
                    found.append(Claim(text, own, other))
        return [claim for claim in found if claim.count]

    def figure(self) -> Figure:
        """Information and accuracy on attacked images against beta, or by attack for one beta; and all attacks."""
        panels: list[Any] = [self._by_attack()]
        if len(self.betas) > 1:
            panels = [
                self._against_beta("rate_bits", 1, "I(X';T') upper bound, bits"),
                self._against_beta("accuracy", 100, "accuracy under attack, %"),
            ]
        radii = self.settings["honest_epsilons"]
        rows = [Row(group.title, "accuracy", frame=group.frame, scale=100) for group in self.groups]
        columns = [Column("clean", at={"attack": "clean", "epsilon": radii[0], "together": True})]
        columns += [Column(f"worst of all at {e:.2g}", at={"attack": "worst", "epsilon": e}) for e in radii]
        style: dict[str, Any] = {"label": "accuracy, %", "limits": (0, 100), "horizontal": True}
        style["colors"] = ["0.8", *(f"C{place}" for place in range(len(radii)))]
        title = "all attacks of a radius together, EOT and Square among them"
        panels.append(Bars(rows=rows, columns=columns, title=title, **style))
        alt = "Information and accuracy on attacked images, and what all attacks of a radius together leave."
        return Figure("figure.png", panels, alt=alt, size=(15, 4.6), widths=(1, 1, 1.5)[3 - len(panels) :])

    def _paper_columns(self) -> list[Column]:
        """The columns of the paper's Tables 2 and 3."""
        return [
            Column(label, at=at, paper={key: row[place] for key, row in self.published.items()})
            for place, (label, at) in enumerate(_paper_attacks())
        ]

    def _against(self, beta: float, adversary: str) -> Iterator[Claim]:
        """What training against an attack does, under that attack."""
        attack, parts = ADVERSARIES[adversary], [self.of("vib", beta, name).frame for name in ("none", adversary)]
        published, at = paper.first_table(attack) if self.dataset == "mnist" else {}, paper_attack(attack, RADIUS)
        theirs = {metric: [published.get((metric, beta, side)) for side in (False, True)] for metric in METRICS}
        without, with_it = (per_seed(part, "rate_bits", **at) for part in parts)
        text = f"I(X';T') is larger without training against {attack}, beta {beta:g} (bits)"
        yield Claim(text, without, with_it, _minus(*theirs["rate_bits"]))
        without, with_it = (100 * per_seed(part, "accuracy", **at) for part in parts)
        text = f"accuracy under {attack} is larger with it, beta {beta:g} (points)"
        yield Claim(text, with_it, without, _minus(*reversed(theirs["accuracy"])))

    def _against_beta(self, metric: str, scale: float, label: str) -> Panel:
        lines = [
            Line(
                f"{attack}, trained {'on clean' if against == 'none' else 'against it'}",
                metric,
                at=paper_attack(attack, RADIUS),
                frame=where(self.frame, objective="vib", adversary=against),
                scale=scale,
                color=f"C{place}",
                style="--" if against == "none" else "-",
                marker="o",
            )
            for place, (adversary, attack) in enumerate(ADVERSARIES.items())
            for against in ("none", adversary)
        ]
        title, legend = f"VIB, radius {RADIUS:g}, one sample of z", metric == "rate_bits"
        return Panel(lines=lines, x="beta", xscale="log", ylabel=label, ylim=(0, None), title=title, legend=legend)

    def _by_attack(self) -> Bars:
        rows = [Row(label, "accuracy", at=at, scale=100) for label, at in _paper_attacks()]
        columns = [Column(group.title, frame=group.frame) for group in self.groups]
        return Bars(rows=rows, columns=columns, title="one sample of z", label="accuracy, %", limits=(0, 100))


CROSS_ENTROPY = ("cross_entropy", 0.0)
METRICS = ("rate_bits", "accuracy")


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """The tables and the figure of a data set's records."""
    settings, details = records[0].settings, records[0].details
    made = Sections(frame, settings)
    intro = (
        f"{frame['seed'].nunique()} seeds, {settings['num_epochs']} epochs of {details['num_train_images']} images in "
        f"batches of {settings['batch_size']}, network {settings['network']}, N = {settings['num_layers']}, K = "
        f"{settings['latent_dim']}; in training {settings['adversary_fraction']:.0%} of a batch is attacked at "
        f"{settings['adversary_epsilon']:g} (BIM and PGD with {settings['adversary_steps']} steps). The first "
        f"{details['num_attacked']} test images are attacked, {settings['num_square_images']} by Square "
        f"({settings['num_queries']} queries), {settings['num_cw_images']} by CW EOT; an answer is the mean of "
        f"{settings['num_eval_samples']} samples. Mean ± standard deviation over seeds; in brackets the paper's."
    )
    claims = made.claims()
    tables = [made.first(), made.second(), made.together(), made.distances()]
    checks = Findings(records, [Row(group.title, frame=group.frame) for group in made.groups])
    sections = [*tables, made.figure(), Claims(claims), checks, Departures(records)]
    headlines = [
        Headline(claim.text, claim.differences, claim.paper, claim=claim)
        for claim in claims
        if f"above CE under {WORST}" in claim.text and "both" not in claim.text
    ]
    return Report(f"IB and adversarial training on {made.dataset}", frame, sections, PAPER, intro, headlines)


def paper_attack(attack: str, radius: float | None) -> dict[str, Any]:
    """The conditions of one of the paper's attacks, with one sample of z."""
    if attack == "clean":
        return {"attack": "clean", "together": None}
    names = {paper.DEEPFOOL: "deepfool", paper.CW: "carlini_wagner"}
    at = {"attack": names.get(attack, attack.lower()), "epsilon": radius, **ONE}
    return at | ({} if attack in names else {"loss": "cross_entropy"}) | ONE_ROUND.get(attack, {})


def _paper_attacks() -> list[tuple[str, dict[str, Any]]]:
    """Label and conditions of the columns of the paper's Tables 2 and 3."""
    return [
        (attack if radius is None else f"{attack} {radius:g}", paper_attack(attack, radius))
        for attack, radius in paper.COLUMNS
    ]


def _minus(first: float | None, second: float | None) -> float | None:
    return first - second if first is not None and second is not None else None
