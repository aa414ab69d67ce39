"""Models that answer NaN, and searches that NaN led astray."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import AttackResult, evaluation

KEY = jax.random.key(0)
INPUTS = jnp.asarray(np.random.default_rng(0).uniform(size=(20, 5)), jnp.float32)
LABELS = INPUTS[:, :3].argmax(-1)


def partly(keys, inputs):
    """No answer where the first input is above a half."""
    nan = jnp.log(-inputs[:, :1])  # computed: of a constant NaN, XLA's exp of JAX 0.10.1 may make any number
    return jnp.where(inputs[:, :1] > 0.5, nan, inputs[:, :3])


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
def test_inputs_without_an_answer_are_counted():
    none = np.asarray(INPUTS[:, 0] > 0.5)
    finding = evaluation.check_answers(KEY, partly, INPUTS)
    assert finding.check == "answers"
    assert finding.evidence == {"share": none.mean(), "count": none.sum()}
    assert f"at {none.sum()} of 20 examples, the first of them {none.argmax()}" in finding.message


@pytest.mark.not_under("debug_nans", "debug_infs", reason="the model answers NaN, or minus infinity alone")
@pytest.mark.parametrize(
    "broken", [lambda logits: logits.at[3, 1].set(jnp.nan), lambda logits: logits.at[3].set(-jnp.inf)]
)
def test_one_nan_or_nothing_but_minus_infinity_is_no_answer(broken):
    finding = evaluation.check_answers(KEY, lambda keys, inputs: broken(inputs[:, :3]), INPUTS)
    assert finding.evidence == {"share": 0.05, "count": 1.0}


@pytest.mark.not_under("debug_infs", reason="some logits are infinite")
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e10])
def test_numbers_are_answers_and_so_is_infinity(scale):
    model = lambda keys, inputs: (scale * inputs[:, :3]).at[0, 0].set(jnp.inf).at[1, 1].set(-jnp.inf)
    assert evaluation.check_answers(KEY, model, INPUTS) is None


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
def test_a_model_of_nan_alone_is_found_first_and_crashes_no_other_check():
    nothing = lambda keys, inputs: jnp.full((len(inputs), 3), jnp.nan)
    findings = evaluation.check_model(KEY, nothing, INPUTS, LABELS)
    assert [finding.check for finding in findings] == ["answers", "gradients"]
    assert findings[1].evidence["num_correct"] == 0.0  # though the argmax of NaN is class 0
    assert "None of the 20 examples is classified right (20 have no answer)" in findings[1].message


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
def test_the_other_checks_judge_what_has_an_answer():
    findings = evaluation.check_model(KEY, partly, INPUTS, LABELS)
    assert [finding.check for finding in findings] == ["answers"]
    probabilities = lambda keys, inputs: jax.nn.softmax(partly(keys, inputs))
    assert evaluation.check_logits(KEY, probabilities, INPUTS).check == "logits"
    frozen = lambda keys, inputs: partly(keys, jax.lax.stop_gradient(inputs))
    finding = evaluation.check_gradients(KEY, frozen, INPUTS, LABELS)
    assert finding.evidence == {
        "num_correct": int((INPUTS[:, 0] <= 0.5).sum()),
        "share_zero": 1.0,
        "share_not_finite": 0.0,
    }


def result_of(**fields):
    success = jnp.array([True, False, False, False])
    return AttackResult(jnp.zeros((4, 2)), success, **{name: jnp.array(each) for name, each in fields.items()})


def test_a_blocked_search_is_reported_with_what_to_do():
    [finding] = evaluation.check_search(result_of(blocked=[True, True, False, False], undecided=[False] * 4))
    assert finding.check == "search"
    assert finding.evidence == {"share": 0.5, "count": 2.0, "share_standing": 0.25}
    for words in ("For 2 of 4 examples (50.0%)", "std, sqrt, log", "add a small constant", "needs no gradients"):
        assert words in finding.message


def test_undecided_examples_are_reported():
    [finding] = evaluation.check_search(result_of(blocked=[False] * 4, undecided=[False, False, False, True]))
    assert finding.check == "undecided"
    assert finding.evidence == {"share": 0.25, "count": 1.0}
    both = evaluation.check_search(result_of(blocked=[True] * 4, undecided=[True] * 4))
    assert [finding.check for finding in both] == ["search", "undecided"]


def test_what_a_result_does_not_know_is_not_reported():
    assert evaluation.check_search(result_of()) == []
    assert evaluation.check_search(result_of(blocked=[False] * 4, undecided=[False] * 4)) == []
