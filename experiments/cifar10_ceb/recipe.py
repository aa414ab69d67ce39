"""How a model of `experiments.cifar10_ceb` is trained."""

from experiments.cifar10_ceb.settings import Cifar10Config
from experiments.core import networks, objectives, optimizers
from experiments.core.recipe import RecipeFunctions, load_dataset
from ib_jax import augment
from ib_jax.training import Augment

load = load_dataset


def augmentation(config: Cifar10Config) -> Augment:
    """What is done to the training images, on the device."""
    if config.augment == "none":
        return lambda keys, images: images
    steps = [augment.random_flip(), augment.pad_crop(4)]
    if config.augment != "flip_crop":
        policy = {"autoaugment": "cifar10", "autoaugment_95": "cifar10_95"}[config.augment]
        steps += [augment.auto_augment(policy), augment.cutout(16)]
    return augment.batched(augment.compose(*steps))


def network_name(config: Cifar10Config) -> str:
    """What the architecture is called, such as "WRN-28-10"."""
    augmented = "" if config.augment == "none" else f", {config.augment}"
    normalised = "" if config.norm == "none" else f", {config.norm} norm"
    return f"WRN-{config.depth}-{config.width}{normalised}{augmented}"


FUNCTIONS = RecipeFunctions(networks.wide_resnet, optimizers.stepped_adam, objectives.jump_start, augmentation)
