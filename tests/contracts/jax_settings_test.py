"""What is exported works under JAX's strict settings, too; the whole of the fast tests does under each.

`JAX_DEBUG_NANS=1 python -m tests --fast` runs these; here is a little of everything, so that a relapse is seen at once.
"""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, DiagGaussian, attacks, bounds, evaluation, losses, models, training
from tests.contracts import attack_cases, bounds_test

SETTINGS = {
    "strict": [
        functools.partial(jax.numpy_dtype_promotion, "strict"),
        functools.partial(jax.numpy_rank_promotion, "raise"),
    ],
    "x64": [functools.partial(jax.enable_x64, True)],
    "debug": [functools.partial(jax.debug_nans, True), functools.partial(jax.debug_infs, True)],
}
"""The first two are found out when a program is traced; the last when its numbers come out."""
KEY = jax.random.key(0)
MODELS = {
    "standard": {},
    "learned": {"prior": "learned"},
    "mixture": {"prior": "mixture", "num_components": 2},
    "ceb": {"backward": "learned"},
    "consistent": {"backward": "unit", "linear_decoder": False, "class_probabilities": np.full(5, 0.2)},
}


@pytest.fixture(params=SETTINGS, autouse=True)
def perform(request):
    """Under each setting: what traces a function, or runs it where the numbers matter."""
    with contextlib.ExitStack() as stack:
        for setting in SETTINGS[request.param]:
            stack.enter_context(setting())
        yield jax.eval_shape if request.param != "debug" else lambda function, *args: function(*args)


def float32(tree):
    """Whether all that is floating is float32: what an input of float32 gives under x64, too."""
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}
    return dtypes == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", bounds_test.BOUNDS)
def test_a_bound_and_its_gradient(perform, name):
    inputs, labels = jnp.linspace(0.0, 1.0, 24, dtype=jnp.float32).reshape(6, 4), jnp.arange(6) % 5

    def loss(weight, labels):
        encode = functools.partial(bounds_test.encode_fn, weight=weight)
        terms = bounds_test.call(bounds_test.BOUNDS[name], inputs=inputs, encode_fn=encode, labels=labels)
        assert float32(terms)
        return terms.loss.mean()

    for each in (labels, jax.nn.one_hot(labels, 5, dtype=jnp.float32)):
        gradient = perform(jax.grad(loss), jnp.asarray(bounds_test.W_IN), each)  # run, it is op by op
        assert gradient.dtype == jnp.float32


@pytest.mark.standard
@pytest.mark.parametrize("name", attack_cases.ALL)
def test_an_attack(perform, name):
    case = attack_cases.ALL[name]
    inputs = jnp.linspace(0.0, 1.0, 18, dtype=jnp.float32).reshape(3, 2, 3)
    labels, targets = jnp.array([0, 1, 2], jnp.int32), jnp.array([1, 2, 3], jnp.int32)
    attack = case.make() if name in attack_cases.MINIMAL else case.make(0.3)
    aims = [None, targets] if case.targeted and perform is jax.eval_shape else [None]
    for aim in aims:
        result = perform(lambda aim=aim: attack(KEY, attack_cases.logits_fn, inputs, labels, aim))
        assert result.inputs.dtype == jnp.float32
    if jax.config.read("jax_enable_x64"):
        doubled = lambda keys, inputs: attack_cases.logits_fn(keys, inputs).astype(jnp.float64)
        assert perform(lambda: attack(KEY, doubled, inputs, labels)).inputs.dtype == jnp.float32


@pytest.mark.parametrize("attack", [attacks.pgd(0.3, num_steps=2, early_stop=True), attacks.fab(num_steps=2)])
def test_a_runner(attack):
    inputs = np.linspace(0.0, 1.0, 18, dtype=np.float32).reshape(3, 2, 3)
    run = attacks.Runner(attack, lambda params, keys, x: attack_cases.logits_fn(keys, x), steps_per_call=1)
    assert run(None, KEY, inputs, np.array([0, 1, 2])).inputs.shape == inputs.shape


