"""Noise that depends on neither the neighbours nor the number of devices, whatever the kind of JAX's keys."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, DiagGaussian, attacks, augment, corruptions, evaluation, keys, losses, training

KINDS = ("threefry2x32", "rbg", "unsafe_rbg")
each_kind = pytest.mark.parametrize("kind", KINDS)
ROWS = np.array([4, 1])
INPUTS, LABELS = jnp.linspace(0.0, 1.0, 12).reshape(6, 2), jnp.arange(6) % 2


def same(whole, part):
    assert (whole[ROWS] == part).all()


def noisy(keys_, inputs):
    """Logits with noise from each example's key."""
    return inputs + jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys_)


def noisy_loss(params, keys_, inputs, labels):
    loss = jnp.square(params * noisy(keys_, inputs).sum(-1) - labels.astype(jnp.float32))
    return BoundTerms(loss, loss)


@each_kind
def test_a_sample_is_the_same_in_any_batch(kind):
    dist = DiagGaussian(jnp.zeros((6, 2)), jnp.ones((6, 2)))
    own = losses.per_example_keys(jax.random.key(0, impl=kind), 6)
    part = DiagGaussian(*(field[ROWS] for field in dist))
    same(losses.sample(own, dist)[0], losses.sample(own[ROWS], part)[0])
    np.testing.assert_array_equal(losses.sample(own, dist, 12)[:1], losses.sample(own, dist))
    given = jax.random.split(jax.random.key(0, impl=kind), 6)  # keys of that kind, one for each example
    same(losses.sample(given, dist)[0], losses.sample(given[ROWS], part)[0])
    same(losses.sample_keys(given, 3)[0], losses.sample_keys(given[ROWS], 3)[0])
    assert len(np.unique(losses.sample(given, dist))) == 12


@each_kind
def test_an_attack_and_an_accuracy_are_the_same_in_any_batch(kind):
    own = jax.random.split(jax.random.key(1, impl=kind), 6)
    attack = attacks.pgd(0.3, num_steps=2)
    same(attack(own, noisy, INPUTS, LABELS).inputs, attack(own[ROWS], noisy, INPUTS[ROWS], LABELS[ROWS]).inputs)
    told = functools.partial(evaluation.robust_correct, make_attack=attacks.fgsm, epsilons=jnp.array([0.1, 0.5]))
    same(told(own, noisy, INPUTS, LABELS), told(own[ROWS], noisy, INPUTS[ROWS], LABELS[ROWS]))


@each_kind
def test_an_image_is_changed_alike_in_any_batch(kind):
    images = jax.random.randint(jax.random.key(0), (6, 8, 8, 3), 0, 256).astype(jnp.uint8)
    own = jax.random.split(jax.random.key(2, impl=kind), 6)
    for change in (
        functools.partial(corruptions.corrupt, name="gaussian_noise", severity=5),
        lambda own, images: jax.vmap(augment.pad_crop())(own, images) if kind == KINDS[0] else images,
        augment.batched(augment.pad_crop()),
    ):
        same(change(own, images), change(own[ROWS], images[ROWS]))


@each_kind
@pytest.mark.parametrize("parts", ["devices", "microbatches", "both"])
def test_a_step_does_not_depend_on_how_the_batch_is_split(kind, parts):
    optimizer, key = optax.sgd(0.1), jax.random.key(3, impl=kind)
    batch = training.Batch(INPUTS[:4], LABELS[:4])
    state = training.init_state(key, jnp.ones(()), optimizer, 0.9)
    make = functools.partial(training.make_train_step, noisy_loss, optimizer, average_decay=0.9)
    whole = make()(state, batch, key)[0].params
    step = make(num_microbatches=1 if parts == "devices" else 2, axis_name=None if parts == "microbatches" else "i")
    if parts == "microbatches":
        split = step(state, batch, key)[0].params
    else:
        halves = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), batch)
        split = jax.vmap(lambda half: step(state, half, key)[0].params, axis_name="i")(halves)[1]
    np.testing.assert_allclose(split, whole, rtol=1e-5)


@each_kind
def test_results_do_not_depend_on_the_batch_size(kind):
    run = lambda size: training.map_examples(lambda _, own, x: noisy(own, x), batch_size=size)
    few, many = (run(size)((), jax.random.key(4, impl=kind), INPUTS) for size in (2, 6))
    np.testing.assert_array_equal(few, many)


@each_kind
def test_a_member_of_a_sweep_is_the_model_trained_alone(kind):
    optimizer = optax.sgd(0.1)
    step = training.make_train_step(noisy_loss, optimizer, average_decay=0.9)
    mix = lambda own, inputs: noisy(own, inputs)
    epoch = training.make_epoch(step, num_examples=6, batch_size=2, num_steps=3, augment=mix)
    start = lambda hyper: training.init_state(jax.random.key(hyper["seed"], impl=kind), jnp.ones(()), optimizer, 0.9)
    population = training.init_population(start, {"seed": [0, 1, 2]})
    data = training.Batch(INPUTS, LABELS)
    trained, _ = jax.jit(training.make_sweep(lambda hyper, state, data: epoch(state, data)))(population, data)
    alone, _ = jax.jit(epoch)(start({"seed": 1}), data)
    found = training.member(trained, 1)
    np.testing.assert_allclose(found.params, alone.params, rtol=1e-6)
    np.testing.assert_array_equal(jax.random.key_data(found.key), jax.random.key_data(alone.key))


def test_threefry_keys_are_left_as_they_are():
    """Checkpoints and records depend on their numbers."""
    key = jax.random.key(5)
    assert keys.counter_key(key) is key
    expected = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(3, dtype=jnp.uint32))
    assert (losses.per_example_keys(key, 3) == expected).all()
    order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, 0), 7), 9)
    np.testing.assert_array_equal(training.epoch_order(key, 7, 9), order)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_key_that_stands_for_another_is_a_function_of_all_of_its_words(kind):
    own = jax.random.wrap_key_data(jnp.arange(20, dtype=jnp.uint32).reshape(5, 4) // 5 * jnp.uint32(7), impl=kind)
    changed = jnp.eye(4, dtype=jnp.uint32)
    words = jnp.concatenate([jnp.zeros((1, 4), jnp.uint32), changed])
    found = keys.counter_key(jax.random.wrap_key_data(words, impl=kind))
    assert len(np.unique(jax.random.key_data(found), axis=0)) == 5
    assert (keys.counter_key(jax.random.key_data(own)) == keys.counter_key(own)).all()
    assert keys.counter_key(own.reshape(5, 1)).shape == (5, 1)
    one_by_one = jnp.stack([keys.counter_key(key) for key in own])
    assert (one_by_one == jax.jit(jax.vmap(keys.counter_key))(own)).all()


def test_words_are_keys_again():
    for kind in KINDS[:2]:
        key = jax.random.split(jax.random.key(6, impl=kind), 2)
        assert (keys.from_words(jax.random.key_data(key)) == key).all()


@pytest.mark.parametrize(
    "what, message",
    [
        (7, r"must be a PRNG key, such as jax.random.key\(0\), .*, got 7"),
        (np.zeros(3, np.uint32), r"uint32 \[..., 2\] or \[..., 4\], got uint32 \[3\]"),
        (np.zeros(2, np.int32), r"got int32 \[2\]"),
        (np.uint32(1), r"got uint32 \[\]"),
    ],
)
def test_what_is_no_key_is_refused(what, message):
    with pytest.raises(ValueError, match=message):
        keys.counter_key(what)
