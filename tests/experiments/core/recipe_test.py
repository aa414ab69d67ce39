"""A recipe's networks, steps and data: what the settings change, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments import cifar10_ceb, ib_adversarial_training, imagenet_ceb
from experiments.core import adversary, networks, objectives, optimizers
from experiments.core.recipe import VIB, Recipe, Streamed, load_dataset
from experiments.imagenet_ceb.settings import PRESETS
from ib_jax import data, promotion
from ib_jax.objectives import BOTTLENECKS, RESIDUAL_OBJECTIVES
from ib_jax.types import GaussianMixture
from tests.experiments.core import tiny

AGAINST = ib_adversarial_training.Config(
    batch_size=10, scale_width=1 / 64, num_layers=1, latent_dim=2, adversary_steps=2, num_epochs=1
)


@pytest.mark.parametrize("settings", [{}, {"steps_per_call": 0}, {"batch_size": 9, "steps_per_call": 0}])
def test_sizes(settings):
    recipe = tiny.recipe(**settings)
    assert recipe.steps_per_epoch == 4  # 40 images
    assert recipe.steps_per_call == (settings.get("steps_per_call", 2) or 4)
    assert recipe.num_steps == 12
    recipe.check()
    assert recipe.whole


def test_a_seed_of_its_own_goes_before_the_configured_one():
    own, other = tiny.recipe().init({"seed": 5}), tiny.recipe(seed=5).init()
    jax.tree.map(np.testing.assert_array_equal, own.params, other.params)
    assert not np.array_equal(jax.tree.leaves(own.params)[-1], jax.tree.leaves(tiny.recipe().init().params)[-1])


@pytest.mark.parametrize("objective", ["vib", "ceb", "consistent_ceb", "cross_entropy"])
@pytest.mark.parametrize("network", ["mlp", "cnn_mlp", "all_cnn"])
def test_the_objective_decides_what_is_around_an_encoder(objective, network):
    config = dataclasses.replace(AGAINST, objective=objective, network=network)
    model = networks.stacked(config, np.array([0.25, 0.75]))
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    residual = objective in RESIDUAL_OBJECTIVES
    assert ("backward" in shapes, "decoder" in shapes) == (residual, objective != "consistent_ceb")
    prior = jax.eval_shape(model.prior, shapes)
    assert isinstance(prior, GaussianMixture) == residual
    assert config.stochastic == (objective in BOTTLENECKS)


@pytest.mark.standard
def test_any_experiment_can_train_against_an_adversary_and_each_changes_the_loss():
    class Against(type(tiny.CONFIG)):
        adversary_radius, adversary_steps, adversary_fraction = 0.2, 2, 0.5

    recipe, losses = tiny.recipe(), []
    params, keys = recipe.init_params(jax.random.key(0)), jax.random.split(jax.random.key(0), 10)
    plain = recipe.functions.loss(recipe.config, recipe.model, recipe.class_probabilities, {})
    for name, consistency in [("none", 0.0), ("fgsm", 0.0), ("bim", 0.0), ("pgd", 0.0), ("pgd", 2.0)]:
        own = type("Own", (Against,), {"adversary": name, "consistency": consistency})
        loss_fn, perturb = adversary.against(own(), recipe.model, plain)

        @jax.jit
        def loss_of(inputs, labels, loss_fn=loss_fn, perturb=perturb):
            inputs = inputs if perturb is None else perturb(params, keys, inputs, labels)
            return loss_fn(params, keys, inputs, labels).loss.mean()

        losses.append(float(loss_of(*(field[:10] for field in tiny.TRAIN))))
    assert len(set(losses)) == 5
    assert min(losses) == losses[0]


def test_the_adam_of_ceb_drops_at_a_third_two_thirds_and_five_sixths():
    config = cifar10_ceb.Config(num_epochs=6, learning_rate=1.0, weight_decay=0.0)
    sizes = sizes_of(optimizers.stepped_adam(config, 10, {}), 60)
    np.testing.assert_allclose(
        [sizes[i] for i in (0, 19, 21, 39, 41, 49, 51)], [1, 1, 0.3, 0.3, 0.09, 0.09, 0.027], 1e-3
    )


def test_the_sgd_of_ceb_rises_and_drops_as_in_the_paper():
    fields = {field.name for field in dataclasses.fields(imagenet_ceb.Config)}
    paper = {name: value for name, value in PRESETS["paper"].on("imagenet2012").items() if name in fields}
    config = imagenet_ceb.Config(**paper | {"momentum": 0.0, "weight_decay": 0.0})
    assert (config.top_rate, config.num_epochs) == (1.6, 270)
    sizes = sizes_of(optimizers.stepped_sgd(config, 2, {}), 540)
    epochs = [0, 4.5, 50, 89.5, 90.5, 179.5, 180.5, 239.5, 240.5]
    found = [sizes[int(2 * epoch)] for epoch in epochs]
    np.testing.assert_allclose(found, [0.16, 1.6, 1.6, 1.6, 0.16, 0.16, 0.016, 0.016, 0.0016], rtol=1e-4)


def sizes_of(optimizer, num_steps):
    """Of the updates by a gradient of one."""
    params = {"kernel": np.ones((1, 1), np.float32)}
    state, update, sizes = optimizer.init(params), jax.jit(optimizer.update), []
    for _ in range(num_steps):
        with promotion.of_others():
            updates, state = update({"kernel": np.ones((1, 1), np.float32)}, state, params)
        sizes.append(-float(updates["kernel"][0, 0]))
    return sizes


def test_a_members_own_rates_go_before_the_configured_ones():
    config = dataclasses.replace(tiny.CONFIG, learning_rate=0.5, weight_decay=0.25)
    assert optimizers.rates(config, {"learning_rate": 2.0, "beta": 1.0}) == {"learning_rate": 2.0, "weight_decay": 0.25}


def test_only_kernels_decay():
    decayed = optimizers.kernels({"kernel": np.ones((3, 3, 1, 1)), "bias": np.ones(3), "factor": np.ones(())})
    assert decayed == {"kernel": True, "bias": False, "factor": False}


def test_schedules_are_none_where_the_strength_is_constant():
    assert VIB.schedule(tiny.CONFIG, 4, {}) is None
    assert VIB.schedule(dataclasses.replace(tiny.CONFIG, schedule="gated_rho"), 4, {}) is not None
    config = cifar10_ceb.Config(schedule="constant")
    assert objectives.jump_start(config, 4, {}) is not None
    assert objectives.jump_start(dataclasses.replace(config, objective="cross_entropy"), 4, {}) is None


def test_what_does_not_fit_into_memory_is_streamed_or_refused():
    sources = [data.ArraySource(split) for split in (tiny.TRAIN, tiny.VALIDATION, tiny.TEST)]
    recipe = Recipe(tiny.CONFIG, Streamed("large", *sources, 4, (3, 3, 1)))
    assert recipe.num_examples == 40
    np.testing.assert_array_equal(recipe.class_probabilities, np.full(4, 0.25))
    jax.tree.map(np.testing.assert_array_equal, recipe.first_test(5), tiny.recipe().first_test(5))
    assert len(recipe.first_test(99).labels) == 13
    with pytest.raises(ValueError, match="--input_pipeline must be grain for large"):
        recipe.resident()


def test_images_are_cut_to_those_that_are_trained_on():
    config = ib_adversarial_training.Config(num_train_images=64)
    assert len(load_dataset(config).train.labels) == 64
    assert len(load_dataset(tiny.CONFIG).train.labels) > 1000


def test_the_rate_falls_in_stairs_or_along_half_a_cosine_to_zero():
    config = dataclasses.replace(tiny.CONFIG, num_epochs=4, learning_rate=1e-2, decay_rate=0.5, epochs_per_decay=1.0)
    rates = {}
    for decay in (optimizers.STAIRCASE, optimizers.COSINE):
        adam = optimizers.decayed_adam(dataclasses.replace(config, decay=decay), 5, {"learning_rate": 0.02})
        params, found = {"w": np.ones(2, np.float32)}, []
        state = adam.init(params)
        for _ in range(21):
            _, state = adam.update(params, state, params)
            found.append(float(state.hyperparams["learning_rate"]))
        rates[decay] = np.array(found)
    np.testing.assert_allclose(rates["staircase"][[0, 4, 5, 10]], [0.02, 0.02, 0.01, 0.005], rtol=1e-5)
    np.testing.assert_allclose(rates["cosine"][[0, 10, 20]], [0.02, 0.01, 0.0], atol=1e-8)


def test_input_noise_is_of_its_scale_and_without_it_images_are_as_they_are():
    images, keys = np.full((50, 8, 8, 1), 51, np.uint8), jax.random.split(jax.random.key(0), 50)
    noisy = VIB.augment(dataclasses.replace(tiny.CONFIG, input_noise=0.3))(keys, images)
    np.testing.assert_allclose([noisy.mean(), noisy.std()], [0.2, 0.3], atol=0.02)
    assert VIB.augment(tiny.CONFIG)(keys, images) is images
