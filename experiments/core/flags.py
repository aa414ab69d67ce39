"""absl flags made from composed settings, defined only when a program starts, with a `--help` in groups."""

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

from experiments.core.settings import DATA, OneOf, Preset, Settings, allowed

Adjust = Callable[[dict[str, Any], flags.FlagValues], dict[str, Any]]
"""(a preset's values, the flags) -> the values, for flags that scale a preset."""
BOUNDS = {"least": "at least", "above": "above", "most": "at most", "below": "below"}
_DEFINE: dict[Any, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}
NO_BOUNDS = (None, math.inf, -math.inf)


def define(
    *classes: type[Settings],
    presets: Mapping[str, Preset] | None = None,
    without: Collection[str] = (),
    flag_values: flags.FlagValues = flags.FLAGS,
) -> None:
    """Defines one absl flag for each field but those of `without`; `preset` takes its choices from `presets`."""
    for cls in classes:
        types = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            name, kind, choices = field.name, types[field.name], _choices(field, presets)
            given: dict[str, Any] = {"default": field.default, "help": field.metadata["help"]}
            given["flag_values"] = flag_values
            if name in without:
                continue
            if choices and kind is str and field.metadata["path"] != DATA:
                flags.DEFINE_enum(name, enum_values=choices, **given)
            elif kind in _DEFINE:
                _DEFINE[kind](name, **given)
            else:
                parser = _NumberListParser(typing.get_args(kind)[0], linear=field.metadata["linear"])
                flags.DEFINE(parser, name, serializer=_NumberListSerializer(), **given)


def _choices(field: dataclasses.Field[Any], presets: Mapping[str, Preset] | None) -> tuple[str, ...]:
    return tuple(presets) if field.name == "preset" and presets else field.metadata["choices"]


def from_flags(
    *classes: type[Settings],
    presets: Mapping[str, Preset] | None = None,
    adjust: Adjust | None = None,
    flag_values: flags.FlagValues = flags.FLAGS,
) -> list[Any]:
    """One of each class: the defaults, over them the preset's values, over them the flags that were given.

    Raises:
      TypeError: a preset has a value for no field.
      SettingError: a value is out of range.
    """
    values: dict[str, Any] = {}
    if presets:
        preset, dataset = presets[flag_values.preset], flag_values["dataset"]
        values = preset.on(str(dataset.value if dataset.present else preset.values.get("dataset", dataset.value)))
    if adjust is not None:
        values = adjust(values, flag_values)
    names = [{field.name for field in dataclasses.fields(cls)} for cls in classes]
    unknown = sorted(set(values).difference(*names))
    if unknown:
        raise TypeError(f"the preset has values for {', '.join(unknown)}, which are no settings")
    given = {name for name in flag_values if flag_values[name].present}
    values |= {name: getattr(flag_values, name) for name in given}
    return [cls(**{name: values[name] for name in own & set(values)}) for cls, own in zip(classes, names, strict=True)]


def grouped(*classes: type[Settings], without: Collection[str] = ()) -> dict[str, list[dataclasses.Field[Any]]]:
    """All fields by the title of their group, in the order in which the classes compose them."""
    groups: dict[str, list[dataclasses.Field[Any]]] = {}
    for cls in classes:
        fields = {field.name: field for field in dataclasses.fields(cls) if field.name not in without}
        for base in _composed(cls):
            for name in inspect.get_annotations(base):
                if name in fields:
                    groups.setdefault(base.group, []).append(fields.pop(name))
    return groups


def _composed(cls: type) -> Iterator[Any]:
    """What a class is composed of, in the order written, and the class itself."""
    for base in cls.__bases__:
        yield from _composed(base)
    if issubclass(cls, Settings):
        yield cls


def print_help(
    *classes: type[Settings],
    doc: str,
    console: Console,
    presets: Mapping[str, Preset] | None = None,
    without: Collection[str] = (),
) -> None:
    """Prints what the program does, its flags by group with default and the paper's value, and the presets."""
    console.print(doc.strip(), markup=False)
    for group, fields in grouped(*classes, without=without).items():
        table = Table(title=f"\n{group}", title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in ("flag", "default", "paper"):
            table.add_column(column, no_wrap=column == "flag", header_style="dim")
        table.add_column("what it is", header_style="dim", ratio=1)
        for field in fields:
            what = _what(field, _choices(field, presets))
            table.add_row(f"--{field.name}", _text(field.default) or "-", _paper(field), what)
        console.print(table, highlight=False, markup=False)
    for name, preset in (presets or {}).items():
        console.print(f"\n--preset={name}: {preset.help}", markup=False)
        for where, values in [("", preset.values), *((f"on {d}: ", v) for d, v in preset.by_dataset.items())]:
            if values:
                listed = " ".join(f"--{flag}={_text(value)}" for flag, value in values.items())
                console.print(f"    {where}{listed}", markup=False, highlight=False, soft_wrap=True)


def _text(value: Any) -> str:
    if isinstance(value, OneOf):
        return " or ".join(map(_text, value))
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _paper(field: dataclasses.Field[Any]) -> str:
    paper, note = field.metadata["paper"], field.metadata["note"]
    shown = [_text(paper)] if paper is not None and not callable(paper) else []
    return "; ".join([*shown, note] if note else shown) or "-"


def _what(field: dataclasses.Field[Any], choices: Sequence[str]) -> str:
    text = field.metadata["help"]
    if choices:
        text += f" {allowed(field, choices).replace('one', 'One', 1)}."
    low = [f"{word} {field.metadata[key]:g}" for key, word in BOUNDS.items() if field.metadata[key] not in NO_BOUNDS]
    if low and not choices:
        text += f" Allowed: {' and '.join(low)}."
    if field.metadata["unit"]:
        text += f" Unit: {field.metadata['unit']}."
    return text


class _NumberListParser(flags.ArgumentParser):
    def __init__(self, kind: type = float, *, linear: bool = False):
        self._kind, self._linear = kind, linear
        ranges = "whole numbers between, a..b:n are n of equal distance"
        if not linear:
            ranges = "one for each power of ten, a..b:n are n of equal ratio"
        self.syntactic_help = f"numbers with commas between; a..b are {ranges}"

    def parse(self, argument: str | Sequence[float]) -> tuple[float, ...]:
        if not isinstance(argument, str):
            return tuple(argument)
        try:
            parts = [part.strip() for part in argument.split(",") if part.strip()]
            return tuple(value for part in parts for value in self._values(part))
        except ValueError:
            raise ValueError(f"must be numbers with commas between, such as 0.1,0.2, got {argument!r}") from None

    def _values(self, part: str) -> list[float]:
        if ".." not in part:
            return [self._kind(part)]
        ends, _, count = part.partition(":")
        low, high = (float(end) if self._linear else math.log10(float(end)) for end in ends.split(".."))
        number = int(count) if count else round(high - low) + 1
        if number < 2 or low >= high:
            raise ValueError
        values = (low + (high - low) * index / (number - 1) for index in range(number))
        # Through decimal, so that 1e-9..1 is 1e-09 and not 9.999999999999999e-10.
        return [float(f"{value if self._linear else 10**value:.6g}") for value in values]

    def flag_type(self) -> str:
        return "numbers"


class _NumberListSerializer(flags.ArgumentSerializer):
    def serialize(self, value: Sequence[float]) -> str:
        return ",".join(map(str, value))
