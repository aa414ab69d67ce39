"""Microbatches and stretches by memory: against XLA's own count, and the invariants of both rules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ib_jax import BoundTerms, models, training
from ib_jax.training.budget import STRETCHES
from ib_jax.training.capacity import Footprint

GB = 10**9


def image_loss(network):
    def loss_fn(params, keys, inputs, labels):
        encoding = network.apply(params, inputs)
        loss = optax.softmax_cross_entropy_with_integer_labels(encoding.mean[:, :10], labels)
        return BoundTerms(loss, loss)

    return loss_fn


@pytest.mark.standard
@pytest.mark.parametrize("network", ["wide", "mlp"])
def test_an_example_is_counted_as_no_less_than_xla_needs_and_not_as_four_times_that(network):
    network = {"wide": models.WideResNetEncoder(10, 1, scale="zero"), "mlp": models.MLPEncoder(16, (64, 64), "zero")}[
        network
    ]
    shape = (16, 16, 3) if isinstance(network, models.WideResNetEncoder) else (768,)
    params = network.init(jax.random.key(0), jnp.zeros((1, *shape)))
    state, loss_fn = training.init_state(jax.random.key(0), params, optax.sgd(0.1), 0.0), image_loss(network)
    footprint = training.measure_examples(loss_fn, state, training.Batch(jnp.zeros((2, *shape)), jnp.zeros(2, int)))

    def compiled(size):
        gradient = jax.jit(jax.grad(lambda *args: loss_fn(*args).loss.sum()))
        shapes = [jax.ShapeDtypeStruct((size, *shape), jnp.float32), jax.ShapeDtypeStruct((size,), jnp.int32)]
        found = gradient.lower(params, None, *shapes).compile().memory_analysis()
        return found.temp_size_in_bytes + found.argument_size_in_bytes

    needed = (compiled(96) - compiled(32)) / 64
    assert 0.9 * needed < footprint.member < 4 * needed
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert 3 * weights <= footprint.shared < 3 * weights + 100  # the state, a gradient and a sum of gradients


def test_an_example_costs_the_same_whatever_the_batch_it_was_measured_in():
    network = models.MLPEncoder(4, (8,), "zero")
    params = network.init(jax.random.key(0), jnp.zeros((1, 12)))
    state = training.init_state(jax.random.key(0), params, optax.adam(0.1), 0.9)
    many = [training.Batch(jnp.zeros((size, 12)), jnp.zeros(size, int)) for size in (1, 2, 64)]
    assert len({training.measure_examples(image_loss(network), state, batch) for batch in many}) == 1


@pytest.mark.parametrize("num_rows", [1, 96, 1000, 1024])
@pytest.mark.parametrize("free", [2, 16, 80])
def test_microbatches_are_the_fewest_that_fit(num_rows, free):
    footprint = Footprint(shared=GB // 10, member=137 * 10**6)
    parts = training.plan_microbatches(num_rows, footprint, free_bytes=free * GB)
    fits = lambda parts: footprint.shared + num_rows // parts * footprint.member <= 0.9 * 0.75 * free * GB
    assert num_rows % parts == 0
    assert fits(parts)
    assert not any(fits(fewer) for fewer in range(1, parts) if num_rows % fewer == 0)


def test_an_example_that_does_not_fit_is_refused_with_the_numbers():
    footprint = Footprint(shared=2**30, member=3 * 2**30)
    with pytest.raises(ValueError, match="not one example fits a device: it needs 3 GiB plus 1 GiB for"):
        training.plan_microbatches(8, footprint, free_bytes=4 * 2**30)


@pytest.mark.parametrize("steps", [1, 13, 156])
@pytest.mark.parametrize("device, host", [(16, 64), (16, 10), (1, 640), (1, 1)])
def test_a_stretch_divides_an_epoch_and_fits_both_memories_if_a_step_does(steps, device, host):
    batch = training.Batch(np.zeros((100, 224, 224, 3), np.uint8), np.zeros(100, np.int32))
    sizes = {"device_bytes": device * GB, "host_bytes": host * GB, "num_local_devices": 8}
    stretch = training.plan_stretch(steps, batch, **sizes)
    held = STRETCHES * (batch.inputs.nbytes + batch.labels.nbytes)
    fits = lambda stretch: stretch * held <= 0.25 * device * GB and 8 * stretch * held <= 0.25 * host * GB
    assert steps % stretch == 0
    assert fits(stretch) or stretch == 1
    assert not any(fits(longer) for longer in range(stretch + 1, steps + 1) if steps % longer == 0)


def test_a_whole_epoch_of_imagenet_in_one_stretch_would_not_fit():
    """What the paper's preset once asked for: 192 GB of pixels."""
    batch = training.Batch(np.zeros((1024, 224, 224, 3), np.uint8), np.zeros(1024, np.int32))
    assert 156 * 8 * batch.inputs.nbytes == pytest.approx(192 * GB, rel=0.01)
    sizes = {"host_bytes": 64 * GB, "num_local_devices": 8}
    assert training.plan_stretch(156, batch, device_bytes=16 * GB, **sizes) == 3
    assert training.plan_stretch(52, batch, device_bytes=16 * GB, **sizes) == 2  # after 104 steps of the epoch
