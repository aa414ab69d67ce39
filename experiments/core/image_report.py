"""What the reports on image models share: their groups, every attack beside the others, corruptions, findings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.core.adversary import NONE
from experiments.core.corrupted_images import ALL
from experiments.core.frames import groups, per_model, where
from experiments.core.image_models import AVERAGE
from experiments.core.image_settings import LEVELS
from experiments.core.records import Record
from experiments.core.report import Column, Grid, Row, Table
from ib_jax.objectives import BOTTLENECKS

if TYPE_CHECKING:
    import pandas as pd

TOGETHER_TEXT = (
    "A white-box number above that of transfer or Square is no robustness; the worst of all counts an image only if it "
    "stands under each."
)
NAMES = {"cross_entropy": "cross-entropy", "consistent_ceb": "consistent CEB"}
NORMS = {"linf": "L-inf", "l2": "L2"}
PGD: dict[str, Any] = {"attack": "pgd", "loss": "cross_entropy", "source": None, "at_mean": True}


class Group(NamedTuple):
    """The models of all seeds with the same network, objective, rho (None for cross-entropy) and adversary."""

    network: str
    objective: str
    rho: float | None
    adversary: str
    frame: "pd.DataFrame"

    @property
    def kind(self) -> str:
        """What the objective is called."""
        return NAMES.get(self.objective, self.objective.upper())

    @property
    def title(self) -> str:
        """What they are called, without the network."""
        against = f" against {self.adversary.upper()}" if self.against else ""
        return self.kind + against + ("" if self.rho is None else f", rho = {self.rho:g}")

    @property
    def against(self) -> bool:
        """Whether they were trained on attacked images."""
        return self.adversary != NONE

    @property
    def name(self) -> str:
        """What they are called."""
        return f"{self.network}, {self.title}"


def with_levels(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A frame with the radius of attacks in levels of a pixel, too, and whom each model was trained against."""
    adversary = frame["adversary"].fillna(NONE) if "adversary" in frame else NONE
    frame = frame.assign(adversary=adversary)
    return frame.assign(levels=(LEVELS * frame["epsilon"]).round(6)) if "epsilon" in frame else frame


def groups_of(frame: "pd.DataFrame") -> list[Group]:
    """The models: by network, cross-entropy first, then from weak to strong bottlenecks."""
    found = [
        Group(network, objective, rho if objective in BOTTLENECKS else None, adversary, part)
        for (network, objective, rho, adversary), part in groups(frame, "network", "objective", "rho", "adversary")
    ]

    def place(group: Group) -> tuple[Any, ...]:
        return group.network, group.rho is not None, group.objective, group.against, -(group.rho or 0)

    return sorted(found, key=place)


def pgd(
    settings: Mapping[str, Any], norm: str, levels: float | Sequence[float], *, targeted: bool = False
) -> dict[str, Any]:
    """The conditions of PGD on all images, at a radius or several in levels."""
    radii = list(levels) if isinstance(levels, Sequence) else levels
    whole = {"num_steps": settings["pgd_steps"], "targeted": targeted, "norm": norm, "levels": radii, "together": None}
    return PGD | whole


def pgd_label(norm: str, levels: float, *, targeted: bool = False) -> str:
    """What it is called in tables."""
    return f"PGD{' targeted' if targeted else ''} {NORMS[norm]} {levels:g}"


def corruption_error(frame: "pd.DataFrame", name: str) -> "pd.Series[float]":
    """The error of each model under a corruption, mean of five severities."""
    rows = where(frame, metric="error_mean", corruption=name)
    return rows.groupby(["file", "model", "seed"], sort=False)["value"].mean()


def corruption_rows(frame: "pd.DataFrame") -> list[Row]:
    """The average of the 15 corruptions, if all were measured, and each; the four that are not of them last."""
    known = set(frame["corruption"].dropna()) if "corruption" in frame else set()
    average = Row("average of the 15", "error_mean", at={"corruption": AVERAGE}, key=AVERAGE, scale=100)
    each = [
        Row(name.replace("_", " "), lambda part, name=name: corruption_error(part, name), key=name, scale=100)
        for name in ALL
    ]
    return [row for row in (average, *each) if row.key in known]


