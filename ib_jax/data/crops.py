"""From an encoded image of any size to pixels of one size: a random crop for training, the centre for evaluation.

Pillow decodes, on the host. Whatever the file holds (grey, CMYK as some images of ImageNet are, a palette, PNG under a
JPEG's name) becomes RGB. Orientation in EXIF is ignored, as TensorFlow's and torchvision's readers ignore it.
"""

import dataclasses
import io
import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
NUM_ATTEMPTS = 10
EVALUATION_SCALE = 256 / 224
"""The shortest side is scaled to this many times the crop's."""


class Decode(Protocol):
    """From an encoded image and its row to uint8 pixels of the shape `image_shape`, (H, W, C); pure."""

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    def __call__(self, encoded: bytes, row: int, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class CentreCrop:
    r"""The crop of evaluation: shortest side to 256 / 224 of the size, then the centre.

    With S = `image_size`, the sides become :math:`r = \mathrm{round}(256 S / 224)` and
    :math:`\lfloor r \cdot \mathrm{longer} / \mathrm{shorter} \rfloor` (bilinear, antialiased). The crop begins at the
    rounded half of the rest: pixel for pixel what torchvision's Resize(r) and CenterCrop(S) give. The
    image is decoded in full, without JPEG's shortcuts, which would change the pixels.

    Called with an encoded image and its row, which does not matter, it returns uint8 [S, S, 3], or raises an OSError or
    another error of Pillow's if the image is damaged.

    Attributes:
      image_size: S, side of the crop in pixels.

    Raises:
      ValueError: if `image_size` is less than 1.

    Source: Hendrycks et al. 2021, arXiv:1907.07174 (ImageNet-A: 256, then 224); the usual one for ImageNet.

    Example:
      >>> import io
      >>> from PIL import Image
      >>> file = io.BytesIO()
      >>> Image.new("L", (500, 375), 100).save(file, "jpeg")
      >>> pixels = CentreCrop(224)(file.getvalue(), 0)
      >>> pixels.shape, pixels[0, 0].tolist()
      ((224, 224, 3), [100, 100, 100])
    """

    image_size: int

    def __post_init__(self) -> None:
        _check(image_size=(self.image_size, 1))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, 3)

    def __call__(self, encoded: bytes, row: int, /) -> np.ndarray:
        from PIL import Image

        image = _rgb(Image.open(io.BytesIO(encoded)))
        shortest = round(self.image_size * EVALUATION_SCALE)
        # In integers, so that the longer side is rounded down exactly.
        width, height = (shortest * side // min(image.size) for side in image.size)
        left, top = round((width - self.image_size) / 2), round((height - self.image_size) / 2)
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized.crop((left, top, left + self.image_size, top + self.image_size)))


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """The crop of training in one epoch: the part that `crop_box` draws, scaled to one size (bilinear, antialiased).

    Where the part is larger than the crop by a factor of 2, 4 or 8 on both sides, the JPEG is decoded at a half, a
    quarter or an eighth of its size, which is faster. It averages pixels differently, so evaluation does not use it.

    Called with an encoded image and its row, it returns uint8 [S, S, 3], or raises an OSError or another error of
    Pillow's if the image is damaged.

    Attributes:
      image_size: S, side of the crop in pixels.
      seed: seed of the run's draws, >= 0.
      epoch: number of the epoch, >= 0.

    Raises:
      ValueError: if `image_size` is less than 1, or the seed or the epoch negative.

    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6.

    Example:
      >>> import io
      >>> from PIL import Image
      >>> file = io.BytesIO()
      >>> Image.effect_noise((500, 375), 50).save(file, "jpeg")
      >>> RandomCrop(64, seed=0, epoch=3)(file.getvalue(), 7).shape
      (64, 64, 3)
    """

    image_size: int
    seed: int
    epoch: int

    def __post_init__(self) -> None:
        _check(image_size=(self.image_size, 1), seed=(self.seed, 0), epoch=(self.epoch, 0))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, 3)

    def __call__(self, encoded: bytes, row: int, /) -> np.ndarray:
        from PIL import Image

        image = Image.open(io.BytesIO(encoded))
        width, height = image.size
        box = crop_box(width, height, seed=self.seed, epoch=self.epoch, row=row)
        factor = max(1, min(box[2] - box[0], box[3] - box[1]) // self.image_size)
        drafted = image.draft(None, (width // factor, height // factor))  # None if the format has no such shortcut
        scale = 1.0 if drafted is None else drafted[1][2] / width
        left, top, right, bottom = (side * scale for side in box)
        size = (self.image_size, self.image_size)
        return np.asarray(_rgb(image).resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom)))


def crop_box(width: int, height: int, *, seed: int, epoch: int, row: int) -> tuple[int, int, int, int]:
    """Draws the part of an image that training sees.

    Its share of the area is uniform in [0.08, 1]. Its ratio width / height is log-uniform in [3/4, 4/3]. Its place is
    uniform inside the image. A part that does not fit is drawn again; after ten failures the result is the largest
    centred part with a ratio in that range.

    The draw depends on (seed, epoch, row) alone, not on what else is read.

    Args:
      width: W, of the image, in pixels.
      height: H.
      seed: seed of the run's draws, >= 0.
      epoch: number of the epoch, >= 0.
      row: row of the image in its data set, >= 0.

    Returns:
      (left, top, right, bottom) with 0 <= left < right <= W and 0 <= top < bottom <= H, in pixels.

    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6; attempts and fallback as in torchvision.

    Example:
      >>> crop_box(500, 375, seed=0, epoch=0, row=0) == crop_box(500, 375, seed=0, epoch=0, row=0)
      True
    """
    draws = np.random.default_rng((seed, epoch, row)).random((NUM_ATTEMPTS, 4)).tolist()
    for share, shape, across, down in draws:
        area = width * height * (AREA[0] + share * (AREA[1] - AREA[0]))
        ratio = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** shape
        part_width, part_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < part_width <= width and 0 < part_height <= height:
            left, top = int(across * (width - part_width + 1)), int(down * (height - part_height + 1))
            break
    else:
        part_width = min(width, max(1, round(height * ASPECT[1])))
        part_height = min(height, max(1, round(width / ASPECT[0])))
        left, top = (width - part_width) // 2, (height - part_height) // 2
    return left, top, left + part_width, top + part_height


def _rgb(image: "Image.Image") -> "Image.Image":
    return image if image.mode == "RGB" else image.convert("RGB")


def _check(**smallest: tuple[int, int]) -> None:
    for name, (value, least) in smallest.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
