"""Train Wide ResNets through the conditional entropy bottleneck, attack and corrupt them, and draw Figures 1 and 2.

Paper:    Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.1, Figures 1 and 2.
Run:      python -m experiments.cifar10_ceb                                  digits, no download, some minutes
          python -m experiments.cifar10_ceb --preset=small --rhos=3 --num_seeds=2      as measured here, an hour a model
          python -m experiments.cifar10_ceb --preset=paper --precision=bfloat16 --rhos=-1..5:25
          python -m experiments.cifar10_ceb --preset=paper --scale_epochs=0.02 --objective=vib --rho=3
Does:     trains cross-entropy (unless --nobaseline), with --madry also against PGD, and the objective, at each of
          --rhos with each seed as one population, or at --rho alone sharded over all devices. Then PGD (L-inf, L2,
          targeted and not) with the mean code, as the paper, and beside it EOT over samples of z, a margin loss, twice
          the steps, transfer from another model and Square; and the corruptions. A model with a record is not attacked
          again.
Units:    radii are levels of 255.
Cost:     the paper preset is 75 million images for WRN-28-10 and each rho: days of one GPU. --scale_epochs and
          --scale_width shrink a preset; the record keeps them.
Expect:   the paper: 93.9 to 95.1 % clean for rho >= 1, no model below; under L-inf PGD at 8 the deterministic network
          8 %, lower rho better. What was measured here stands in experiments/results/cifar10_ceb/table.md.
Leaves:   a workdir for each model, and a record for each, table.md and figures in --results.
"""

from experiments.cifar10_ceb.run import run
from experiments.cifar10_ceb.settings import PRESETS, AttackSettings, Cifar10Config, SweepSettings, scaled
from experiments.core import app

if __name__ == "__main__":
    app.main(run, Cifar10Config, SweepSettings, AttackSettings, doc=__doc__, presets=PRESETS, adjust=scaled)
