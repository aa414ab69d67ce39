"""Each function of a classifier alone, on the one entry of the parameters that it needs."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ib_jax import losses, models
from ib_jax.models import classifier
from ib_jax.types import DiagGaussian

INPUTS = jax.random.uniform(jax.random.key(0), (3, 4))
ENCODER = models.MLPEncoder(latent_dim=2, hidden=(8,))
DROPPING = models.MLPEncoder(latent_dim=2, hidden=(8,), dropout_rate=0.5)
KEYS = jax.random.split(jax.random.key(1), 3)


class Normed(nn.Module):
    """Batch normalisation and nothing else."""

    code_dim = 4

    @nn.compact
    def __call__(self, inputs, *, train=False):
        normed = nn.BatchNorm(use_running_average=not train, momentum=0.9)(inputs)
        return DiagGaussian(normed, jnp.ones_like(normed))


@pytest.mark.parametrize("prior", ["standard", "learned", "mixture"])
@pytest.mark.parametrize("backward", ["none", "unit", "learned"])
@pytest.mark.parametrize("linear_decoder", [True, False])
def test_there_is_an_entry_for_what_has_parameters(prior, backward, linear_decoder):
    model = models.make_classifier(
        ENCODER, num_classes=5, prior=prior, backward=backward, linear_decoder=linear_decoder, num_components=3
    )
    params = jax.eval_shape(model.init, jax.random.key(0), INPUTS)
    has = {"encoder": True, "decoder": linear_decoder, "prior": prior != "standard", "backward": backward != "none"}
    assert set(params) == {name for name, is_there in has.items() if is_there}
    assert jax.eval_shape(model.prior, params).mean.shape == ((3, 2) if prior == "mixture" else (2,))
    assert (model.backward is None) == (backward == "none")
    if model.backward is not None:
        assert jax.eval_shape(model.backward, params).mean.shape == (5, 2)


def test_the_functions_take_the_arguments_that_they_are_documented_with():
    model = models.make_classifier(ENCODER, num_classes=5, backward="unit")

    @jax.jit
    def both():
        params = model.init(key=jax.random.key(0), inputs=INPUTS)
        trained, _ = model.encode_train(params=params, inputs=INPUTS, keys=KEYS)
        return trained, model.encode(params=params, inputs=INPUTS)

    trained, encoding = both()
    np.testing.assert_allclose(trained.mean, encoding.mean, rtol=1e-6)
    params = jax.eval_shape(lambda: model.init(key=jax.random.key(0), inputs=INPUTS))
    assert jax.eval_shape(lambda params: model.decode(params=params, codes=encoding.mean), params).shape == (3, 5)
    assert jax.eval_shape(lambda params: model.prior(params=params), params).mean.shape == (2,)
    assert jax.eval_shape(lambda params: model.backward(params=params), params).mean.shape == (5, 2)


def test_the_mask_of_an_example_follows_from_its_own_key():
    params = {"encoder": jax.jit(DROPPING.init)(jax.random.key(0), INPUTS)["params"]}
    encode_train = jax.jit(functools.partial(classifier._encode_train, DROPPING))
    together, statistics = encode_train(params, INPUTS, KEYS)
    assert statistics == {}
    rows = jax.vmap(lambda inputs, key: encode_train(params, inputs[None], key[None])[0].mean[0])
    np.testing.assert_allclose(together.mean, jax.jit(rows)(INPUTS, KEYS), rtol=1e-6)
    swapped, _ = encode_train(params, INPUTS, KEYS[::-1])
    assert np.abs(swapped.mean - together.mean).max() > 1e-4


def test_running_statistics_are_read_and_handed_back():
    model = models.make_classifier(Normed(), num_classes=5)
    params = jax.jit(model.init)(jax.random.key(0), INPUTS)
    assert set(params) == {"encoder", "batch_stats", "decoder"}
    encoding, statistics = jax.jit(model.encode_train)(params, INPUTS, KEYS)
    np.testing.assert_allclose(encoding.mean.mean(0), 0.0, atol=1e-5)  # by the batch
    np.testing.assert_allclose(statistics["batch_stats"]["BatchNorm_0"]["mean"], 0.1 * INPUTS.mean(0), rtol=1e-5)
    encode = jax.jit(model.encode)
    np.testing.assert_allclose(encode(params, INPUTS).mean, INPUTS, rtol=1e-4)  # by means of 0, variances of 1
    plain = np.asarray(INPUTS)
    shifted = plain - 0.1 * plain.mean(0)
    scale = np.sqrt(0.9 + 0.1 * plain.var(0))
    np.testing.assert_allclose(encode(params | statistics, INPUTS).mean, shifted / scale, rtol=1e-4)


def test_the_decoder_is_linear_and_the_standard_prior_has_no_parameters():
    decoder = models.LinearDecoder(5)
    own = decoder.init(jax.random.key(0), jnp.zeros((1, 2)))["params"]
    codes = np.ones((4, 3, 2), np.float32)
    kernel, bias = (np.asarray(own["Dense_0"][name]) for name in ("kernel", "bias"))
    expected = codes @ kernel + bias
    np.testing.assert_allclose(classifier._decode(decoder, {"decoder": own}, codes), expected, rtol=1e-5)
    prior = classifier._standard_prior(3, {})
    np.testing.assert_array_equal((prior.mean, prior.scale), (np.zeros(3), np.ones(3)))


SHARES = np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("backward", ["unit", "learned"])
def test_ceb_has_its_marginal_as_prior_and_consistent_ceb_bayes_rule_as_decoder(backward):
    made = {"num_classes": 4, "backward": backward, "class_probabilities": SHARES}
    model = models.make_classifier(ENCODER, linear_decoder=False, **made)
    params, codes = model.init(jax.random.key(0), INPUTS), jax.random.normal(jax.random.key(2), (6, 2))
    table = jax.tree.map(np.asarray, model.backward(params))
    densities = scipy.stats.norm(table.mean, table.scale).pdf(np.asarray(codes)[:, None]).prod(-1)
    prior, joint = model.prior(params), densities * SHARES
    np.testing.assert_allclose(
        jax.nn.softmax(model.decode(params, codes)), joint / joint.sum(-1, keepdims=True), rtol=1e-4
    )
    np.testing.assert_allclose(losses.log_prob(prior, codes), np.log(joint.sum(-1)), rtol=1e-4)
    linear = models.make_classifier(ENCODER, **made)
    assert "decoder" in jax.eval_shape(linear.init, jax.random.key(0), INPUTS)
    uniform = models.make_classifier(ENCODER, num_classes=4, backward=backward, linear_decoder=False)
    found = jax.nn.softmax(uniform.decode(uniform.init(jax.random.key(0), INPUTS), codes))
    np.testing.assert_allclose(found, densities / densities.sum(-1, keepdims=True), rtol=1e-4)


def test_class_probabilities_are_refused_by_name():
    with pytest.raises(ValueError, match=r"class_probabilities must have shape \[5\], got \[4\]"):
        models.make_classifier(ENCODER, num_classes=5, class_probabilities=SHARES)
    with pytest.raises(ValueError, match=r"prior must be left out .* got 'learned'"):
        models.make_classifier(ENCODER, num_classes=4, prior="learned", backward="unit", class_probabilities=SHARES)


def test_attacks_see_a_sample_or_the_mean():
    model = models.make_classifier(ENCODER, num_classes=4)
    params = model.init(jax.random.key(0), INPUTS)
    encoding = model.encode(params, INPUTS)
    sampled, mean = models.sampled_apply(model), models.mean_apply(model)
    codes = losses.sample(KEYS, encoding)[0]
    np.testing.assert_array_equal(sampled(params, KEYS, INPUTS), model.decode(params, codes))
    np.testing.assert_array_equal(mean(params, KEYS, INPUTS), model.decode(params, encoding.mean))
    assert not np.allclose(sampled(params, KEYS, INPUTS), mean(params, KEYS, INPUTS))
