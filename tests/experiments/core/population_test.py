"""Members of a population against the same models trained alone; programs, divergence, resuming, workdirs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core import runner, trained_model
from experiments.core.population import PopulationTrainer, curves, train_in_workdirs, train_population
from experiments.core.recipe import Recipe
from experiments.core.session import Session
from experiments.core.workdir import WorkdirError
from ib_jax import training
from tests.experiments.core import tiny

SESSION = Session("mnist_vib", "a test")
# A value of its own for everything, so that one that is not heeded, or another member's, shows. Some are whole numbers.
OWN = {
    "beta": np.array([1e-3, 0.5, 0.02]), "learning_rate": np.array([1e-2, 3e-3, 3e-2]),
    "weight_decay": np.array([0, 5, 2]), "seed": np.array([0, 3, 1]),
}  # fmt: skip
VARY = tuple(OWN)
MEMBERS = [
    dataclasses.replace(tiny.CONFIG, **{name: values[index].item() for name, values in OWN.items()})
    for index in range(3)
]
STRENGTHS = [
    ({"objective": "ceb"}, {"rho": [8, 1]}),
    ({"objective": "ceb", "schedule": "linear_gamma"}, {"rho": [8.0, 0.5]}),
    ({"objective": "vib", "schedule": "linear_rho"}, {"beta": [1e-3, 0.5]}),
    ({"objective": "label_smoothing"}, {"label_smoothing": [0, 1]}),
    ({"objective": "confidence_penalty"}, {"confidence_penalty": [0.0, 2.0]}),
]


def trainer(folder, hyperparams=OWN, **settings):
    return PopulationTrainer(tiny.recipe(), hyperparams, folder, SESSION, title="test", **settings)


def assert_close(mine, theirs):
    for got, expected in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-4, atol=1e-6)


def without_times(history):
    volatile = ("seconds", "images_per_second")
    return [{name: value for name, value in row.items() if name not in volatile} for row in history]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("population")


@pytest.fixture(scope="module")
def together(folder):
    return train_population(tiny.recipe(), MEMBERS, folder, SESSION, vary=VARY, title="test")


@pytest.mark.standard
@pytest.mark.parametrize("index", [1, 2])
def test_a_member_is_the_model_trained_alone(together, tmp_path, index):
    member, alone = together[index], runner.train(Recipe(MEMBERS[index], tiny.DATASET), tmp_path, SESSION)
    assert member.settings == MEMBERS[index]
    assert member.summary["diverged_at"] == -1
    assert_close(member.params, alone.params)
    assert_close([row["train"] for row in member.history], [row["train"] for row in alone.history])
    for split in ("validation", "test"):
        assert_close(member.summary[split], alone.summary[split])
    assert [row["step"] for row in member.evaluations] == [4, 8, 12]
    assert_close(member.evaluations[-1]["test"], alone.summary["test"])


@pytest.mark.parametrize("settings, hyperparams", STRENGTHS, ids=[" ".join(each.values()) for each, _ in STRENGTHS])
def test_every_strength_and_schedule_is_the_members_own(settings, hyperparams):
    """The loss of each member of a population, and its rho, are those of its own settings."""
    first, params = tiny.recipe(**settings), tiny.recipe(**settings).init().params
    keys, batch = jax.random.split(jax.random.key(0), 10), [field[:10] for field in tiny.TRAIN]

    def of(recipe, own):
        schedule = recipe.functions.schedule(recipe.config, recipe.steps_per_epoch, own)
        rhos = [] if schedule is None else [schedule.value(schedule.init(), step) for step in (0, 3, 11)]
        loss = recipe.functions.loss(recipe.config, recipe.model, recipe.class_probabilities, own)
        return jnp.stack([loss(params, keys, *batch, *rhos[-1:]).loss.mean(), *rhos])

    ((name, values),) = hyperparams.items()
    together = jax.vmap(lambda own: of(first, own))({name: jnp.asarray(values, jnp.float32)})
    apart = [of(tiny.recipe(**settings, **{name: value}), {}) for value in values]
    np.testing.assert_allclose(together, apart, rtol=1e-5)
    assert abs(together[0] - together[1]).max() > 1e-2  # the strength matters


@pytest.mark.standard
def test_a_schedule_that_looks_at_the_training_goes_its_way_for_each_member():
    settings = {"objective": "ceb", "schedule": "gated_rho"}
    recipe, alone = tiny.recipe(**settings), tiny.recipe(**settings, rho=0.5)
    population = training.init_population(recipe.init, {"rho": np.array([8.0, 0.5])})
    together, one, state = jax.jit(recipe.run_population(None)), jax.jit(alone.epoch(None, 1)), alone.init()
    for _ in range(10):  # stretches of two steps: rho has left 100 by then
        population, metrics = together(population, tiny.BATCH)
        state, trace = one(state, tiny.BATCH)
        assert_close(jax.tree.map(lambda leaf: leaf[1], metrics), trace)
    assert_close(training.member(population, 1).params, state.params)
    assert metrics["rho"][0, -1] != metrics["rho"][1, -1]


@pytest.mark.standard
def test_members_that_take_turns_are_the_same(together):
    recipe = tiny.recipe()
    in_turns = jax.jit(recipe.run_population(2))  # of three members
    _, metrics = in_turns(training.init_population(recipe.init, OWN), tiny.BATCH)
    assert_close(
        [metrics["loss"][index].mean() for index in range(3)], [each.history[0]["train"]["loss"] for each in together]
    )


@pytest.fixture
def two_programs(monkeypatch):
    plan = training.plan_programs

    def of_two(num_members, footprint, *, free_bytes, num_devices):
        room = int((footprint.shared + 2.5 * footprint.member) / 0.9)
        return plan(num_members, footprint, free_bytes=room, num_devices=num_devices)

    monkeypatch.setattr(training, "plan_programs", of_two)


@pytest.mark.slow
def test_a_stopped_population_of_two_programs_goes_on_to_the_same_end(together, tmp_path, monkeypatch, two_programs):
    with pytest.MonkeyPatch.context() as patch:
        tiny.stop_after(patch, 3)
        assert trainer(tmp_path).train() is None
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["plan.json", "program0"]
    monkeypatch.undo()  # there is more memory now, but what was begun keeps its programs
    resumed = trainer(tmp_path)
    assert resumed.plan.members_per_program == 2
    found = resumed.train()
    assert sorted(path.name for path in tmp_path.glob("program*")) == ["program0", "program1"]
    for mine, theirs in zip(found, together, strict=True):
        assert_close(mine.params, theirs.params)
        assert mine.settings == {name: getattr(theirs.settings, name) for name in OWN}
        assert_close(without_times(mine.history), without_times(theirs.history))


@pytest.mark.standard
def test_a_member_that_diverges_stands_still_and_the_others_go_on(together, tmp_path):
    rates = np.array([1e-2, 1e30, 3e-2])
    fallen = trainer(tmp_path, OWN | {"learning_rate": rates}).train()
    assert [model.summary["diverged_at"] for model in fallen] == [-1, 2, -1]
    for index in (0, 2):
        assert_close(fallen[index].params, together[index].params)
    start = tiny.recipe().init({name: jnp.asarray(values[1]) for name, values in OWN.items()})
    assert_close(fallen[1].params, training.averaged_params(start, tiny.CONFIG.average_decay))
    assert curves(fallen[1].history)["loss"] == [None] * 6


@pytest.fixture(scope="module")
def in_workdirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workdirs")
    members = [
        dataclasses.replace(tiny.CONFIG, beta=beta, seed=seed, workdir=str(folder / f"{beta}_{seed}"))
        for beta, seed in [(0.5, 3), (0.02, 1)]
    ]
    settings = {"vary": ("beta", "seed"), "title": "test"}
    trained = train_in_workdirs(tiny.recipe(), members, folder / "population", SESSION, **settings)
    return folder, members, trained


@pytest.mark.standard
def test_a_member_has_a_workdir_as_if_trained_alone(in_workdirs, tmp_path):
    folder, members, trained = in_workdirs
    alone = runner.train(tiny.recipe(beta=0.02, seed=1), tmp_path, SESSION)
    workdir = folder / "0.02_1"
    opened = runner.train(tiny.recipe(beta=0.02, seed=1, workdir=str(workdir)), workdir, SESSION)  # is finished
    assert_close(opened.params, alone.params)
    assert_close(opened.summary["test"], alone.summary["test"])
    assert_close([row["train"] for row in opened.history], [row["train"] for row in alone.history])
    record = trained_model.read_results(workdir)
    details = record.models[0].details
    assert (record.settings["beta"], details["num_members"], details["steps"]) == (0.02, 2, 12)
    assert trained[1].settings == members[1]


@pytest.mark.standard
def test_other_settings_are_refused(in_workdirs):
    folder, members, _ = in_workdirs
    others = [dataclasses.replace(member, learning_rate=0.5) for member in members]
    with pytest.raises(WorkdirError, match=r"--learning_rate: 0\.01 there, 0\.5 now"):
        train_in_workdirs(tiny.recipe(), others, folder / "other", SESSION, vary=("beta", "seed"), title="test")
    assert not (folder / "other").exists()


@pytest.mark.standard
def test_a_population_in_a_folder_is_found_again(together, folder, monkeypatch):
    monkeypatch.setattr(training, "fit", lambda *args, **settings: pytest.fail("trained again"))
    settings = {"vary": VARY, "title": "test"}
    found = train_population(tiny.recipe(), MEMBERS, folder, SESSION, **settings)
    assert [model.settings for model in found] == MEMBERS
    assert_close([model.params for model in found], [model.params for model in together])
    other = [dataclasses.replace(member, latent_dim=4) for member in MEMBERS]
    with pytest.raises(WorkdirError, match=r"--latent_dim: 3 there, 4 now"):
        train_population(tiny.recipe(), other, folder, SESSION, **settings)
