"""Table V: what is cut out, and what the sentence below the table says."""

import numpy as np
import pytest

from aeanet_tf.evaluation.equivariance import TRANSFORMATIONS
from aeanet_tf.experiments.equivariance import BASELINE, OURS, middle_patches, turning_errors, turning_table
from aeanet_tf.experiments.laboratory import Case


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        ((1, 1, 1, 1), "all below the self-attention's"),
        ((1, 3, 3, 1), "below the self-attention's for Rot. 90, Transpose only"),
        ((2, 3, 3, 2), "below the self-attention's for none of the transformations"),
    ],
)
def test_the_sentence_says_what_the_table_shows(ours, sentence):
    scores = {
        BASELINE: [[{"condition": "", **dict.fromkeys(TRANSFORMATIONS, 2.0)}]],
        OURS: [[{"condition": "", **dict(zip(TRANSFORMATIONS, map(float, ours), strict=True))}]],
    }
    (_, columns, rows), verdict = turning_table(scores, [None], {OURS: {"Rot. 90": 0.5}})
    assert verdict.endswith(f"{sentence}.") and list(columns) == list(TRANSFORMATIONS)
    assert rows[OURS]["Rot. 90"].value == ours[0] and rows[OURS]["Rot. 90"].published == 0.5


def test_patches_are_the_middle_of_what_is_scored():
    image = np.arange(300 * 700).reshape(300, 700)
    (patch,) = middle_patches([Case("a", lambda: (image, None), "YX", part=(slice(0, 300), slice(400, 700)))])
    np.testing.assert_array_equal(patch.read()[0], image[22:278, 422:678])
    (patch,) = middle_patches([Case("a", lambda: (image[:100], None), "YX")])
    assert patch.read()[0].shape == (100, 256)


def test_errors_are_in_the_units_of_the_prediction():
    errors = turning_errors(lambda model, image, axes: model * image)(3, np.ones((8, 8)), "YX")
    assert set(errors.values()) == {0}
    shifted = turning_errors(lambda model, image, axes: model * np.roll(image, 1, 0))(2, np.eye(8), "YX")
    assert shifted["Rot. 180"] == pytest.approx(2 * 2 / 8)
