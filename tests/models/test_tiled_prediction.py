"""`AEANet.predict` in tiles: the same image as whole, whatever its size, axes and normalisation."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models import tiled_prediction as tiled
from tests.interop.example_models import make_model


@pytest.fixture(scope="module")
def model():
    return make_model("em")


@pytest.fixture
def image():
    return np.random.default_rng(0).gamma(2, 50, (93, 71)).astype("float32")


def close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() < tolerance * np.ptp(expected)


def test_sizes_off_the_grid_and_uneven_tiles(model, image):
    whole = model.predict(image, "YX")
    assert close(model.predict(image, "YX", n_tiles=(3, 2)), whole)
    assert close(model.predict(image.T, "XY", n_tiles=(2, 3)).T, whole)
    assert close(model.predict(image, "YX", n_tiles=(3, 2), tiling="whole"), whole, 1e-7)
    assert close(model.predict(image, "YX", n_tiles=(99, 1)), whole)
    assert not close(model.predict(image, "YX", n_tiles=(3, 2), tiling="overlap"), whole)


def test_a_single_number_is_for_the_longest_axis(model, image, monkeypatch):
    tried, once = [], tiled._predict_once
    monkeypatch.setattr(tiled, "_predict_once", lambda *args: tried.append(args[2]) or once(*args))
    assert close(model.predict(image, "YX", n_tiles=3), model.predict(image, "YX"))
    assert tried == [[3, 1], [1, 1]]


def test_whole_prediction_is_csbdeeps(model, image):
    from csbdeep.data import PadAndCropResizer, PercentileNormalizer
    from csbdeep.models import CARE

    theirs, _ = CARE._predict_mean_and_scale(model, image, "YX", PercentileNormalizer(), PadAndCropResizer())
    np.testing.assert_allclose(model.predict(image, "YX"), theirs, rtol=1e-6)


def test_mean_and_scale_of_channels():
    model = make_model("probabilistic-2d")
    image = np.random.default_rng(1).random((2, 60, 44)).astype("float32")
    whole = model.predict_probabilistic(image, "CYX")
    found = model.predict_probabilistic(image, "CYX", n_tiles=(1, 2, 3))
    assert found.mean().shape == image.shape
    assert close(found.mean(), whole.mean()) and close(found.scale(), whole.scale())


def test_projection_in_tiles():
    model = make_model("flywing")
    image = np.random.default_rng(1).random((5, 100, 200)).astype("float32")
    assert close(model.predict(image, "ZYX", n_tiles=(1, 2, 3)), model.predict(image, "ZYX"))
    with pytest.raises(InputError, match="n_tiles: 2 along Z, expected 1"):
        model.predict(image, "ZYX", n_tiles=(2, 1, 1))


def test_tiles_are_halved_when_memory_runs_out(model, image, monkeypatch, caplog):
    whole, tried = model.predict(image, "YX"), []
    once = tiled._predict_once

    def short_of_memory(model, x, tiles, sweeps):
        tried.append(tuple(tiles))
        if np.prod(tiles) < 4:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return once(model, x, tiles, sweeps)

    monkeypatch.setattr(tiled, "_predict_once", short_of_memory)
    with caplog.at_level(logging.WARNING):
        assert close(model.predict(image, "YX"), whole)
    assert tried == [(1, 1), (2, 1), (2, 2)]
    assert caplog.messages == ["out of memory, going on with 2 x 1 tiles", "out of memory, going on with 2 x 2 tiles"]


def test_memory_that_never_suffices_is_an_error(model, image, monkeypatch):
    def no_memory(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(tiled, "_predict_once", no_memory)
    with pytest.raises(MemoryError, match=r"\[24, 18\] tiles"):
        model.predict(image, "YX")


def test_softmax_falls_back_to_overlap_and_says_so(image, caplog):
    model = AEANet(AEANetConfig("YX", unet_n_first=4, network={"attention": {"normalization": "softmax"}}), "m", None)
    with caplog.at_level(logging.INFO, "aeanet_tf"):
        found = model.predict(image, "YX", n_tiles=(2, 1))
    assert [m for m in caplog.messages if "each tile has its own" in m]
    np.testing.assert_allclose(found, model.predict(image, "YX", n_tiles=(2, 1), tiling="overlap"), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiling": "seamless"}, "tiling: 'seamless' is unknown, expected one of exact, overlap, whole"),
        ({"n_tiles": (2,)}, r"n_tiles: \(2,\), expected a number of at least 1 for each of the axes YX"),
        ({"n_tiles": (0, 1)}, "at least 1"),
        ({"n_tiles": (1.5, 1)}, "at least 1"),
        ({"n_tiles": -4}, "at least 1"),
        ({"n_tiles": "44"}, "n_tiles: '44', expected"),
    ],
)
def test_bad_arguments(model, image, options, message):
    with pytest.raises(InputError, match=message):
        model.predict(image, "YX", **options)
