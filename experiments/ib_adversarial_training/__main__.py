"""Combine the information bottleneck with adversarial training, and attack what comes out: Tables 1, 2 and 3.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): section 6, Tables 1 to 3.
Run:      python -m experiments.ib_adversarial_training                                    digits, no download
          python -m experiments.ib_adversarial_training --preset=small --dataset=mnist     Tables 1 and 2, as measured
          python -m experiments.ib_adversarial_training --preset=small --dataset=cifar10   Table 3, as measured
Does:     trains VIB at each of --betas and cross-entropy, each on clean images alone and with a part of every batch
          replaced by attacks on the model as it stands; models that differ in beta and seed alone as one population.
          Then the paper's attacks with one sample of z, and beside them gradients averaged over samples (EOT), a margin
          loss, images made on another model, and Square, which asks for no gradient. Models and records that are there
          are kept.
Units:    images lie in [0, 1], and so does epsilon. The paper does not say in which units its epsilons, or its rates,
          are; rates are in bits here.
Cost:     small on MNIST some 45 minutes on two busy CPU cores, on CIFAR-10 some 10.
Expect:   the paper: with adversarial training I(X';T') falls from 17.8 to 91 to 5 to 26, and accuracy under the attack
          trained against rises from 58 to 75 % to 87 to 92 %. What was measured here stands in
          experiments/results/ib_adversarial_training/*/table.md.
Leaves:   a record for each model, table.md and figure.png in --results.
"""

from experiments.core import app
from experiments.ib_adversarial_training.run import run
from experiments.ib_adversarial_training.settings import PRESETS, AdversarialConfig, AttackSettings, SweepSettings

if __name__ == "__main__":
    app.main(run, AdversarialConfig, SweepSettings, AttackSettings, doc=__doc__, presets=PRESETS)
