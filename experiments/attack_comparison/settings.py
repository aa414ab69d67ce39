"""The settings of `experiments.attack_comparison`, and the attacks it compares, with the other libraries' settings."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from experiments.core import groups
from experiments.core.settings import EVALUATION, configure, setting
from ib_jax import attacks, losses

DETERMINISTIC = ("fgsm", "bim", "mi_fgsm", "cw", "deepfool", "ddn", "fmn", "sigma_zero")
GROUPS = (
    *("fgsm", "bim", "pgd", "mi_fgsm", "apgd", "cw", "deepfool", "fab", "ddn", "fmn", "sigma_zero"),
    *("square", "hop_skip_jump", "autoattack"),
)
DATASETS = ("digits", "mnist", "fashion_mnist")

POINTS, AUTOATTACK_POINTS, LENGTH = 0.005, 0.003, 0.02
"""How much higher than another library's our robust accuracy may be, and how much larger our median perturbation."""

THEIR_NAMES: Mapping[str, Mapping[str, str]] = {
    "torchattacks": {
        **{"epsilon": "eps", "num_steps": "steps", "step_size": "alpha", "random_start": "random_start"},
        **{"decay": "decay", "loss": "loss", "overshoot": "overshoot", "num_queries": "n_queries"},
    },
    "foolbox": {
        **{"epsilon": "eps", "num_steps": "steps", "step_size": "abs_stepsize", "random_start": "random_start"},
        **{"num_candidates": "candidates", "overshoot": "overshoot", "num_binary_steps": "binary_search_steps"},
        **{"learning_rate": "stepsize", "initial_const": "initial_const", "abort_early": "abort_early"},
    },
    "pyautoattack": {"epsilon": "eps", "num_steps": "n_iter", "num_queries": "n_queries"},
    "adv_lib": {},  # one attack's steps are called otherwise than another's
}
"""Each library's names of our settings; a setting without a name there is fixed in that library."""
OFFICIAL = {"norm": "Linf", "version": "standard"}


@configure(
    num_epochs=20,
    batch_size=500,
    cw_binary_steps=5,
    choices={"dataset": DATASETS},
    note={
        "num_queries": "5000 in the peers",
        "cw_steps": "10000 in foolbox",
        "cw_binary_steps": "9 in foolbox",
        "cw_learning_rate": "0.01 in foolbox",
        "cw_initial_const": "0.001 in foolbox",
    },
    help={
        "checkpoint": "Workdir of a finished cross_entropy run of experiments.mnist_vib. Default: train one.",
        "dataset": "Without --checkpoint: data set to train on.",
        "num_epochs": "Without --checkpoint: length of training.",
        "hidden_width": "Without --checkpoint: units of each of the two ReLU layers.",
        "attacks": f"What is compared, with commas between: {', '.join(GROUPS)}; or all.",
        "num_images": "First test images attacked.",
        "batch_size": "Images attacked at a time, on both sides.",
        "num_queries": "Queries of Square, and of Square in AutoAttack.",
        "seed": "First seed of both sides; their random numbers differ all the same.",
        "output": "JSON record. Default: workdirs/attack_comparison/<dataset>.json.",
    },
)
class ComparisonConfig(
    groups.Seed,
    groups.Output,
    groups.Checkpoint,
    groups.Dataset,
    groups.DataDir,
    groups.Epochs,
    groups.HiddenWidth,
    groups.AttackNames,
    groups.NumImages,
    groups.Batch,
    groups.Queries,
    groups.CwSearch,
):
    """One comparison."""

    num_starts: int = setting(
        3,
        "Runs of every attack that draws random numbers, on both sides, with seeds from --seed on.",
        least=1,
        decides=EVALUATION,
    )

    def check(self) -> None:
        super().check()
        groups.check_names("attacks", self.groups or ("",), GROUPS)

    @property
    def groups(self) -> tuple[str, ...]:
        """The attacks asked for."""
        return GROUPS if self.attacks == "all" else groups.split(self.attacks)


