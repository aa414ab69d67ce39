"""What every exported bound guarantees. One that is not listed here fails the first test."""

import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from ib_jax import BoundTerms, DiagGaussian, Gaussian, GaussianMixture, bounds, losses

NORMAL, TABLE, MIXTURE = (
    losses.standard_normal(3),
    DiagGaussian(*(jnp.linspace(*ends, 15, dtype=jnp.float32).reshape(5, 3) for ends in ((-1.0, 1.0), (0.5, 2.0)))),
    GaussianMixture(*(jnp.array(field, jnp.float32) for field in ([0, 0], [[-1] * 3, [1] * 3], [[1] * 3] * 2))),
)
FULL_TABLE = Gaussian(TABLE.mean, TABLE.scale[..., None] * jnp.tril(jnp.full((1, 3, 3), 0.5, jnp.float32)))
TABLE_OF_MIXTURES = GaussianMixture(jnp.zeros((5, 2), jnp.float32), *(jnp.stack([f, f + 0.5], 1) for f in TABLE))


def consistent_ceb(*batch, decode_fn=None, **kwargs):
    """It has no decoder, so the contract's is dropped."""
    del decode_fn
    return bounds.consistent_ceb(*batch, **kwargs)


def correlated(bound, *batch, encode_fn, **kwargs):
    """The bound, of an encoder whose codes are correlated."""

    def encode_full(inputs):
        mean, scale = encode_fn(inputs)
        below = jnp.tril(0.3 * mean[:, None, :] * mean[:, :, None], -1)
        return Gaussian(mean, scale[..., None] * (jnp.eye(3, dtype=scale.dtype)[None] + below))

    return bound(*batch, encode_fn=encode_full, **kwargs)


BOUNDS = {
    "vib": functools.partial(bounds.vib, prior=NORMAL, beta=0.1, num_samples=2),
    "vib sampled": functools.partial(bounds.vib, prior=NORMAL, rho=2.0, num_samples=2, estimator="sampled"),
    "vib mixture": functools.partial(bounds.vib, prior=MIXTURE, beta=0.1),
    "vub": functools.partial(bounds.vub, prior=NORMAL, beta=0.1, label_entropy=1.5, num_samples=2),
    "ceb": functools.partial(bounds.ceb, backward=TABLE, rho=1.0, num_samples=2),
    "ceb sampled": functools.partial(bounds.ceb, backward=TABLE, rho=1.0, estimator="sampled"),
    "ceb mixture": functools.partial(bounds.ceb, backward=TABLE_OF_MIXTURES, rho=1.0),
    "consistent_ceb": functools.partial(consistent_ceb, backward=TABLE, rho=1.0),
    "consistent_ceb empirical": functools.partial(
        consistent_ceb, backward=TABLE, rho=1.0, class_probabilities=jnp.array([0.1, 0.2, 0.3, 0.2, 0.2]), num_samples=2
    ),
    "vib full": functools.partial(correlated, bounds.vib, prior=NORMAL, beta=0.1, num_samples=2),
    "vub full": functools.partial(correlated, bounds.vub, prior=NORMAL, beta=0.1, label_entropy=1.5),
    "ceb full": functools.partial(correlated, bounds.ceb, backward=FULL_TABLE, rho=1.0, num_samples=2),
    "consistent_ceb full": functools.partial(correlated, consistent_ceb, backward=FULL_TABLE, rho=1.0),
    "cross_entropy": bounds.cross_entropy,
    "label_smoothing": bounds.label_smoothing,
    "confidence_penalty": bounds.confidence_penalty,
    "confidence_penalty threshold": functools.partial(bounds.confidence_penalty, entropy_threshold=1.0),
}
KEY = jax.random.key(0)


def test_every_exported_bound_is_listed():
    assert {name.split()[0] for name in BOUNDS} == set(bounds.__all__)


W_IN, W_OUT = (np.random.default_rng(i).normal(size=size).astype(np.float32) for i, size in enumerate([(4, 3), (3, 5)]))


