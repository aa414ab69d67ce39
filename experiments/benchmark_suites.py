"""The suites of `experiments.benchmark`: what measures, what prints, and whom each is held against."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from experiments import (
    benchmark_adversarial,
    benchmark_attack_rows,
    benchmark_attacks,
    benchmark_augment,
    benchmark_corruptions,
    benchmark_images,
    benchmark_scaling,
    benchmark_sweep,
    benchmark_torch,
    benchmark_train,
)
from experiments.benchmark_adversarial import print_adversarial
from experiments.benchmark_attacks_report import print_attacks
from experiments.benchmark_augment_report import print_augment
from experiments.benchmark_corruptions_report import print_corruptions
from experiments.benchmark_images_report import print_images
from experiments.benchmark_report import print_train
from experiments.benchmark_scaling_report import print_scaling
from experiments.benchmark_sweep_report import print_sweep

TRAIN, SWEEP, SCALING, ATTACKS, AUGMENT, ALL = "train", "sweep", "scaling", "attacks", "augment", "all"
CORRUPTIONS = "corruptions"
IMAGES, ADVERSARIAL = "images", "adversarial"
SUITES: dict[str, tuple[Callable[..., dict[str, Any]], Callable[[Console, Mapping[str, Any]], None]]] = {
    TRAIN: (benchmark_train.train_suite, print_train),
    SWEEP: (benchmark_sweep.sweep_suite, print_sweep),
    SCALING: (benchmark_scaling.scaling_suite, print_scaling),
    ATTACKS: (benchmark_attacks.attacks_suite, print_attacks),
    AUGMENT: (benchmark_augment.augment_suite, print_augment),
    CORRUPTIONS: (benchmark_corruptions.corruptions_suite, print_corruptions),
    IMAGES: (benchmark_images.images_suite, print_images),
    ADVERSARIAL: (benchmark_adversarial.adversarial_suite, print_adversarial),
}
"""What measures, and what prints; in the order of `all`."""
ONE_PROCESS = {
    ATTACKS: "the attacks are",
    AUGMENT: "augmentation is",
    CORRUPTIONS: "corruption is",
    IMAGES: "the images are",
    ADVERSARIAL: "adversarial steps are",
}
"""Suites that are measured in one process."""
PEERS: dict[str, tuple[str, ...]] = {
    TRAIN: benchmark_torch.PEERS,
    ATTACKS: benchmark_attack_rows.PEERS,
    AUGMENT: benchmark_augment.PEERS,
    CORRUPTIONS: benchmark_corruptions.PEERS,
}
