"""Training: a pure step, whole epochs on the device, sharding, the host loop and checkpoints."""

from ib_jax.training.checkpoint import Checkpoints
from ib_jax.training.epoch import make_epoch
from ib_jax.training.loop import NonFiniteLossError, Progress, StopRequest, fit
from ib_jax.training.optimizer import paper_adam
from ib_jax.training.parallel import map_examples, replicate, shard_epoch, unreplicate
from ib_jax.training.step import Batch, Metrics, TrainState, averaged_params, init_state, make_train_step

__all__ = [
    "Batch",
    "Checkpoints",
    "Metrics",
    "NonFiniteLossError",
    "Progress",
    "StopRequest",
    "TrainState",
    "averaged_params",
    "fit",
    "init_state",
    "make_epoch",
    "make_train_step",
    "map_examples",
    "paper_adam",
    "replicate",
    "shard_epoch",
    "unreplicate",
]
