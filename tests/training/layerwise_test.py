"""Layer-wise rates against one optimizer for each depth, run on its own with its own rate."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import promotion, training

NUM_LAYERS, DECAY, RATE = 3, 0.7, 0.1
DEPTHS = {"words": 0, "norm": 0, "layer_0": 1, "layer_1": 2, "layer_2": 3, "pooler": 3, "decoder": 3}
SCHEDULE = optax.warmup_cosine_decay_schedule(0.0, 1.0, 2, 6)


def depth_of(path):
    return DEPTHS[path.split("/")[0]]


def make(rate):
    # Nothing linear: moments, decoupled weight decay of the matrices alone, and a rate that changes.
    mask = lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    return optax.adamw(lambda step: rate * SCHEDULE(step), weight_decay=0.3, mask=mask)


def tree(seed):
    rng = np.random.default_rng(seed)
    return {
        name: {"kernel": rng.normal(size=(3, 2)).astype(np.float32), "bias": rng.normal(size=2).astype(np.float32)}
        for name in DEPTHS
    }


def train(optimizer, params, names=tuple(DEPTHS), num_steps=5):
    state = optimizer.init(params)
    for step in range(num_steps):
        grads = {name: tree(step + 1)[name] for name in names}
        with promotion.of_others():
            updates, state = jax.jit(optimizer.update)(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_each_depth_moves_as_under_an_optimizer_of_its_own_rate():
    together = train(training.layerwise_rates(make(RATE), depth_of, num_layers=NUM_LAYERS, decay=DECAY), tree(0))
    for name, depth in DEPTHS.items():
        alone = train(make(RATE * DECAY ** (NUM_LAYERS - depth)), {name: tree(0)[name]}, (name,))
        for leaf in ("kernel", "bias"):
            np.testing.assert_allclose(together[name][leaf], alone[name][leaf], rtol=2e-6)
            assert (together[name][leaf] != tree(0)[name][leaf]).all()


def test_a_decay_of_one_is_the_optimizer_itself():
    found = train(training.layerwise_rates(make(RATE), depth_of, num_layers=NUM_LAYERS, decay=1.0), tree(0))
    jax.tree.map(np.testing.assert_array_equal, found, train(make(RATE), tree(0)))


def test_frozen_depths_stay_bit_for_bit_and_cost_no_moments():
    optimizer = training.layerwise_rates(
        optax.chain(optax.clip_by_global_norm(0.5), make(RATE)),
        depth_of, num_layers=NUM_LAYERS, decay=DECAY, num_frozen=2,
    )  # fmt: skip
    found = train(optimizer, tree(0))
    trained = [name for name, depth in DEPTHS.items() if depth >= 2]
    for name in set(DEPTHS) - set(trained):
        jax.tree.map(np.testing.assert_array_equal, found[name], tree(0)[name])
    # The norm that clips is that of what is trained: the same parameters without the frozen ones move alike.
    unfrozen = training.layerwise_rates(
        optax.chain(optax.clip_by_global_norm(0.5), make(RATE)), depth_of, num_layers=NUM_LAYERS, decay=DECAY
    )
    alone = train(unfrozen, {name: tree(0)[name] for name in trained}, trained)
    for name in trained:
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=2e-6), found[name], alone[name])
    moments = [leaf for leaf in jax.tree.leaves(optimizer.init(tree(0))) if leaf.ndim]
    assert len(moments) == 2 * 2 * len(trained)


def test_a_frozen_gradient_that_is_not_finite_does_no_harm():
    optimizer = training.layerwise_rates(optax.sgd(1.0), depth_of, num_layers=NUM_LAYERS, decay=DECAY, num_frozen=1)
    params = {"words": jnp.ones(2), "decoder": jnp.ones(2)}
    grads = {"words": jnp.full(2, jnp.nan), "decoder": jnp.ones(2)}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert updates["words"].tolist() == [0.0, 0.0]
    assert updates["decoder"].tolist() == [-1.0, -1.0]


def test_its_state_survives_a_checkpoint(tmp_path):
    optimizer = training.layerwise_rates(make(RATE), depth_of, num_layers=NUM_LAYERS, decay=DECAY, num_frozen=1)
    state = training.init_state(jax.random.key(0), tree(0), optimizer, 0.0)
    moved = state._replace(opt_state=jax.tree.map(lambda leaf: leaf + 1, state.opt_state), step=state.step + 1)
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(moved, score=0.0)
        checkpoints.wait()
        restored = checkpoints.restore(state)
    jax.tree.map(np.testing.assert_array_equal, restored.opt_state, moved.opt_state)
    with promotion.of_others():
        optimizer.update(tree(1), restored.opt_state, tree(0))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"decay": 0.0}, r"decay must be in \(0, 1\], got 0.0"),
        ({"decay": 1.1}, r"decay must be in \(0, 1\], got 1.1"),
        ({"num_frozen": 4}, "num_frozen must be between 0 and num_layers = 3, got 4"),
        ({"num_frozen": -1}, "num_frozen must be between 0"),
        ({"num_layers": 2}, r"depth_of\('decoder/bias'\) must be in 0\.\.2, got 3"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        training.layerwise_rates(
            optax.sgd(1.0), depth_of, **{"num_layers": NUM_LAYERS, "decay": DECAY} | settings
        ).init(tree(0))
