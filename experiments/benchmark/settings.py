"""The settings of `experiments.benchmark`."""

import re

from experiments.core import groups
from experiments.core.settings import EITHER, PRECISIONS, SettingError, Settings, configure, setting

AUTO, ALL, AVX512 = "auto", "all", "-avx512"
LIBRARIES = ("torchattacks", "foolbox")
PEERS: dict[str, tuple[str, ...]] = {
    "train": ("eager", "fused", "compile", *(name + AVX512 for name in ("eager", "fused", "compile"))),
    "sweep": (),
    "scaling": (),
    "attacks": (*LIBRARIES, *(name + AVX512 for name in LIBRARIES)),
    "augment": ("pil", "pil-v2", "tensor", "tensor-v2", "pil-v2-loader"),
    "corruptions": ("imagecorruptions", "imagecorruptions-cores"),
    "images": (),
    "reading": (),
    "adversarial": (),
    "estimators": (),
    "distances": (),
    "cold": (),
}
"""The suites in the order of `all`, each with what JAX is held against. eager: plain Adam; fused: fused Adam; compile:
torch.compile and fused Adam; -avx512: MKL's AVX-512 path forced."""
SUITES = tuple(PEERS)
RESULTS, TORCH_WORKER = "workdirs/benchmark", "experiments.benchmark.torch_worker"
CPU_NETWORKS, NETWORKS = "wrn-10-2", "wrn-28-10,resnet-50"

_NAME = re.compile(r"(wrn)-(\d+)-(\d+)|(resnet)-(50|101|152)")


def family(name: str) -> tuple[str, int, int]:
    """Family, depth and width of a convolutional network by its name, as ("wrn", 28, 10); or a SettingError."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise SettingError(f"--image_networks must be auto, wrn-<depth>-<width> or resnet-<50, 101, 152>, got {name!r}")
    wide, depth, width, _, layers = match.groups()
    return ("wrn", int(depth), int(width)) if wide else ("resnet", int(layers), 1)


class _Suite(groups.Output, groups.Peers):
    group = "Benchmark"

    suite: str = setting("train", "What is measured.", choices=(*SUITES, ALL))
    repeats: int = setting(5, "Rounds in which every row has its turn.", least=1)
    steps: int = setting(300, "Train, sweep, scaling: steps of one turn.", unit="steps", least=1)
    min_seconds: float = setting(
        1.0, "Attacks, augment, corruptions, reading: a turn repeats its call for so long.", unit="seconds", least=0
    )


class _Sweep(Settings):
    group = "Sweep"

    members: int = setting(8, "Models of the population.", unit="models", least=1)
    project_flops: float = setting(
        0.0,
        "Also project the paper's sweep at so many FLOP/s sustained, all devices together; 0: do not.",
        least=0,
    )
    project_bandwidth: float = setting(
        0.0, "The same at so many bytes/s of memory; the slower of the two counts.", least=0
    )
    global_batch_size: int = setting(
        1024, "Strong scaling: images of one step, over all devices.", unit="images", least=1
    )


class _Attacks(groups.Checkpoint, groups.Dataset, groups.Epochs, groups.NumImages):
    group = "Attacks"

    cw_images: int = setting(500, "Images of a call of CW.", unit="images", least=1)
    slow_images: int = setting(
        50, "Images of torchattacks' DeepFool, which takes them one by one.", unit="images", least=1
    )
    pictures: int = setting(128, "Augment: pictures of a batch.", unit="images", least=1)


class _Images(groups.ImageSize):
    group = "Images"

    image_networks: str = setting(
        "auto",
        "wrn-<depth>-<width> or resnet-<50, 101, 152>, with commas between; auto: "
        f"{CPU_NETWORKS} on a CPU, elsewhere {NETWORKS}.",
    )
    image_batch_size: int = setting(
        0,
        "Of training and attack; 0: 100 on a CPU, elsewhere 512 for Wide ResNets, 256 for ResNets.",
        unit="images",
        least=0,
    )
    image_steps: int = setting(0, "Steps of one turn; 0: 10 on a CPU, 20 elsewhere.", unit="steps", least=0)
    image_precision: str = setting(
        "auto",
        "Of the networks' products; auto: float32 on a CPU, bfloat16 elsewhere.",
        choices=("auto", *PRECISIONS),
    )


@configure(
    peers="auto",
    dataset="mnist",
    num_epochs=4,
    image_size=0,
    choices={"dataset": ("mnist", "digits")},
    paper={"batch_size": 100, "latent_dim": 256, "hidden_width": 1024, "precision": "float32"},
    least={"image_size": 0},
    path={"output": EITHER},
    help={
        "peers": "What JAX is held against, with commas between; "
        + "".join(f"for {suite}: {', '.join(names)}; " for suite, names in PEERS.items() if names)
        + "auto: all; or none.",
        "output": f"JSON record; with --suite=all its folder. Default: {RESULTS}/<suite>.json.",
        "batch_size": "Images of one step; weak scaling: on each device.",
        "latent_dim": "K, dimensions of the code.",
        "precision": "Train, sweep, scaling: of the networks' products.",
        "dataset": "Without --checkpoint: data set.",
        "num_epochs": "Without --checkpoint: length of training.",
        "num_images": "Images of a call.",
        "image_size": "Side of the images; 0: 32 for Wide ResNets, 224 for ResNets.",
    },
)
class Config(_Suite, groups.Batch, groups.LatentDim, groups.HiddenWidth, groups.Precision, _Sweep, _Attacks, _Images):
    """One benchmark."""

    def check(self) -> None:
        super().check()
        for name in self.image_networks.split(",") if self.image_networks != AUTO else ():
            family(name)
        if self.peers not in ("auto", "none"):
            groups.check_names("peers", self.peer_names, (*PEERS.get(self.suite, ()), "auto", "none"))

    @property
    def peer_names(self) -> tuple[str, ...]:
        """The PyTorch variants asked for."""
        named: dict[str, tuple[str, ...]] = {"auto": PEERS.get(self.suite, ()), "none": ()}
        return named[self.peers] if self.peers in named else tuple(self.peers.split(","))
