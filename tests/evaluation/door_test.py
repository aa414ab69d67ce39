"""What comes in at the door: no examples, and labels that are lists or columns of a table."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import AttackResult, DiagGaussian, attacks, evaluation, losses

KEY = jax.random.key(0)
INPUTS = np.random.default_rng(0).uniform(0.3, 0.7, size=(6, 3)).astype(np.float32)
LABELS = INPUTS.argmax(-1)
LINEAR = {"encode_fn": lambda x: DiagGaussian(x, 0.1 * jnp.ones_like(x)), "decode_fn": lambda z: 3.0 * z}


def model(keys, inputs):
    return 3.0 * inputs


def apply_fn(params, keys, inputs):
    return model(keys, inputs)


def curve(inputs, labels):
    runner = attacks.Runner(attacks.fgsm(0.0), apply_fn)
    run = lambda keys, inputs, labels, radii: runner(None, keys, inputs, labels, epsilon=radii)
    return evaluation.robustness_curve(run, KEY, inputs, labels, [0.1, 0.2])


def push(epsilon):
    return lambda key, logits_fn, inputs, labels, targets=None: AttackResult(inputs + epsilon, labels < 0)


def robust(inputs, labels):
    return evaluation.robust_correct(
        KEY, model, inputs, labels, make_attack=push, epsilons=jnp.array([0.0, 0.1]), num_samples=2
    )


def chunked(inputs, labels):
    return evaluation.attack_in_chunks(attacks.Runner(attacks.fgsm(0.1), apply_fn), None, KEY, inputs, labels)


def examples(inputs, labels):
    return evaluation.evaluate_examples(KEY, inputs, labels, **LINEAR, num_samples=3)


def pairs(inputs, labels):
    return evaluation.evaluate_pairs(KEY, inputs, inputs, labels, **LINEAR, num_samples=3)


def sizes(inputs, labels):
    right = np.zeros(len(labels), bool)
    return evaluation.measure_perturbations(inputs, AttackResult(inputs, right), right)


def ascent(inputs, labels):
    return evaluation.lipschitz_ascent(KEY, lambda x: 2.0 * x, inputs, num_steps=2)


def aggregate(inputs, labels):
    return evaluation.aggregate_information(KEY, inputs, encode_fn=LINEAR["encode_fn"])


def gradients(inputs, labels):
    return evaluation.check_gradients(KEY, model, inputs, labels)


def everything(inputs, labels):
    return evaluation.check_model(KEY, model, inputs, labels)


PER_EXAMPLE = [curve, robust, chunked, examples, pairs, sizes, ascent]
NOTHING = np.zeros(0)


@pytest.mark.parametrize("function", PER_EXAMPLE, ids=lambda function: function.__name__)
def test_no_examples_give_empty_arrays_of_the_right_shape(function):
    whole, none = function(INPUTS, LABELS), function(INPUTS[:0], LABELS[:0])
    for some, empty in zip(jax.tree.leaves(whole), jax.tree.leaves(none), strict=True):
        assert empty.shape == (0, *some.shape[1:])
        assert empty.dtype == some.dtype


@pytest.mark.parametrize(
    "reduce",
    [
        lambda: evaluation.summarise(evaluation.ExampleTerms(*[NOTHING] * 5), np.zeros(0, int), 3),
        lambda: evaluation.summarise_perturbations(
            evaluation.Perturbations(*[NOTHING.astype(bool)] * 2, *[NOTHING] * 2)
        ),
        lambda: evaluation.check_search(AttackResult(NOTHING, NOTHING, blocked=NOTHING)),
        lambda: evaluation.check_answers(KEY, model, INPUTS[:0]),
        lambda: evaluation.check_batch(KEY, model, INPUTS[:0]),
        lambda: evaluation.check_logits(KEY, model, INPUTS[:0]),
        lambda: evaluation.check_randomness(KEY, model, INPUTS[:0], num_eot_samples=1),
        lambda: gradients(INPUTS[:0], LABELS[:0]),
        lambda: everything(INPUTS[:0], LABELS[:0]),
        lambda: evaluation.transfer_table(np.zeros((2, 0), int), np.zeros((2, 2, 0), int)),
        lambda: evaluation.label_entropy(np.zeros(0, int), 3),
        lambda: evaluation.expected_calibration_error(NOTHING, NOTHING),
        lambda: evaluation.check_one_step(NOTHING, NOTHING),
    ],
)
def test_no_examples_leave_nothing_to_reduce(reduce):
    with pytest.raises(ValueError, match=r"at least one|N >= 1"):
        reduce()


@pytest.mark.parametrize("reduce", [aggregate, lambda inputs, labels: evaluation.bound_information(
    evaluation.ExampleTerms(*[NOTHING] * 5, rate=NOTHING), labels, 3
), lambda inputs, labels: evaluation.measure_transfer(
    labels, clean=labels, adversarial=labels, other_clean=labels, other_adversarial=labels
)])  # fmt: skip
def test_what_needs_two_examples_says_so(reduce):
    with pytest.raises(ValueError, match=r"at least two|length >= 2"):
        reduce(INPUTS[:0], LABELS[:0])


class Column:
    """Labels in the manner of a column of a table: rows are found by their names, not by their places."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape, self.dtype, self.index = self.values.shape, self.values.dtype, types.SimpleNamespace()

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __getitem__(self, rows):
        raise KeyError(rows)

    def __eq__(self, other):
        raise ValueError("can only compare identically labelled columns")

    __hash__ = None


@pytest.mark.not_under("x64", reason="a list of numbers is float64")
@pytest.mark.parametrize("function", [*PER_EXAMPLE, aggregate, gradients, everything], ids=lambda f: f.__name__)
@pytest.mark.parametrize("as_labels", [list, Column])
def test_inputs_may_be_lists_and_labels_lists_or_columns(function, as_labels):
    inputs = INPUTS.tolist()
    expected = function(INPUTS, LABELS)
    if function in (sizes, examples):  # the encoder may take what is no array
        inputs = INPUTS
    found = function(inputs, as_labels(LABELS.tolist()))
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "answer, message",
    [
        (lambda x: (x, x), "must return one array.* got tuple of 2"),
        (lambda x: {"logits": x}, "must return one array.* got dict of 1"),
        (lambda x: x.astype(jnp.int32), "must return floating logits, got int32"),
        (lambda x: x.sum(-1), r"must return logits \[6, C\], got shape \[6\]"),
    ],
)
def test_models_that_give_no_logits_are_named(answer, message):
    logits_fn = lambda keys, inputs: answer(inputs)
    with pytest.raises(ValueError, match=message):
        evaluation.robust_correct(KEY, logits_fn, INPUTS, LABELS, make_attack=push, epsilons=[0.0])
    with pytest.raises(ValueError, match=message):
        evaluation.check_model(KEY, logits_fn, INPUTS, LABELS)


@pytest.mark.not_under("debug_nans", reason="the logits are NaN")
def test_an_answer_that_is_none_is_no_prediction():
    none = losses.predicted_class(jnp.full((6, 3), jnp.nan))
    with pytest.raises(ValueError, match="adversarial must be classes of at least 0, got 6 below"):
        evaluation.measure_transfer(
            LABELS, clean=LABELS, adversarial=none, other_clean=LABELS, other_adversarial=LABELS
        )
    with pytest.raises(ValueError, match="clean must be classes of at least 0, got 6 below"):
        evaluation.transfer_table(none[None], LABELS[None, None])
