"""The progress line in a log."""

import io

from rich.console import Console

from experiments.core import progress
from ib_jax.training import Progress


def test_a_log_has_a_line_for_each_evaluation_and_every_ten_seconds(monkeypatch):
    clock, text = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.ProgressLine(Console(file=text, width=120), first_step=0, steps_per_epoch=10) as line:
        evaluation = {"test": {"error_avg": 0.25}}
        for now, step, found in ((4, 10, None), (12, 20, None), (15, 30, None), (16, 40, evaluation)):
            clock[0] = float(now)
            line(Progress(step, 80, {"loss": 0.5}, found, 1000.0))
    assert text.getvalue().splitlines() == [
        "epoch 2/8  loss 0.5000 nats  1,000 images/s  36 s left",
        "epoch 4/8  loss 0.5000 nats  test error 25.00%  1,000 images/s  16 s left",
    ]
