"""Microbatches, rematerialisation, weights and bfloat16, against float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import BoundTerms, bounds, models, training

RNG = np.random.default_rng(0)
INPUTS, LABELS = RNG.normal(size=(10, 3)).astype(np.float32), RNG.normal(size=10).astype(np.float32)
WEIGHTS = np.array([0, 3, 0.5, 1, 0, 0, 7, 0.1, 2, 1], np.float32)  # parts of 5 and of 2 differ in weight; one has none
W = np.array([0.5, -1.0, 2.0], np.float32)
KEY = jax.random.key(5)
VARIANTS = [{"num_microbatches": n, "remat": remat} for n in (1, 2, 5) for remat in (False, True)]


def noisy_squares(params, keys, inputs, labels):
    noise = jax.vmap(lambda key: jax.random.normal(key, (), jnp.float32))(keys)
    residual = inputs @ params + noise - labels
    return BoundTerms(residual**2, jnp.abs(residual), None, accuracy=noise)


def gradient(batch, loss_fn=noisy_squares, params=W, **options):
    return jax.jit(training.make_gradient(loss_fn, **options))(jnp.asarray(params), batch, KEY)


def expected(weights):
    """Of sum w r^2 / sum w, with r = x w + n_i - y, and n_i from the key of the example's place in the batch."""
    keys = [jax.random.fold_in(KEY, index) for index in range(10)]
    noise = np.array([jax.random.normal(key, (), jnp.float32) for key in keys], np.float64)
    x, w = INPUTS.astype(np.float64), weights.astype(np.float64) / weights.sum(dtype=np.float64)
    residual = x @ W + noise - LABELS
    return 2 * (w * residual) @ x, {"loss": w @ residual**2, "distortion": w @ np.abs(residual), "accuracy": w @ noise}


def assert_equals(got, wanted):
    grads, metrics, _ = got
    assert set(metrics) == {"loss", "distortion", "accuracy"}
    np.testing.assert_allclose(grads, wanted[0], rtol=1e-5, atol=1e-6)
    for name, value in wanted[1].items():
        assert metrics[name].dtype == jnp.float32
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("options", VARIANTS)
def test_the_gradient_is_that_of_the_mean_however_the_batch_is_taken(options):
    assert_equals(gradient(training.Batch(INPUTS, LABELS), **options), expected(np.ones(10)))


@pytest.mark.parametrize("options", VARIANTS)
def test_weights_are_normalised_over_the_whole_batch_and_what_has_none_has_no_part(options):
    labels = np.where(WEIGHTS > 0, LABELS, 1e6).astype(np.float32)
    assert_equals(gradient(training.Batch(INPUTS, labels, WEIGHTS), **options), expected(WEIGHTS))


@pytest.mark.parametrize("num_microbatches", [1, 2, 5])
def test_values_that_are_not_finite_have_no_part_where_there_is_no_weight(num_microbatches):
    def spoiled(params, keys, inputs, labels):
        terms = noisy_squares(params, keys, inputs, jnp.where(jnp.isinf(labels), 0.0, labels))
        # A constant, so that the gradient is finite, which is all that is asked of it.
        return terms._replace(loss=terms.loss + jnp.where(jnp.isinf(labels), jnp.nan, 0.0))

    labels = np.where(WEIGHTS > 0, LABELS, np.inf).astype(np.float32)
    batch = training.Batch(INPUTS, labels, WEIGHTS)
    assert_equals(gradient(batch, loss_fn=spoiled, num_microbatches=num_microbatches), expected(WEIGHTS))


def test_rematerialisation_is_in_the_program():
    batch = training.Batch(INPUTS, LABELS)
    plain, remat = (jax.make_jaxpr(training.make_gradient(noisy_squares, remat=on))(W, batch, KEY) for on in (0, 1))
    assert "prevent_cse" in str(remat)
    assert "prevent_cse" not in str(plain)


@pytest.mark.parametrize("given, nearest", [(3, 2), (4, 2), (7, 5), (20, 10)])
def test_a_number_that_does_not_divide_is_answered_with_one_that_does(given, nearest):
    message = f"num_microbatches must divide the 10 examples of a device's batch, got {given}; {nearest} does"
    with pytest.raises(ValueError, match=message):
        gradient(training.Batch(INPUTS, LABELS), num_microbatches=given)


def test_no_microbatches_are_refused():
    with pytest.raises(ValueError, match="num_microbatches must be at least 1, got 0"):
        training.make_gradient(noisy_squares, num_microbatches=0)


def vib_gradient(compute_dtype):
    model = models.mlp_classifier(latent_dim=4, num_classes=3, hidden=(16, 16), compute_dtype=compute_dtype)
    params = jax.jit(model.init)(jax.random.key(0), INPUTS)

    def loss_fn(params, keys, inputs, labels):
        encode_fn, decode_fn = (lambda x: model.encode(params, x)), (lambda z: model.decode(params, z))
        return bounds.vib(
            keys, inputs, labels, encode_fn=encode_fn, decode_fn=decode_fn, prior=model.prior(params), beta=0.1
        )

    batch = training.Batch(INPUTS, np.arange(10) % 3)
    terms = jax.eval_shape(loss_fn, params, jax.random.split(KEY, 10), *batch[:2])
    code = jax.eval_shape(model.encode, params, INPUTS)
    terms = (terms, code, jax.eval_shape(model.decode, params, code.mean))
    run = training.make_gradient(loss_fn)
    return params, terms, jax.jit(run)(params, batch, KEY), jax.make_jaxpr(run)(params, batch, KEY)


def products(jaxpr):
    """Types of the operands of all matrix products, those inside of other operations too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield tuple(str(variable.aval.dtype) for variable in equation.invars)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            if hasattr(inner, "eqns"):
                yield from products(getattr(inner, "jaxpr", inner))


def test_bfloat16_is_of_the_products_alone():
    params, terms, (grads, metrics, _), jaxpr = vib_gradient("bfloat16")
    _, _, (full_grads, full_metrics, _), full_jaxpr = vib_gradient("float32")
    for tree in (params, terms, grads, metrics):
        floats = [leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        assert set(floats) == {jnp.dtype("float32")}
    # Three layers of the encoder and one of the decoder, each forwards and, but for the gradient with respect to the
    # inputs, twice backwards.
    assert list(products(jaxpr.jaxpr)) == [("bfloat16", "bfloat16")] * 11
    assert list(products(full_jaxpr.jaxpr)) == [("float32", "float32")] * 11
    for name in ("loss", "distortion", "rate"):
        assert metrics[name] != full_metrics[name]
        np.testing.assert_allclose(metrics[name], full_metrics[name], rtol=2e-2)
    norm = lambda tree: np.sqrt(sum(np.square(leaf).sum() for leaf in jax.tree.leaves(tree)))
    assert 0 < norm(jax.tree.map(jnp.subtract, grads, full_grads)) < 0.05 * norm(full_grads)
