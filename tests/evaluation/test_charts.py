"""Charts show the numbers they are given, each method in one colour."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.charts import group_chart, progress_chart, size_chart, size_charts


def test_lines_go_through_the_values_and_published_ones_are_dashed():
    values = {"GVTNet": [1.0, 2.0, 1.5], "AEANet": [2.0, 3.0, 2.5]}
    figure = size_chart(values, ["full", "256", "128"], "dB", {"AEANet": [np.nan, 2.9, np.nan], "GVTNet": [np.nan] * 3})
    (axes,) = figure.axes
    drawn = {line.get_label(): line for line in axes.lines}
    assert set(drawn) == {"GVTNet", "AEANet", "AEANet, published"}
    assert list(drawn["AEANet"].get_ydata()) == values["AEANet"] and drawn["AEANet, published"].get_linestyle() == "--"
    assert drawn["AEANet"].get_color() == drawn["AEANet, published"].get_color() != drawn["GVTNet"].get_color()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["full", "256", "128"]
    with pytest.raises(InputError, match="AEANet: found 1 values, expected one for each of 2 sizes"):
        size_chart({"AEANet": [1.0]}, ["a", "b"], "dB", {})


def test_progress_is_drawn_by_step_of_the_end_of_each_epoch():
    (axes,) = progress_chart({"short": [0.0, 0.1, 0.3], "long long": [0.0, -0.1, 0.2]}, 50, "gamma").axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn["short"] == [[50, 0.0], [100, 0.1], [150, 0.3]] and drawn["long long"][1] == [100, -0.1]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "gamma")


def test_panels_have_a_line_for_each_method():
    values = {"C1": {"CARE": [0.5, 0.6], "GVTNet": [0.6, 0.8]}, "C2": {"CARE": [0.3, 0.3], "GVTNet": [0.4, 0.5]}}
    figure = size_charts(values, ["64", "whole"], "SSIM")
    assert [axes.get_title() for axes in figure.axes] == ["C1", "C2"]
    for axes, methods in zip(figure.axes, values.values(), strict=True):
        assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == methods
        assert [text.get_text() for text in axes.get_xticklabels()] == ["64", "whole"]
    # A method has one colour everywhere.
    assert [[line.get_color() for line in axes.lines] for axes in figure.axes[:1]] == [
        [line.get_color() for line in axes.lines] for axes in figure.axes[1:]
    ]


def test_every_image_is_a_point_beside_its_group():
    groups = {"dna": {"U-Net": [0.1, 0.2, 0.9], "GVTNet": [0.3, 0.4, 0.5]}, "tom20": {"GVTNet": [0.6, 0.7]}}
    figure = group_chart({"r": groups, "s": {"dna": {"GVTNet": [1.0]}}}, "Pearson r", {"r": "upper", "s": "lower"})
    upper, lower = figure.axes
    assert (upper.get_title(), lower.get_title(), lower.get_ylabel()) == ("upper", "lower", "Pearson r")
    points = [line for line in upper.lines if line.get_marker() == "." and len(line.get_xdata())]
    found = {(round(line.get_xdata()[0]), tuple(np.round(line.get_ydata(), 6))) for line in points}
    assert found == {(0, (0.1, 0.2, 0.9)), (0, (0.3, 0.4, 0.5)), (1, (0.6, 0.7))}
    # Of one group, side by side.
    assert len({line.get_xdata()[0] for line in points}) == 3
    assert [text.get_text() for text in upper.get_xticklabels()] == ["dna", "tom20"]
    assert {text.get_text() for text in upper.get_legend().get_texts()} == {"U-Net", "GVTNet"}
