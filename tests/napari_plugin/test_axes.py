"""What the dimensions of a layer are, and where its result lies."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError

layers = pytest.importorskip("napari.layers", reason="napari is not installed")

from aeanet_tf.napari.axes import calibration, check_layer, guess_axes, result_layer  # noqa: E402
from aeanet_tf.napari.models import read_facts  # noqa: E402


def layer_of(shape, **kwargs):
    return layers.Image(np.zeros(shape, "float32"), **kwargs)


@pytest.mark.parametrize(
    ("shape", "spatial", "channels", "expected"),
    [
        ((6, 5), "YX", 1, "YX"),
        ((9, 6, 5), "ZYX", 1, "ZYX"),
        ((9, 6, 5), "", 1, "ZYX"),
        ((9, 6, 5), "YX", 1, "TYX"),
        ((2, 6, 5), "YX", 2, "CYX"),
        ((9, 6, 5), "TYX", 1, "TYX"),
        ((4, 9, 6, 5), "ZYX", 1, "TZYX"),
        ((9, 2, 6, 5), "ZYX", 2, "ZCYX"),
        ((2, 9, 6, 5), "ZYX", 2, "CZYX"),
        ((4, 2, 6, 5), "YX", 2, "TCYX"),
        ((4, 9, 2, 6, 5), "ZYX", 2, "TZCYX"),
    ],
)
def test_axes_are_those_that_fit_the_model(shape, spatial, channels, expected):
    assert guess_axes(layer_of(shape), spatial, channels) == expected


def test_axes_are_those_that_the_layer_names():
    assert guess_axes(layer_of((3, 6, 5), axis_labels=("time", "y", "x")), "ZYX") == "TYX"
    assert guess_axes(layer_of((3, 6, 5), axis_labels=("y", "x", "z")), "ZYX") == "YXZ"
    # No letters that there are.
    assert guess_axes(layer_of((3, 6, 5), axis_labels=("a", "y", "x")), "ZYX") == "ZYX"
    assert guess_axes(layers.Image(np.zeros((6, 5, 3), "uint8"), rgb=True), "YX", 3) == "YXC"
    assert guess_axes(layers.Image([np.zeros((8, 6)), np.zeros((4, 3))], multiscale=True), "YX") == "YX"


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((6, 5), "YXZ", "axes: found YXZ for a shape of (6, 5), expected 2 letters"),
        ((6, 5), "YQ", "axes: found 'YQ'"),
        ((2, 6, 5), "CYX", "cells: found 2 channels, expected 1, which the model takes"),
    ],
)
def test_wrong_axes_are_told_in_one_line(folders, shape, axes, words):
    with pytest.raises(InputError) as error:
        check_layer(read_facts(folders["planes"]), "cells", shape, axes)
    assert str(error.value).startswith(words) and "\n" not in str(error.value)


def test_what_fits_is_told(folders):
    assert check_layer(read_facts(folders["planes"]), "cells", (9, 6, 5), "TYX") == "restores YX; 9 frames one by one"
    assert check_layer(read_facts(folders["planes"]), "cells", (9, 6, 5), "ZYX") == "restores YX; 9 planes one by one"
    assert check_layer(read_facts(folders["planes"]), "cells", (1, 6, 5), "ZYX") == "restores YX"
    assert check_layer(read_facts(folders["flat"]), "cells", (9, 6, 5), "ZYX") == "projects ZYX"
    assert check_layer(read_facts(folders["classes"]), "cells", (6, 5), "yx") == "segments YX"


def test_folders_without_a_model_are_refused(tmp_path):
    for folder, words in (("", "no folder"), (tmp_path, "no config.json"), (tmp_path / "no", "no such model folder")):
        with pytest.raises(InputError, match=words):
            read_facts(folder)


def test_a_result_lies_where_its_layer_lies():
    place = {"scale": (2, 0.5, 0.25), "translate": (10, 20, 30), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}
    source = layer_of((4, 6, 5), name="cells", colormap="green", **place)
    same = result_layer(source, "ZYX", "", np.ones((4, 6, 5)), "care", False)
    made = layers.Image(same.data, **same.arguments)
    assert made.name == "cells care" and made.colormap.name == "green"
    flat = result_layer(source, "ZYX", "Z", np.ones((6, 5)), "care", False)
    projected = layers.Image(flat.data, **flat.arguments)
    # Corners of the image in the world: where a pixel of the result is, that of the layer is.
    for pixel in ((0, 0, 0), (3, 5, 4)):
        world = source.data_to_world(pixel)
        assert np.allclose(made.data_to_world(pixel), world)
        assert np.allclose(projected.data_to_world(pixel[1:]), world[1:])
    assert made.units == source.units and projected.units == source.units[1:]
    assert made.axis_labels == ("z", "y", "x") and projected.axis_labels == ("y", "x")
    # Of twice the pixels the first two of an axis lie on either side of the centre of the layer's first.
    larger = result_layer(source, "ZYX", "", np.ones((8, 12, 10)), "care", False)
    twice = layers.Image(larger.data, **larger.arguments)
    assert np.allclose(twice.data_to_world((0.5, 0.5, 0.5)), source.data_to_world((0, 0, 0)))
    assert np.allclose(twice.data_to_world((6.5, 10.5, 8.5)), source.data_to_world((3, 5, 4)))


def test_an_affine_transformation_is_kept():
    turned = layer_of((4, 6, 5), affine=np.array([[1, 0, 0, 3], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]))
    flat = result_layer(turned, "ZYX", "Z", np.ones((6, 5)), "care", False)
    assert np.allclose(
        layers.Image(flat.data, **flat.arguments).data_to_world((2, 4)), turned.data_to_world((0, 2, 4))[1:]
    )


def test_channels_and_colours_of_results():
    grey, colours = (
        layer_of((6, 5), name="a", scale=(2, 3)),
        layers.Image(np.zeros((6, 5, 3), "uint8"), rgb=True, name="b"),
    )
    several = result_layer(grey, "YX", "", np.ones((6, 5, 2)), "m", False)
    assert several.data.shape == (2, 6, 5) and several.arguments["scale"] == [1, 2, 3]
    made = result_layer(colours, "YXC", "", np.full((6, 5, 3), 300.6), "m", False)
    assert made.arguments["rgb"] and made.data.dtype == np.uint8 and made.data.max() == 255
    assert layers.Image(made.data, **made.arguments).ndim == 2
    single = result_layer(colours, "YXC", "", np.ones((6, 5, 1)), "m", False)
    assert single.data.shape == (6, 5) and not single.arguments["rgb"]
    classes = result_layer(colours, "YXC", "", np.ones((6, 5), "uint8"), "m", True)
    assert classes.type == "labels" and layers.Labels(classes.data, **classes.arguments).data.shape == (6, 5)


def test_calibration_is_that_of_layers_that_have_one():
    assert calibration(layer_of((4, 6, 5), scale=(2, 0.5, 0.5), units=("micrometer",) * 3), "ZYX") == (
        {"Z": 2, "Y": 0.5, "X": 0.5},
        "um",
    )
    assert calibration(layer_of((6, 5)), "YX") == ({}, None)