def clean_accuracy(part: "pd.DataFrame") -> "pd.Series[float]":
    """On all test images."""
    return 1 - per_model(part, "error_mean", split="test")


def white_box_table(groups: Sequence[Group], settings: Mapping[str, Any]) -> Table:
    """PGD at every radius; at a random target at the two largest."""
    attacked = [
        (norm, levels, targeted)
        for norm in NORMS
        for targeted, radii in ((False, settings[f"{norm}_epsilons"]), (True, settings[f"{norm}_epsilons"][-2:]))
        for levels in radii
    ]
    columns = [Column("clean", clean_accuracy, scale=100)]
    for norm, levels, targeted in attacked:
        at = pgd(settings, norm, levels, targeted=targeted)
        columns.append(Column(pgd_label(norm, levels, targeted=targeted), "accuracy", at=at, scale=100))
    rows = [Row(group.title, frame=group.frame) for group in groups]
    return Table(title="White box", rows=rows, columns=columns, corner=("model",))


def together_table(groups: Sequence[Group], settings: Mapping[str, Any], radius: float) -> Table:
    """Every attack at a radius, in levels, on the images that all were tried on."""
    plain = PGD | {"num_steps": settings["pgd_steps"], "targeted": False}
    frames = [where(group.frame, together=True) for group in groups]
    sources = sorted({name for part in frames if "source" in part for name in part["source"].dropna()})
    attacks: dict[str, dict[str, Any]] = {
        "clean": {"attack": "clean"},
        "PGD": plain,
        "PGD targeted": plain | {"targeted": True},
        "PGD margin": plain | {"loss": "margin"},
        "PGD long": plain | {"num_steps": 2 * settings["pgd_steps"]},
        "PGD EOT": plain | {"at_mean": None},
        "transfer": {"source": sources},
        "Square": {"attack": "square"},
        "worst of all": {"attack": "worst"},
    }
    same = {"levels": radius, "together": True}
    columns = [Column(name, "accuracy", at=at | same, scale=100) for name, at in attacks.items()]
    rows = [Row(group.name, frame=group.frame) for group in groups]
    count = max(part["num_images"].max() for part in frames)
    title = f"Every attack at L-inf {radius:g}: accuracy in per cent on the same {count:.0f} images"
    return Table(title=title, rows=rows, columns=columns, corner=("model",), notes=TOGETHER_TEXT)


def scaled_table(groups: Sequence[Group], settings: Mapping[str, Any]) -> list[Table]:
    """PGD on the same networks with their logits scaled, if that was tried."""
    scales = settings.get("logit_scales") or ()
    plain = PGD | {"num_steps": settings["pgd_steps"], "levels": settings["radius"], "together": None}
    columns = [
        Column(f"{name}, logits x {scale:g}", "accuracy", at=plain | {"loss": loss, "logit_scale": scale}, scale=100)
        for loss, name in (("cross_entropy", "cross-entropy"), ("margin", "margin"))
        for scale in scales
    ]
    rows = [Row(group.title, frame=group.frame) for group in groups]
    notes = (
        "The network answers the same whatever the scale. What stands under cross-entropy at a large scale and falls "
        "by the margin was attacked without a gradient: of an image on which the network is sure the loss is 0 in "
        "float32."
    )
    title = f"PGD L-inf {settings['radius']:g} with the logits of the same networks scaled"
    return [Table(title=title, rows=rows, columns=columns, corner=("model",), notes=notes)] if scales else []


def checks_grid(groups: Sequence[Group], records: Sequence[Record]) -> Grid:
    """All that the checks for masked gradients have to say."""
    models = {(record.file, model.name, model.seed): model for record in records for model in record.models}
    rows: list[list[str | float]] = [
        [group.name, key[2], finding["check"], finding["message"]]
        for group in groups
        for key in group.frame[["file", "model", "seed"]].drop_duplicates().itertuples(index=False, name=None)
        for finding in models[key].findings
    ]
    notes = "" if rows else "Nothing that looks like masked gradients."
    return Grid(["model", "seed", "check", "message"], rows, "Signs of masked gradients", notes)
