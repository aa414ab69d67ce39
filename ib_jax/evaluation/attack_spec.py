"""An attack of an evaluation as data: its name and its settings, one name for one attack."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from ib_jax import attacks, losses
from ib_jax.attacks.box import Bounds
from ib_jax.types import Array, Attack

SpecLoss = Literal["cross_entropy", "margin", "dlr"]


class _Kind(NamedTuple):
    """What an attack of the library can be told by a spec."""

    make: Callable[..., Attack]
    norms: tuple[str, ...]
    fields: tuple[str, ...] = ()
    minimal: bool = False


_BALL, _TWO = ("linf", "l2", "l1"), ("linf", "l2")
_STEPS = ("loss", "num_steps", "path_length")
_KINDS: Mapping[str, _Kind] = {
    "fgsm": _Kind(attacks.fgsm, _BALL, ("loss",)),
    "bim": _Kind(attacks.bim, _BALL, _STEPS),
    "pgd": _Kind(attacks.pgd, _BALL, _STEPS),
    "mi_fgsm": _Kind(attacks.mi_fgsm, _BALL, _STEPS),
    "apgd": _Kind(attacks.apgd, _TWO, ("loss", "num_steps")),
    "autoattack": _Kind(attacks.autoattack, _TWO, ("num_steps",)),
    "square": _Kind(attacks.square, _TWO),
    "deepfool": _Kind(attacks.deepfool, ("l2", "linf"), ("num_steps",), minimal=True),
    "carlini_wagner": _Kind(attacks.carlini_wagner, ("l2",), ("num_steps",), minimal=True),
    "fab": _Kind(attacks.fab, _TWO, ("num_steps",), minimal=True),
    "ddn": _Kind(attacks.ddn, ("l2",), ("num_steps",), minimal=True),
    "fmn": _Kind(attacks.fmn, ("l2", "linf", "l1"), ("num_steps",), minimal=True),
    "hop_skip_jump": _Kind(attacks.hop_skip_jump, ("l2", "linf"), minimal=True),
    "sigma_zero": _Kind(attacks.sigma_zero, ("l0",), ("num_steps",), minimal=True),
}
ATTACKS: tuple[str, ...] = tuple(_KINDS)
"""The names that `AttackSpec` knows, those of `ib_jax.attacks`."""

_SHARED = ("epsilon", "norm", "bounds", "loss_fn", "num_steps", "num_eot_samples", "num_judge_samples")


def _minus_margin(logits: Array, labels: Array) -> Array:
    return -losses.margin(logits, labels)


_LOSSES: Mapping[str, attacks.AttackLoss] = {
    "cross_entropy": losses.cross_entropy,
    "margin": _minus_margin,
    "dlr": losses.dlr,
}


@dataclasses.dataclass(frozen=True)
class AttackSpec:
    """One attack of an `AttackSuite`, in plain scalars that a record can keep.

    A setting that is left out takes the attack's own default. Specs that differ only in radius, source, targets or
    number of images share a compiled program.

    Attributes:
      attack: one of `ATTACKS`.
      epsilon: radius in units of the inputs (L0: a number of values); None for DeepFool, Carlini-Wagner, FAB, DDN, FMN,
        HopSkipJump and sigma-zero, which look for the smallest perturbation; with a radius, they succeed if the
        distance is within it.
      norm: "linf", "l2", "l1" or "l0", as far as the attack has it.
      loss: what is climbed: "cross_entropy", "margin" (of the strongest wrong class) or "dlr"; None where there is no
        choice.
      num_steps: steps at most; None for FGSM, and for Square and HopSkipJump, which have `options={"num_queries": n}`.
      path_length: all steps together, in radii (`attacks.path_length`); None is the attack's own rule.
      num_eot_samples: samples of a stochastic model behind each gradient or query.
      num_judge_samples: samples behind the attack's own verdict; the suite asks the model again in any case.
      targeted: at the suite's targets.
      source: name of the model on which the images are made, to be shown to this one (transfer); "" for none.
      at_mean: attack and answer at the mean of the code: the suite's `mean_fn`.
      num_images: only the first ones; None for all.
      options: further settings of the attack by name, such as `initial_const` or `num_queries`.

    Raises:
      ValueError: a setting is unknown, out of its range, or one that the attack does not have.

    Example:
      >>> from ib_jax import evaluation
      >>> spec = evaluation.AttackSpec("pgd", 0.1, loss="margin", num_eot_samples=10)
      >>> spec.label
      'pgd linf 0.1, 20 steps, margin, 10 samples'
      >>> evaluation.AttackSpec("square", 0.1, options={"num_queries": 300}).conditions()
      {'attack': 'square', 'epsilon': 0.1, 'norm': 'linf', 'num_eot_samples': 1, 'targeted': False, 'num_queries': 300}
    """

    attack: str
    epsilon: float | None = None
    norm: str | None = None
    loss: SpecLoss | None = None
    num_steps: int | None = None
    path_length: float | None = None
    num_eot_samples: int = 1
    num_judge_samples: int = 1
    targeted: bool = False
    source: str = ""
    at_mean: bool = False
    num_images: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.attack not in _KINDS:
            raise ValueError(f"attack must be one of {', '.join(_KINDS)}, got {self.attack!r}")
        kind, known = _KINDS[self.attack], inspect.signature(_KINDS[self.attack].make).parameters
        object.__setattr__(self, "options", dict(self.options))
        if self.norm is None:
            object.__setattr__(self, "norm", kind.norms[0])
        if "num_steps" in kind.fields and self.num_steps is None:
            object.__setattr__(self, "num_steps", known["num_steps"].default)
        if "loss" in kind.fields and self.loss is None:
            object.__setattr__(self, "loss", "cross_entropy")
        if self.norm not in kind.norms:
            raise ValueError(f"norm must be {' or '.join(kind.norms)} for {self.attack}, got {self.norm!r}")
        for name in ("loss", "num_steps", "path_length"):
            if name not in kind.fields and getattr(self, name) is not None:
                raise ValueError(f"{name} must be None for {self.attack}, got {getattr(self, name)!r}")
        if self.loss is not None and self.loss not in get_args(SpecLoss):
            raise ValueError(f"loss must be one of {', '.join(get_args(SpecLoss))}, got {self.loss!r}")
        if self.epsilon is None and not kind.minimal:
            raise ValueError(f"epsilon must be a radius for {self.attack}, got None")
        if self.epsilon is not None and not 0 <= self.epsilon < float("inf"):
            raise ValueError(f"epsilon must be at least 0 and finite, got {self.epsilon}")
        if self.num_images is not None and self.num_images < 1:
            raise ValueError(f"num_images must be at least 1, or None for all, got {self.num_images}")
        unknown = sorted(set(self.options) - (set(known) - {*_SHARED, "step_size"}))
        if unknown:
            raise ValueError(f"options of {self.attack} must be settings that it has, got {', '.join(unknown)}")
        self.make()  # whatever else the attack refuses

    @property
    def label(self) -> str:
        """A readable name that tells the attack from others."""
        first = f"{self.attack} {self.norm}" + ("" if self.epsilon is None else f" {self.epsilon:g}")
        told = [
            (f"{self.num_steps} steps", self.num_steps is not None),
            (f"path {self.path_length or 0:g}", self.path_length is not None),
            (f"{self.loss}", self.loss not in (None, "cross_entropy")),
            (f"{self.num_eot_samples} samples", self.num_eot_samples > 1),
            ("at the mean", self.at_mean),
            ("targeted", self.targeted),
            *((f"{name} {value}", True) for name, value in self.options.items()),
            (f"made on {self.source}", bool(self.source)),
            (f"first {self.num_images}", self.num_images is not None),
        ]
        return ", ".join([first, *(text for text, there in told if there)])

    @property
    def is_minimal(self) -> bool:
        """Whether it looks for the smallest perturbation, without a radius."""
        return self.epsilon is None

    @property
    def program(self) -> tuple[Any, ...]:
        """The settings of the compiled attack; specs with equal ones share it."""
        told = (self.attack, self.norm, self.loss, self.num_steps, self.path_length)
        samples = (self.num_eot_samples, self.num_judge_samples, self.at_mean)
        return (*told, *samples, *sorted((name, repr(value)) for name, value in self.options.items()))

    @property
    def passes(self) -> float:
        """The most that an image costs, in forward and backward passes, roughly; for showing progress.

        Samples of z count nothing: they share the encoder's pass, which is nearly all of a model.
        """
        steps = float(self.num_steps or 1)
        if self.attack == "carlini_wagner":
            steps *= self.options.get("num_binary_steps", 9)
        elif self.attack in ("deepfool", "fab"):
            steps *= 2.5  # ten gradients a step; most end early
        elif self.attack == "autoattack":
            steps *= 20.0
        elif self.attack in ("square", "hop_skip_jump"):
            steps = self.options.get("num_queries", 5000) / 3  # forth alone
        return steps

    def count(self, num_examples: int) -> int:
        """How many of so many examples are attacked."""
        return num_examples if self.num_images is None else min(self.num_images, num_examples)

    def without_samples(self) -> "AttackSpec":
        """The same for a deterministic model: one sample is the expectation."""
        return dataclasses.replace(self, num_eot_samples=1)

    def conditions(self) -> dict[str, Any]:
        """Its settings for a record, in plain scalars; settings that it does not have are left out."""
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        told = {name: value for name, value in told.items() if name not in ("options", "num_judge_samples")}
        kept = {name: value for name, value in told.items() if value not in (None, "") and (name, value) != _AT_SAMPLE}
        return kept | {name: _plain(value) for name, value in self.options.items()}

    def make(self, bounds: Bounds = (0.0, 1.0)) -> Attack:
        """The attack; its radius, if it has one, is given in each call of an `attacks.Runner`."""
        kind = _KINDS[self.attack]
        settings: dict[str, Any] = {"num_eot_samples": self.num_eot_samples, "bounds": bounds}
        settings |= {"num_judge_samples": self.num_judge_samples, **self.options}
        if len(kind.norms) > 1:
            settings["norm"] = self.norm
        if self.loss is not None:
            settings["loss_fn"] = _LOSSES[self.loss]
        if self.num_steps is not None:
            settings["num_steps"] = self.num_steps
        if self.path_length is not None:
            settings["step_size"] = attacks.path_length(self.path_length)
        return kind.make(**settings) if kind.minimal else kind.make(0.0, **settings)


_AT_SAMPLE = ("at_mean", False)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else str(value)
