"""A convolution by SciPy, the oracle of the networks that have some, and parameters for them."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal


def strided_conv(images, layer, stride):
    """Convolution with zeros outside by SciPy, image by image; XLA's SAME pads more at the end where it must."""
    kernel, side = np.float64(layer["kernel"]), images.shape[1]
    total = max((-(-side // stride) - 1) * stride + len(kernel) - side, 0)
    pad = (total // 2, total - total // 2)
    padded = np.pad(images, [(0, 0), pad, pad, (0, 0)])
    planes = [
        [scipy.signal.correlate(image, kernel[..., channel], "valid")[..., 0] for channel in range(kernel.shape[-1])]
        for image in padded
    ]
    return np.moveaxis(np.array(planes), 1, -1)[:, ::stride, ::stride] + np.float64(layer["bias"])


def drawn(init, images):
    """Parameters of which none is zero, so that each has to be in its place; by NumPy, without compiling."""
    rng = np.random.default_rng(1)

    def draw(leaf):
        if len(leaf.shape) == 1:
            return jnp.asarray(rng.uniform(0.0, 0.1, leaf.shape), leaf.dtype)
        return jnp.asarray(rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(init, jax.random.key(0), images))