class Comparison(NamedTuple):
    """One attack, at one radius or with none, and the same in other libraries.

    Attributes:
      group: of `GROUPS`.
      norm: "linf", "l2", "l1" or "l0".
      epsilon: the radius; None for an attack that looks for the smallest perturbation.
      settings: by our names, the same on all sides.
      attack: ours, for a `Runner`.
      peers: "library.Attack" -> its settings by its own names.
    """

    group: str
    norm: str
    epsilon: float | None
    settings: Mapping[str, Any]
    attack: Any
    peers: Mapping[str, Mapping[str, Any]]

    @property
    def conditions(self) -> dict[str, Any]:
        """What the record says of it; `tolerance` is a difference of robust accuracies, or a share of a median size."""
        radius = {} if self.epsilon is None else {"epsilon": self.epsilon}
        name = "carlini_wagner" if self.group == "cw" else self.group
        tolerance = AUTOATTACK_POINTS if self.group == "autoattack" else POINTS if radius else LENGTH
        return {"attack": name, "norm": self.norm, **radius, **self.settings, "tolerance": tolerance}


def compared(
    group: str,
    make: Callable[..., Any],
    peers: Mapping[str, Mapping[str, Any]],
    *,
    norm: str = "linf",
    epsilon: float | None = None,
    **settings: Any,
) -> Comparison:
    """An attack, made with norm, radius and settings, and the same one elsewhere, with what it takes besides them."""
    given = settings if epsilon is None else {"epsilon": epsilon, **settings}
    theirs = {}
    for peer, more in peers.items():
        names = THEIR_NAMES[peer.partition(".")[0]]
        theirs[peer] = {names[name]: value for name, value in given.items() if name in names} | dict(more)
    return Comparison(group, norm, epsilon, settings, make(norm=norm, **given), theirs)


def pgd(epsilon: float, *, num_steps: int, norm: str = "linf") -> Comparison:
    """Projected gradient descent from a random start; its steps add up to 2.5 radii."""
    peers = {"linf": ("torchattacks.PGD", "foolbox.LinfPGD"), "l2": ("torchattacks.PGDL2", "foolbox.L2PGD")}[norm]
    steps: dict[str, Any] = {"num_steps": num_steps, "step_size": 2.5 * epsilon / num_steps, "random_start": True}
    return compared("pgd", attacks.pgd, {peer: {} for peer in peers}, norm=norm, epsilon=epsilon, **steps)


def carlini_wagner(**settings: Any) -> Comparison:
    """Carlini-Wagner in L2; c is per nat."""

    def make(norm: str, **settings: Any) -> Any:
        return attacks.carlini_wagner(const_per="nat", **settings)

    return compared("cw", make, {"foolbox.L2CarliniWagnerAttack": {}}, norm="l2", **settings)


def deepfool(norm: str = "l2", num_steps: int = 50) -> Comparison:
    """DeepFool for the nearest of ten classes; torchattacks has it in L2 alone."""
    peers = {"linf": ("foolbox.LinfDeepFoolAttack",), "l2": ("torchattacks.DeepFool", "foolbox.L2DeepFoolAttack")}[norm]
    settings: dict[str, Any] = {"num_steps": num_steps, "num_candidates": 10, "overshoot": 0.02}
    return compared("deepfool", attacks.deepfool, {peer: {} for peer in peers}, norm=norm, **settings)


def comparisons(config: ComparisonConfig) -> list[Comparison]:
    """Everything that is compared, without what was not asked for."""
    few: dict[str, Any] = {"epsilon": 0.1, "num_steps": 10, "step_size": 0.1 / 10}
    radii, queries = (0.05, 0.1), config.num_queries
    cw = {
        "num_steps": config.cw_steps,
        "num_binary_steps": config.cw_binary_steps,
        "learning_rate": config.cw_learning_rate,
        "initial_const": config.cw_initial_const,
    }
    fgsm: dict[str, Any] = {"torchattacks.FGSM": {}, "foolbox.LinfFastGradientAttack": {}}
    bim: dict[str, Any] = {"torchattacks.BIM": {}, "foolbox.LinfPGD": {"random_start": False}}
    fab = _both("FAB", "fab", n_restarts=1)
    made = [
        compared("fgsm", attacks.fgsm, fgsm, epsilon=0.1),
        compared("bim", attacks.bim, bim, **few),
        compared("mi_fgsm", attacks.mi_fgsm, {"torchattacks.MIFGSM": {}}, decay=1.0, **few),
        *(pgd(epsilon, num_steps=40) for epsilon in radii),
        *(pgd(epsilon, num_steps=40, norm="l2") for epsilon in (1.0, 1.5)),
        *(apgd(epsilon, loss=loss) for loss, epsilon in itertools.product(("ce", "dlr"), radii)),
        *(carlini_wagner(**cw, abort_early=early) for early in (True, False)),
        *(deepfool(norm) for norm in ("l2", "linf")),
        compared("fab", attacks.fab, fab, epsilon=0.1, num_steps=100),
        *(fab_without_radius(norm) for norm in ("linf", "l2")),
        ddn(),
        *(fmn(norm) for norm in ("linf", "l2", "l1")),
        sigma_zero(),
        square(0.1, queries),
        *(hop_skip_jump(norm) for norm in ("l2", "linf")),
        *(autoattack(epsilon, num_queries=queries) for epsilon in radii),
    ]
    return [comparison for comparison in made if comparison.group in config.groups]


