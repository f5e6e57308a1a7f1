"""Values of label images become indices of classes and come back, or the file is named that has another value."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.labels import label_dtype, to_classes, to_labels


@pytest.mark.parametrize("values", [[0, 1], [250, 0, 150, 10], [7], [65535, 0, 256], list(range(299, -1, -1))])
@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32"])
def test_a_class_is_the_place_of_its_value_and_back(values, dtype):
    image = np.random.default_rng(0).choice(values, (6, 7, 3)).astype(dtype)
    found = to_classes(image, values)
    expected = np.vectorize(values.index)(image.astype(int))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == (np.uint8 if len(values) <= 256 else np.uint16)
    back = to_labels(found, values)
    np.testing.assert_array_equal(back, image)
    assert back.dtype == label_dtype(values)


def test_labels_are_of_the_smallest_type_that_imagej_knows():
    assert [label_dtype(values) for values in ([0, 255], [255, 0], [256, 0], [0, 65535])] == [
        np.uint8,
        np.uint8,
        np.uint16,
        np.uint16,
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (-1, "-1"), (300, "300"), (0.5, "0.5"), (10.001, "10.001"), (np.nan, "nan")]
)
def test_another_value_is_named_with_its_file(value, text):
    image = np.array([[0, 10, 250], [0, value, 10]])
    with pytest.raises(InputError) as error:
        to_classes(image, [250, 0, 10], "in/a.tif")
    assert str(error.value) == f"in/a.tif: has the value {text}, expected labels [250, 0, 10]"


def test_masks_of_true_and_false_are_labels_0_and_1():
    mask = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(to_classes(mask, [1, 0]), [[0, 1], [1, 0]])
    with pytest.raises(InputError, match="has the value 1, expected labels"):
        to_classes(mask, [0, 255])
