"""An affine model, and how far its inputs are from the boundary: what minimal attacks are held against."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

RNG = np.random.default_rng(0)
SIZE, CLASSES, BATCH = 8, 5, 12
WEIGHT = RNG.normal(size=(SIZE, CLASSES)).astype(np.float32)
BIAS = RNG.normal(size=CLASSES).astype(np.float32)
INPUTS = RNG.uniform(0.2, 0.8, size=(BATCH, SIZE)).astype(np.float32)
LABELS = (INPUTS @ WEIGHT + BIAS).argmax(-1)
# With the same weights, two classes that tie near the middle, and three that never win.
TWO = np.where(np.arange(CLASSES) < 2, -0.5 * WEIGHT.sum(0) + np.arange(CLASSES), -12).astype(np.float32)
KEY, FAR, NORMS = jax.random.key(0), (-100.0, 100.0), ("linf", "l2")


def affine(keys, inputs):
    return inputs @ WEIGHT + BIAS[None]


def noisy(keys, inputs):
    """Affine in [B, 2, 4] inputs, under noise of the example's own that is quick to compile."""
    phase = jax.random.key_data(keys)[:, -1:].astype(jnp.float32) * (2 * np.pi / 2**32)
    phase += 2 * np.pi / CLASSES * jnp.arange(CLASSES, dtype=jnp.float32)[None]
    return affine(None, inputs.reshape(-1, SIZE)) + 0.5 * jnp.cos(phase)


@functools.cache
def _program(factory, **settings):
    """One program for each setting, whatever the weights, the bounds and the radius."""

    def run(weight, bias, bounds, more, inputs, labels, targets):
        attack = factory(bounds=bounds, **more, **settings)
        return attack(
            KEY, lambda keys, x: x @ weight.astype(x.dtype) + bias.astype(x.dtype)[None], inputs, labels, targets
        )

    return jax.jit(run)


def attack_affine(
    factory,
    labels=LABELS,
    targets=None,
    *,
    weight=WEIGHT,
    bias=BIAS,
    bounds=FAR,
    inputs=INPUTS,
    traced=None,
    **settings,
):
    """The result of `factory(**settings, **traced)` on an affine model."""
    wide = [np.broadcast_to(np.float32(bound), SIZE) for bound in bounds]
    return _program(factory, **settings)(weight, bias, wide, traced or {}, inputs, labels, targets)


def norm_of(perturbation, norm):
    order = {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
    flat = np.asarray(perturbation, np.float64).reshape(len(perturbation), -1)
    return np.linalg.norm(flat, order, axis=-1)


def distances(norm, bounds=FAR, bias=BIAS):
    """To the boundary of the affine model inside the bounds: that of the best class."""
    least = np.full(BATCH, np.inf)
    logits = INPUTS.astype(np.float64) @ WEIGHT + bias
    for i, label in enumerate(logits.argmax(-1)):
        box = np.array(bounds)[:, None] - INPUTS[i]
        for rival in set(range(CLASSES)) - {label}:
            slope = (WEIGHT[:, rival] - WEIGHT[:, label]).astype(np.float64)
            gap = logits[i, label] - logits[i, rival]
            if gap < np.maximum(slope * box[0], slope * box[1]).sum():
                least[i] = min(least[i], (_sparse if norm in ("l0", "l1") else _dense)(gap, slope, box, norm))
    return least


def _dense(gap, slope, box, norm):
    """The size of the smallest step that gains the gap, by a root of its length before it is clipped."""
    step = lambda time: np.clip(time * (slope if norm == "l2" else np.sign(slope)), *box)
    return norm_of(step(scipy.optimize.brentq(lambda time: slope @ step(time) - gap, 0, 1e3))[None], norm)[0]


def _sparse(gap, slope, box, norm):
    """How much has to change, coordinate by coordinate from the one that gains most: in number, or for its change."""
    room = np.where(slope > 0, box[1], -box[0])
    order = np.argsort(-np.abs(slope) * (room if norm == "l0" else 1))
    gains, room = (np.abs(slope) * room)[order], room[order]
    whole = int((np.cumsum(gains) < gap).sum())  # coordinates that go to their bound
    if norm == "l0":
        return whole + 1
    return room[:whole].sum() + (gap - gains[:whole].sum()) / np.abs(slope)[order][whole]


def distance_to_win(i, target):
    """The size of the smallest L2 step of input i after which the target wins over every class."""
    lead = np.delete(WEIGHT[:, [target]] - WEIGHT, target, axis=1).astype(np.float64)
    offset = INPUTS[i] @ lead + np.delete(BIAS[target] - BIAS, target)
    best = scipy.optimize.minimize(
        lambda step: step @ step,
        np.zeros(SIZE),
        jac=lambda step: 2 * step,
        constraints={"type": "ineq", "fun": lambda step: offset + step @ lead},
    )
    return np.linalg.norm(best.x)
