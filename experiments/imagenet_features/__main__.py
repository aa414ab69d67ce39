"""Bottleneck heads on a frozen network, attacked through the network to the pixels.

Paper:    Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): section 4.1, Table 1; and Alemi
          et al., Deep Variational Information Bottleneck (2017): section 4.2.5, Table 2.
Run:      python -m experiments.imagenet_features                    digits, random weights, no download
          python -m experiments.imagenet_features --dataset=cifar10 --num_train_images=10000 --num_eval_images=1000
          python -m experiments.imagenet_features --dataset=cifar10 --trained=WORKDIR          a network of cifar10_ceb
          python -m experiments.imagenet_features --preset=paper --workdir=DIR                 the VUB paper's
          python -m experiments.imagenet_features --preset=paper --backbone=InceptionResNetV2 --betas=0.01 --workdir=DIR
Needs:    pip install ib-jax[features] (Keras). ImageNet is the user's; Keras downloads --weights=imagenet.
Does:     computes the network's features of all images once and keeps them on disk; trains a deterministic head and
          heads with VIB, VUB and CEB on them; attacks each, and the network itself where it knows the classes: FGSM on
          the evaluation images; PGD, images made on the deterministic head, Square and Carlini-Wagner to one class on a
          share of them. All that is done is kept: after a stop the same command goes on.
Units:    pixels lie in [0, 1], and so do epsilon and distances; the network's preprocessing is part of what is
          attacked. The VUB paper gives no units. Its authors' code adds epsilon to normalised images and does not clip
          them to the pixel range; 0.1 is some 0.0225 of that range then, and both are among the radii. Its
          Carlini-Wagner distances, up to 3917, cannot be L2 norms in [0, 1]: two images of 299 pixels are at most 518
          apart.
Cost:     the default takes two minutes on two CPU cores. The features of ImageNet are 10.5 GB, 2,048 numbers for each
          of 1.3 million images, which training holds on the device.
Leaves:   a record for each model and seed, table.md and figure.png in --results; features and answers in the workdir.
"""

from experiments.core import app
from experiments.imagenet_features.backbone import BackboneUnavailableError
from experiments.imagenet_features.run import run
from experiments.imagenet_features.settings import PRESETS, FeaturesConfig

if __name__ == "__main__":
    app.main(run, FeaturesConfig, doc=__doc__, presets=PRESETS, errors=(BackboneUnavailableError, FloatingPointError))
