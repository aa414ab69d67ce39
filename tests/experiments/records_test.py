from absl import flags as absl_flags

from experiments.core import flags, records
from experiments.mnist_vib.settings import Config, preset


def parse(*arguments):
    values = absl_flags.FlagValues()
    flags.define(Config, values)
    values(["program", *arguments])
    return flags.config_from_flags(Config, lambda given: preset(given.preset, given.dataset), values)


def test_flags_override_the_preset_and_the_preset_the_defaults():
    assert parse() == Config(**preset("quick", "digits"))
    paper = parse("--preset=paper", "--dataset=mnist", "--attack_epsilons=0.1,0.2", "--nofigures")
    assert (paper.num_epochs, paper.learning_rate) == (200, 1e-4)
    assert (paper.attack_epsilons, paper.figures) == ((0.1, 0.2), False)
    assert parse("--preset=paper", "--num_epochs=300").num_epochs == 300  # also where the flag repeats the default


def test_flags_can_be_defined_twice_in_one_process():
    assert parse("--seed=1").seed == 1
    assert parse("--seed=2").seed == 2


def test_the_environment_names_versions_machine_and_commit():
    environment = records.environment()
    assert environment["versions"]["jax"]
    assert environment["devices"]
    assert environment["machine"]["cores"] >= 1
    assert environment["commit"]


def test_the_command_line_is_quoted():
    assert records.command("experiments.x", ["--a=b c"]) == "python -m experiments.x '--a=b c'"
