"""Settings: dataclass fields with a range, a unit and the paper's value, declared once and composed by experiments."""

import contextlib
import copy
import dataclasses
import itertools
import math
import operator
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from ib_jax.data import own
from ib_jax.paths import local_path

SCALES = ("learned", "unit")
PRECISIONS = ("float32", "bfloat16")
RESIDENT, GRAIN = "resident", "grain"
PIPELINES = (RESIDENT, GRAIN)

INPUT, FOLDER, FILE, EITHER = "input", "folder", "file", "file or folder"
"""What a path of this machine leads to: what is read, a folder in which is written, a file that is written, or the
one or the other as another setting says."""
DATA = "data"
"""The path is that of data of one's own, which will do beside `choices`; records keep its last part."""
OWN = "data of your own"
"""What values of presets for these are called."""
TRAINING, EVALUATION, NOTHING = "training", "evaluation", "nothing"
STAGES = {TRAINING: (TRAINING,), EVALUATION: (TRAINING, EVALUATION)}
"""What decides a thing on disk: a checkpoint by its training; a record, an attack's cache by evaluation as well."""

C = TypeVar("C", bound="Settings")
_BOUNDS = {"least": operator.ge, "above": operator.gt, "most": operator.le, "below": operator.lt}


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
    linear: bool = False,
    decides: str = TRAINING,
    objectives: tuple[str, ...] = (),
    local: bool = False,
    path: str = "",
) -> Any:
    """A dataclass field that becomes a flag.

    Args:
      default: its value where no preset and no flag says otherwise.
      help: what it is.
      unit: of the value.
      paper: the paper's value, or `OneOf` several; (settings) -> value, of which `note` then tells; None where it
        gives none.
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
      linear: whether ranges of a tuple, as `1..5:9`, have equal distances in place of equal ratios.
      decides: TRAINING, EVALUATION or NOTHING: what is not the same after a change.
      objectives: for which the setting matters at all; none: for all.
      local: whether it is of this machine, such as a folder; no record keeps it, and it decides nothing.
      path: INPUT, FOLDER, FILE or EITHER of a path of this machine, or of several with commas between; or DATA. `~`
        is resolved, and the address of a bucket refused.

    Returns:
      The field.
    """
    metadata = dict(locals())
    metadata |= {"empty": empty or default == (), "decides": NOTHING if local else decides}
    return dataclasses.field(default=metadata.pop("default"), metadata=metadata)


