"""Data of one's own in the commands: what `--dataset` takes, what records keep of it, and three small cases."""

import dataclasses
import io
import pathlib

import jax
import numpy as np
import pytest
from absl import flags as absl_flags
from rich.console import Console

from experiments import mnist_vib
from experiments.cifar10_ceb import run as cifar10_ceb
from experiments.cifar10_ceb.settings import AttackSettings, Cifar10Config, SweepSettings
from experiments.core import drawing, flags, records, trained_model, workdir
from experiments.core.recipe import Recipe, load_dataset, with_checksum
from experiments.core.session import Session
from experiments.core.settings import OWN, Preset, SettingError, departures, recorded
from experiments.core.workdir import WorkdirError
from experiments.information_curve import run as curve
from experiments.information_curve.settings import CurveConfig
from experiments.mnist_vib import PRESETS, Config
from experiments.mnist_vib.plane import latent_planes
from ib_jax.data.own import HELD_OUT
from tests.data.own_data import prepare, saved
from tests.experiments.core import tiny

NAMES = ["ant", "bee", "cat"]
LABELS = np.arange(40) % 3
IMAGES = np.random.default_rng(0).integers(0, 100, (40, 8, 8, 3)) + 50 * LABELS[:, None, None, None]
IMAGES = IMAGES.astype(np.uint8)
SMALL = {"num_epochs": 1, "batch_size": 10, "num_eval_samples": 2}
VIB = SMALL | {"hidden_width": 8, "latent_dim": 2, "epochs_per_eval": 1, "num_attack_images": 0}


@pytest.fixture
def dataset(tmp_path):
    return saved(tmp_path, x=IMAGES, y=LABELS, class_names=np.array(NAMES))


def changed(dataset):
    """Other images in the same file."""
    saved(pathlib.Path(dataset).parent, x=255 - IMAGES, y=LABELS, class_names=np.array(NAMES))


def session(name):
    return Session(name, "a test", Console(file=io.StringIO(), width=200))


def parsed(*given, classes=(Config,), presets=PRESETS):
    values = absl_flags.FlagValues()
    flags.define(*classes, presets=presets, flag_values=values)
    values(["x", *given])
    return flags.from_flags(*classes, presets=presets, flag_values=values)[0]


@pytest.mark.parametrize(
    ("given", "full", "short"),
    [
        ("mnist", "mnist", "mnist"),
        ("~/pets.npz", str(pathlib.Path("~/pets.npz").expanduser()), "pets.npz"),
        ("/a,b/pets", "/a,b/pets/", "pets/"),
        ("tfds:emnist/letters", "tfds:emnist/letters", "tfds:emnist/letters"),
    ],
)
def test_a_dataset_is_a_known_name_or_of_the_users_own_and_records_name_no_folder(given, full, short):
    config = parsed(f"--dataset={given}")
    assert config.dataset == full
    assert recorded(config)["dataset"] == short
    assert {each.ours for each in departures(config) if each.name == "dataset"} == {short} - {"mnist"}
    assert Config(dataset=recorded(config)["dataset"]).dataset == short  # reports make settings of records


@pytest.mark.parametrize("config", [Config, Cifar10Config])
@pytest.mark.parametrize(("value", "message"), [
    ("svhn", r"--dataset must be one of digits, .*; or a .npz file, a folder .*\(pets/\), or tfds:NAME, got 'svhn'"),
    ("s3://x/y.npz", "--dataset must be a folder or file of this machine, got 's3://x/y.npz'"),
])  # fmt: skip
def test_another_dataset_is_refused(config, value, message):
    with pytest.raises(SettingError, match=message):
        config(dataset=value)


def test_a_preset_has_values_for_data_of_ones_own():
    preset = Preset("", {"num_epochs": 3}, {"digits": {"num_epochs": 2}, OWN: {"num_epochs": 1}})
    assert [preset.on(name)["num_epochs"] for name in ("digits", "mnist", "x.npz", "tfds:svhn_cropped")] == [2, 3, 1, 1]
    assert parsed("--dataset=x.npz").num_epochs == 20
    assert parsed("--dataset=x.npz", "--num_epochs=7").num_epochs == 7
    assert (parsed("--dataset=x.npz", "--preset=paper").num_epochs, parsed("--preset=paper").dataset) == (200, "mnist")


