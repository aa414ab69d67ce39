"""Attack one of two classifiers on the same stochastic encoder, and see how well that works on the other: Figure 3.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): Theorem 4, Figure 3 and
          "Transferability" in section 6.
Run:      python -m experiments.transferability                                      digits, no download, 12 pairs
          python -m experiments.transferability --preset=small --dataset=mnist       Figure 3, as measured
Does:     trains pairs with encoders of many depths and widths at several betas, as one program: the first decoder,
          which is linear, together with its encoder by VIB, and a second one, with a hidden layer and a draw of z of
          its own, on the codes alone, as one who builds on a pretrained encoder would; the encoder gets no gradient
          from it.
          Then attacks the first classifier, by FGSM with one sample of z and by PGD with gradients averaged over
          samples (EOT), and shows the images to the second. The paper names neither its attack nor its decoders.
          A pair that is trained, and a record that is there, are kept.
Units:    images lie in [0, 1], and so does epsilon, in L-inf; Lipschitz constants are in L2, of units of z for a unit
          of the image.
Cost:     small on MNIST some six minutes on two CPU cores.
Expect:   the paper: delta' - delta correlates with the encoder's Lipschitz constant (Pearson's r 0.57, p 0.0015) and
          with tau, the larger of the two errors (0.51, p 0.0054). What was measured here stands in
          experiments/results/transferability/table.md.
Leaves:   DATASET.json, table.md and figure.png in --results.
"""

from experiments.core import app
from experiments.transferability.run import run
from experiments.transferability.settings import PRESETS, PairConfig

if __name__ == "__main__":
    app.main(run, PairConfig, doc=__doc__, presets=PRESETS)
