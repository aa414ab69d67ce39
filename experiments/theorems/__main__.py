"""The paper's theorems on exact problems: every inequality over random draws, and two Gaussians with a linear oracle.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective, sections 3, 4.1, 4.2 and 5.
Run:      python -m experiments.theorems
Cost:     seconds on one CPU core.
Expect:   no violation of Lemma 1, of Theorem 2 with derived constants and of Theorem 4 for random predictions; but
          Theorem 2 never below max(I(X;T), I(X';T')), and Theorem 4's delta' never below 1. Violations of what is false
          as printed: Theorem 1 off the support or with a decoder that is not the best one, Theorem 4 for the most
          likely label, the Lipschitz constant of an encoder on a grid.
Leaves:   theorems.json, table.md, toy.png and slack.png in --results.
"""

from experiments.core import app
from experiments.theorems.run import run
from experiments.theorems.settings import TheoremsConfig

if __name__ == "__main__":
    app.main(run, TheoremsConfig, doc=__doc__)