def test_what_was_made_of_data_goes_on_wherever_they_lie_and_not_with_others(tmp_path):
    made = Config(dataset="/there/pets.npz", data_checksum="1")
    workdir.write_config(tmp_path, made)
    workdir.check_workdir(tmp_path, dataclasses.replace(made, dataset="/here/pets.npz"))
    with pytest.raises(WorkdirError, match="--data_checksum: 1 there, 2 now"):
        workdir.check_workdir(tmp_path, dataclasses.replace(made, data_checksum="2"))
    with pytest.raises(WorkdirError, match=r"--dataset: pets.npz there, dogs.npz now"):
        workdir.check_workdir(tmp_path, dataclasses.replace(made, dataset="/there/dogs.npz"))


def test_the_checksum_is_that_of_what_is_found(dataset):
    config = Config(dataset=dataset)
    found = load_dataset(config)
    pinned = with_checksum(config, found)
    assert (pinned, len(found.checksum)) == (dataclasses.replace(config, data_checksum=found.checksum), 16)
    assert with_checksum(pinned, found) == pinned
    with pytest.raises(SettingError, match=rf"--data_checksum is 12, .*own.npz holds now has {found.checksum}"):
        with_checksum(dataclasses.replace(config, data_checksum="12"), found)
    assert with_checksum(Config(), load_dataset(Config())) == Config()


def test_what_is_wrong_with_the_data_is_told_of_the_flag(tmp_path):
    with pytest.raises(SettingError, match=r"--dataset is '.*none.npz', and there is no such file"):
        load_dataset(Config(dataset=str(tmp_path / "none.npz")))
    with pytest.raises(SettingError, match=r"own.npz: x is int64"):
        load_dataset(Config(dataset=saved(tmp_path, x=IMAGES.astype(int), y=LABELS)))


@pytest.mark.parametrize(("images", "settings", "message"), [
    (IMAGES.reshape(40, -1), {}, r"own.npz has inputs uint8 \[192\], .*: inputs must be images \[B, H, W, C\]"),
    (IMAGES[..., :1], {"augment": "flip_crop"}, r"own.npz has inputs uint8 \[8, 8, 1\], .*must be one image \[H, W,"),
    (IMAGES / 255, {"augment": "flip_crop"}, r"own.npz has inputs float32 \[8, 8, 3\], .*must be uint8 in 0..255"),
])  # fmt: skip
def test_shapes_that_do_not_fit_leave_nothing_behind(images, settings, message, tmp_path):
    name = saved(tmp_path, x=images, y=LABELS)
    config = Cifar10Config(dataset=name, workdir=str(tmp_path / "workdir"), **settings, **SMALL)
    for sweep in (SweepSettings(baseline=False), SweepSettings(rhos=(1.0, 2.0), baseline=False)):
        with pytest.raises(SettingError, match=f"--dataset={message}"):
            cifar10_ceb.run(config, sweep, AttackSettings(), session("cifar10_ceb"))
    assert not (tmp_path / "workdir").exists()


def test_an_mlp_takes_inputs_of_any_shape(tmp_path):
    for images in (IMAGES.reshape(40, -1), IMAGES[..., 0], IMAGES / 255):
        config = Config(dataset=saved(tmp_path, x=images, y=LABELS), batch_size=10)
        Recipe(config, load_dataset(config)).check()


@pytest.mark.standard
@pytest.mark.parametrize("form", ["npz", "tfds"])
def test_mnist_vib(form, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "draw", lambda *_: None)
    if form == "tfds":
        from PIL import Image

        rows = [{"image": Image.fromarray(i[:6, :5]), "label": int(n)} for i, n in zip(IMAGES, LABELS, strict=True)]
        prepare(tmp_path / "data", {"train": rows})
        dataset = "tfds:own_set"
    own = {"dataset": dataset, "data_dir": str(tmp_path / "data"), "workdir": str(tmp_path / "run")}
    own |= {"npz": {"num_attack_images": 4, "attack_steps": 1, "attack_epsilons": ()}, "tfds": {}}[form]
    config = Config(**VIB | own)
    record = mnist_vib.train(config, session("mnist_vib"))
    name = {"npz": "own.npz", "tfds": "tfds:own_set"}[form]
    (model,) = records.read(tmp_path / "run" / "results.json").models
    shape = {"npz": [8, 8, 3], "tfds": [6, 5, 3]}[form]
    described = {"num_train": 32, "num_test": 8, "input_shape": shape, "num_classes": 3, "class_names": NAMES}
    assert model.details["data"] == described | {"test_split": HELD_OUT}
    assert model.details["codes"]["class_names"] == NAMES
    assert (record.settings["dataset"], len(record.settings["data_checksum"])) == (name, 16)
    assert str(tmp_path) not in (tmp_path / "run" / "results.json").read_text()
    assert f"VIB on {name}" in (tmp_path / "run" / "table.md").read_text()
    opened = trained_model.open_model(tmp_path / "run")
    assert jax.tree.leaves(opened.params)
    if form == "npz":
        changed(dataset)
        with pytest.raises(WorkdirError, match=r"--data_checksum: \w{16} there, \w{16} now"):
            mnist_vib.train(config, session("mnist_vib"))
        trained_model._dataset.cache_clear()
        with pytest.raises(
            SettingError, match=r"--data_checksum is \w{16}, and what --dataset=.*own.npz holds now has"
        ):
            trained_model.open_recipe(tmp_path / "run")


