"""Files of microscopes, damaged and hostile ones too, are read or refused in one line, in bounds."""

import resource
import zlib
from itertools import pairwise

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import read_image
from aeanet_tf.io.series import find_series
from tests.hostile import makers_czi, makers_ome, makers_tiff
from tests.hostile.test_hostile_images import RESIDENT, SCALE, piecewise


def options(words):
    """Series, whether planes may be missing, and axes, of options of the command line."""
    given = dict(word.split("=") for word in words if "=" in word) | dict(pairwise(words))
    series = given.get("--series")
    chosen = series if series in (None, "all") else int(series)
    return chosen, "--allow-missing" in words, given.get("--axes")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(make, expected, id=f"{makers.__name__.rpartition('_')[2]}, {name}")
        for makers in (makers_tiff, makers_ome, makers_czi)
        for name, make, expected in makers.CASES
    ],
)
def test_microscopes(tmp_path, make, expected):
    made = make(tmp_path)
    path, *words = made if isinstance(made, list) else [made]
    series, allow_missing, axes = options(words)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * SCALE
    try:
        images = find_series(path, series, allow_missing)
        assert images
        for image in images:
            array = read_image(image, axes).array
            assert array.size and (array.dtype.kind in "biu" or np.isfinite(array).all())
            if axes is None:
                np.testing.assert_array_equal(piecewise(image), array)
    except InputError as error:
        assert expected != "right", error
        assert "\n" not in str(error) and len(str(error)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * SCALE - resident < RESIDENT


def test_the_bomb_is_one(tmp_path):
    (make,) = (make for name, make, _ in makers_tiff.CASES if name == "deflated bomb")
    data = make(tmp_path).read_bytes()
    packed, inflated = zlib.decompressobj(), 0
    data = data[data.index(b"\x78\xda") :]
    while data and inflated < 1 << 27:
        inflated += len(packed.decompress(data, 1 << 24))
        data = packed.unconsumed_tail
    assert inflated >= 1 << 27
