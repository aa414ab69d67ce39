"""Train against attacks in different ratios, and set the entropy of the features against robustness: Figure 4.

Paper:    Improving Adversarial Robustness: An Information-Theoretic Perspective (anonymous): section 6, Figure 4.
Run:      python -m experiments.feature_entropy                                      digits, no download, quick
          python -m experiments.feature_entropy --preset=small --dataset=mnist       Figure 4, as measured
          python -m experiments.feature_entropy --preset=small --dataset=cifar10     its second row
Does:     trains All-CNN without noise, batch norm and dropout on images of which a ratio is replaced by attacks on the
          model as it stands, by FGSM, DeepFool or CW alike; they are made again every --refresh epochs. T is a function
          of X then, and the entropy of the binned features is I(X;T) of the binned code. It is estimated from test
          images by maximum likelihood (plug-in) and JVHW, on one grid for all models and on three that do not see how
          large features are. Robustness is accuracy under the attack trained against: FGSM at --epsilon; for DeepFool
          and CW, which have no radius, the share of images that nothing nearer than --l2_radius fools.
          PGD, transfer and Square stand beside.
Units:    images lie in [0, 1], radii too; entropies are in bits. The paper gives no unit, no grid, no ratios and no
          radii.
Expect:   the paper: the estimated entropy decreases as the robustness increases, for every attack and data set. What
          was measured here stands in experiments/results/feature_entropy/table.md.
Leaves:   DATASET.json, table.md and figure.png in --results. Models that are in the record are kept.
"""

from experiments.core import app
from experiments.feature_entropy.run import run
from experiments.feature_entropy.settings import PRESETS, FeatureConfig

if __name__ == "__main__":
    app.main(run, FeatureConfig, doc=__doc__, presets=PRESETS)
