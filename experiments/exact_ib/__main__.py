"""Train VIB, VUB and CEB where the information bottleneck is known, and compare with the exact curve.

Papers:   Tishby et al., The Information Bottleneck Method (2000); Chechik et al., Information Bottleneck for Gaussian
          Variables (2005); the bounds of Alemi et al. (2017), Fischer and Alemi (2020) and arXiv 2402.07639.
Run:      python -m experiments.exact_ib
Cost:     some minutes on two CPU cores; each objective's eight betas and all restarts are one compiled program.
Expect:   VIB and CEB within 1 % of the exact I(Z;Y) at their I(X;Z) wherever the family of encoders contains the
          optimum, and at the exact optimum of their beta. VUB comes to the curve too, but not at its beta.
Leaves:   gaussian.json, discrete.json, table.md and figure.png in --results.
"""

from experiments.core import app
from experiments.exact_ib.run import run
from experiments.exact_ib.settings import ExactConfig

if __name__ == "__main__":
    app.main(run, ExactConfig, doc=__doc__)
