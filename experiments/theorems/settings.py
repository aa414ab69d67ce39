"""The settings of `experiments.theorems`."""

from experiments.core import groups
from experiments.core.settings import configure, setting


@configure(
    results="workdirs/theorems",
    least={"seed": 0},
    help={"seed": "Seed of all draws.", "results": "Folder of the record, the table and the figures."},
)
class TheoremsConfig(groups.Seed, groups.Results):
    """The problems that are drawn."""

    group = "Problems"

    num_problems: int = setting(1000, "Random problems of each kind.", least=1)
    num_tables: int = setting(1000, "Random tables for Theorem 1; all statistics of each are tried.", least=1)
    num_points: int = setting(4000, "Points of the two Gaussians.", least=1)
    num_training: int = setting(20, "Points that a learned decoder sees, half from each class.", least=6)
    num_sets: int = setting(30, "Training sets that a learned decoder's numbers are the mean of.", least=1)