def _both(torchattack: str, official: str, **more: Any) -> dict[str, dict[str, Any]]:
    """An attack of torchattacks, and the same one alone in the official AutoAttack."""
    return {f"torchattacks.{torchattack}": more, "pyautoattack.AutoAttack": OFFICIAL | {"attacks": [official]}}


def apgd(epsilon: float, num_steps: int = 100, loss: str = "ce") -> Comparison:
    """APGD, on the cross-entropy or DLR."""

    def make(loss: str, **settings: Any) -> Any:
        return attacks.apgd(loss_fn={"ce": losses.cross_entropy, "dlr": losses.dlr}[loss], **settings)

    return compared("apgd", make, _both("APGD", f"apgd-{loss}"), epsilon=epsilon, num_steps=num_steps, loss=loss)


def square(epsilon: float, num_queries: int) -> Comparison:
    """Square."""
    peers = _both("Square", "square", p_init=0.8, loss="margin", resc_schedule=False)
    return compared("square", attacks.square, peers, epsilon=epsilon, num_queries=num_queries)


def autoattack(epsilon: float, num_steps: int = 100, *, num_queries: int) -> Comparison:
    """AutoAttack's standard version."""
    settings: dict[str, Any] = {"num_steps": num_steps, "num_queries": num_queries, "version": "standard"}
    return compared(
        "autoattack", attacks.autoattack, {"pyautoattack.AutoAttack": OFFICIAL}, epsilon=epsilon, **settings
    )


def fab_without_radius(norm: str, num_steps: int = 100) -> Comparison:
    """FAB for the smallest perturbation."""
    far = 1e3  # torchattacks' FAB keeps nothing beyond a radius
    theirs = {"n_restarts": 1, "norm": {"linf": "Linf", "l2": "L2"}[norm], "eps": far}
    return compared("fab", attacks.fab, {"torchattacks.FAB": theirs}, norm=norm, num_steps=num_steps)


def ddn(num_steps: int = 100) -> Comparison:
    """DDN, with as many gradients on both sides; so are the next two."""
    theirs = {"steps": num_steps, "levels": None}
    make = lambda norm, num_steps: attacks.ddn(num_steps=num_steps)  # noqa: E731
    return compared("ddn", make, {"adv_lib.ddn": theirs}, norm="l2", num_steps=num_steps)


def fmn(norm: str, num_steps: int = 100) -> Comparison:
    """FMN."""
    theirs = {"norm": norm[1:], "steps": num_steps}
    return compared("fmn", attacks.fmn, {"adv_lib.fmn": theirs}, norm=norm, num_steps=num_steps)


def sigma_zero(num_steps: int = 100) -> Comparison:
    """Sigma-zero."""
    make = lambda norm, num_steps: attacks.sigma_zero(num_steps=num_steps)  # noqa: E731
    theirs = {"adv_lib.sigma_zero": {"num_steps": num_steps}}
    return compared("sigma_zero", make, theirs, norm="l0", num_steps=num_steps)


def hop_skip_jump(norm: str, num_rounds: int = 6) -> Comparison:
    """HopSkipJump; ours may ask as often as foolbox does for its directions alone, which bisects and jumps besides."""
    queries = sum(int(100 * math.sqrt(index)) for index in range(1, num_rounds + 1))
    theirs = {"foolbox.HopSkipJumpAttack": {"steps": num_rounds, "constraint": norm}}
    return compared("hop_skip_jump", attacks.hop_skip_jump, theirs, norm=norm, num_queries=queries)
