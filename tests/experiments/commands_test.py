"""Every command in the READMEs and in the programs' `--help`: its flags are known, and it comes to its first step."""

import contextlib
import dataclasses
import functools
import pathlib
import re
import runpy
import shlex
import sys
from typing import NamedTuple

import jax
import numpy as np
import pytest
from absl import flags as absl_flags
from rich.console import Console

import experiments
from experiments.core import app, feature_cache, flags, workdir
from experiments.core.session import Session
from experiments.imagenet_features import run as of_features
from experiments.imdb_vub import encoder as text_encoder
from experiments.imdb_vub import run as of_texts
from ib_jax import data, training

HOUSE = pathlib.Path(experiments.__file__).parent
READMES = (HOUSE.parent / "README.md", HOUSE / "README.md")
DOCS = HOUSE.parent / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "records" not in page.parts and page.stem != "extend"]
PLACES = ("DIR", "WORKDIR", "FOLDER", "WORKDIR/encoder", "DIR,DIR", "run1,run2")
"""What a user fills in."""


class Program(NamedTuple):
    """What a `__main__.py` hands to `app.main`."""

    run: object
    classes: tuple
    options: dict


@functools.cache
def program(name):
    """Of an experiment; None for the one that is no `app`."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "main", lambda run, *classes, **options: found.append(Program(run, classes, options)))
        patch.setattr(sys, "argv", ["x", "--help"])
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None):
            runpy.run_module(f"experiments.{name}", run_name="__main__")
    return found[0] if found else None


def commands():
    """(experiment, flags) of every command, without those that stand for others."""
    texts = [path.read_text() for path in (*READMES, *PAGES)]
    texts += [re.search(r'"""(.*?)"""', path.read_text(), re.S)[1] for path in sorted(HOUSE.glob("*/__main__.py"))]
    found = []
    for text in texts:
        joined = re.sub(r"\\+\n\s*", " ", text)
        found += re.findall(r"python -m experiments\.([a-z]\w*)((?: +--?[^\s`|]+)*)", joined)
    found += re.findall(r"^\|.*?\| `([a-z]\w+)((?: +--[^\s`]+)*)`", READMES[1].read_text(), re.M)
    known = dict.fromkeys((name, tuple(shlex.split(text))) for name, text in found)
    return [(name, given) for name, given in known if name != "report" and not {"--help"} & set(given)]


def settings_of(name, given, folder):
    """The settings that the command line becomes."""
    values, own = absl_flags.FlagValues(), program(name)
    options = {key: own.options.get(key) for key in ("presets", "without") if own.options.get(key)}
    flags.define(*own.classes, app.Machine, flag_values=values, **options)
    filled = [re.sub(rf"=({'|'.join(PLACES)})$", f"={folder}", flag) for flag in given]
    values(["x", *filled])
    presets, adjust = own.options.get("presets"), own.options.get("adjust")
    return flags.from_flags(*own.classes, presets=presets, adjust=adjust, flag_values=values)


def spelled(command):
    return " ".join([command[0], *command[1]])


def test_the_commands_are_found():
    assert len(commands()) > 60
    names = {name for name, _ in commands()}
    assert names == {path.parent.name for path in HOUSE.glob("*/__main__.py")} - {"report"}


@pytest.mark.parametrize("command", commands(), ids=spelled)
def test_a_command_has_flags_that_there_are_and_values_that_will_do(command, tmp_path):
    settings = settings_of(*command, tmp_path)
    workdir.check_paths(*settings)
    assert len(settings) == len(program(command[0]).classes)


class ReachedError(Exception):
    """The first step was."""


NOTHING = {"mnist": (60_000, 10_000, (28, 28, 1)), "cifar10": (50_000, 10_000, (32, 32, 3))}
NOTHING |= {"tfds:svhn_cropped": (73_257, 26_032, (32, 32, 3)), "photos/": (900, 100, (32, 32, 3))}
NOTHING |= {"pets.npz": (900, 100, (5, 7, 3))}
ELSEWHERE = {"attack_comparison", "benchmark", "corruptions", "exact_ib", "feature_entropy", "theorems"}
ELSEWHERE |= {"text_attack_comparison"}
"""Of which nothing is trained by `training.fit`; their own tests run them."""
FROZEN = {"imagenet_features", "imdb_finetune", "imdb_vub"}
"""What begins with a network that someone else trained."""


def stand_in(name, **options):
    """A data set of its size, all black, which takes no memory."""
    num_train, num_test, shape = NOTHING[name]
    held_out = options.get("num_validation", 0)

    def split(count):
        return data.Split(np.zeros((count, *shape), np.uint8), (np.arange(count) % 10).astype(np.int32))

    return data.Dataset(name, split(num_train - held_out), split(held_out) if held_out else None, split(num_test), 10)


def first_step(state, run, *, placement=training.REPLICATED, **_):
    """In place of `training.fit`: the first stretch is traced, shapes and types and all, and not run."""
    jax.eval_shape(run, placement.put(state))
    raise ReachedError


def trains_in_memory(command):
    """Whether images that lie in memory are trained on."""
    return command[0] not in ELSEWHERE | FROZEN and not re.search("imagenet_ceb.*paper", spelled(command))


@pytest.mark.standard
@pytest.mark.parametrize("command", [each for each in commands() if trains_in_memory(each)], ids=spelled)
def test_a_command_comes_to_its_first_step(command, tmp_path, monkeypatch):
    load = data.load
    monkeypatch.setattr(data, "load", lambda name, *args, **own: (stand_in if name in NOTHING else load)(name, **own))
    monkeypatch.setattr(training, "fit", first_step)
    monkeypatch.setattr(training, "drive", lambda run, num_steps: run)
    monkeypatch.chdir(tmp_path)
    settings = settings_of(*command, tmp_path)
    with pytest.raises(ReachedError):
        program(command[0]).run(*settings, session=Session(command[0], "a test", Console(quiet=True)))


class NoImages:
    """ImageNet, all black."""

    def __init__(self, size):
        self._size = size

    def __len__(self):
        return 50_000

    def __getitem__(self, row):
        return data.Split(np.zeros((self._size, self._size, 3), np.uint8), np.int32(0))

    def read_rows(self, rows):
        return data.Split(np.zeros((len(rows), self._size, self._size, 3), np.uint8), np.zeros(len(rows), np.int32))


def first_pass(config, network, variables, num_features, sources, console, **_):
    """In place of `feature_cache.fill_caches`: two examples of each split go through the network."""
    for source in sources.values():
        features, labels = source.compute(variables, range(2), jax.devices()[0])
        assert (features.shape, labels.shape) == ((2, num_features), (2,))
    raise ReachedError


def others():
    """The commands left, each once; a workdir of ours as the network has its own test."""
    found = [each for each in commands() if each[0] not in ELSEWHERE and not trains_in_memory(each)]
    found = [(name, given) for name, given in found if "--trained=WORKDIR" not in given]
    once = {spelled((name, [flag for flag in given if "workdir" not in flag])): (name, given) for name, given in found}
    tiers = {text: pytest.mark.slow if re.search("imagenet.*paper", text) else pytest.mark.standard for text in once}
    return [pytest.param(command, id=text, marks=tiers[text]) for text, command in once.items()]


@pytest.mark.parametrize("command", others())
def test_a_command_with_imagenet_or_a_frozen_network_comes_to_its_first_pass(command, tmp_path, monkeypatch):
    """An image network of the size that the command names, with random weights; small batches and text encoders."""
    load, load_text, load_encoder, feed = data.load, data.load_text, text_encoder.load_encoder, training.feed
    monkeypatch.setattr(data, "load", lambda name, *args, **own: (stand_in if name in NOTHING else load)(name, **own))
    monkeypatch.setattr(data, "open_split", lambda name, split, *, image_size, **own: NoImages(image_size))
    monkeypatch.setattr(data, "open_train", lambda name, *, image_size, **own: NoImages(image_size))
    monkeypatch.setattr(data, "load_text", lambda name, **own: load_text("toy_reviews", **own))
    monkeypatch.setattr(text_encoder, "load_encoder", lambda name, *args, **own: load_encoder("random", *args, **own))
    monkeypatch.setattr(of_texts, "make_attack", lambda *args, **own: None)  # needs WordNet and nltk's stop words
    monkeypatch.setattr(of_features, "_NUM_CALIBRATION", 2)
    monkeypatch.setattr(feature_cache, "fill_caches", first_pass)
    monkeypatch.setattr(training, "fit", first_step)
    monkeypatch.setattr(training, "drive", lambda run, num_steps: run)
    monkeypatch.setattr(training, "feed", lambda batches: iter([next(feed(batches))]))  # now, and not while tracing
    monkeypatch.chdir(tmp_path)
    for name in ("train", "dev"):
        lines = "sentence\tlabel\n" + "a good film\t1\na bad film\t0\n" * 200
        pathlib.Path(f"{name}.tsv").write_text(lines, encoding="utf-8")
    small = {"feature_batch_size": 2, "weights": "none"}
    small |= {"batch_size": 8} if command[0] == "imagenet_ceb" else {}
    settings = [
        dataclasses.replace(each, **{name: value for name, value in small.items() if hasattr(each, name)})
        for each in settings_of(*command, tmp_path)
    ]
    with pytest.raises(ReachedError):
        program(command[0]).run(*settings, session=Session(command[0], "a test", Console(quiet=True)))
