"""Adversarial training inside the step, against NumPy in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from ib_jax import AttackResult, BoundTerms, attacks, bounds, evaluation, losses, models, training

RNG = np.random.default_rng(0)
INPUTS = RNG.uniform(0.3, 0.7, size=(8, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, 8).astype(np.int32)
WEIGHTS = RNG.normal(size=(3, 3)).astype(np.float32)
KEY = jax.random.key(3)


def linear(params, keys, inputs):
    return inputs @ params


def cross_entropy(params, keys, inputs, labels):
    loss = losses.cross_entropy(inputs @ params, labels)
    return BoundTerms(loss, loss)


def expected_gradient(attacked, epsilon):
    """Of the mean cross-entropy of a linear model, some of whose rows are moved by FGSM."""
    weights, inputs, truth = (np.asarray(array, np.float64) for array in (WEIGHTS, INPUTS, np.eye(3)[LABELS]))
    slope = (scipy.special.softmax(inputs @ weights, -1) - truth) @ weights.T
    moved = np.where(np.isin(np.arange(8), attacked)[:, None], inputs + epsilon * np.sign(slope), inputs)
    residual = scipy.special.softmax(moved @ weights, -1) - truth
    loss = -np.log(scipy.special.softmax(moved @ weights, -1)[np.arange(8), LABELS]).mean()
    return moved.T @ residual / 8, loss


@pytest.mark.parametrize(
    "fraction, rows", [(0.0, []), (0.25, [3, 7]), (0.5, [1, 3, 5, 7]), (0.75, [1, 2, 3, 5, 6, 7]), (1.0, range(8))]
)
@pytest.mark.parametrize("options", [{}, {"num_microbatches": 2}, {"remat": True}], ids=str)
def test_the_gradient_is_that_of_the_mixed_batch(fraction, rows, options):
    perturb = training.attacked(attacks.fgsm(0.1), linear, fraction=fraction)
    gradient = jax.jit(training.make_gradient(cross_entropy, perturb=perturb, **options))
    grads, metrics, _ = gradient(jnp.asarray(WEIGHTS), training.Batch(INPUTS, LABELS), KEY)
    expected, loss = expected_gradient(list(rows), 0.1)
    np.testing.assert_allclose(grads, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)


class Column:
    """Labels in the manner of a column of a table: rows are found by their names, not by their places."""

    def __init__(self, values):
        self.values, self.shape = np.asarray(values), np.shape(values)

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __getitem__(self, rows):
        raise KeyError(rows)


@pytest.mark.parametrize("as_labels", [list, Column])
def test_labels_may_be_a_list_or_a_column(as_labels):
    keys, labels = jax.random.split(KEY, 8), as_labels(LABELS.tolist())
    attack = lambda key, logits_fn, inputs, labels: AttackResult(
        inputs + labels[:, None].astype(inputs.dtype), labels < 0
    )
    for perturb in (
        training.attacked(attack, linear),
        training.trades(cross_entropy, lambda loss: attack, linear, weight=1.0)[1],
    ):
        expected = perturb(WEIGHTS, keys, jnp.asarray(INPUTS), jnp.asarray(LABELS))
        jax.tree.map(np.testing.assert_array_equal, perturb(WEIGHTS, keys, INPUTS, labels), expected)


@pytest.mark.not_under("debug_nans", "debug_infs", reason="the input gradient is not finite")
def test_an_input_gradient_that_is_not_finite_leaves_the_parameters_finite():
    """The standard deviation of an image of one colour has none."""

    def standardised(params, keys, inputs):
        inputs = inputs - inputs.mean(-1, keepdims=True)
        return inputs / jnp.maximum(inputs.std(-1, keepdims=True), 1e-3) @ params

    def loss_fn(params, keys, inputs, labels):
        return BoundTerms(*[losses.cross_entropy(standardised(params, keys, inputs), labels)] * 2)

    inputs = jnp.asarray(INPUTS).at[::2].set(0.5)
    slope = jax.grad(lambda x: standardised(WEIGHTS, None, x)[:, 0].sum())(inputs)
    assert not jnp.isfinite(slope[0]).any()
    optimizer = optax.sgd(1.0)
    perturb = training.attacked(attacks.fgsm(0.1), standardised, fraction=1.0)
    step = jax.jit(training.make_train_step(loss_fn, optimizer, perturb=perturb))
    state = training.init_state(KEY, jnp.asarray(WEIGHTS), optimizer, 0.9)
    params = step(state, training.Batch(inputs, jnp.asarray(LABELS)), KEY)[0].params
    assert jnp.isfinite(params).all()
    assert (params != WEIGHTS).any()


def test_rematerialisation_does_not_attack_again():
    perturb = training.attacked(attacks.pgd(0.1, num_steps=5), linear)
    batch = training.Batch(INPUTS, LABELS)
    programs = [
        str(jax.make_jaxpr(training.make_gradient(cross_entropy, perturb=perturb, remat=remat))(WEIGHTS, batch, KEY))
        for remat in (False, True)
    ]
    assert [program.count(" scan[") for program in programs] == [1, 1]


def bottleneck():
    model = models.mlp_classifier(latent_dim=4, num_classes=3, hidden=(8,), scale_shift=0.0)

    def apply_fn(params, keys, inputs):
        encode, decode = functools.partial(model.encode, params), functools.partial(model.decode, params)
        return evaluation.sampled_logits_fn(encode, decode)(keys, inputs)

    def loss_fn(params, keys, inputs, labels):
        apply = {
            "encode_fn": functools.partial(model.encode, params),
            "decode_fn": functools.partial(model.decode, params),
        }
        return bounds.vib(keys, inputs, labels, prior=losses.standard_normal(4), beta=0.01, **apply)

    return model.init(jax.random.key(1), jnp.zeros((1, 3))), apply_fn, loss_fn


@pytest.mark.standard
def test_the_radius_may_be_traced_and_members_may_differ_in_it():
    params, apply_fn, loss_fn = bottleneck()

    def gradient(epsilon):
        perturb = training.attacked(attacks.pgd(epsilon, num_steps=3), apply_fn)
        return training.make_gradient(loss_fn, perturb=perturb)(params, training.Batch(INPUTS, LABELS), KEY)[1]["loss"]

    mapped = jax.jit(jax.vmap(gradient))(jnp.array([0.0, 0.2]))
    alone = [jax.jit(gradient)(epsilon) for epsilon in (0.0, 0.2)]
    np.testing.assert_allclose(mapped, alone, rtol=1e-5)
    plain = training.make_gradient(loss_fn)(params, training.Batch(INPUTS, LABELS), KEY)[1]["loss"]
    np.testing.assert_allclose(mapped[0], plain, rtol=1e-6)  # the attack's noise is not the loss's
    assert mapped[1] > plain + 0.01


def test_each_step_attacks_the_model_as_it_stands():
    params, apply_fn, loss_fn = bottleneck()
    seen = []

    def remember(key, logits_fn, inputs, labels, targets=None):
        seen.append(logits_fn(key, inputs))
        return attacks.fgsm(0.1)(key, logits_fn, inputs, labels)

    optimizer = optax.sgd(1.0)
    perturb = training.attacked(remember, apply_fn, fraction=1.0)
    step = training.make_train_step(loss_fn, optimizer, average_decay=0.0, perturb=perturb)
    state = training.init_state(KEY, params, optimizer, 0.0)
    for _ in range(2):
        state, _ = step(state, training.Batch(jnp.asarray(INPUTS), jnp.asarray(LABELS)), KEY)
    assert np.abs(seen[1] - seen[0]).max() > 1e-3


def numpy_divergence(first, second):
    p, q = scipy.special.log_softmax(first, -1), scipy.special.log_softmax(second, -1)
    return (np.exp(p) * (p - q)).sum(-1)


def test_consistency_adds_the_divergence_and_its_attack_climbs_it():
    climb = lambda loss: attacks.pgd(0.1, num_steps=10, loss_fn=loss)
    loss_fn, perturb = training.trades(cross_entropy, climb, linear, weight=6.0)
    keys = jax.random.split(KEY, 8)
    clean, moved = perturb(WEIGHTS, keys, jnp.asarray(INPUTS), jnp.asarray(LABELS))
    np.testing.assert_array_equal(clean, INPUTS)
    assert np.abs(moved - INPUTS).max() <= 0.1 + 1e-6
    got = loss_fn(jnp.asarray(WEIGHTS), keys, (clean, moved), jnp.asarray(LABELS))
    worst = numpy_divergence(INPUTS @ WEIGHTS, np.asarray(moved) @ WEIGHTS)
    np.testing.assert_allclose(got.loss - got.distortion, 6.0 * worst, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got.distortion, cross_entropy(WEIGHTS, keys, INPUTS, LABELS).loss, rtol=1e-6)
    # D(p || q) is convex in q's logits, so of a linear model the worst neighbour is a corner of the cube.
    corners = 0.1 * np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)
    every = np.stack([numpy_divergence(INPUTS @ WEIGHTS, (INPUTS + corner) @ WEIGHTS) for corner in corners])
    assert (worst >= 0.95 * every.max(0)).mean() >= 0.5  # from one random start some end in a lower corner
    assert (worst <= every.max(0) + 1e-6).all()


def test_consistency_of_weight_none_is_the_objective_and_keeps_statistics():
    with_statistics = lambda *args: (cross_entropy(*args), {"seen": jnp.ones(2)})
    climb = lambda loss: attacks.pgd(0.1, num_steps=2, loss_fn=loss)
    loss_fn, _ = training.trades(with_statistics, climb, linear, weight=0.0)
    pair = jnp.asarray(INPUTS), jnp.asarray(INPUTS + 0.1)
    terms, statistics = loss_fn(jnp.asarray(WEIGHTS), jax.random.split(KEY, 8), pair, jnp.asarray(LABELS))
    np.testing.assert_allclose(terms.loss, cross_entropy(WEIGHTS, None, INPUTS, LABELS).loss, rtol=1e-6)
    np.testing.assert_array_equal(statistics["seen"], [1, 1])


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_is_a_share(fraction):
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\], got"):
        training.attacked(attacks.fgsm(0.1), linear, fraction=fraction)


def test_a_fraction_must_be_whole_examples_of_every_devices_batch():
    perturb = training.attacked(attacks.fgsm(0.1), linear, fraction=0.3)
    with pytest.raises(ValueError, match=r"the 8 examples of a device's batch .*, got 0.3; 0.25 does"):
        perturb(WEIGHTS, jax.random.split(KEY, 8), INPUTS, LABELS)


def test_the_weight_of_consistency_is_not_negative():
    with pytest.raises(ValueError, match="weight must be at least 0, got -1"):
        training.trades(cross_entropy, lambda loss: attacks.fgsm(0.1), linear, weight=-1)
