import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import DiagGaussian, evaluation, losses

KEY = jax.random.key(0)
RNG = np.random.default_rng(2)
WEIGHT = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
INPUTS = jnp.asarray(RNG.uniform(size=(40, 6)), jnp.float32)
LABELS = (INPUTS @ WEIGHT).argmax(-1).astype(jnp.int32)


def linear(keys, inputs):
    return inputs @ WEIGHT


def noisy(scale):
    """A bottleneck classifier with noise of this scale in its code."""
    encode = lambda x: DiagGaussian(x, jnp.full_like(x, scale))
    return evaluation.sampled_logits_fn(encode, lambda z: z @ WEIGHT)


def quantised(keys, inputs):
    return linear(keys, jnp.round(inputs * 255.0) / 255.0)


def saturated(keys, inputs):
    return 1e5 * linear(keys, inputs)


def confident(keys, inputs):
    """Gaps of some 40 nats that the label's own logit makes: a plain loss rounds its gradient to zero."""
    return jax.nn.one_hot(LABELS, 3) * (40.0 + linear(keys, inputs).sum(-1, keepdims=True))


def infinite_slope(keys, inputs):
    """A square root of zero on the way: its slope is infinite, and times zero it is not a number."""
    return linear(keys, inputs) + jnp.sqrt(0.0 * inputs).sum(-1, keepdims=True)


def vanishing_for(count):
    """The first `count` examples have no gradient."""
    flat = (jnp.arange(len(INPUTS)) < count)[:, None]
    return lambda keys, inputs: linear(keys, jnp.where(flat, jax.lax.stop_gradient(inputs), inputs))


def gradients(logits_fn, **settings):
    return evaluation.check_gradients(KEY, logits_fn, INPUTS, settings.pop("labels", LABELS), **settings)


def test_a_sound_model_has_no_findings():
    assert evaluation.check_model(KEY, linear, INPUTS, LABELS) == []
    assert evaluation.check_model(KEY, noisy(0.3), INPUTS, LABELS, num_eot_samples=8) == []


def test_randomness_without_samples_is_found():
    finding = evaluation.check_randomness(KEY, noisy(0.3), INPUTS, num_eot_samples=1)
    assert finding.check == "randomness"
    assert finding.evidence["share_differ"] == 1.0
    assert 0.0 < finding.evidence["share_flip"] < 1.0
    assert "40 of 40 examples" in finding.message


@pytest.mark.parametrize("model, num_eot_samples", [(linear, 1), (noisy(0.0), 1), (noisy(0.3), 2)])
def test_no_randomness_or_enough_samples_is_fine(model, num_eot_samples):
    assert evaluation.check_randomness(KEY, model, INPUTS, num_eot_samples=num_eot_samples) is None


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_randomness_is_found_at_any_scale_of_the_logits(scale):
    """And one random example is enough, and masked classes do not hide it."""
    masked = jnp.array([[0.0, 0.0, 0.0, -1e9]])

    def model(keys, inputs):
        noise = (
            jax.vmap(lambda key: jax.random.uniform(key, (3,)))(keys)
            * (jnp.arange(len(inputs)) == 7).astype(jnp.float32)[:, None]
        )
        return scale * jnp.pad(linear(keys, inputs) + noise, ((0, 0), (0, 1))) + masked

    finding = evaluation.check_randomness(KEY, model, INPUTS, num_eot_samples=1)
    assert finding.evidence["share_differ"] == 1 / 40


def test_rounding_of_the_arithmetic_is_not_randomness():
    def model(keys, inputs):
        order = jax.vmap(lambda key: 1.0 + 1e-6 * jax.random.normal(key))(keys)
        return order[:, None] * linear(keys, inputs)

    assert evaluation.check_randomness(KEY, model, INPUTS, num_eot_samples=1) is None


@pytest.mark.parametrize("model", [quantised, saturated], ids=lambda model: model.__name__)
def test_vanishing_gradients_are_found(model):
    finding = gradients(model)
    assert finding.check == "gradients"
    assert finding.evidence["share_zero"] > 0.8
    assert finding.evidence["share_not_finite"] == 0.0


@pytest.mark.parametrize("scale, share_zero", [(1e-9, 0.0), (1.0, 0.0), (1e10, 1.0)])
def test_a_slope_that_vanishes_with_the_scale_of_the_logits_is_found(scale, share_zero):
    """Of the cross-entropy, while the model is right as before; the losses that the message names have one."""
    model = lambda keys, inputs: scale * linear(keys, inputs)
    finding = gradients(model)
    assert (finding is not None) == (share_zero > 0)
    if finding is not None:
        assert finding.evidence == {"num_correct": 40.0, "share_zero": share_zero, "share_not_finite": 0.0}
        for words in ("the softmax saturates", "climb their margin", "loss_fn=losses.dlr"):
            assert words in finding.message
        for loss in (losses.margin, losses.dlr):
            slopes = jax.grad(lambda x: loss(model(None, x), LABELS).sum())(INPUTS)  # noqa: B023
            assert (jnp.abs(slopes).max(-1) > 0).all()


@pytest.mark.not_under("debug_nans", reason="the model's gradient is NaN")
def test_gradients_that_are_not_finite_are_found():
    finding = gradients(infinite_slope)
    assert finding.evidence == {"num_correct": 40.0, "share_zero": 0.0, "share_not_finite": 1.0}


def test_a_confident_model_that_has_gradients_is_fine():
    assert gradients(confident) is None
    plain = jax.grad(lambda x: jax.nn.log_softmax(confident(None, x))[jnp.arange(40), LABELS].sum())(INPUTS)
    assert (plain == 0).all()  # so that the test would notice another loss


