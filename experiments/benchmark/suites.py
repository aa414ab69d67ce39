"""The suites of `experiments.benchmark`: what measures, what prints, and whom each is held against."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from experiments.benchmark import adversarial as benchmark_adversarial
from experiments.benchmark import attack_rows as benchmark_attack_rows
from experiments.benchmark import attacks as benchmark_attacks
from experiments.benchmark import augment as benchmark_augment
from experiments.benchmark import corruptions as benchmark_corruptions
from experiments.benchmark import images as benchmark_images
from experiments.benchmark import scaling as benchmark_scaling
from experiments.benchmark import sweep as benchmark_sweep
from experiments.benchmark import torch_programs as benchmark_torch
from experiments.benchmark import train as benchmark_train
from experiments.benchmark.adversarial import print_adversarial
from experiments.benchmark.attacks_report import print_attacks
from experiments.benchmark.augment_report import print_augment
from experiments.benchmark.corruptions_report import print_corruptions
from experiments.benchmark.images_report import print_images
from experiments.benchmark.scaling_report import print_scaling
from experiments.benchmark.show import print_train
from experiments.benchmark.sweep_report import print_sweep

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
