"""That a lucky sample of a stochastic model neither ends nor wins a search, and that nothing changes for others."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, losses
from ib_jax.attacks.lead import NUM_SAMPLES, handicapped, measured_lead
from ib_jax.attacks.objective import Objective

NOISE, MARGIN, COUNT = 2.0, 6.0, 24
INPUTS, LABELS, KEY = jnp.full((COUNT, 2), 0.2), jnp.zeros(COUNT, jnp.int32), jax.random.key(0)


def noisy(keys, inputs, noise=NOISE):
    """Three classes; class 0 leads by 6 nats at the inputs and by 0 where both numbers are 0.5, under noise of 2."""
    lead = MARGIN * (1 - (inputs - 0.2).sum(-1) / 0.6) + noise * jax.vmap(jax.random.normal)(keys)
    return jnp.stack([lead, jnp.zeros_like(lead), jnp.full_like(lead, -9.0)], -1)


@functools.cache
def problem(targeted=False):
    targets = LABELS + 1 if targeted else None
    return attacks.carlini_wagner().problem(KEY, noisy, INPUTS, LABELS, targets)


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_lead_is_three_standard_errors_of_the_difference_of_two_answers(samples, targeted):
    lead = measured_lead(Objective(num_eot_samples=samples), noisy, problem(targeted))
    expected = 3 * NOISE * np.sqrt(2 / samples)
    np.testing.assert_allclose(lead.mean(), expected, rtol=4 / np.sqrt(2 * COUNT * (NUM_SAMPLES - 1)))
    assert lead.shape == (COUNT,)
    assert np.asarray(lead).std() > 0  # measured for each example


def test_the_lead_of_a_model_without_noise_is_zero_and_its_logits_are_the_same_bits():
    still = functools.partial(noisy, noise=0.0)
    lead = measured_lead(Objective(), still, problem())
    np.testing.assert_array_equal(lead, 0.0)
    keys = losses.per_example_keys(KEY, COUNT)
    shown = handicapped(still, problem()._replace(lead=lead))(keys, INPUTS)
    np.testing.assert_array_equal(shown, still(keys, INPUTS))


@pytest.mark.parametrize(("targeted", "column", "sign"), [(False, 0, 1), (True, 1, -1)])
def test_a_handicap_favours_the_label_or_holds_back_the_target(targeted, column, sign):
    keys, own = losses.per_example_keys(KEY, COUNT), problem(targeted)._replace(lead=jnp.arange(float(COUNT)))
    difference = handicapped(noisy, own)(keys, INPUTS) - noisy(keys, INPUTS)
    np.testing.assert_allclose(difference[:, column], sign * np.arange(COUNT), atol=1e-5)
    np.testing.assert_array_equal(np.delete(difference, column, -1), 0.0)


SEARCHES = {
    "carlini_wagner": functools.partial(
        attacks.carlini_wagner, num_steps=150, num_binary_steps=6, learning_rate=0.02, num_judge_samples=64
    ),
    "deepfool": functools.partial(attacks.deepfool, num_judge_samples=64, num_steps=60),
    "fab": functools.partial(attacks.fab, num_judge_samples=64, num_steps=60),
    "ddn": functools.partial(attacks.ddn, num_judge_samples=64),
    "fmn": functools.partial(attacks.fmn, num_judge_samples=64),
    "hop_skip_jump": functools.partial(attacks.hop_skip_jump, num_judge_samples=64, num_queries=300, num_directions=20),
    "sigma_zero": functools.partial(attacks.sigma_zero, num_judge_samples=64, num_steps=100),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_for_the_smallest_perturbation_goes_on_after_a_lucky_draw(name):
    """At confidence 0 it returns images that most answers withstand; with the default most are fooled."""

    def share(**settings):
        return float(jax.jit(lambda: SEARCHES[name](**settings)(KEY, noisy, INPUTS, LABELS).success.mean())())

    assert share() > 0.9
    # DeepFool's steps of a logit's whole lead take it far enough in any case, and so do those of a few values.
    if name not in ("deepfool", "sigma_zero"):
        assert share(confidence=0.0) < 0.5


@pytest.mark.parametrize("make", [attacks.pgd, attacks.square], ids=["pgd", "square"])
def test_a_search_that_may_stop_early_does_not_stop_at_a_lucky_draw(make):
    """In a ball that holds images which most answers take for wrong; the first lucky draw comes within a few steps."""
    more = {"num_queries": 200} if make is attacks.square else {"early_stop": True, "num_steps": 40}
    attack = make(0.4, num_judge_samples=64, **more)
    assert float(jax.jit(lambda: attack(KEY, noisy, INPUTS, LABELS).success.mean())()) > 0.9
    if make is attacks.pgd:  # the others go on to where the loss is higher
        lucky = dataclasses.replace(attack, confidence=0.0)
        assert float(jax.jit(lambda: lucky(KEY, noisy, INPUTS, LABELS).success.mean())()) < 0.5


def test_a_runner_gives_what_one_program_gives():
    attack = SEARCHES["deepfool"]()
    alone = jax.jit(lambda: attack(KEY, noisy, INPUTS, LABELS))()
    run = attacks.Runner(attack, lambda params, keys, inputs: noisy(keys, inputs), batch_size=16)
    keys = losses.per_example_keys(KEY, COUNT)
    np.testing.assert_allclose(run(None, keys, INPUTS, LABELS).inputs, alone.inputs, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [getattr(attacks, name) for name in SEARCHES],
)
@pytest.mark.parametrize("confidence", [-1.0, np.nan, np.inf])
def test_a_confidence_that_is_none_is_refused(make, confidence):
    with pytest.raises(ValueError, match="confidence must be at least 0"):
        make(confidence=confidence)
