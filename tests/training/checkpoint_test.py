import concurrent.futures
import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import training
from ib_jax.training import checkpoint

OPTIMIZER = training.paper_adam(1e-3, steps_per_decay=5)


def state_at(step, value=1.0, width=3):
    params = {"layer": {"w": jnp.full((width, 2), value, jnp.float32), "b": jnp.arange(2.0)}}
    state = training.init_state(jax.random.key(step), params, OPTIMIZER, 0.999)
    return state._replace(step=jnp.int32(step))


def data_of(state):
    return state._replace(key=jax.random.key_data(state.key))


def test_a_restored_state_is_the_saved_one_bit_for_bit(tmp_path):
    state = state_at(7, value=1 / 3)
    with training.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.last_step() is None
        assert checkpoints.best_step() is None
        checkpoints.save(state, score=1.0)
        checkpoints.wait()
    with training.Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(state_at(0))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for got, expected in zip(jax.tree.leaves(data_of(restored)), jax.tree.leaves(data_of(state)), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    assert restored.key.dtype == state.key.dtype  # typed, not its plain numbers
    assert jax.random.normal(restored.key) == jax.random.normal(state.key)


def test_the_best_and_the_last_are_kept(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        for step, score in [(1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3)]:
            checkpoints.save(state_at(step, value=step), score=score)
        checkpoints.wait()
        assert (checkpoints.best_step(), checkpoints.last_step()) == (2, 4)
        assert checkpoints.restore(state_at(0)).params["layer"]["w"][0, 0] == 4
        assert checkpoints.restore(state_at(0), step=2).params["layer"]["w"][0, 0] == 2
        with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 3 .* there are \[2, 4\]"):
            checkpoints.restore(state_at(0), step=3)


def test_saving_a_step_twice_is_harmless(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        for _ in range(2):
            checkpoints.save(state_at(1), score=0.5)
        checkpoints.wait()
        assert checkpoints.last_step() == 1


def test_a_checkpoint_of_another_network_is_refused_by_name(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_at(1), score=0.5)
        checkpoints.wait()
        with pytest.raises(
            ValueError, match=r"params/layer/w: float32\[3, 2\] in the checkpoint, float32\[4, 2\] expected"
        ):
            checkpoints.restore(state_at(0, width=4))


def test_an_unfinished_save_is_ignored(tmp_path):
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_at(1), score=0.5)
        checkpoints.wait()
    (tmp_path / "2.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
    with training.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.last_step() == 1


def test_the_state_works_with_any_optax_optimizer(tmp_path):
    state = training.init_state(jax.random.key(0), {"w": jnp.ones(2)}, optax.sgd(0.1, momentum=0.9), 0.9)
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, score=0.0)
        checkpoints.wait()
        assert jax.tree.structure(checkpoints.restore(state)) == jax.tree.structure(state)


def test_a_thread_whose_save_failed_waits_for_no_other_process(monkeypatch):
    """Or the others, who wait for what it failed at, and it wait for one another; what is called is orbax's hook."""
    waited = []
    monkeypatch.setattr(
        checkpoint.ocp.multihost, "get_barrier_sync_fn", lambda: lambda **options: waited.append(options)
    )

    def come(key, failed):
        try:
            if failed:
                raise OSError(28, "No space left on device")
        finally:
            checkpoint._wait_for_others(key=key, timeout_ms=5)

    with contextlib.suppress(OSError):
        come("the main thread, in the handler of some error", failed=True)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(come, "a save", False).result()
        assert isinstance(pool.submit(come, "a save that failed", True).exception(), OSError)
    assert [options["key"] for options in waited] == ["the main thread, in the handler of some error", "a save"]
    assert waited[0]["timeout_ms"] == 5
