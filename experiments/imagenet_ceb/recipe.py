"""How a model of `experiments.imagenet_ceb` is trained: ResNets, SGD with warm-up and drops, and its images."""

from typing import Any

from experiments.core import networks, objectives, optimizers
from experiments.core.recipe import RecipeFunctions, Streamed, load_dataset
from experiments.imagenet_ceb.settings import ImageNetConfig
from ib_jax import augment, data
from ib_jax.training import Augment


def load(config: ImageNetConfig) -> data.Dataset | Streamed:
    """The images of a run: ImageNet as sources, the small sets as arrays."""
    if config.dataset != "imagenet2012":
        return load_dataset(config)
    sized: dict[str, Any] = {"data_dir": config.data_dir or None, "num_validation": config.num_validation}
    sized |= {"seed": config.seed, "image_size": config.image_size}
    held_out = data.open_split(config.dataset, "held_out", **sized) if config.num_validation else None
    return Streamed(
        name=config.dataset,
        train=data.open_train(config.dataset, crop_seed=config.seed, **sized),
        validation=held_out,
        test=data.open_split(config.dataset, "validation", **sized),  # what results are reported on
        num_classes=1000,
        image_shape=(config.image_size, config.image_size, 3),
    )


def augmentation(config: ImageNetConfig) -> Augment:
    """What is done to the training images, on the device."""
    if config.augment == "none":
        return lambda keys, images: images
    steps = [augment.random_flip()]
    if config.augment == "autoaugment":
        steps.append(augment.auto_augment("imagenet"))
    return augment.batched(augment.compose(*steps))


def network_name(config: ImageNetConfig) -> str:
    """What the architecture is called, such as "ResNet50x2-aa"."""
    wide = "" if config.width == 1 else f"x{config.width:g}"
    augmented = {"autoaugment": "", "flip": "-aa"}.get(config.augment, f", {config.augment} augmented")
    return f"ResNet{config.depth}{wide}{augmented}" + ("" if config.image_size == 224 else f", {config.image_size} px")


FUNCTIONS = RecipeFunctions(networks.resnet, optimizers.stepped_sgd, objectives.jump_start, augmentation)