def encode_fn(inputs, weight=None, scale=0.3):
    mean = inputs @ jnp.asarray(W_IN if weight is None else weight, inputs.dtype)
    return DiagGaussian(mean, jnp.full_like(mean, scale))


def decode_fn(codes):
    return codes @ jnp.asarray(W_OUT, codes.dtype)


def call(bound, batch_size=6, key=KEY, inputs=None, labels=None, **kwargs):
    inputs = jax.random.uniform(jax.random.key(1), (batch_size, 4), jnp.float32) if inputs is None else inputs
    labels = jnp.arange(len(inputs)) % 5 if labels is None else labels
    return bound(key, inputs, labels, **({"encode_fn": encode_fn, "decode_fn": decode_fn} | kwargs))


def compiled(bound, **apply_fns):
    """As `call` without defaults, as one program: eagerly each bound is some thirty."""
    return jax.jit(lambda key, inputs, labels: call(bound, key=key, inputs=inputs, labels=labels, **apply_fns))


def assert_close(terms, expected, **kwargs):
    for got, wanted in zip(jax.tree.leaves(terms), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, wanted, **kwargs)


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
class TestBound:
    @pytest.mark.parametrize("batch_size", [0, 1, 6])
    def test_terms_are_per_example_and_finite(self, bound, batch_size):
        labels = [i % 5 for i in range(batch_size)] or None  # a list will do
        terms = jax.jit(lambda: call(bound, batch_size, labels=labels))()
        assert isinstance(terms, BoundTerms)
        for leaf in jax.tree.leaves(terms):
            assert leaf.shape == (batch_size,)
            assert leaf.dtype == jnp.float32
            assert np.isfinite(leaf).all()

    def test_jit_and_vmap_give_the_same(self, bound):
        plain = call(bound)
        assert_close(jax.jit(lambda: call(bound))(), plain, rtol=1e-5)
        stacked = jax.vmap(lambda shift: call(bound, inputs=shift + jnp.ones((2, 4))))(jnp.arange(3.0))
        assert_close(jax.tree.map(lambda x: x[2], stacked), call(bound, inputs=2 + jnp.ones((2, 4))), rtol=1e-5)

    def test_an_examples_terms_do_not_depend_on_its_neighbours(self, bound):
        inputs, labels, keys = jax.random.uniform(KEY, (6, 4)), jnp.arange(6) % 5, losses.per_example_keys(KEY, 6)
        run = compiled(bound)
        whole = run(KEY, inputs, labels)
        for rows in ([4], [5, 1, 0]):
            rows = jnp.array(rows)
            part = run(keys[rows], inputs[rows], labels[rows])
            assert_close(part, jax.tree.map(lambda x, rows=rows: x[rows], whole), rtol=1e-5)

    def test_gradients_are_those_of_finite_differences(self, bound):
        """With respect to the encoder, the decoder and whatever density the bound compares the codes with."""
        learned = {name: value for name, value in getattr(bound, "keywords", {}).items() if isinstance(value, tuple)}

        def mean_loss(w_mean, w_scale, w_out, learned):
            return call(
                bound,
                inputs=jax.random.uniform(jax.random.key(1), (6, 4), w_mean.dtype),
                encode_fn=lambda x: DiagGaussian(x @ w_mean, 0.1 + jax.nn.softplus(x @ w_scale)),
                decode_fn=lambda z: z @ w_out,
                **learned,
            ).loss.mean()

        with jax.enable_x64(True):
            wide = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, jnp.float64))
            arguments = wide((W_IN, 0.5 * W_IN[::-1], W_OUT, learned))
            jax.test_util.check_grads(
                jax.jit(mean_loss), arguments, order=1, modes=["rev"], eps=1e-5, rtol=1e-5, atol=1e-7
            )

    def test_one_hot_labels_are_integer_labels(self, bound):
        labels = jnp.arange(6) % 5
        for one_hot in (jax.nn.one_hot(labels, 5), jax.nn.one_hot(labels, 5, dtype=bool)):
            assert_close(call(bound, labels=one_hot), call(bound, labels=labels), rtol=2e-5, atol=1e-6)

    def test_the_loss_of_soft_labels_is_the_mean_over_the_labels(self, bound):
        soft = jax.random.dirichlet(jax.random.key(2), jnp.ones(5), (6,))
        each = jnp.stack([call(bound, labels=jnp.full(6, label)).loss for label in range(5)], -1)
        np.testing.assert_allclose(call(bound, labels=soft).loss, (soft * each).sum(-1), rtol=2e-5, atol=1e-6)

    @pytest.mark.not_under("debug_nans", reason="a label out of range is NaN on purpose")
    def test_a_mask_keeps_an_example_out_of_loss_and_gradient(self, bound):
        inputs = jax.random.uniform(jax.random.key(1), (6, 4))
        labels, mask = jnp.array([0, 1, 2, 3, 4, -1]), jnp.arange(6) < 4

        def loss(weight, inputs):
            terms = call(bound, inputs=inputs, labels=labels, encode_fn=functools.partial(encode_fn, weight=weight))
            return jnp.mean(terms.loss, where=mask)

        value_and_grad = jax.jit(jax.value_and_grad(loss))
        value, gradient = value_and_grad(jnp.asarray(W_IN), inputs)
        other, same = value_and_grad(jnp.asarray(W_IN), inputs.at[4:].set(7.0))
        np.testing.assert_allclose(value, call(bound, inputs=inputs, labels=labels).loss[:4].mean(), rtol=1e-5)
        np.testing.assert_allclose(other, value, rtol=1e-6)
        np.testing.assert_allclose(same, gradient, rtol=1e-5, atol=1e-7)

    def test_under_pmap(self, bound):
        inputs, labels = jax.random.uniform(KEY, (1, 6, 4)), (jnp.arange(6) % 5)[None]
        mapped = jax.pmap(lambda inputs, labels: call(bound, inputs=inputs, labels=labels))(inputs, labels)
        assert_close(jax.tree.map(lambda x: x[0], mapped), call(bound, inputs=inputs[0], labels=labels[0]), rtol=1e-5)

    def test_saturated_logits_and_extreme_scales_stay_finite(self, bound):
        @jax.jit
        @jax.value_and_grad
        def mean_loss(weight, logit, scale):
            terms = call(
                bound,
                encode_fn=functools.partial(encode_fn, weight=weight, scale=scale),
                decode_fn=lambda codes: logit * jax.nn.tanh(decode_fn(codes)),
            )
            return terms.loss.mean()

        for logit, scale in [(1e4, 1e-6), (1e4, 1e6), (-1e4, 1e-6), (-1e4, 1.0)]:
            loss, gradient = mean_loss(jnp.asarray(W_IN), logit, scale)
            assert np.isfinite(loss), (logit, scale)
            assert np.isfinite(gradient).all(), (logit, scale)

    def test_bfloat16_inputs_give_float32_terms(self, bound):
        inputs = jax.random.uniform(KEY, (6, 4))
        half, full = (call(bound, inputs=inputs.astype(dtype)) for dtype in (jnp.bfloat16, jnp.float32))
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(half))
        # The inputs are rounded to 8 bits; what is computed of them is not, so the terms are those of rounded inputs.
        rounded = call(bound, inputs=inputs.astype(jnp.bfloat16).astype(jnp.float32))
        assert_close(half, full, rtol=0.1, atol=0.1)
        assert_close(half, rounded, rtol=0.05, atol=0.05)

    def test_batch_axes_that_differ_are_refused(self, bound):
        with pytest.raises(ValueError, match=r"labels must be int \[3\] or, .*, float \[3, 5\], got int32 \[2\]"):
            call(bound, inputs=jnp.ones((3, 4)), labels=jnp.zeros(2, jnp.int32))

    @pytest.mark.parametrize("shape", [(3, 1), (1, 3), (1,), (), (3, 5), (3, 3)])
    def test_labels_of_another_shape_are_refused_though_they_would_broadcast(self, bound, shape):
        with pytest.raises(ValueError, match="labels must be int"):
            jax.jit(call, static_argnums=0)(bound, inputs=jnp.ones((3, 4)), labels=jnp.zeros(shape, jnp.int32))
        if shape != (3, 5):
            with pytest.raises(ValueError, match=r"float \[3, 5\], got float32"):
                call(bound, inputs=jnp.ones((3, 4)), labels=jnp.zeros(shape, jnp.float32))


