"""The confidence at which VUB is lowest, and the verdicts on calibration."""

import math

import jax
import jax.numpy as jnp
import pytest

from experiments.core import frames
from experiments.core.calibration import best_confidence, calibration
from experiments.core.records import Measurement, Model, Record
from ib_jax import bounds
from ib_jax.types import DiagGaussian


@pytest.mark.parametrize("num_classes", [2, 10])
def test_vub_itself_is_lowest_at_the_best_confidence(num_classes):
    grid = jnp.linspace(1 / num_classes + 1e-3, 1 - 1e-3, 2001)
    logits = jnp.concatenate([jnp.log(grid)[:, None], jnp.log((1 - grid) / (num_classes - 1))[:, None]], axis=1)
    logits = logits[:, [0] + [1] * (num_classes - 1)]
    standard = DiagGaussian(jnp.zeros((len(grid), 1)), jnp.ones((len(grid), 1)))
    terms = bounds.vub(
        jax.random.key(0),
        logits,
        jnp.zeros(len(grid), int),
        encode_fn=lambda _: standard,
        decode_fn=lambda codes: jnp.broadcast_to(logits, (*codes.shape[:-1], num_classes)),
        prior=DiagGaussian(jnp.zeros(1), jnp.ones(1)),
        label_entropy=math.log(num_classes),
        beta=1.0,
    )
    assert float(grid[terms.loss.argmin()]) == pytest.approx(best_confidence(num_classes), abs=1e-3)


def of_models(objective, values):
    made = [
        Model(objective, seed, [Measurement({"split": "test"}, {"calibration_error": error, "cross_entropy": loss})])
        for seed, (error, loss) in enumerate(values)
    ]
    return frames.frame([Record("x", "", {}, made)])


def test_a_verdict_on_each_half_of_the_papers_statement():
    vib, vub = of_models("vib", [(0.2, 0.9), (0.22, 0.8)]), of_models("vub", [(0.1, 0.5), (0.11, 0.6)])
    text, claims = calibration({"beta = 1": (vib, vub)})
    assert "0.782 (two classes; 0.476 of ten)" in text.text
    first, second = claims.claims
    assert (first.differences > 0).all()
    assert (second.differences < 0).all()
    assert first.ours == "VIB 21.0 %, VUB 10.5 %"
    assert second.ours == "VIB 0.850, VUB 0.550 nats"


def test_nothing_is_said_of_what_was_not_measured():
    empty = of_models("vib", [])
    assert calibration({"beta = 1": (empty, empty)}) == []
