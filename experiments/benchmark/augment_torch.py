"""The worker of `experiments.benchmark.augment`: torchvision's AutoAugment on the same pictures.

Each picture has a draw of its own, as in training: the transform is called picture by picture, as torchvision's users
do. PIL images and uint8 tensors are there before the clock starts and stay what they are; with a DataLoader, whose
worker processes use all cores, making a tensor of the batch and handing it over count, too.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.core import worker as torch_worker

Pass = Callable[[], int]
"""Augments some pictures and tells how many."""

NUM_BATCHES = 16
"""Of a pass of the DataLoader, so that no worker process is idle."""


def make_answer(pictures: Mapping[str, str]) -> torch_worker.Answer:
    """Loads the pictures of each task, .npy files with uint8 [B, H, W, 3]; makes what measures a way of augmenting."""
    import torchvision.extension

    arrays = {task: np.load(path) for task, path in pictures.items()}
    passes: dict[tuple[str, str, str], Pass] = {}
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


def make_pass(pictures: np.ndarray, policy: str, peer: str) -> Pass:
    """One way of augmenting a batch of pictures."""
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
        dataset,
        batch_size=len(images),
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
    )
    return lambda: sum(len(batch) for batch in loader)


class _Augmented:
    """A data set of augmented pictures, which come again and again.

    Args:
      images: of one batch.
      transform: torchvision's.
    """

    def __init__(self, images: Sequence[Any], transform: Callable[[Any], Any]):
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return NUM_BATCHES * len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self.transform(self.images[index % len(self.images)]))


if __name__ == "__main__":
    torch_worker.serve(make_answer, ("torch", "torchvision", "pillow"))
