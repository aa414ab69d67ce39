"""Labels of a shape that cannot be right are refused, before broadcasting pairs them with other examples."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, DiagGaussian, attacks, bounds, evaluation, losses, training

LOGITS = jax.random.normal(jax.random.key(0), (6, 4))
HARD = {
    "cross_entropy": losses.cross_entropy,
    "correct": losses.correct,
    "margin": losses.margin,
    "dlr": losses.dlr,
    "targeted_dlr": lambda logits, labels: losses.targeted_dlr(logits, labels, labels),
}
BOTH = {name: HARD[name] for name in ("cross_entropy", "correct")}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("shape", [(6, 1), (1, 6), (1,), (4,), (6, 4), (7,), (0,)])
def test_class_numbers_have_the_axes_of_the_logits(name, shape):
    found = re.escape(f"got int32 {list(shape)}")
    with pytest.raises(ValueError, match=r"(labels|targets) must be int \[6\] .*" + found):
        jax.jit(HARD[name])(LOGITS, jnp.zeros(shape, jnp.int32))


def test_the_message_names_targets():
    with pytest.raises(ValueError, match="targets must be int"):
        losses.targeted_dlr(LOGITS, jnp.zeros(6, int), jnp.zeros((6, 1), int))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("shape", [(6,), (6, 1), (1, 4), (6, 5), (), (2, 6, 4)])
def test_soft_labels_have_the_shape_of_the_logits(name, shape):
    with pytest.raises(ValueError, match=r"labels must be int \[6\] or, one-hot or soft, float \[6, 4\]"):
        jax.jit(BOTH[name])(LOGITS, jnp.zeros(shape))


@pytest.mark.parametrize("name", HARD)
def test_axes_at_the_front_may_be_left_out(name):
    samples, labels = jnp.stack([LOGITS, 2 * LOGITS]), jnp.arange(6) % 4
    each = jnp.stack([HARD[name](one, labels) for one in samples])
    np.testing.assert_allclose(HARD[name](samples, labels), each, rtol=1e-6)
    np.testing.assert_allclose(HARD[name](samples, jnp.stack([labels, labels])), each, rtol=1e-6)
    np.testing.assert_allclose(HARD[name](LOGITS, 2), HARD[name](LOGITS, jnp.full(6, 2)), rtol=1e-6)


def test_a_class_of_more_than_eight_bits_is_no_other_one():
    mask = losses.class_mask(np.array([0, 255], np.uint8), 300)
    assert np.argwhere(mask).tolist() == [[0, 0], [1, 255]]


CODES = losses.draw_codes(jax.random.key(0), DiagGaussian(jnp.zeros((3, 2)), jnp.ones((3, 2))))
TABLE = DiagGaussian(jnp.ones((3, 2)), jnp.ones((3, 2)))


@pytest.mark.parametrize(
    "labels", [jnp.zeros((3, 1), int), jnp.eye(3, dtype=int), jnp.zeros((1, 3)), jnp.zeros(1, int)]
)
def test_the_residual_refuses_them_too(labels):
    with pytest.raises(ValueError, match=r"labels must be int \[3\] or, one-hot or soft, float \[3, 3\]"):
        losses.class_divergence(CODES, TABLE, labels)


def test_targets_of_a_gaussian_have_its_shape():
    prediction = DiagGaussian(jnp.zeros((2, 3, 4)), jnp.ones((2, 3, 4)))
    assert losses.negative_log_likelihood(prediction, jnp.zeros((3, 4))).shape == (2, 3)
    with pytest.raises(ValueError, match=r"targets must be float \[2, 3, 4\] .*, got \[3, 1\]"):
        losses.negative_log_likelihood(prediction, jnp.zeros((3, 1)))

    def bound(labels):
        encode = lambda x: DiagGaussian(x, jnp.ones_like(x))
        return bounds.vib(
            jax.random.key(0),
            jnp.zeros((3, 4)),
            labels,
            encode_fn=encode,
            decode_fn=lambda codes: DiagGaussian(codes, jnp.ones_like(codes)),
            prior=losses.standard_normal(4),
            beta=1.0,
        )

    assert bound(jnp.zeros((3, 4))).loss.shape == (3,)
    with pytest.raises(ValueError, match=r"labels must be float \[3, 4\] for a decoder that predicts a Gaussian"):
        bound(jnp.zeros((1, 3, 4)))


@pytest.mark.parametrize("labels", [jnp.zeros((6, 1), int), jnp.zeros(5, int), jnp.zeros((6, 4)), jnp.zeros(6)])
def test_attacks_and_evaluation_take_class_numbers_alone(labels):
    inputs, model, key = jnp.full((6, 4), 0.5), lambda keys, x: x, jax.random.key(0)
    encode = lambda x: DiagGaussian(x, jnp.ones_like(x))
    calls = [
        lambda: attacks.fgsm(0.1)(key, model, inputs, labels),
        lambda: evaluation.robust_correct(key, model, inputs, labels, make_attack=attacks.fgsm, epsilons=[0.1]),
        lambda: evaluation.evaluate_examples(key, inputs, labels, encode_fn=encode, decode_fn=lambda z: z),
        lambda: evaluation.check_gradients(key, model, inputs, labels),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"labels must be int \[6\], got"):
            call()
    with pytest.raises(ValueError, match=r"targets must be int \[6\], got"):
        attacks.fgsm(0.1)(key, model, inputs, jnp.zeros(6, int), labels)


def test_answers_are_compared_with_as_many_labels():
    with pytest.raises(ValueError, match=r"labels must be int \[3\], got int64 \[1\]"):
        evaluation.is_right(np.array([0, 1, 2]), np.array([0]))
    right = np.array([True, False])
    terms = evaluation.ExampleTerms(right, right, right, np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match=r"labels must be int \[2\], as the terms are, got \(3,\)"):
        evaluation.summarise(terms, np.array([0, 1, 1]), 2)


def squared(params, keys, inputs, labels):
    error = jnp.square(params * inputs - labels)
    return BoundTerms(error, error)


@pytest.mark.parametrize(
    "batch, message",
    [
        (training.Batch(jnp.ones(4), jnp.ones(1)), r"labels must have one row for each of the inputs \[4\], got \[1\]"),
        (training.Batch(jnp.ones(4), jnp.ones(())), r"labels must have one row .*, got \[\]"),
        (training.Batch((jnp.ones(4), jnp.ones(3)), jnp.ones(4)), r"the inputs \[4\], \[3\], got \[4\]"),
        (training.Batch(jnp.ones(4), jnp.ones(4), jnp.ones((4, 1))), r"weights must be float \[4\].*, got \[4, 1\]"),
        (training.Batch(jnp.ones(4), jnp.ones(4), jnp.ones(1)), r"weights must be float \[4\].*, got \[1\]"),
    ],
)
def test_a_batch_has_one_row_for_each_example(batch, message):
    with pytest.raises(ValueError, match=message):
        jax.jit(training.make_gradient(squared))(1.0, batch, jax.random.key(0))


@pytest.mark.parametrize("rows, message", [((4, 3), "one row for each of the inputs"), ((3, 3), "must have 4 rows")])
def test_an_epoch_has_all_of_its_examples(rows, message):
    """Indices beyond the end would all be the last row."""
    optimizer = optax.sgd(0.1)
    step = training.make_train_step(squared, optimizer)
    epoch = training.make_epoch(step, num_examples=4, batch_size=2, num_steps=2)
    state = training.init_state(jax.random.key(0), jnp.zeros(()), optimizer, 0.999)
    with pytest.raises(ValueError, match=message):
        epoch(state, training.Batch(*(jnp.ones(count) for count in rows)))
