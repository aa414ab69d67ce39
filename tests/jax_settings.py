"""A plugin of pytest: what is not tested under one of JAX's settings, and why.

A test marked `not_under("debug_nans", reason=...)` is skipped where that setting is on; the reason says what of the
test, or of a library that is not ours, makes the setting stop at what is meant.
"""

import jax
import pytest

SETTINGS = {
    "strict": lambda: jax.config.jax_numpy_dtype_promotion == "strict",
    "ranks": lambda: jax.config.jax_numpy_rank_promotion == "raise",
    "debug_nans": lambda: jax.config.jax_debug_nans,
    "debug_infs": lambda: jax.config.jax_debug_infs,
    "x64": lambda: jax.config.jax_enable_x64,
}
"""What the mark knows: JAX_NUMPY_DTYPE_PROMOTION=strict, JAX_NUMPY_RANK_PROMOTION=raise, and three that are 1."""

EXAMPLES = {
    "ib_jax.evaluation.answer_checks.check_answers": ("debug_nans", "the model answers NaN"),
    "ib_jax.evaluation.natural.restrict_to_classes": ("debug_infs", "a class that is left out is at minus infinity"),
    "ib_jax.losses.classification.correct": ("debug_nans", "an example has no answer"),
    "ib_jax.training.sweep.make_sweep": ("debug_nans", "a member diverges"),
}
"""The mark for examples of docstrings, which carry none."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "not_under(*settings, reason): skipped under these settings of JAX")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test with its mark; the examples of docstrings print the float32 that users see."""
    on = {name for name, is_on in SETTINGS.items() if is_on()}
    for item in items:
        if "x64" in on and isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.skip(reason="under x64 the examples print float64"))
        if isinstance(item, pytest.DoctestItem) and item.name in EXAMPLES:
            *settings, reason = EXAMPLES[item.name]
            item.add_marker(pytest.mark.not_under(*settings, reason=reason))
        for mark in item.iter_markers("not_under"):
            assert set(mark.args) <= set(SETTINGS), mark.args
            if met := on & set(mark.args):
                item.add_marker(pytest.mark.skip(reason=f"not under {', '.join(sorted(met))}: {mark.kwargs['reason']}"))
