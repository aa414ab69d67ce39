"""Compare VIB, VUB, CEB and consistent CEB: the same network and the same tuning budget for each.

Papers:   Alemi et al., Deep VIB (2017); Fischer and Alemi, CEB Improves Model Robustness (2020); Tighter Bounds on the
          Information Bottleneck (arXiv 2402.07639).
Run:      python -m experiments.mnist_objectives --dataset=mnist
          python -m experiments.mnist_objectives --num_seeds=1 --strengths=1e-2,1e-3     on digits, no download
Does:     trains each objective at four strengths on all training images but 10,000, and chooses the strength with the
          lowest error on those (12 samples of z; the cross-entropy decides between equal ones; the test set plays no
          part); then trains each at its strength with three seeds on all training images, and attacks it.
Cost:     28 runs of 20 epochs, about an hour on two CPU cores. Runs that have a record are not run again.
Leaves:   a record for each run, table.md and figure.png in --results.
"""

from experiments.core import app
from experiments.mnist_objectives.run import run
from experiments.mnist_objectives.settings import PRESETS, CompareConfig

if __name__ == "__main__":
    app.main(run, CompareConfig, doc=__doc__, presets=PRESETS)
