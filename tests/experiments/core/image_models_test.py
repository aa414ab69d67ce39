"""A record of an image model is used again only for the same settings, attacks and model."""

import dataclasses

import pytest

from experiments.cifar10_ceb import Config
from experiments.core import image_models, records
from experiments.core.image_models import ImageModel, measure_models
from experiments.core.image_settings import AttackSettings
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import as_dict
from experiments.core.workdir import WorkdirError
from ib_jax import training

ATTACK = AttackSettings(num_attack_images=4)
FILE = "ceb_rho3_seed0.json"
TRAINED = [Measurement({"split": "test"}, {"error_mean": 0.25})]


def leave(workdir, config, measurements=TRAINED, seconds=1.0):
    """A trained model's results.json."""
    model = Model(config.name, config.seed, measurements, details={"training_seconds": seconds})
    settings = {name: value for name, value in as_dict(config).items() if name not in ("workdir", "data_dir")}
    records.write(workdir / "results.json", Record("cifar10_ceb", "python -m x --workdir=/a/b", settings, [model]))


def measure(config, results, attack=ATTACK):
    model = ImageModel(config, "WRN-10-1", lambda: pytest.fail("data were loaded"))
    measure_models([model], [attack], results, Session("test"), attack=attack)


@pytest.fixture
def measured(tmp_path):
    """A model with its record."""
    config = Config(workdir=str(tmp_path))
    leave(tmp_path, config)
    model = ImageModel(config, "WRN-10-1", lambda: None)
    image_models._open_record(model, [ATTACK], tmp_path, Session("test", "a test")).finish(None)
    return config, tmp_path


def test_a_record_says_what_its_model_was_trained_with_and_no_path_of_this_machine(measured):
    config, folder = measured
    (model,) = (record := records.read(folder / FILE)).models
    assert record.settings["l2_epsilons"] == [32.0, 64.0, 128.0, 255.0]
    assert (model.settings["network"], model.settings["rho"]) == ("WRN-10-1", config.rho)
    assert model.details["training"]["command"] == "python -m x --workdir=b"
    assert {each["name"] for each in record.departures} >= {"depth", "num_attack_images"}
    assert str(folder) not in (folder / FILE).read_text()


def test_a_model_with_a_record_is_not_measured_again(measured):
    measure(*measured)


@pytest.mark.parametrize(
    "changes", [{"pgd_steps": 3}, {"num_queries": 7}, {"attack_batch_size": 2}, {"l2_epsilons": (1.0,)}]
)
def test_a_record_made_with_other_attacks_is_refused(measured, changes):
    with pytest.raises(WorkdirError, match=rf"--{next(iter(changes))}: .* there, .* now"):
        measure(*measured, dataclasses.replace(ATTACK, **changes))


def test_a_record_of_other_training_or_evaluation_is_refused(measured):
    config, folder = measured
    for changes in ({"learning_rate": 0.5}, {"num_eval_samples": 2}):
        with pytest.raises(WorkdirError, match=rf"--{next(iter(changes))}: .* there, .* now"):
            measure(dataclasses.replace(config, **changes), folder)


@pytest.mark.parametrize(
    "again", [{"seconds": 2.0}, {"measurements": [Measurement({"split": "test"}, {"error": 0.5})]}]
)
def test_a_record_of_a_model_that_was_trained_again_is_refused(measured, again):
    config, folder = measured
    leave(folder, config, **again)
    with pytest.raises(WorkdirError, match="made of another model than the one in"):
        measure(config, folder)


def test_what_process_0_writes_is_there_when_another_reads(measured, monkeypatch):
    """Others come to the meeting before process 0 has written results.json."""
    config, folder = measured
    results, steps = (folder / "results.json").read_text(), []
    (folder / "results.json").unlink()

    def meet(number):
        steps.append("meet")
        (folder / "results.json").write_text(results)
        return number

    monkeypatch.setattr(training, "from_main", meet)
    own = image_models._open_record
    monkeypatch.setattr(image_models, "_open_record", lambda *args: steps.append("read") or own(*args))
    measure(config, folder)
    assert steps == ["meet", "read", "meet"]
