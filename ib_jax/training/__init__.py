"""Training: a pure step, whole epochs on the device, sharding, the host loop and checkpoints."""

from ib_jax.training.checkpoint import Checkpoints
from ib_jax.training.epoch import make_epoch
from ib_jax.training.loop import NonFiniteLossError, Progress, StopRequest, fit
from ib_jax.training.optimizer import paper_adam
from ib_jax.training.parallel import map_examples, replicate, shard_epoch, unreplicate
from ib_jax.training.schedule import Gate, Schedule, gated_rho, linear_gamma, linear_rho
from ib_jax.training.step import Batch, Metrics, TrainState, averaged_params, init_state, make_train_step

__all__ = [
    "Batch",
    "Checkpoints",
    "Gate",
    "Metrics",
    "NonFiniteLossError",
    "Progress",
    "Schedule",
    "StopRequest",
    "TrainState",
    "averaged_params",
    "fit",
    "gated_rho",
    "init_state",
    "linear_gamma",
    "linear_rho",
    "make_epoch",
    "make_train_step",
    "map_examples",
    "paper_adam",
    "replicate",
    "shard_epoch",
    "unreplicate",
]