@pytest.mark.standard
def test_both_pipelines_take_the_same_batches_of_data_of_ones_own(dataset, tmp_path):
    made = []
    for pipeline in ("resident", "grain"):
        own = {"dataset": dataset, "workdir": str(tmp_path / pipeline), "figures": False, "input_pipeline": pipeline}
        made.append(mnist_vib.train(Config(**VIB, **own), session("mnist_vib")))
    first, second = (record.models[0].values_at(split="test") for record in made)
    np.testing.assert_allclose(list(first.values()), list(second.values()), rtol=1e-5)


@pytest.mark.standard
def test_information_curve(dataset, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(drawing, "draw", lambda figure, frame, path: drawn.update({path.name: figure}))
    sizes = CurveConfig(betas=(1e-3, 0.1), latent_dims=(2,))
    config = Config(**VIB, dataset=dataset, workdir=str(tmp_path / "run"))
    (record,) = curve.run(sizes, config, session("information_curve"))
    assert record.settings["dataset"] == "own.npz"
    assert record.details["data"]["class_names"] == tuple(NAMES)
    parts = [part for panel in drawn["figure1.png"].panels for part in (panel, *getattr(panel, "args", ()))]
    (level,) = next(each.levels for each in parts if getattr(each, "levels", ()))
    assert level.value == np.log2(3)
    changed(dataset)
    with pytest.raises(WorkdirError, match=r"--data_checksum: \w{16} there, \w{16} now"):
        curve.run(sizes, config, session("information_curve"))


@pytest.mark.slow
def test_cifar10_ceb(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "draw", lambda *_: None)
    monkeypatch.setattr(cifar10_ceb, "FUNCTIONS", cifar10_ceb.FUNCTIONS._replace(network=tiny.image_network))
    few = {"pgd_steps": 1, "num_eot_samples": 2, "num_attack_images": 4, "num_square_images": 2, "num_queries": 2}
    attack = AttackSettings(linf_epsilons=(8.0,), l2_epsilons=(64.0,), num_corrupted_images=0, **few)
    config = Cifar10Config(**SMALL, dataset=dataset, workdir=str(tmp_path / "run"))
    results = cifar10_ceb.run(config, SweepSettings(baseline=False), attack, session("cifar10_ceb"))
    (record,) = records.load(results)
    (model,) = record.models
    assert (model.settings["dataset"], model.details["data"]["num_test"]) == ("own.npz", 8)
    assert "CEB on own.npz" in (results / "table.md").read_text()
    assert str(tmp_path) not in (results / f"{record.file}.json").read_text()
    changed(dataset)
    with pytest.raises(WorkdirError, match=r"--data_checksum: \w{16} there, \w{16} now"):
        cifar10_ceb.run(config, SweepSettings(baseline=False), attack, session("cifar10_ceb"))


def test_the_plane_of_codes_names_as_many_classes_as_there_are():
    from matplotlib.figure import Figure

    def legend(count, **names):
        labels = np.arange(count)
        codes = {"labels": labels.tolist(), "mean": np.eye(2)[labels % 2], "cholesky": np.ones((count, 3))}
        codes |= {"extent": [0, 1, 0, 1], "entropy_bits": np.zeros((2, 2)), **names}
        canvas = Figure()
        latent_planes([("title", codes)], "x.png").draw(canvas, None)
        limits = canvas.axes[0].images[0].get_clim()
        return [text.get_text() for text in canvas.legends[0].get_texts()], limits

    assert legend(3) == (["0", "1", "2"], (0, np.log2(10)))  # a record of before there were names
    assert legend(3, class_names=NAMES) == (NAMES, (0, np.log2(3)))
    many = [f"class {index}" for index in range(200)]
    assert legend(200, class_names=many) == (many[:20], (0, np.log2(200)))
