"""What a process does that is alone; many are in `devices_test` and in `experiments/processes_test`."""

import os
import subprocess
import sys

import pytest

from ib_jax import training


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("localhost:1",), "must be given together, got 'localhost:1', 0, -1"),
        (("localhost:1", 2), "must be given together, got 'localhost:1', 2, -1"),
        (("", 2, 0), "must be given together, got '', 2, 0"),
        (("", 0, 0), "must be given together, got '', 0, 0"),
        (("localhost:1", 2, 2), r"process_id must be in \[0, num_processes = 2\), got 2"),
        (("localhost:1", 2, -2), r"process_id must be in \[0, num_processes = 2\), got -2"),
        (("localhost:1", -1, 0), r"process_id must be in \[0, num_processes = -1\), got 0"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        training.initialize(*arguments)


@pytest.mark.standard
def test_without_a_cluster_nothing_is_joined():
    """In a process of its own: it would otherwise be the tests' process that is, or is not, joined."""
    code = """
import signal
from ib_jax import training
before = signal.getsignal(signal.SIGTERM)
assert training.initialize() is False
import jax
from jax._src import distributed
assert distributed.global_state.client is None
assert (jax.process_count(), jax.process_index(), training.is_main()) == (1, 0, True)
assert float(jax.pmap(lambda x: jax.lax.psum(x, "i"), axis_name="i")(jax.numpy.ones(1))[0]) == 1
assert signal.getsignal(signal.SIGTERM) == before
"""
    clusters = ("SLURM_", "OMPI_", "JAX_COORDINATOR", "CLOUD_TPU", "TPU_", "KUBERNETES_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(clusters)}
    environment["JAX_PLATFORMS"] = "cpu"
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_process_alone_agrees_with_itself():
    assert training.is_main()
    assert [training.any_process(flag) for flag in (True, False)] == [True, False]
    assert [training.from_main(number) for number in (0, -3, 2**31 - 1)] == [0, -3, 2**31 - 1]
