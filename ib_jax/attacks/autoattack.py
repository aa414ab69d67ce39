"""AutoAttack: four attacks without a parameter to tune, each on what the ones before left standing."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

from ib_jax import losses
from ib_jax.attacks.apgd import apgd
from ib_jax.attacks.box import Bounds
from ib_jax.attacks.ensemble import Ensemble, Member
from ib_jax.attacks.fab import fab
from ib_jax.attacks.iterative import IterativeAttack
from ib_jax.attacks.objective import ExpectationOf
from ib_jax.attacks.refuse import require_count
from ib_jax.attacks.square import square
from ib_jax.types import Array, Attack

Version = Literal["standard", "rand"]


def autoattack(
    epsilon: float | Array,
    *,
    norm: str = "linf",
    version: Version = "standard",
    num_steps: int = 100,
    num_targets: int = 9,
    num_queries: int = 5000,
    image_shape: Sequence[int] | None = None,
    channel_axis: Literal[-1, -3] | None = None,
    bounds: Bounds = (0.0, 1.0),
    num_eot_samples: int | None = None,
    expectation_of: ExpectationOf = "losses",
    num_judge_samples: int | None = None,
) -> Ensemble:
    r"""AutoAttack, the protocol under which robust accuracies are published.

    "standard" is for deterministic models: APGD on the cross-entropy; APGD on the targeted DLR loss and FAB, each aimed
    at the nine most probable wrong classes in turn; Square, a black box. "rand" is for stochastic models: APGD on the
    cross-entropy and on the DLR loss, both in expectation over 20 samples. An example that fell is not attacked again:
    in a `Runner` it costs nothing after that.

    Args:
      epsilon: radius, >= 0, in units of the inputs; a scalar or one for each example ([B]); may be traced.
      norm: "linf" or "l2".
      version: "standard" or "rand".
      num_steps: steps of APGD and FAB.
      num_targets: wrong classes aimed at, at most C - 1.
      num_queries: queries of Square.
      image_shape: the shape of flattened images, for Square; see there.
      channel_axis: -3 for channels first, for Square.
      bounds: lower and upper limits of the inputs; scalars, or arrays that broadcast against one example.
      num_eot_samples: samples averaged in each gradient; by default 1 in "standard" and 20 in "rand".
      expectation_of: what is averaged: "losses", or "probabilities" under the loss.
      num_judge_samples: fresh samples whose mean softmax decides on success; None is `num_eot_samples`.

    Returns:
      Ensemble, an Attack to be called without targets. `standing` reports the accuracy after each attack.

    Raises:
      ValueError: a setting is out of its range; from the attack: fewer than four classes in "standard" (three in
        "rand"), which its losses need; else as `pgd`.

    Source: Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
    Attacks, 2020; defaults: the authors' repository (fra31/auto-attack).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import attacks
      >>> attack = attacks.autoattack(0.2, num_steps=5, num_targets=3, num_queries=5)
      >>> inputs, labels = jnp.array([[0.4, 0.5, 0.3, 0.2], [0.9, 0.1, 0.1, 0.1]]), jnp.array([1, 0])
      >>> result = attacks.Runner(attack, lambda params, keys, x: x)(None, jax.random.key(0), inputs, labels)
      >>> attack.standing(result)
      {'clean': 1.0, 'apgd-ce': 0.5, 'apgd-t': 0.5, 'fab-t': 0.5, 'square': 0.5}
    """
    if version not in get_args(Version):
        raise ValueError(f"version must be one of {', '.join(get_args(Version))}, got {version!r}")
    require_count("num_targets", num_targets)
    samples = (1 if version == "standard" else 20) if num_eot_samples is None else num_eot_samples
    settings: dict[str, Any] = {"norm": norm, "bounds": bounds}
    settings |= {"num_eot_samples": samples, "num_judge_samples": num_judge_samples}
    pixels: dict[str, Any] = {"image_shape": image_shape, "channel_axis": channel_axis}
    ascent = settings | {"num_steps": num_steps, "expectation_of": expectation_of}
    if version == "rand":
        # A lucky draw must not end the search, so every step is taken.
        ascent["early_stop"] = False
        dlr = _needs(apgd(epsilon, loss_fn=losses.dlr, **ascent), 3)
        return Ensemble([Member("apgd-ce", _needs(apgd(epsilon, **ascent), 2)), Member("apgd-dlr", dlr)])
    targeted = _needs(apgd(epsilon, targeted_loss_fn=losses.targeted_dlr, **ascent), 4)
    boundary = _needs(fab(epsilon=epsilon, num_steps=num_steps, **settings), 2)
    black_box = _needs(square(epsilon, num_queries=num_queries, **pixels, **settings), 2)
    return Ensemble(
        [
            Member("apgd-ce", _needs(apgd(epsilon, **ascent), 2)),
            *(Member("apgd-t", targeted, rank) for rank in range(num_targets)),
            *(Member("fab-t", boundary, rank) for rank in range(num_targets)),
            Member("square", black_box),
        ]
    )


def _needs(attack: Attack, min_classes: int) -> IterativeAttack:
    """The attack, refusing models of fewer classes before anything is computed."""
    assert isinstance(attack, IterativeAttack)
    return dataclasses.replace(attack, min_classes=min_classes)
