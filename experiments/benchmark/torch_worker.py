"""PyTorch's side of the suites train and augment, each variant in a process of its own.

The train step gets the best honest form: parameters in a plain list and functional calls, images held as float32 and
already scaled (JAX holds bytes and scales them in each step), no decay of the learning rate, denormal numbers flushed
to zero as XLA does, PyTorch's own number of threads.

In augmentation each picture has a draw of its own, as in training: the transform is called picture by picture, as
torchvision's users do. PIL images and uint8 tensors are there before the clock starts and stay what they are; with a
DataLoader, whose worker processes use all cores, making a tensor of the batch and handing it over count, too.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.core import worker

NUM_BATCHES = 16
"""Of a pass of the DataLoader, so that no worker process is idle."""


def make_answer(pictures: Mapping[str, str] | None = None, **training: Any) -> worker.Answer:
    """Makes what augments pictures, .npy files with uint8 [B, H, W, 3] by their task, or what trains a stretch."""
    if pictures is not None:
        return _augmenting(pictures)
    stretch = make_stretch(**training)

    def answer(request: Mapping[str, Any]) -> dict[str, float]:
        begin = time.perf_counter()
        loss = stretch()
        return {"seconds": time.perf_counter() - begin, "loss": loss}

    return answer


def _augmenting(pictures: Mapping[str, str]) -> worker.Answer:
    import torchvision.extension

    arrays = {task: np.load(path) for task, path in pictures.items()}
    passes: dict[tuple[str, str, str], Callable[[], int]] = {}
    # The compiled part holds operations of detection; transforms do without.
    info = {"compiled_part": torchvision.extension._has_ops()}

    def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        way = request["task"], request["policy"], request["peer"]
        if way not in passes:
            passes[way] = make_pass(arrays[way[0]], *way[1:])
        count, begin = 0, time.perf_counter()
        while not count or time.perf_counter() - begin < request["min_seconds"]:
            count += passes[way]()
        return {"seconds_per_picture": (time.perf_counter() - begin) / count, **info}

    return answer


def make_stretch(
    optimizer: str, *, steps: int, batch_size: int, layers: list[list[int]], beta: float, average_decay: float
) -> Callable[[], float]:
    """Makes the function that trains one epoch of random data and returns the last loss.

    Args:
      optimizer: eager, fused or compile.
      steps: of one epoch.
      batch_size: images of one step.
      layers: inputs and outputs of each dense layer; the last one is the decoder.
      beta: weight of the rate.
      average_decay: of the Polyak average.
    """
    import torch
    from torch.nn import functional as F

    torch.manual_seed(0)
    num_examples = steps * batch_size
    images = torch.rand(num_examples, layers[0][0]).mul_(2).sub_(1)
    labels = torch.randint(0, layers[-1][1], (num_examples,))
    params = []
    for fan_in, fan_out in layers:
        params.append(torch.nn.init.xavier_uniform_(torch.empty(fan_out, fan_in)).requires_grad_())
        params.append(torch.zeros(fan_out, requires_grad=True))
    average = [torch.zeros_like(param) for param in params]
    adam = torch.optim.Adam(params, lr=1e-4, betas=(0.5, 0.999), **({} if optimizer == "eager" else {"fused": True}))

    def loss_fn(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        hidden = inputs
        for index in range(0, len(params) - 4, 2):
            hidden = F.relu(F.linear(hidden, params[index], params[index + 1]))
        mean, rho = F.linear(hidden, params[-4], params[-3]).chunk(2, -1)
        scale = F.softplus(rho - 5.0)
        codes = mean + scale * torch.randn_like(mean)
        distortion = F.cross_entropy(F.linear(codes, params[-2], params[-1]), targets)
        rate = (0.5 * (mean.square() + scale.square() - 1.0) - scale.log()).sum(-1).mean()
        return distortion + beta * rate

    loss_and_graph = torch.compile(loss_fn) if optimizer == "compile" else loss_fn

    def stretch() -> float:
        order = torch.randperm(num_examples)
        for start in range(0, num_examples, batch_size):
            rows = order[start : start + batch_size]
            loss = loss_and_graph(images[rows], labels[rows])
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, params, 1.0 - average_decay)
        return loss.item()

    return stretch


def make_pass(pictures: np.ndarray, policy: str, peer: str) -> Callable[[], int]:
    """One way of augmenting a batch of pictures; it augments some and returns how many."""
    import torch
    from PIL import Image
    from torchvision import transforms
    from torchvision.transforms import v2

    chosen = transforms.AutoAugmentPolicy[policy]
    transform = v2.AutoAugment(chosen) if "v2" in peer else transforms.AutoAugment(chosen)
    images: Sequence[Any]
    if peer.startswith("tensor"):
        images = list(torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous())
    else:
        images = [Image.fromarray(picture) for picture in pictures]

    def each() -> int:
        for image in images:
            transform(image)
        return len(images)

    if "loader" not in peer:
        return each
    dataset: Any = _Augmented(images, transform)
    loader: Any = torch.utils.data.DataLoader(
        dataset, batch_size=len(images), num_workers=os.cpu_count() or 1, persistent_workers=True
    )
    return lambda: sum(len(batch) for batch in loader)


class _Augmented:
    """A data set of the augmented pictures of one batch, which come again and again."""

    def __init__(self, images: Sequence[Any], transform: Callable[[Any], Any]):
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return NUM_BATCHES * len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self.transform(self.images[index % len(self.images)]))


if __name__ == "__main__":
    installed = filter(importlib.util.find_spec, ("torch", "torchvision", "PIL"))
    worker.serve(make_answer, ["pillow" if name == "PIL" else name for name in installed])
