import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import Gaussian, losses, models

IMAGES = jax.random.uniform(jax.random.key(0), (3, 28, 28, 1))


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def build(**kwargs):
    model = models.mlp_classifier(**({"latent_dim": 256, "num_classes": 10} | kwargs))
    return model, model.init(jax.random.key(1), IMAGES)


def test_parameters_and_scale_at_the_start_are_the_papers():
    model, params = build()
    sizes = [(784, 1024), (1024, 1024), (1024, 512), (256, 10)]
    assert count(params) == sum((inputs + 1) * outputs for inputs, outputs in sizes)
    encoding = model.encode(params, IMAGES)
    assert encoding.mean.shape == encoding.scale.shape == (3, 256)
    np.testing.assert_allclose(np.median(encoding.scale), np.log1p(np.exp(-5.0)), rtol=0.2)
    # 0.0067 for 256 dimensions: a rate near 1,660 bits before the first step.
    rate_bits = losses.kl_divergence(encoding, model.prior(params)) / np.log(2.0)
    np.testing.assert_allclose(rate_bits, 1660, rtol=0.05)


def test_the_network_equals_naive_numpy():
    model, params = build(latent_dim=3, hidden=(7, 5))
    layers = [jax.device_get(params["encoder"][f"Dense_{i}"]) for i in range(3)]
    hidden = 2 * np.asarray(IMAGES).reshape(3, -1) - 1
    for layer in layers[:2]:
        hidden = np.maximum(hidden @ layer["kernel"] + layer["bias"], 0)
    outputs = hidden @ layers[2]["kernel"] + layers[2]["bias"]
    encoding = model.encode(params, IMAGES)
    np.testing.assert_allclose(encoding.mean, outputs[:, :3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoding.scale, np.log1p(np.exp(outputs[:, 3:] - 5)), rtol=1e-4)
    decoder = jax.device_get(params["decoder"]["Dense_0"])
    codes = np.asarray(encoding.mean)[None]
    np.testing.assert_allclose(
        model.decode(params, codes), codes @ decoder["kernel"] + decoder["bias"], rtol=1e-4, atol=1e-5
    )


def test_the_deterministic_model_has_no_scale():
    model, params = build(scale="zero")
    np.testing.assert_array_equal(model.encode(params, IMAGES).scale, 0.0)
    assert count(params) == 785 * 1024 + 1025 * 1024 + 1025 * 256 + 257 * 10


def test_dropout_is_each_examples_own_and_only_in_training():
    model, params = build(dropout_rate=0.5, hidden=(64,), scale="zero")
    keys = jax.random.split(jax.random.key(2), 3)
    np.testing.assert_array_equal(model.encode(params, IMAGES).mean, model.encode(params, IMAGES).mean)
    dropped = model.encode_train(params, IMAGES, keys)[0].mean
    assert np.abs(dropped - model.encode(params, IMAGES).mean).max() > 1e-3
    order = jnp.array([2, 0])
    np.testing.assert_allclose(
        model.encode_train(params, IMAGES[order], keys[order])[0].mean, dropped[order], rtol=1e-5
    )
    mean = jax.vmap(lambda key: model.encode_train(params, IMAGES[:1], key[None])[0].mean)(
        jax.random.split(keys[0], 4000)
    )
    np.testing.assert_allclose(mean.mean(0), model.encode(params, IMAGES[:1]).mean, atol=0.05)


def test_the_learned_prior_starts_at_the_standard_normal_and_learns():
    model, params = build(prior="learned", latent_dim=2, hidden=(8,))
    np.testing.assert_array_equal(model.prior(params), losses.standard_normal(2))

    def mean_rate(prior_params):
        trained = params | {"prior": prior_params}
        return losses.kl_divergence(model.encode(trained, IMAGES), model.prior(trained)).mean()

    before, gradient = jax.value_and_grad(mean_rate)(params["prior"])
    after = mean_rate(jax.tree.map(lambda p, g: p - 1e-2 * g, params["prior"], gradient))
    assert after < before


def test_the_unit_encoder_and_the_backward_encoders():
    model, params = build(scale="unit", backward="unit", latent_dim=4, hidden=(8,))
    np.testing.assert_array_equal(model.encode(params, IMAGES).scale, 1.0)
    table = model.backward(params)
    assert table.mean.shape == (10, 4)
    np.testing.assert_array_equal(table.scale, 1.0)
    assert count(params["backward"]) == 40  # a mean for each class, and no scales
    learned, learned_params = build(backward="learned", latent_dim=4, hidden=(8,))
    assert count(learned_params["backward"]) == 80
    np.testing.assert_array_equal(learned.backward(learned_params).scale, 1.0)
    assert build(latent_dim=4, hidden=(8,))[0].backward is None


def test_a_mixture_prior_and_a_model_without_a_decoder():
    model, params = build(prior="mixture", num_components=5, latent_dim=4, hidden=(8,))
    assert model.prior(params).mean.shape == (5, 4)
    assert np.ptp(np.asarray(model.prior(params).mean), axis=0).min() > 0  # equal means would stay equal
    assert "decoder" not in build(linear_decoder=False, backward="unit", latent_dim=4, hidden=(8,))[1]


def test_an_empty_batch():
    model, params = build(latent_dim=2, hidden=(8,))
    assert model.encode(params, IMAGES[:0]).mean.shape == (0, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"num_components": 0}, "num_components must be at least 1, got 0"),
        ({"scale": "wide"}, "scale must be one of learned, full, unit, zero, got 'wide'"),
        ({"prior": "flat"}, "prior must be one of standard, learned, mixture, got 'flat'"),
        ({"backward": "yes"}, "backward must be one of none, unit, learned, got 'yes'"),
        ({"dropout_rate": 1.0}, r"dropout_rate must be in \[0, 1\), got 1.0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_a_full_covariance_is_a_cholesky_factor_of_the_networks_own():
    """Whose correlations are learned: they have gradients, and what lies above the diagonal is zero."""
    encoder = models.MLPEncoder(latent_dim=3, hidden=(8,), scale="full", scale_shift=0.0)
    inputs = jax.random.uniform(jax.random.key(1), (5, 4, 4, 1))
    encoding, variables = encoder.init_with_output(jax.random.key(0), inputs)
    assert isinstance(encoding, Gaussian)
    assert encoding.scale_tril.shape == (5, 3, 3)
    np.testing.assert_array_equal(np.triu(encoding.scale_tril, 1), 0.0)
    assert np.diagonal(encoding.scale_tril, axis1=1, axis2=2).min() > 0
    assert variables["params"]["Dense_1"]["bias"].shape == (3 + 3 + 3,)
    rate = lambda variables: losses.kl_divergence(encoder.apply(variables, inputs), losses.standard_normal(3)).mean()
    gradient = jax.grad(rate)(variables)["params"]["Dense_1"]["bias"]
    assert np.abs(gradient[6:]).min() > 0