def test_the_share_of_vanishing_gradients_is_exact_and_compared_with_the_tolerance():
    finding = gradients(vanishing_for(4), tolerance=0.09)
    assert finding.evidence["share_zero"] == pytest.approx(0.1)
    assert gradients(vanishing_for(4), tolerance=0.1) is None
    assert gradients(vanishing_for(1)) is not None  # 2.5 % of the examples, above the default of 1 %


def test_only_examples_classified_right_count():
    wrong = jnp.where(jnp.arange(40) < 4, (LABELS + 1) % 3, LABELS)
    assert gradients(vanishing_for(4), labels=wrong) is None
    finding = gradients(vanishing_for(5), labels=wrong)
    assert finding.evidence == {"num_correct": 36.0, "share_zero": 1 / 36, "share_not_finite": 0.0}


def test_a_model_that_is_never_right_leaves_nothing_to_look_at_and_says_so():
    finding = gradients(linear, labels=(LABELS + 1) % 3)
    assert finding.check == "gradients"
    assert "None of the 40 examples" in finding.message


def test_the_gradient_of_a_stochastic_model_is_the_mean_over_its_samples():
    """Each sample passes a gradient with probability 1/4: one sample mostly has none, the mean of 64 has one."""

    def dropping(keys, inputs):
        passes = jax.vmap(lambda key: jax.random.bernoulli(key, 0.25))(keys)[:, None]
        return linear(keys, jnp.where(passes, inputs, jax.lax.stop_gradient(inputs)))

    assert 0.5 < gradients(dropping, num_eot_samples=1).evidence["share_zero"] < 0.95
    assert gradients(dropping, num_eot_samples=64) is None


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_probabilities_in_place_of_logits_are_found_and_their_logarithm_is_fine(dtype):
    logits = lambda keys, inputs: linear(keys, inputs).astype(dtype)
    assert evaluation.check_logits(KEY, lambda k, x: jax.nn.softmax(logits(k, x)), INPUTS).check == "logits"
    assert evaluation.check_logits(KEY, lambda k, x: jax.nn.log_softmax(logits(k, x)), INPUTS) is None
    assert evaluation.check_logits(KEY, logits, INPUTS) is None


@pytest.mark.not_under("debug_nans", reason="the model answers NaN")
def test_what_merely_resembles_probabilities_is_fine():
    softmax = lambda keys, inputs: jax.nn.softmax(linear(keys, inputs))
    one_row = (jnp.arange(40) == 3)[:, None]
    for model in (
        lambda k, x: softmax(k, x) + 1e-4,  # sums to 1.0003
        lambda k, x: jax.nn.relu(linear(k, x)),
        lambda k, x: softmax(k, x) - jnp.array([[0.5, -0.25, -0.25]]),  # sums to 1, below zero
        lambda k, x: jnp.where(one_row, linear(k, x), softmax(k, x)),
        lambda k, x: softmax(k, x) * jnp.nan,
    ):
        assert evaluation.check_logits(KEY, model, INPUTS) is None


def test_probabilities_flatten_the_loss_as_the_docstring_says():
    assert math.isclose(jax.nn.softmax(jnp.eye(10)[0])[0], math.e / (math.e + 9), rel_tol=1e-6)


def test_check_model_runs_all_checks():
    def masked(keys, inputs):
        return jax.nn.softmax(noisy(0.3)(keys, jnp.round(inputs * 16.0) / 16.0))

    findings = evaluation.check_model(KEY, masked, INPUTS, LABELS)
    assert [finding.check for finding in findings] == ["logits", "randomness", "gradients"]
    findings = evaluation.check_model(KEY, masked, INPUTS, LABELS, num_eot_samples=2)
    assert [finding.check for finding in findings] == ["logits", "gradients"]


def test_keys_may_be_one_for_each_example():
    keys = jax.random.split(KEY, 40)
    assert evaluation.check_model(keys, noisy(0.3), INPUTS, LABELS)[0].check == "randomness"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="num_eot_samples must be at least 1, got 0"):
        evaluation.check_randomness(KEY, linear, INPUTS, num_eot_samples=0)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        gradients(linear, num_eot_samples=0)
    with pytest.raises(ValueError, match=r"inputs must hold at least one example, .* got shape \(0, 6\)"):
        evaluation.check_logits(KEY, linear, INPUTS[:0])
    for model, message in {
        lambda keys, inputs: inputs.sum(-1): r"must return logits \[40, C\], got shape \[40\]",
        lambda keys, inputs: (linear(keys, inputs), inputs): "must return one array.* got tuple of 2",
        lambda keys, inputs: {"logits": linear(keys, inputs)}: "must return one array.* got dict of 1",
        lambda keys, inputs: linear(keys, inputs).astype(jnp.int32): "must return floating logits, got int32",
    }.items():
        for check in (evaluation.check_logits, evaluation.check_answers, evaluation.check_batch):
            with pytest.raises(ValueError, match=message):
                check(KEY, model, INPUTS)
        with pytest.raises(ValueError, match=message):
            gradients(model)
    with pytest.raises(ValueError, match="with C >= 2, got C = 1"):
        evaluation.check_logits(KEY, lambda keys, inputs: inputs[:, :1], INPUTS)
    with pytest.raises(ValueError, match=r"labels must be int \[40\], got int32 \[39\]"):
        gradients(linear, labels=LABELS[:-1])
    with pytest.raises(ValueError, match="inputs must be floating, got int32"):
        evaluation.check_gradients(KEY, linear, INPUTS.astype(jnp.int32), LABELS)
    with pytest.raises(ValueError, match=r"tolerance must be a share in \[0, 1\), got 1"):
        gradients(linear, tolerance=1)