BOTTLENECKS = {
    name: bound for name, bound in BOUNDS.items() if name.split()[0] in ("vib", "vub", "ceb", "consistent_ceb")
}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_the_deterministic_limit(name):
    """A bottleneck turned off, over a code without noise, is the cross-entropy at the mean: value and gradient."""
    off = {"beta": 0.0} if "beta" in BOUNDS[name].keywords else {"rho": jnp.inf}
    bound = functools.partial(BOUNDS[name], **off)
    decode = decode_fn
    if name.startswith("consistent"):
        decode = functools.partial(
            losses.bayes_logits,
            backward=bound.keywords["backward"],
            class_probabilities=bound.keywords.get("class_probabilities"),
        )

    def losses_of(weight):
        encode = functools.partial(encode_fn, weight=weight, scale=0.0)
        entropy = (
            jnp.minimum(1.5, losses.entropy(decode(encode(jnp.ones((6, 4))).mean))) if name.startswith("vub") else 0.0
        )
        plain = call(bounds.cross_entropy, inputs=jnp.ones((6, 4)), encode_fn=encode, decode_fn=decode).loss - entropy
        return call(bound, inputs=jnp.ones((6, 4)), encode_fn=encode).loss.mean(), plain.mean()

    both = jax.jit(lambda weight: (losses_of(weight), jax.jacobian(losses_of)(weight)))
    (loss, plain), (gradient, expected) = both(jnp.asarray(W_IN))
    np.testing.assert_allclose(loss, plain, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in BOTTLENECKS if "sampled" not in name and "mixture" not in name])
