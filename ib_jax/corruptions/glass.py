"""Frosted glass: pixels move to random places nearby."""

import jax
import jax.numpy as jnp

from ib_jax.corruptions import draws, separable
from ib_jax.corruptions.constants import strength
from ib_jax.corruptions.pixels import check_batch, to_levels, to_unit
from ib_jax.types import Array


def glass_blur(keys: Array, images: Array, *, severity: int, constants: str = "cifar10") -> Array:
    """Frosted glass: a Gaussian filter, then each pixel takes the colour of a random neighbour, then the filter again.

    Args:
      keys: one PRNG key for each image, [B].
      images: uint8 [B, H, W, 3]; none of its pixels moves if a side is at most twice the greatest move.
      severity: 1 to 5; the constants are the filter's standard deviation and the greatest move, both in pixels, and how
        often all pixels move.
      constants: "cifar10" or "imagenet".

    Returns:
      uint8 [B, H, W, 3].

    Raises:
      ValueError: an argument is not as above.

    Source: Hendrycks and Dietterich 2019.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import corruptions
      >>> grey = jnp.full((1, 8, 8, 3), 128, jnp.uint8)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> run = jax.jit(corruptions.glass_blur, static_argnames="severity")
      >>> int(run(keys, grey, severity=5)[0, 4, 4, 0])
      128
    """
    check_batch(keys, images)
    sigma, reach, num_rounds = strength("glass_blur", severity, constants)
    height, width = images.shape[1:3]
    smooth = separable.gaussian((height, width), sigma)
    blurred = to_levels(separable.apply(smooth, to_unit(images)))
    if min(height, width) > 2 * reach:  # else there is no pixel whose moves all stay inside
        moves = draws.integers(keys, (num_rounds, height - 2 * reach, width - 2 * reach, 2), -reach, reach)
        blurred = shuffle_nearby(blurred, moves, reach)
    return to_levels(separable.apply(smooth, to_unit(blurred)))


def shuffle_nearby(images: Array, moves: Array, reach: int) -> Array:
    """Copies to each pixel the colour of a neighbour, one after another, in the order of the benchmark.

    The benchmark visits rows reach+1..H-reach from the last to the first, and the columns of each row likewise. It
    intends to swap a pixel with the one its move names. But it swaps views of one array, so the second assignment
    writes back what was just copied: the pixel takes the other's colour, and the other keeps its own. The published
    sets were made this way, so this function does the same.

    A colour can thus come only from a pixel that was visited before. The sources of all pixels form a forest. Following
    all branches at once, twice as far in each round, takes a number of rounds logarithmic in the longest branch.

    Args:
      images: uint8 [B, H, W, C].
      moves: int [B, rounds, H - 2 reach, W - 2 reach, 2], (rows, columns) in [-reach, reach): of the pixel at
        (reach + 1 + i, reach + 1 + j) the move is moves[:, :, i, j].
      reach: the greatest move, in pixels.

    Returns:
      uint8 [B, H, W, C].
    """
    num_images, height, width, channels = images.shape
    num_pixels = height * width
    own = jnp.arange(num_pixels, dtype=jnp.int32)[None]
    margin = ((0, 0), (reach + 1, reach - 1), (reach + 1, reach - 1), (0, 0))
    flat = images.reshape(num_images, num_pixels, channels)
    for one_round in range(moves.shape[1]):
        # Pixels that are not visited do not move.
        move = jnp.pad(moves[:, one_round], margin)
        target = (own.reshape(1, height, width) + move[..., 0] * width + move[..., 1]).reshape(num_images, num_pixels)
        if reach > 1:  # else all moves are up or to the left, to pixels that are visited later
            target = _follow(own, target, height, width, reach)
        flat = jnp.take_along_axis(flat, target[..., None], 1, mode="promise_in_bounds")
    return flat.reshape(images.shape)


def _follow(own: Array, target: Array, height: int, width: int, reach: int) -> Array:
    """The pixels, by their number in the image before this round, whose colours arrive: int [B, H W].

    A target that was visited before stands for what it has become; ~target marks those still to be followed.
    """
    row, column = target // width, target % width
    visited = (row > reach) & (row <= height - reach) & (column > reach) & (column <= width - reach)
    state = jnp.where(visited & (target > own), ~target, target)

    def jump(state: Array) -> Array:
        return jnp.where(state < 0, jnp.take_along_axis(state, jnp.maximum(~state, 0), 1), state)

    return jax.lax.while_loop(lambda state: (state < 0).any(), jump, state)