@typing.dataclass_transform(frozen_default=True)
class Settings:
    """Base of all groups: a subclass is a frozen dataclass, and the ranges of its fields are checked when one is made.

    Example:
      >>> class Epochs(Settings, group="Training"):
      ...     num_epochs: int = setting(10, "Length of training.", unit="epochs", least=1)
      >>> @configure(num_epochs=300, paper={"num_epochs": 200})
      ... class Config(Epochs):
      ...     depth: int = setting(2, "Layers.", least=1)
      >>> departures(Config())
      [Departure(name='num_epochs', ours=300, paper=200)]
      >>> Config(depth=0)
      Traceback (most recent call last):
      experiments.core.settings.SettingError: --depth must be at least 1, got 0
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    group: ClassVar[str] = "Settings"
    """The title of its fields in `--help`; set by `class Seed(Settings, group="Run")`, or in the class."""

    def __init_subclass__(cls, group: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if group:
            cls.group = group
        dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raises SettingError for a value out of range; a group with rules across fields calls this first."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata["path"] and value:
                parts = [value] if field.metadata["path"] == DATA else value.split(",")
                value = ",".join(_path(part, field) for part in parts)
                object.__setattr__(self, field.name, value)
            _check_field(field, value)


def _path(text: str, field: dataclasses.Field[Any]) -> str:
    try:
        if field.metadata["path"] == DATA:
            return own.full_name(text, f"--{field.name}")
        return str(local_path(text, f"--{field.name}"))
    except ValueError as error:
        raise SettingError(str(error)) from None


def _check_field(field: dataclasses.Field[Any], value: Any) -> None:
    many = isinstance(value, tuple | list)
    values, rule = (value if many else (value,)), field.metadata
    if many and not values and not rule["empty"]:
        raise SettingError(f"--{field.name} must not be empty")
    if rule["choices"] and not set(values) <= set(rule["choices"]) and not (rule["path"] == DATA and own.is_own(value)):
        raise SettingError(f"--{field.name} must be {allowed(field, rule['choices'])}, got {value!r}")
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    wrong = [number for number in numbers if not _fits(number, rule)]
    if wrong:
        usual = "finite" if any(map(math.isinf, wrong)) else _range(rule)
        raise SettingError(f"--{field.name} must {'each ' if many else ''}be {usual}, got {value}")
    if many and rule["increasing"] and any(not low < high for low, high in itertools.pairwise(values)):
        raise SettingError(f"--{field.name} must increase, got {value}")
    if many and rule["distinct"] and len(set(values)) < len(values):
        raise SettingError(f"--{field.name} must differ, got {value}")


def allowed(field: dataclasses.Field[Any], choices: Sequence[str]) -> str:
    """What a field with choices may be, for messages and `--help`."""
    return f"one of {', '.join(choices)}" + (f"; or {own.FORMS}" if field.metadata["path"] == DATA else "")


def _fits(number: float, rule: Mapping[str, Any]) -> bool:
    if math.isnan(number) or (math.isinf(number) and number not in (rule["least"], rule["most"])):
        return False
    return all(rule[bound] is None or holds(number, rule[bound]) for bound, holds in _BOUNDS.items())


def _range(rule: Mapping[str, Any]) -> str:
    least, above, most, below = (rule[bound] for bound in _BOUNDS)
    if math.inf in (least, most) or -math.inf in (least, most):
        return "a number"
    low, high = above if least is None else least, below if most is None else most
    if low is not None and high is not None:
        return f"in {'(' if least is None else '['}{low:g}, {high:g}{')' if most is None else ']'}"
    if low is not None:
        return f"at least {low:g}" if above is None else ("positive" if low == 0 else f"above {low:g}")
    return "finite" if high is None else f"{'at most' if below is None else 'below'} {high:g}"


def configure(**changes: Any) -> Callable[[type[C]], type[C]]:
    """Gives fields that a class composes the defaults, the paper's values, choices ... of one experiment.

    Args:
      **changes: a default by the field's name; or by an argument's name of `setting`, such as `paper` or `help`, a
        mapping from fields to what replaces it.

    Returns:
      A decorator of the class.

    Raises:
      TypeError: the class has no such field.
    """
    meta = {key: value for key, value in changes.items() if isinstance(value, Mapping)}
    defaults = {name: value for name, value in changes.items() if name not in meta}

    def decorate(cls: type[C]) -> type[C]:
        fields = dict(cls.__dataclass_fields__)
        changed = {name for by_field in (*meta.values(), defaults) for name in by_field}
        if unknown := sorted(changed - set(fields)):
            raise TypeError(f"{cls.__name__} has no setting {', '.join(unknown)}")
        for name in changed:
            own = {key: by_field[name] for key, by_field in meta.items() if name in by_field}
            fields[name] = field = copy.copy(fields[name])
            field.default = defaults.get(name, field.default)
            field.metadata = setting(field.default, **{**field.metadata, **own}).metadata
            setattr(cls, name, field.default)
        cls.__dataclass_fields__ = fields
        # What `dataclass` made takes its defaults from here, so it need not be made again.
        cls.__init__.__defaults__ = tuple(fields[field.name].default for field in dataclasses.fields(cls))
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
            ours = without_folder(field, ours)
            paper = paper(each) if callable(paper) else paper
            matters = paper is not None and (objective is None or not only or objective in only)
            if matters and ours not in (paper if isinstance(paper, OneOf) else (paper,)):
                found.append(Departure(field.name, ours, paper))
    return found


def as_dict(*settings: Settings) -> dict[str, Any]:
    """All settings by name, flat."""
    return {name: value for each in settings for name, value in dataclasses.asdict(each).items()}


def recorded(*settings: Settings) -> dict[str, Any]:
    """The same without those of this machine, as records keep them."""
    fields = {field.name: field for each in settings for field in dataclasses.fields(each)}
    values = as_dict(*settings).items()
    return {name: without_folder(fields[name], value) for name, value in values if not fields[name].metadata["local"]}


def without_folder(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value without the folder of this machine in which data of one's own lie."""
    return own.short_name(value) if field.metadata["path"] == DATA else value


@dataclasses.dataclass(frozen=True)
class Preset:
    """Values of `--preset=...`, over the defaults and under the flags that are given."""

    help: str
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_dataset: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """Further values, over the others, for the data set in force; those of OWN for data of one's own."""

    def on(self, dataset: str) -> dict[str, Any]:
        """The values on a data set."""
        key = OWN if dataset not in self.by_dataset and own.is_own(dataset) else dataset
        return dict(self.values) | dict(self.by_dataset.get(key, {})) | {"dataset": dataset}


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Makes a ValueError with which the library refuses sizes a SettingError; for that check alone."""
    try:
        yield
    except ValueError as error:
        raise SettingError(str(error)) from error
