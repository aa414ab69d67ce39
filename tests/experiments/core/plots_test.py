"""Panels: what is drawn, read back from Matplotlib's axes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

from experiments.core import drawing
from experiments.core.frames import frame, where
from experiments.core.plots import MARKERS, Bars, Figure, Level, Line, Panel, Scatter
from experiments.core.records import Measurement, Model, Record
from experiments.core.report import Column, Row


def make():
    models = []
    for beta in (0.1, 0.01):
        for seed in (0, 1):
            rate = -np.log10(beta) + seed
            measurements = [Measurement({"split": "test"}, {"error": beta + seed / 100, "rate": rate})]
            measurements += [Measurement({"attack": "pgd", "epsilon": e}, {"accuracy": 1 - e}) for e in (0.3, 0.1)]
            if not (beta == 0.01 and seed == 1):
                measurements.append(Measurement({"attack": "square"}, {"accuracy": 0.5}))
            else:
                measurements.append(Measurement({"attack": "square"}, {"accuracy": None}))
            models.append(Model(f"vib{beta}", seed, measurements, {"beta": beta}))
    return frame([Record("x", "", {}, models)])


FRAME = make()


def test_a_figure_is_the_same_whatever_the_settings_of_matplotlib(tmp_path):
    import matplotlib

    figure = Figure(
        file="figure.png", panels=[Panel(lines=[Line("error", "error", at={"split": "test"})], x="beta", title="$x^2$")]
    )
    drawing.draw(figure, FRAME, tmp_path / "usual.png")
    with matplotlib.rc_context(
        {"text.usetex": True, "font.size": 40, "savefig.format": "svg", "savefig.bbox": "tight"}
    ):
        drawing.draw(figure, FRAME, tmp_path / "other.png")
        assert matplotlib.rcParams["font.size"] == 40
    assert (tmp_path / "usual.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def draw(panel):
    axes = Canvas().subplots()
    drawing.draw_panel(axes, panel, FRAME)
    return axes


def means(line, x=""):
    return [(float(a.mean()), pytest.approx(float(b.mean()))) for a, b in drawing.points(line, FRAME, x)]


def test_a_line_goes_over_a_setting_from_left_to_right():
    assert means(Line("e", "error", at={"split": "test"}, scale=100), "beta") == [(0.01, 1.5), (0.1, 10.5)]


def test_a_line_goes_over_a_condition_after_a_first_point():
    line = Line("a", "accuracy", at={"attack": "pgd"}, frame=where(FRAME, beta=0.1), first=(0.0, 0.98), scale=100)
    assert means(line, "epsilon") == [(0.0, 98), (0.1, 90), (0.3, 70)]


def test_a_line_goes_over_a_metric_along_a_setting_or_has_a_point_for_each_model():
    line = Line("plane", "error", at={"split": "test"}, over="beta")
    assert means(line, "rate") == [(2.5, 0.015), (1.5, 0.105)]
    assert len(means(Line("points", "error", at={"split": "test"}), "rate")) == 4


def test_a_place_with_a_missing_number_is_left_out():
    assert means(Line("s", "accuracy", at={"attack": "square"}), "beta") == [(0.1, 0.5)]
    assert means(Line("s", "unheard"), "beta") == means(Line("s", "error", at={"split": "test"}, over="x"), "y") == []


def test_a_function_may_give_the_numbers():
    assert means(Line("n", lambda part: part.seed.nunique()), "beta") == [(0.01, 2), (0.1, 2)]


def test_a_panel_has_spread_scales_levels_and_a_second_axis():
    panel = Panel(
        lines=[Line("error", "error", at={"split": "test"}), Line("rate", "rate", at={"split": "test"}, twin=True)],
        x="beta", xscale="log", xlim=(1e-3, 1), ylim=(0, None), levels=[Level([1.0, 3.0], "paper")],
        twin_label="bits",
    )  # fmt: skip
    axes = draw(panel)
    (container,) = axes.containers
    bars = container.lines[2][0].get_segments()
    np.testing.assert_allclose([bar[1][1] - bar[0][1] for bar in bars], 2 * np.std([0, 0.01], ddof=1))
    assert (axes.get_xscale(), axes.get_xlim()[0], axes.get_ylim()[0]) == ("log", 1e-3, 0)
    assert [line.get_ydata()[0] for line in axes.lines if line.get_label() == "paper"] == [2.0]
    twin = next(other for other in axes.figure.axes if other is not axes)
    assert twin.get_ylabel() == "bits"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["paper", "error", "rate"]


def test_one_seed_has_no_bars_and_seeds_may_be_points():
    assert not draw(
        Panel(lines=[Line("e", "error", at={"split": "test"}, frame=where(FRAME, seed=0))], x="beta")
    ).containers
    axes = draw(Panel(lines=[Line("e", "error", at={"split": "test"}, spread="seeds")], x="beta"))
    assert sorted(len(line.get_xdata()) for line in axes.lines) == [2, 2, 2]


@pytest.mark.parametrize("horizontal", [False, True])
def test_bars_are_a_table_drawn(horizontal):
    rows = [Row(f"beta {beta}", frame=where(FRAME, beta=beta)) for beta in (0.1, 0.01)]
    columns = [
        Column("PGD", "accuracy", at={"attack": "pgd", "epsilon": 0.3}, unit="%"),
        Column("Square", "accuracy", at={"attack": "square"}, scale=100),
    ]
    axes = draw(Bars(rows=rows, columns=columns, horizontal=horizontal, label="accuracy, %", limits=(0, 100)))
    sizes = [bar.get_width() if horizontal else bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(sizes, [70, 70, 50, np.nan])
    labels = axes.get_yticklabels() if horizontal else axes.get_xticklabels()
    assert [label.get_text() for label in labels] == ["beta 0.1", "beta 0.01"]
    assert (axes.get_xlim() if horizontal else axes.get_ylim()) == (0, 100)


def test_a_scatter_has_a_point_for_each_row_and_a_trend_over_the_logarithm():
    x = np.array([1.0, 10.0, 100.0, 1.0, 10.0, 100.0])
    kinds, wide = ["a", "b", "a"] * 2, [True, False, False] * 2
    columns = {
        "x": x,
        "y": 2 * np.log10(x) + 1,
        "error": 0.1,
        "beta": [0.1] * 3 + [1.0] * 3,
        "kind": kinds,
        "wide": wide,
    }
    settings = {"color": "beta", "marker": "kind", "hollow": "wide", "xscale": "log", "level": 0.0}
    scatter = Scatter(
        points=pd.DataFrame(columns), x="x", y="y", error="error", trend=True, path=["beta"], xlabel="right", **settings
    )
    axes = draw(scatter)
    assert (axes.get_xscale(), axes.get_xlabel(), len(axes.containers)) == ("log", "right", 2)
    assert axes.get_legend_handles_labels()[1] == ["beta = 0.1", "beta = 1", "a", "b"]
    drawn = [line for line in axes.lines if line.get_marker() in set(MARKERS) and len(line.get_xdata())]
    assert sum(len(line.get_xdata()) for line in drawn) == 6
    faces = {(line.get_marker(), float(line.get_xdata()[0])): line.get_markerfacecolor() for line in drawn}
    assert [kind for kind, face in faces.items() if isinstance(face, str)] == [("o", 1.0)]
    trends = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    for line in [line for line in trends if list(line.get_xdata()) == [1.0, 100.0]]:
        np.testing.assert_allclose(line.get_ydata(), [1.0, 5.0])
    assert sum(list(line.get_xdata()) == [1.0, 100.0] for line in trends) == 2


def test_a_figure_is_of_panels_functions_or_all_a_functions_own(tmp_path):
    seen = []
    panel = Panel(lines=[Line("e", "error", at={"split": "test"})], x="beta")
    custom = lambda axes, numbers: seen.append(len(numbers))
    figure = Figure("a.png", [panel, custom, panel], columns=2, legend=2, suptitle="s", share="y")
    drawing.draw(figure, FRAME, tmp_path / "a.png")
    drawing.draw(Figure("b.png", draw=lambda canvas, numbers: canvas.subplots()), FRAME, tmp_path / "b.png")
    assert seen == [len(FRAME)]
    for name in "ab":
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