def objective(name, model, params, key, inputs, labels):
    encode = lambda inputs: model.encode_train(params, inputs, key)[0]
    decode = functools.partial(model.decode, params)
    if name == "consistent":
        return bounds.consistent_ceb(
            key,
            inputs,
            labels,
            encode_fn=encode,
            backward=model.backward(params),
            rho=1.0,
            class_probabilities=jnp.full(5, 0.2, jnp.float32),
        )
    if name == "ceb":
        return bounds.ceb(
            key, inputs, labels, encode_fn=encode, decode_fn=decode, backward=model.backward(params), rho=1
        )
    return bounds.vib(key, inputs, labels, encode_fn=encode, decode_fn=decode, prior=model.prior(params), beta=1e-3)


@pytest.mark.standard
@pytest.mark.parametrize("name", MODELS)
def test_training_and_evaluation(perform, name):
    model = models.make_classifier(models.MLPEncoder(latent_dim=2, hidden=(4,)), num_classes=5, **MODELS[name])
    optimizer = training.paper_adam(1e-2, steps_per_decay=2)
    loss = functools.partial(objective, name, model)
    perturb = training.attacked(
        attacks.pgd(0.1, num_steps=1), lambda params, keys, x: model.decode(params, model.encode(params, x).mean)
    )
    step = training.make_train_step(
        loss, optimizer, perturb=perturb, average_decay=0.9, num_microbatches=1 + (name == "standard")
    )
    epoch = jax.jit(training.make_epoch(step, num_examples=8, batch_size=4, num_steps=2))
    inputs, labels = np.linspace(0.0, 1.0, 32, dtype=np.float32).reshape(8, 4), np.arange(8, dtype=np.int32) % 5
    params = model.init(KEY, inputs[:1])
    assert float32(params)
    start = training.init_state(KEY, params, optimizer, 0.9)
    state, metrics = perform(epoch, start, training.Batch(inputs, labels))
    assert float32((state.params, state.average, metrics))

    def evaluate(state):
        averaged = training.averaged_params(state, 0.9)
        return evaluation.evaluate_examples(
            KEY,
            inputs,
            labels,
            encode_fn=functools.partial(model.encode, averaged),
            decode_fn=functools.partial(model.decode, averaged),
            prior=model.prior(averaged),
            backward=model.backward and model.backward(averaged),
            num_samples=2,
        )

    terms = perform(jax.jit(evaluate), state)
    assert float32(terms)
    if perform is not jax.eval_shape:
        assert 0 <= evaluation.summarise(terms, labels, 5)["error_avg"] <= 1


def test_a_schedule_and_a_sweep():
    schedule = training.gated_rho(3.0, steps_per_epoch=2)

    def loss(params, keys, inputs, labels, rho):
        error = jnp.square(params * inputs - labels) * losses.rho_to_beta(rho)
        return BoundTerms(error, error, accuracy=error)

    def run(hyper, state, data):
        step = training.make_train_step(loss, optax.sgd(hyper["rate"]), average_decay=0.9, schedule=schedule)
        return training.make_epoch(step, num_examples=4, batch_size=2, num_steps=2)(state, data)

    start = lambda hyper: training.init_state(
        jax.random.key(hyper["seed"]), jnp.zeros((), jnp.float32), optax.sgd(hyper["rate"]), 0.9, schedule
    )
    population = training.init_population(start, {"rate": [0.1, 0.2], "seed": [0, 1]})
    data = training.Batch(np.ones(4, np.float32), np.ones(4, np.float32))
    population, metrics = jax.jit(training.make_sweep(run))(population, data)
    assert metrics["loss"].shape == (2, 2)
    assert population.diverged_at.tolist() == [-1, -1]


@pytest.mark.standard
def test_robust_accuracy_and_checks_of_a_model():
    inputs, labels = np.linspace(0.0, 1.0, 24, dtype=np.float32).reshape(6, 4), np.arange(6, dtype=np.int32) % 4
    logits_fn = lambda keys, x: 3.0 * losses.sample(keys, DiagGaussian(x, jnp.full_like(x, 0.1)))[0]
    make = lambda epsilon: attacks.pgd(epsilon, num_steps=2)
    right = evaluation.robust_correct(
        KEY, logits_fn, inputs, labels, make_attack=make, epsilons=np.array([0.1, 0.2]), num_samples=2
    )
    assert right.shape == (6, 2)
    assert evaluation.check_batch(KEY, logits_fn, inputs) is None
    evaluation.check_model(KEY, logits_fn, inputs, labels)
