"""From composed settings to flags, presets and `--help`."""

import dataclasses
import io

import pytest
from absl import flags as absl
from rich.console import Console

from experiments.core import flags, groups
from experiments.core.image_sweep import RhoSweep
from experiments.core.settings import OneOf, Preset, SettingError, configure, setting

PRESETS = {
    "quick": Preset("A second.", by_dataset={"mnist": {"num_epochs": 4}}),
    "paper": Preset("As printed.", {"dataset": "mnist", "num_epochs": 200}, {"digits": {"num_epochs": 50}}),
}


@configure(
    choices={"dataset": ("digits", "mnist")},
    paper={"dataset": "mnist", "num_epochs": 200, "batch_size": OneOf(16, 100)},
    note={"batch_size": "by text"},
)
class Model(groups.Run, groups.Dataset, groups.Figures, groups.Fit):
    group = "Lists"

    radii: tuple[float, ...] = setting((0.1, 0.2), "Radii.", unit="pixels", above=0)
    counts: tuple[int, ...] = setting((1,), "Counts.")


class More(groups.Eot):
    pass


def parse(*arguments, presets=PRESETS, **more):
    values = absl.FlagValues()
    flags.define(Model, More, presets=presets, flag_values=values)
    values(["program", *arguments])
    return flags.from_flags(Model, More, presets=presets, flag_values=values, **more)


def test_flags_go_over_the_preset_and_the_preset_over_the_defaults():
    assert parse() == [Model(), More()]
    model, more = parse("--preset=paper", "--radii=0.3,0.5", "--nofigures", "--num_eot_samples=3", "--counts=2,3")
    assert (model.dataset, model.num_epochs, model.radii, model.figures) == ("mnist", 200, (0.3, 0.5), False)
    assert (model.preset, model.counts, more.num_eot_samples) == ("paper", (2, 3), 3)
    assert parse("--preset=paper", "--num_epochs=10")[0].num_epochs == 10  # also where the flag repeats the default


@pytest.mark.parametrize(
    ("arguments", "dataset", "num_epochs"),
    [
        ([], "digits", 10),
        (["--dataset=mnist"], "mnist", 4),
        (["--preset=paper"], "mnist", 200),
        (["--preset=paper", "--dataset=digits"], "digits", 50),
    ],
)
def test_a_preset_knows_the_data_set_in_force(arguments, dataset, num_epochs):
    model = parse(*arguments)[0]
    assert (model.dataset, model.num_epochs) == (dataset, num_epochs)


def test_flags_can_scale_a_preset():
    def scaled(values, given):
        return values | {"batch_size": values.get("num_epochs", 10) * given.num_eot_samples}

    assert parse("--preset=paper", "--num_eot_samples=2", adjust=scaled)[0].batch_size == 400
    assert parse("--preset=paper", "--batch_size=3", adjust=scaled)[0].batch_size == 3


def test_mistakes_are_answered():
    with pytest.raises(SettingError, match="--num_epochs must be at least 1"):
        parse("--num_epochs=0")
    with pytest.raises(absl.IllegalFlagValueError, match="quick\\|paper"):
        parse("--preset=none")
    with pytest.raises(absl.IllegalFlagValueError, match="must be numbers with commas between"):
        parse("--radii=a,b")
    with pytest.raises(absl.UnrecognizedFlagError, match="num_epochz"):
        parse("--num_epochz=1")
    with pytest.raises(TypeError, match="the preset has values for depth, which are no settings"):
        parse(presets={"quick": Preset("", {"depth": 1})})


@pytest.mark.parametrize(
    ("text", "values"),
    [("1e-3..1", (0.001, 0.01, 0.1, 1.0)), ("1..100:3,7", (1.0, 10.0, 100.0, 7.0)), ("0.5", (0.5,))],
)
def test_lists_of_numbers(text, values):
    assert parse(f"--radii={text}")[0].radii == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..4", (1.0, 2.0, 3.0, 4.0)),
        ("-1..5:25", tuple(-1 + 0.25 * place for place in range(25))),
        ("0..0.3:4,9", (0.0, 0.1, 0.2, 0.3, 9.0)),
    ],
)
def test_ranges_of_what_may_be_negative_are_linear(text, values):
    own = absl.FlagValues()
    flags.define(RhoSweep, flag_values=own)
    own(["program", f"--rhos={text}"])
    assert flags.from_flags(RhoSweep, flag_values=own)[0].rhos == values


def test_settings_that_are_no_flags():
    values = absl.FlagValues()
    flags.define(Model, without=("radii",), flag_values=values)
    assert "radii" not in values
    values(["program"])
    assert flags.from_flags(Model, flag_values=values) == [Model()]


def test_help_is_in_groups_with_units_ranges_the_paper_s_values_and_presets():
    text = io.StringIO()
    flags.print_help(Model, More, doc="What it does.", console=Console(file=text, width=200), presets=PRESETS)
    text = text.getvalue()
    assert text.startswith("What it does.")
    titles = ["\nRun", "\nData", "\nTraining", "\nLists", "\nAttacks"]
    assert sorted(map(text.index, titles)) == list(map(text.index, titles))
    for field in (*dataclasses.fields(Model), *dataclasses.fields(More)):
        assert text.count(f"\n--{field.name} ") == 1
    line = {row.split()[0]: row for row in text.splitlines() if row.startswith("--")}
    assert "16 or 100; by text" in line["--batch_size"]
    assert "0.1,0.2" in line["--radii"]
    assert "Radii. Allowed: above 0. Unit: pixels." in line["--radii"]
    assert "One of quick, paper." in line["--preset"]
    assert "--preset=paper: As printed.\n    --dataset=mnist --num_epochs=200\n    on digits: --num_epochs=50" in text
