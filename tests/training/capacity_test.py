"""What a member costs, as XLA says, and what is made of it."""

import jax
import numpy as np
import pytest

from experiments.core.recipe import Recipe
from experiments.mnist_vib.settings import Config
from ib_jax import data, training
from ib_jax.training.capacity import Footprint

RNG = np.random.default_rng(0)
SPLIT = data.Split(RNG.uniform(size=(40, 4, 4, 1)).astype(np.float32), RNG.integers(0, 4, 40).astype(np.int32))
MIB = 2**20


@pytest.fixture(scope="module")
def recipe():
    config = Config(objective="cross_entropy", latent_dim=8, hidden_width=256, batch_size=10)
    return Recipe(config, data.Dataset("random", SPLIT, None, SPLIT, 4))


@pytest.fixture(scope="module")
def populations(recipe):
    """Shapes only, of any number of members."""
    one = training.init_population(recipe.init, {"learning_rate": [1e-3]})
    widen = lambda leaf, members: jax.ShapeDtypeStruct((members, *leaf.shape[1:]), leaf.dtype)
    return one, lambda members: jax.tree.map(lambda leaf: widen(leaf, members), one)


@pytest.mark.not_under("debug_nans", reason="nothing is donated")
def test_a_member_costs_its_state_and_not_much_more(recipe, populations):
    one, shapes = populations
    num_bytes = lambda tree: sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    state = 4 * num_bytes(one.members.params)  # parameters, two moments, average
    assert state <= num_bytes(one) < 1.01 * state
    data_bytes = num_bytes(SPLIT)
    footprint = training.measure_members(recipe.run_population(None), shapes(2), training.Batch(*SPLIT))
    assert state <= footprint.member < 4 * state
    assert footprint.shared == data_bytes
    program = jax.jit(recipe.run_population(None), donate_argnums=0).lower(shapes(3), training.Batch(*SPLIT)).compile()
    found = program.memory_analysis()  # what was measured of two holds for three
    needed = found.argument_size_in_bytes + found.temp_size_in_bytes
    np.testing.assert_allclose(footprint.shared + 3 * footprint.member, needed, rtol=0.1)


@pytest.mark.parametrize("num_members", [1, 2, 7, 45, 1000])
@pytest.mark.parametrize("num_devices", [1, 3, 8])
@pytest.mark.parametrize("free_bytes", [12 * MIB, 100 * MIB, 10**12])
def test_the_groups_hold_each_member_once_and_fit_the_memory(num_members, num_devices, free_bytes):
    footprint = Footprint(shared=MIB, member=3 * MIB)
    plan = training.plan_programs(num_members, footprint, free_bytes=free_bytes, num_devices=num_devices)
    groups = plan.groups()
    assert [member for group in groups for member in group] == list(range(num_members))
    assert len(groups) == plan.num_programs
    assert {len(group) for group in groups[:-1]} <= {plan.members_per_program}
    assert 1 <= len(groups[-1]) <= plan.members_per_program
    per_device = -(-plan.members_per_program // num_devices)
    assert footprint.shared + per_device * footprint.member <= 0.9 * free_bytes
    # One program less would not do: its members would be more than the devices hold.
    most = (int(0.9 * free_bytes) - footprint.shared) // footprint.member * num_devices
    assert (plan.num_programs - 1) * most < num_members
    assert f"{num_members} members on {num_devices} device" in plan.message


@pytest.mark.parametrize("spare, fits", [(0, 3), (-1, 2)])
def test_the_last_byte_decides(spare, fits):
    free = 10 * (100 + 3 * 1000 + spare)  # nine tenths of it may be used
    footprint = Footprint(shared=900, member=9000)
    plan = training.plan_programs(6, footprint, free_bytes=free, num_devices=1)
    assert plan.members_per_program == fits
    assert [len(group) for group in plan.groups()] == [fits] * (6 // fits)


def test_a_member_that_does_not_fit_is_refused_with_the_numbers():
    message = r"not one member fits a device: a member needs 3 GiB plus 1 GiB that all share, and 4\.4 GiB are free"
    footprint = Footprint(shared=2**30, member=3 * 2**30)
    with pytest.raises(ValueError, match=message):
        training.plan_programs(2, footprint, free_bytes=int(4.4 * 2**30), num_devices=8)
    plan = training.plan_programs(2, footprint, free_bytes=int(4.5 * 2**30), num_devices=8)
    assert plan.num_programs == 1
    assert plan.message == (
        "2 members on 8 devices, 1 on each, in one program: a member needs 3 GiB plus 1 GiB that all share; 4.5 GiB "
        "are free on a device."
    )


def test_there_is_memory():
    assert 0 < training.device_memory() < 2**45
