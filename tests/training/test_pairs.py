import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training.pairs import ImagePairs


def test_crop_of_a_projection():
    x = np.arange(3 * 4 * 5).reshape(3, 4, 5, 1)
    for y, target in [(x[0], (4, 5)), (x[:1], (1, 4, 5))]:
        pairs = ImagePairs([x], [y], projected_axis=0)
        assert pairs.target_shape((3, 4, 5)) == target
        a, b = pairs.crop(0, (1, 2, 1), (2, 2, 3))
        np.testing.assert_array_equal(a, x[1:3, 2:4, 1:4])
        np.testing.assert_array_equal(b, y[..., 2:4, 1:4, :])


def test_images_are_read_where_they_lie(tmp_path):
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "uint16", (8, 8, 1))
    pairs = ImagePairs([stored], [stored])
    assert np.shares_memory(pairs.crop(0, (1, 1), (4, 4))[0], stored)


X = np.zeros((3, 8, 8, 1))
STACK = np.zeros((3, 4, 8, 8, 1))


@pytest.mark.parametrize(
    ("x", "y", "axis", "message"),
    [
        ([], [], None, "X: found no images"),
        (X, X[:2], None, r"Y: found 2 images, expected 3"),
        (X, X[:, :7], None, r"Y\[0\]: found shape \(7, 8, 1\), expected \(8, 8, 1\)"),
        ([X[0], STACK[0]], [X[0], X[0]], None, r"X\[1\]: found shape .*, expected 2 spatial axes"),
        ([X[0], np.zeros((8, 8, 2))], [X[0], X[0]], None, r"X\[1\]: found shape .* and 1 channels"),
        (STACK, X, None, r"Y\[0\]: found shape \(8, 8, 1\), expected \(4, 8, 8, 1\)"),
        (STACK, X, 1, r"Y\[0\]: found shape \(8, 8, 1\), expected \(4, 8, 1\)"),
        (STACK, X, 3, "projected_axis: found 3, expected None or 0 to 2"),
        (X[0, 0], X[0, 0], None, r"X: found an image of shape \(1,\)"),
        ("images", X, None, "X: found str"),
    ],
)
def test_bad_input(x, y, axis, message):
    with pytest.raises(InputError, match=message) as error:
        ImagePairs(x, y, axis)
    assert "\n" not in str(error.value)
