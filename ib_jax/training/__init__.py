"""Training: a pure step, whole epochs on the device, populations, sharding, the host loop and checkpoints.

`train` does all of it in one call, for any function that returns `BoundTerms` for each example. The other functions are
its parts: they are pure where they can be, and the number of devices changes no result beyond rounding.
"""

from ib_jax.training.adversarial import ApplyFn, attacked, trades
from ib_jax.training.budget import measure_examples, plan_microbatches, plan_stretch
from ib_jax.training.capacity import Footprint, Plan, device_memory, host_memory, measure_members, plan_programs
from ib_jax.training.checkpoint import Checkpoints, SaveError
from ib_jax.training.distributed import (
    any_process,
    from_main,
    hear_others,
    initialize,
    is_main,
    on_main,
    tell_others,
)
from ib_jax.training.epoch import Augment, drive, epoch_order, make_epoch, make_stretch
from ib_jax.training.examples import map_examples, map_members, own_rows
from ib_jax.training.feed import feed
from ib_jax.training.gradient import Batch, LossFn, Metrics, Perturb, make_gradient
from ib_jax.training.layerwise import DepthOf, layerwise_rates
from ib_jax.training.loop import NonFiniteLossError, Progress, StopRequest, fit
from ib_jax.training.one_call import Callback, Trained, train
from ib_jax.training.optimizer import paper_adam
from ib_jax.training.parallel import (
    REPLICATED,
    Placement,
    first_shard,
    gather,
    replicate,
    shard_epoch,
    spread_members,
    unreplicate,
)
from ib_jax.training.schedule import Gate, Schedule, constant, gated_rho, linear_gamma, linear_rho
from ib_jax.training.step import TrainState, averaged_params, init_state, make_train_step
from ib_jax.training.step_folders import CheckpointWarning, last_checkpoint, saved_settings
from ib_jax.training.sweep import Hyperparams, Population, choose_members_at_once, init_population, make_sweep, member

__all__ = [
    "REPLICATED",
    "ApplyFn",
    "Augment",
    "Batch",
    "Callback",
    "CheckpointWarning",
    "Checkpoints",
    "DepthOf",
    "Footprint",
    "Gate",
    "Hyperparams",
    "LossFn",
    "Metrics",
    "NonFiniteLossError",
    "Perturb",
    "Placement",
    "Plan",
    "Population",
    "Progress",
    "SaveError",
    "Schedule",
    "StopRequest",
    "TrainState",
    "Trained",
    "any_process",
    "attacked",
    "averaged_params",
    "choose_members_at_once",
    "constant",
    "device_memory",
    "drive",
    "epoch_order",
    "feed",
    "first_shard",
    "fit",
    "from_main",
    "gated_rho",
    "gather",
    "hear_others",
    "host_memory",
    "init_population",
    "init_state",
    "initialize",
    "is_main",
    "last_checkpoint",
    "layerwise_rates",
    "linear_gamma",
    "linear_rho",
    "make_epoch",
    "make_gradient",
    "make_stretch",
    "make_sweep",
    "make_train_step",
    "map_examples",
    "map_members",
    "measure_examples",
    "measure_members",
    "member",
    "on_main",
    "own_rows",
    "paper_adam",
    "plan_microbatches",
    "plan_programs",
    "plan_stretch",
    "replicate",
    "saved_settings",
    "shard_epoch",
    "spread_members",
    "tell_others",
    "trades",
    "train",
    "unreplicate",
]
