"""The settings of `experiments.exact_ib`."""

from experiments.core import groups
from experiments.core.settings import configure, setting


@configure(
    results="workdirs/exact_ib",
    help={"seed": "Seed of parameters and noise.", "results": "Folder of the records, the table and the figure."},
)
class ExactConfig(groups.Seed, groups.Results):
    """The problems, and how long they are trained on."""

    group = "Training"

    gaussian_betas: tuple[float, ...] = setting(
        (0.7, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02), "Betas of the jointly Gaussian problem.", above=0, below=1
    )
    discrete_betas: tuple[float, ...] = setting(
        (0.5, 0.4, 0.35, 0.3, 0.2, 0.1, 0.05, 0.03), "Betas of the discrete problem.", above=0, below=1
    )
    num_steps: int = setting(
        3000, "Steps of Adam, in whole passes over the data (64 steps of the Gaussian problem).", unit="steps", least=64
    )
    num_restarts: int = setting(4, "Runs from other parameters; the one with the lowest loss counts.", least=1)
