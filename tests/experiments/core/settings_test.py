"""Ranges, composition, presets and departures, on settings made up here."""

import dataclasses
import math

import pytest

from experiments.core import groups
from experiments.core.image_settings import OneRho
from experiments.core.settings import (
    NOTHING,
    OneOf,
    Preset,
    SettingError,
    Settings,
    as_dict,
    configure,
    departures,
    refusing,
    setting,
)
from experiments.imdb_vub.settings import TextFiles


class Ranges(Settings):
    count: int = setting(2, "Count.", least=1)
    share: float = setting(0.5, "Share.", least=0, below=1)
    rate: float = setting(1.0, "Rate.", above=0)
    cap: float = setting(1.0, "Cap.", most=2)
    free: float = setting(0.0, "Free.")
    any: float = setting(0.0, "Any.", least=-math.inf, most=math.inf)
    radii: tuple[float, ...] = setting((0.1, 0.2), "Radii.", above=0, increasing=True)
    seeds: tuple[int, ...] = setting((), "Seeds.", least=0, distinct=True)
    kind: str = setting("a", "Kind.", choices=("a", "b"))
    on: bool = setting(True, "On.")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "--count must be at least 1, got 0"),
        ({"share": 1.0}, "--share must be in [0, 1), got 1.0"),
        ({"share": -0.1}, "--share must be in [0, 1), got -0.1"),
        ({"share": math.nan}, "--share must be in [0, 1), got nan"),
        ({"rate": 0.0}, "--rate must be positive, got 0.0"),
        ({"rate": math.inf}, "--rate must be finite, got inf"),
        ({"cap": 2.5}, "--cap must be at most 2, got 2.5"),
        ({"cap": -math.inf}, "--cap must be finite, got -inf"),
        ({"free": math.inf}, "--free must be finite, got inf"),
        ({"free": math.nan}, "--free must be finite, got nan"),
        ({"any": math.nan}, "--any must be a number, got nan"),
        ({"radii": (0.1, math.nan)}, "--radii must each be positive, got (0.1, nan)"),
        ({"radii": (0.1, math.inf)}, "--radii must each be finite, got (0.1, inf)"),
        ({"radii": (0.2, 0.1)}, "--radii must increase, got (0.2, 0.1)"),
        ({"radii": ()}, "--radii must not be empty"),
        ({"seeds": (1, 1)}, "--seeds must differ, got (1, 1)"),
        ({"seeds": (-1,)}, "--seeds must each be at least 0, got (-1,)"),
        ({"kind": "c"}, "--kind must be one of a, b, got 'c'"),
    ],
)
def test_what_is_out_of_range_is_refused_by_flag(settings, message):
    with pytest.raises(SettingError) as caught:
        Ranges(**settings)
    assert str(caught.value) == message


def test_the_ends_of_ranges_are_in_them():
    Ranges(count=1, share=0.0, cap=2.0, radii=(0.1,), seeds=(), kind="b")
    for value in (math.inf, -math.inf):
        assert Ranges(any=value).any == value


@configure(
    dataset="mnist",
    num_epochs=3,
    paper={"num_epochs": 200, "batch_size": OneOf(16, 100), "beta": 1e-3, "rho": 2.0},
    choices={"dataset": ("digits", "mnist")},
    help={"seed": "Of everything."},
    decides={"num_epochs": NOTHING},
    least={"num_epochs": 2},
)
class Composed(groups.Run, groups.Data, groups.Objective, groups.Beta, groups.Rho, groups.Fit):
    depth: int = setting(2, "Layers.", paper=2)


def test_configure_changes_one_class_and_not_its_group():
    fields = Composed.__dataclass_fields__
    assert (Composed().num_epochs, Composed().dataset, Composed(num_epochs=5).num_epochs) == (3, "mnist", 5)
    assert fields["num_epochs"].metadata["decides"] == NOTHING
    assert fields["num_epochs"].metadata["unit"] == "epochs"
    assert fields["seed"].metadata["help"] == "Of everything."
    assert groups.Epochs().num_epochs == 10
    assert groups.Epochs(num_epochs=1).num_epochs == 1
    with pytest.raises(SettingError, match="--num_epochs must be at least 2"):
        Composed(num_epochs=1)
    with pytest.raises(SettingError, match="--dataset must be one of digits, mnist, got 'cifar10'"):
        Composed(dataset="cifar10")


