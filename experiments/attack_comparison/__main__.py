"""Compare every attack with the same one in torchattacks, foolbox, pyautoattack and adv-lib, on the same weights.

Paper:    none; the libraries are torchattacks 3.5.1, foolbox 3.3.4, pyautoattack 0.2.0 and adv-lib 0.2.8.
Run:      python -m experiments.attack_comparison                          digits, trains a network; minutes
          python -m experiments.attack_comparison --checkpoint=WORKDIR     MNIST, over an hour on two cores
          where WORKDIR is one that a cross_entropy run of experiments.mnist_vib has left.
Needs:    pip install 'ib-jax[peers]' for the other libraries, then pip install --no-deps adv-lib==0.2.8; without them
          their rows say so.
Method:   the weights are handed to PyTorch in another process; both sides get the same images and the same settings.
          Success and distance are evaluated for all by the JAX network, on the images that came back: a library's own
          verdict is not asked for. Attacks that draw random numbers run from --num_starts seeds on both sides, whose
          draws differ; the table has the means and the standard error of their difference. Where results end on the
          boundary itself, so that rounding decides (torchattacks' DeepFool, which goes 2 % beyond its last step alone),
          a note says what counting them would change. What the other libraries do otherwise at equal settings stands at
          the head of `experiments.attack_comparison.peers`.
Units:    inputs lie in [0, 1], and so do radii and distances.
Expect:   at a radius, a robust accuracy at most 0.5 points above theirs (AutoAttack: 0.3); without one, a median
          perturbation at most 2 % larger. The median is over images that were classified right, a failure infinitely
          far.
Leaves:   a JSON record, by default workdirs/attack_comparison/<dataset>.json, and table.md beside it, made
          of all records there.
"""

from experiments.attack_comparison.run import run
from experiments.attack_comparison.settings import ComparisonConfig
from experiments.core import app

if __name__ == "__main__":
    app.main(run, ComparisonConfig, doc=__doc__)
