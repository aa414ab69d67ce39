"""Learning rates that fall from the head of a network to its first layer, for fine-tuning."""

from collections.abc import Callable

import jax
import optax

from ib_jax.types import Params

DepthOf = Callable[[str], int]
"""From a parameter's path, such as "encoder/bert/layer_3/query/kernel", to its depth: 0 for the embeddings, l for layer
l of N, counted from 1, and N for what comes after them."""


def layerwise_rates(
    optimizer: optax.GradientTransformation,
    depth_of: DepthOf,
    *,
    num_layers: int,
    decay: float,
    num_frozen: int = 0,
) -> optax.GradientTransformation:
    r"""Scales an optimizer's steps by depth: layer l of N moves by :math:`\xi^{N-l}` times what the optimizer says.

    So the rate of the embeddings is :math:`\xi^N` times the optimizer's, that of layer 1 :math:`\xi^{N-1}` times, and
    that of the last layer and of the head is the optimizer's own. Whatever multiplies the step is scaled along: the
    rate's schedule, and weight decay that is decoupled. Gradients are not, so clipping by their norm is left alone.

    Args:
      optimizer: any optax transformation.
      depth_of: from a parameter's path, its keys with "/" between, to its depth in 0..N; called when the tree of
        parameters is first seen, and at every tracing.
      num_layers: N >= 1.
      decay: xi in (0, 1]; 1 gives all the same rate.
      num_frozen: depths that stay as they are, the first ones: 1 freezes the embeddings, 1 + l layer l as well. The
        optimizer does not see them, so it keeps no moments of them and they are no part of a norm.

    Returns:
      optax.GradientTransformation; `update` needs the parameters if the optimizer does.

    Raises:
      ValueError: a number is out of its range; from `init` or `update`, a depth is, which then names the parameter.

    Source: Howard and Ruder 2018 (ULMFiT, discriminative fine-tuning); Sun et al. 2019, How to Fine-Tune BERT for Text
    Classification (layer-wise decreasing rates; their best xi is 0.95).

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from ib_jax import training
      >>> depths = {"embeddings": 0, "layer_1": 1, "layer_2": 2, "head": 2}
      >>> params = {name: jnp.zeros(()) for name in depths}
      >>> optimizer = training.layerwise_rates(optax.sgd(1.0), depths.get, num_layers=2, decay=0.5, num_frozen=1)
      >>> updates, _ = optimizer.update({name: jnp.ones(()) for name in depths}, optimizer.init(params), params)
      >>> {name: float(updates[name]) for name in depths}
      {'embeddings': 0.0, 'layer_1': -0.5, 'layer_2': -1.0, 'head': -1.0}
    """
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {num_layers}")
    if not 0 < decay <= 1:
        raise ValueError(f"decay must be in (0, 1], got {decay}")
    if not 0 <= num_frozen <= num_layers:
        raise ValueError(f"num_frozen must be between 0 and num_layers = {num_layers}, got {num_frozen}")

    def depths(params: Params) -> Params:
        def depth(path: tuple[jax.tree_util.KeyEntry, ...], _: object) -> int:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            found = depth_of(name)
            if not 0 <= found <= num_layers:
                raise ValueError(f"depth_of({name!r}) must be in 0..{num_layers}, got {found}")
            return found

        return jax.tree_util.tree_map_with_path(depth, params)

    def frozen_or_not(params: Params) -> Params:
        return jax.tree.map(lambda depth: "frozen" if depth < num_frozen else "trained", depths(params))

    scales = {depth: optax.scale(decay ** (num_layers - depth)) for depth in range(num_layers + 1)}
    trained = optax.chain(optimizer, optax.partition(scales, depths))
    if not num_frozen:
        return trained
    return optax.chain(
        optax.partition({"trained": optimizer, "frozen": optax.set_to_zero()}, frozen_or_not),
        optax.partition(scales, depths),
    )