def test_a_configured_class_is_configured_again_and_replaced():
    @configure(num_epochs=7)
    class Again(Composed):
        width: int = setting(1, "Width.")

    assert (Again().num_epochs, Again().dataset, Composed().num_epochs) == (7, "mnist", 3)
    assert dataclasses.replace(Again(width=2), depth=4) == Again(depth=4, width=2)


def test_configure_refuses_names_that_are_none():
    for wrong in ({"num_epoch": 1}, {"paper": {"num_epoch": 1}}, {"help": {"beta_": ""}}):
        with pytest.raises(TypeError, match="Plain has no setting"):

            @configure(**wrong)
            class Plain(groups.Epochs):
                pass


def test_rules_of_all_groups_are_checked():
    class Odd(Settings):
        odd: int = setting(1, "Odd.")

        def check(self):
            super().check()
            if self.odd % 2 == 0:
                raise SettingError("--odd must be odd")

    class Both(groups.Epochs, Odd, TextFiles):
        pass

    for settings, flag in (({"odd": 2}, "--odd"), ({"num_epochs": 0}, "--num_epochs"), ({"test_file": "x"}, "--train")):
        with pytest.raises(SettingError, match=flag):
            Both(**settings)


def test_departures_are_those_that_matter():
    def names(**settings):
        return [departure.name for departure in departures(Composed(**settings))]

    assert names(num_epochs=200) == []
    assert names() == ["num_epochs"]
    assert names(num_epochs=200, batch_size=16) == []
    assert names(num_epochs=200, batch_size=17) == ["batch_size"]
    assert names(num_epochs=200, beta=0.1) == ["beta"]  # vib
    assert names(num_epochs=200, beta=0.1, objective="cross_entropy") == []
    assert names(num_epochs=200, beta=0.1, objective="ceb") == ["rho"]
    assert names(num_epochs=200, depth=3) == ["depth"]
    (one,) = departures(Composed(num_epochs=200, batch_size=17))
    assert (one.ours, tuple(one.paper), str(one)) == (17, (16, 100), "batch_size 17, in the paper 16 or 100")


def test_the_objective_of_one_group_counts_for_another():
    class Weight(Settings):
        weight: float = setting(1.0, "Weight.", paper=2.0, objectives=("vib",))

    assert departures(Composed(num_epochs=200, objective="ceb", rho=2.0), Weight()) == []
    assert [each.name for each in departures(Composed(num_epochs=200), Weight())] == ["weight"]


def test_a_preset_has_values_by_data_set():
    preset = Preset("p", {"dataset": "mnist", "a": 1, "b": 1}, {"mnist": {"b": 2}, "cifar10": {"a": 3, "c": 4}})
    assert preset.on("mnist") == {"dataset": "mnist", "a": 1, "b": 2}
    assert preset.on("cifar10") == {"dataset": "cifar10", "a": 3, "b": 1, "c": 4}
    assert preset.on("digits") == {"dataset": "digits", "a": 1, "b": 1}


def test_strength_and_name_of_an_objective():
    assert (Composed(beta=0.01).name, Composed(beta=0.01).strength) == ("vib_beta0.01", "beta = 0.01")
    assert (Composed(objective="ceb", rho=2.0).name, Composed(objective="cross_entropy").name) == (
        "ceb_rho2",
        "cross_entropy",
    )

    class ByRho(groups.Objective, OneRho):
        pass

    assert (ByRho(rho=0.0).name, ByRho(rho=0.0).beta) == ("vib_rho0", 0.5)


def test_the_library_s_word_on_sizes_becomes_a_setting_s():
    with pytest.raises(SettingError, match="batch_size must be"), refusing():
        raise ValueError("batch_size must be 1")
    with pytest.raises(KeyError), refusing():
        raise KeyError("x")


def test_all_settings_flat():
    assert as_dict(groups.Seed(seed=1), groups.Epochs()) == {"seed": 1, "num_epochs": 10}
