"""Settings: dataclass fields with a range, a unit and the paper's value, declared once and composed by experiments."""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

RATE_OBJECTIVES = ("vib", "vub")
RESIDUAL_OBJECTIVES = ("ceb", "consistent_ceb")
BOTTLENECKS = RATE_OBJECTIVES + RESIDUAL_OBJECTIVES
SCALES = ("learned", "unit")
PRECISIONS = ("float32", "bfloat16")
RESIDENT, GRAIN = "resident", "grain"
PIPELINES = (RESIDENT, GRAIN)

TRAINING, EVALUATION, NOTHING = "training", "evaluation", "nothing"
STAGES = {TRAINING: (TRAINING,), EVALUATION: (TRAINING, EVALUATION)}
"""What decides a thing on disk: a checkpoint by its training; a record, an attack's cache by evaluation as well."""

C = TypeVar("C")


class SettingError(ValueError):
    """A setting that will not do; the message begins with `--name`."""


class OneOf(tuple[Any, ...]):
    """Values of which the paper has each somewhere."""

    def __new__(cls, *values: Any) -> "OneOf":
        return super().__new__(cls, values)


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    paper: Any = None,
    note: str = "",
    choices: tuple[str, ...] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    increasing: bool = False,
    distinct: bool = False,
    empty: bool = False,
    decides: str = TRAINING,
    objectives: tuple[str, ...] = (),
    local: bool = False,
) -> Any:
    """A dataclass field that becomes a flag.

    Args:
      default: its value where no preset and no flag says otherwise.
      help: what it is.
      unit: of the value.
      paper: the paper's value, or `OneOf` several; None where it gives none.
      note: what else the paper says, for `--help`.
      choices: the values allowed.
      least: the least value, as `above`, `most` and `below` of a number or of each in a tuple. NaN is refused, and
        infinity unless a bound is infinite.
      above: what the value must exceed.
      most: the largest value.
      below: what the value must not reach.
      increasing: whether a tuple must increase.
      distinct: whether a tuple's values must differ.
      empty: whether a tuple may be empty.
      decides: TRAINING, EVALUATION or NOTHING: what is not the same after a change.
      objectives: for which the setting matters at all; none: for all.
      local: whether it is of this machine, such as a folder; no record keeps it, and it decides nothing.

    Returns:
      The field.
    """
    metadata = {
        "help": help, "unit": unit, "paper": paper, "note": note, "choices": choices, "least": least, "above": above,
        "most": most, "below": below, "increasing": increasing, "distinct": distinct, "empty": empty or default == (),
        "decides": NOTHING if local else decides, "objectives": objectives, "local": local,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all groups; the ranges of its fields are checked when one is made.

    Example:
      >>> @dataclasses.dataclass(frozen=True)
      ... class Epochs(Settings, group="Training"):
      ...     num_epochs: int = setting(10, "Length of training.", unit="epochs", least=1)
      >>> @configure(num_epochs=300, paper={"num_epochs": 200})
      ... @dataclasses.dataclass(frozen=True)
      ... class Config(Epochs):
      ...     depth: int = setting(2, "Layers.", least=1)
      >>> departures(Config())
      [Departure(name='num_epochs', ours=300, paper=200)]
      >>> Config(depth=0)
      Traceback (most recent call last):
      experiments.core.settings.SettingError: --depth must be at least 1, got 0
    """

    group: ClassVar[str] = "Settings"
    """The title of its fields in `--help`; set by `class Seed(Settings, group="Run")`, or in the class."""

    def __init_subclass__(cls, group: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if group:
            cls.group = group

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raises SettingError for a value out of range; a group with rules across fields calls this first."""
        for field in dataclasses.fields(self):
            _check_field(field, getattr(self, field.name))


def _check_field(field: dataclasses.Field[Any], value: Any) -> None:
    many = isinstance(value, tuple | list)
    values, rule = (value if many else (value,)), field.metadata
    if many and not values and not rule["empty"]:
        raise SettingError(f"--{field.name} must not be empty")
    if rule["choices"] and not set(values) <= set(rule["choices"]):
        raise SettingError(f"--{field.name} must be one of {', '.join(rule['choices'])}, got {value!r}")
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    wrong = [number for number in numbers if not _fits(number, rule)]
    if wrong:
        allowed = "finite" if any(map(math.isinf, wrong)) else _range(rule)
        raise SettingError(f"--{field.name} must {'each ' if many else ''}be {allowed}, got {value}")
    if many and rule["increasing"] and any(not low < high for low, high in itertools.pairwise(values)):
        raise SettingError(f"--{field.name} must increase, got {value}")
    if many and rule["distinct"] and len(set(values)) < len(values):
        raise SettingError(f"--{field.name} must differ, got {value}")


def _fits(number: float, rule: Mapping[str, Any]) -> bool:
    least, above, most, below = (rule[bound] for bound in ("least", "above", "most", "below"))
    if math.isnan(number) or (math.isinf(number) and number not in (least, most)):
        return False
    return (
        (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    )


def _range(rule: Mapping[str, Any]) -> str:
    least, above, most, below = (rule[bound] for bound in ("least", "above", "most", "below"))
    if math.inf in (least, most) or -math.inf in (least, most):
        return "a number"
    low, high = above if least is None else least, below if most is None else most
    if low is not None and high is not None:
        return f"in {'(' if least is None else '['}{low:g}, {high:g}{')' if most is None else ']'}"
    if low is not None:
        return f"at least {low:g}" if above is None else ("positive" if low == 0 else f"above {low:g}")
    return "finite" if high is None else f"{'at most' if below is None else 'below'} {high:g}"


def configure(
    *,
    help: Mapping[str, str] | None = None,
    unit: Mapping[str, str] | None = None,
    paper: Mapping[str, Any] | None = None,
    note: Mapping[str, str] | None = None,
    choices: Mapping[str, tuple[str, ...]] | None = None,
    least: Mapping[str, float | None] | None = None,
    above: Mapping[str, float | None] | None = None,
    most: Mapping[str, float | None] | None = None,
    below: Mapping[str, float | None] | None = None,
    empty: Mapping[str, bool] | None = None,
    increasing: Mapping[str, bool] | None = None,
    decides: Mapping[str, str] | None = None,
    **defaults: Any,
) -> Callable[[type[C]], type[C]]:
    """Gives fields that a dataclass composes the defaults, paper's values, choices ... of one experiment.

    Args:
      help: by field; as the other mappings it replaces what `setting` was given.
      **defaults: by field.

    Returns:
      A decorator, to stand above `@dataclasses.dataclass(frozen=True)`.

    Raises:
      TypeError: the class has no such field.
    """
    given = locals()
    meta = {key: value for key, value in given.items() if key != "defaults" and value is not None}

    def decorate(cls: type[C]) -> type[C]:
        fields: dict[str, dataclasses.Field[Any]] = dict(cls.__dataclass_fields__)  # type: ignore[attr-defined]
        unknown = sorted({name for changes in (*meta.values(), defaults) for name in changes} - set(fields))
        if unknown:
            raise TypeError(f"{cls.__name__} has no setting {', '.join(unknown)}")
        for name, old in fields.items():
            changes = {key: value[name] for key, value in meta.items() if name in value}
            if not changes and name not in defaults:
                continue
            default = defaults.get(name, old.default)
            new = setting(default, **dict(old.metadata) | changes)
            new.name, new.type, new._field_type = old.name, old.type, old._field_type  # type: ignore[attr-defined]
            new.kw_only = old.kw_only
            fields[name] = new
            setattr(cls, name, default)
        cls.__dataclass_fields__ = fields  # type: ignore[attr-defined]
        # What `dataclass` made takes its defaults from here, so it need not be made again.
        cls.__init__.__defaults__ = tuple(fields[field.name].default for field in dataclasses.fields(cls))  # type: ignore[arg-type]
        return cls

    return decorate


class Departure(NamedTuple):
    """A setting whose value is not the paper's."""

    name: str
    ours: Any
    paper: Any

    def __str__(self) -> str:
        paper = " or ".join(map(str, self.paper)) if isinstance(self.paper, OneOf) else self.paper
        return f"{self.name} {self.ours}, in the paper {paper}"


def departures(*settings: Settings) -> list[Departure]:
    """The settings in which a run differs from the paper, by what the fields' metadata say of it."""
    objective = next((each.objective for each in settings if hasattr(each, "objective")), None)
    found = []
    for each in settings:
        for field in dataclasses.fields(each):
            ours, paper, only = getattr(each, field.name), field.metadata["paper"], field.metadata["objectives"]
            matters = paper is not None and (objective is None or not only or objective in only)
            if matters and ours not in (paper if isinstance(paper, OneOf) else (paper,)):
                found.append(Departure(field.name, ours, paper))
    return found


def as_dict(*settings: Settings) -> dict[str, Any]:
    """All settings by name, flat."""
    return {name: value for each in settings for name, value in dataclasses.asdict(each).items()}


def recorded(*settings: Settings) -> dict[str, Any]:
    """The same without those of this machine, as records keep them."""
    local = {field.name for each in settings for field in dataclasses.fields(each) if field.metadata["local"]}
    return {name: value for name, value in as_dict(*settings).items() if name not in local}


@dataclasses.dataclass(frozen=True)
class Preset:
    """Values of `--preset=...`, over the defaults and under the flags that are given."""

    help: str
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_dataset: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """Further values, over the others, for the data set in force."""

    def on(self, dataset: str) -> dict[str, Any]:
        """The values on a data set."""
        return dict(self.values) | dict(self.by_dataset.get(dataset, {})) | {"dataset": dataset}


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Makes a ValueError with which the library refuses sizes a SettingError; for that check alone."""
    try:
        yield
    except ValueError as error:
        raise SettingError(str(error)) from error