def test_no_samples_is_the_mean_of_the_code(name):
    encode = functools.partial(encode_fn, scale=1e-12)
    got = call(functools.partial(BOUNDS[name], num_samples=0), encode_fn=encode)
    assert_close(got, call(BOUNDS[name], encode_fn=encode), rtol=1e-5)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_bad_settings_of_a_bottleneck_are_refused_by_name(name):
    bound = BOUNDS[name]
    with pytest.raises(ValueError, match=r"num_samples must be at least 0 \(0 is the mean\), got -1"):
        call(functools.partial(bound, num_samples=-1))
    with pytest.raises(ValueError, match="num_samples must be at least 1 for a sampled divergence, got 0"):
        call(functools.partial(bound, num_samples=0, estimator="sampled"))
    with pytest.raises(ValueError, match="estimator must be 'closed_form', 'sampled' or None, got 'exact'"):
        call(functools.partial(bound, estimator="exact"))
    if "mixture" in name:
        with pytest.raises(ValueError, match="estimator must be 'sampled' or None for a mixture"):
            call(functools.partial(bound, estimator="closed_form"))
    if name.startswith(("vib", "vub")):
        with pytest.raises(ValueError, match=r"give exactly one of beta and rho, got beta=0.1 and rho=1.0"):
            call(functools.partial(bound, beta=0.1, rho=1.0))
    if name.startswith("consistent"):
        with pytest.raises(
            ValueError, match=r"class_probabilities must have shape \[5\], one for each class, got \(3,\)"
        ):
            call(functools.partial(bound, class_probabilities=jnp.ones(3) / 3))
