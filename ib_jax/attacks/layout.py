"""Where the pixels of an example are: which axes are rows, columns and channels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from ib_jax.types import Array

_FEW, _MANY = 3, 4  # channels that an image has, in front where it is refused, and at most behind


class Layout(NamedTuple):
    """How examples are read as images [N, H, W, C]: N frames of H x W pixels in C channels.

    Attributes:
      image_shape: of examples that are flattened images; None for the shape that they have.
      channel_axis: -1 or -3; None for -1, unless that looks wrong.
    """

    image_shape: tuple[int, ...] | None = None
    channel_axis: int | None = None

    @classmethod
    def of(cls, image_shape: Sequence[int] | None, channel_axis: int | None) -> "Layout":
        """A layout from settings; ValueError for such as cannot be."""
        if image_shape is not None and (len(image_shape) not in (2, 3) or min(image_shape) < 1):
            raise ValueError(f"image_shape must be (H, W) or (H, W, C), each at least 1, got {tuple(image_shape)}")
        if channel_axis not in (None, -1, -3):
            raise ValueError(f"channel_axis must be -1 for [H, W, C] or -3 for [C, H, W], got {channel_axis}")
        return cls(None if image_shape is None else tuple(image_shape), channel_axis)

    def images(self, examples: Array) -> Array:
        """Examples [B, ...] as [B, N, H, W, C]."""
        batch_size, shape = examples.shape[0], self._shape(examples.shape[1:])
        examples = examples.reshape(batch_size, *shape)
        if len(shape) > 2 and self.channel_axis == -3:
            examples = jnp.moveaxis(examples, -3, -1)
        height, width, channels = (*shape, 1) if len(shape) == 2 else examples.shape[-3:]
        return examples.reshape(batch_size, math.prod(shape[:-3]), height, width, channels)

    def back(self, images: Array, like: Array) -> Array:
        """Images [B, N, H, W, C] in the shape of the examples they came from."""
        if self.channel_axis == -3 and len(self._shape(like.shape[1:])) > 2:
            images = jnp.moveaxis(images, -1, -3)
        return images.reshape(like.shape)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in which one example is an image; ValueError where it is not the one that was said."""
        if self.image_shape is not None:
            if math.prod(self.image_shape) != math.prod(shape):
                raise ValueError(
                    f"image_shape must have the size of an example of shape {shape}, got {self.image_shape}"
                )
            sides, wanted = ([side for side in sides if side != 1] for sides in (shape, self.image_shape))
            if len(sides) > 1 and sides != wanted:
                raise ValueError(
                    f"image_shape must be the shape {shape} that examples have, unless they are flat, got "
                    f"{self.image_shape}, which scrambles the pixels; channel_axis=-3 says that channels come first"
                )
            return self.image_shape
        if len(shape) < 2:
            # A row, not a column: the stripes at the start then have a sign for each coordinate.
            return (1, math.prod(shape))
        if self.channel_axis is None and len(shape) > 2 and shape[-3] <= _FEW and shape[-1] > _MANY:
            raise ValueError(
                f"inputs of shape {shape} look channel-first: give channel_axis=-3, or -1 if they are {shape[-3]} rows "
                f"of {shape[-2]} pixels in {shape[-1]} channels"
            )
        return shape
