"""Evaluate trained models on common corruptions, and on ImageNet-A and under attack, and draw Figure 3's panels.

Paper:    Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.2, Figures 3 and 4, Table 1.
Run:      python -m experiments.corruptions --workdirs=workdirs/cifar10_ceb                 a folder of models
          python -m experiments.corruptions --workdirs=run1,run2 --num_images=200           two models, a first look
          python -m experiments.corruptions --workdirs=DIR --num_images=0 --published       as in the literature
          python -m experiments.corruptions --workdirs=DIR --num_images=0 --attack          with PGD, and what checks it
Reads:    config.json, results.json and checkpoints/ of each workdir, as experiments.cifar10_ceb and
          experiments.imagenet_ceb leave them.
Does:     shows every model the clean images, 15 corruptions (and 4 more) at five severities, corrupted once on the
          device for all models; ImageNet models ImageNet-A, too; with --attack PGD of radius 16 and all that it takes
          to believe it. The models answer from the mean of their code, as in the paper. A model with a record is not
          evaluated again, and a run that was stopped goes on after the last whole corruption.
Expect:   the paper, ResNet50 without AutoAugment: clean error 24.0 % by cross-entropy and 22.8 % by CEB, the latter
          with mCE 77.7 % and 61.5 % on average. mCE is relative to AlexNet for ImageNet models, and for others to the
          cross-entropy model among them, which then has 100 %.
Cost:     96 passes over the images for each model, and corrupting them once. All 50,000 images of ImageNet take 7.5 GB
          of memory, unless they come --published.
Leaves:   a record for each model, table.md and figure3.png in --results.
"""

from experiments.core import app
from experiments.corruptions.run import run
from experiments.corruptions.settings import CorruptionAttacks, CorruptionSettings

if __name__ == "__main__":
    app.main(run, CorruptionSettings, CorruptionAttacks, doc=__doc__)
