"""absl flags made from a frozen dataclass, defined only when a program starts, with a `--help` in groups."""

import dataclasses
import math
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from absl import app, flags, logging
from rich.console import Console
from rich.table import Table

C = TypeVar("C")


def setting(
    default: Any,
    group: str,
    help: str,
    *,
    unit: str = "",
    paper: str = "",
    choices: tuple[str, ...] = (),
    decides: str = "training",
) -> Any:
    """A dataclass field that becomes a flag; `decides` says what its value has an effect on."""
    metadata = {"group": group, "help": help, "unit": unit, "paper": paper, "choices": choices, "decides": decides}
    return dataclasses.field(default=default, metadata=metadata)


def define(config_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for each field of the dataclass."""
    types = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        kwargs: dict[str, Any] = {"flag_values": flag_values}
        name, help, default = field.name, field.metadata["help"], field.default
        assert default is not dataclasses.MISSING
        if field.metadata["choices"]:
            flags.DEFINE_enum(name, default, field.metadata["choices"], help, **kwargs)
        elif types[name] is bool:
            flags.DEFINE_bool(name, default, help, **kwargs)
        elif types[name] is int:
            flags.DEFINE_integer(name, default, help, **kwargs)
        elif types[name] is float:
            flags.DEFINE_float(name, default, help, **kwargs)
        elif types[name] is str:
            flags.DEFINE_string(name, default, help, **kwargs)
        else:
            parser = _NumberListParser(typing.get_args(types[name])[0])
            flags.DEFINE(parser, name, default, help, serializer=_NumberListSerializer(), **kwargs)


def config_from_flags(
    config_class: type[C],
    preset: Callable[[flags.FlagValues], dict[str, object]] = lambda flag_values: {},
    flag_values: flags.FlagValues = flags.FLAGS,
) -> C:
    """The configuration: the defaults, over them the preset's values, over them the flags that were given."""
    values = preset(flag_values)
    values |= {
        field.name: getattr(flag_values, field.name)
        for field in dataclasses.fields(config_class)  # type: ignore[arg-type]
        if flag_values[field.name].present
    }
    return config_class(**values)


def only(config_class: type, values: Mapping[str, Any]) -> dict[str, object]:
    """Those of the values that are fields of this dataclass; a preset may be for several."""
    names = {field.name for field in dataclasses.fields(config_class)}
    return {name: value for name, value in values.items() if name in names}


def given(*names: str, flag_values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Which of the flags stand on the command line."""
    return [name for name in names if flag_values[name].present]


def print_help(config_classes: Sequence[type], description: str, console: Console) -> None:
    """Prints what the program does, and its flags by group with unit, default and the paper's value."""
    console.print(description.strip(), markup=False, highlight=False)
    groups: dict[str, list[dataclasses.Field[Any]]] = {}
    for field in (field for config_class in config_classes for field in dataclasses.fields(config_class)):
        groups.setdefault(field.metadata["group"], []).append(field)
    for group, fields in groups.items():
        table = Table(title=f"\n{group}", title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in ("flag", "default", "paper"):
            table.add_column(column, no_wrap=column == "flag", header_style="dim")
        table.add_column("what it is", header_style="dim", ratio=1)
        for field in fields:
            default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
            text = field.metadata["help"]
            if field.metadata["choices"]:
                text += f" One of {', '.join(field.metadata['choices'])}."
            if field.metadata["unit"]:
                text += f" Unit: {field.metadata['unit']}."
            table.add_row(f"--{field.name}", default or "-", field.metadata["paper"] or "-", text)
        console.print(table, highlight=False)


def run_app(
    main: Callable[[Sequence[str]], Any], config_class: type, description: str, more: Sequence[type] = ()
) -> None:
    """Defines the flags, of `more` dataclasses too, parses the command line and calls `main`; `--help` prints them."""
    for each in (config_class, *more):
        define(each)
    logging.set_verbosity(logging.WARNING)  # orbax tells every step of every save at the level below

    def parse(argv: list[str]) -> list[str]:
        if {"--help", "-help", "-h", "--helpfull", "--helpshort"} & set(argv[1:]):
            print_help((config_class, *more), description, Console())
            sys.exit(0)
        rest = app.parse_flags_with_usage(argv)
        if rest[1:]:
            sys.exit(f"Unexpected arguments: {' '.join(rest[1:])}. Settings are flags: --name=value; see --help.")
        return rest

    app.run(main, flags_parser=parse)


class _NumberListParser(flags.ArgumentParser):
    syntactic_help = "numbers with commas between; a..b is one for each power of ten, a..b:n are n of equal ratio"

    def __init__(self, kind: type = float):
        self._kind = kind

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
        low, high = (math.log10(float(end)) for end in ends.split(".."))
        number = int(count) if count else round(high - low) + 1
        if number < 2 or low >= high:
            raise ValueError
        # Through decimal, so that 1e-9..1 is 1e-09 and not 9.999999999999999e-10.
        return [float(f"{10 ** (low + (high - low) * index / (number - 1)):.6g}") for index in range(number)]

    def flag_type(self) -> str:
        return "numbers"


class _NumberListSerializer(flags.ArgumentSerializer):
    def serialize(self, value: Sequence[float]) -> str:
        return ",".join(map(str, value))
