"""Table V: what is cut out, and what the sentence below the table says."""

import numpy as np
import pytest
from csbdeep.data import NoNormalizer

from aeanet_tf.evaluation.equivariance import TRANSFORMATIONS
from aeanet_tf.experiments.equivariance import (
    BASELINE,
    OURS,
    equivariance_table,
    middle_patches,
    predict_in_patches,
    transformation_errors,
)
from aeanet_tf.experiments.laboratory import Case
from aeanet_tf.models import normalizers
from aeanet_tf.models.preparation import NormalizationSection


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
    (_, columns, rows), verdict = equivariance_table(scores, [None], {OURS: {"Rot. 90": 0.5}})
    assert verdict.endswith(f"{sentence}.") and list(columns) == list(TRANSFORMATIONS)
    assert rows[OURS]["Rot. 90"].value == ours[0] and rows[OURS]["Rot. 90"].published == 0.5


def test_patches_are_the_middle_of_what_is_scored():
    image = np.arange(300 * 700).reshape(300, 700)
    (patch,) = middle_patches([Case("a", lambda: (image, None), "YX", part=(slice(0, 300), slice(400, 700)))])
    np.testing.assert_array_equal(patch.read()[0], image[22:278, 422:678])
    (patch,) = middle_patches([Case("a", lambda: (image[:100], None), "YX")])
    assert patch.read()[0].shape == (100, 256)


def test_errors_are_in_the_units_of_the_prediction():
    errors = transformation_errors(lambda model, image, axes: model * image)(3, np.ones((8, 8)), "YX")
    assert set(errors.values()) == {0}
    shifted = transformation_errors(lambda model, image, axes: model * np.roll(image, 1, 0))(2, np.eye(8), "YX")
    assert shifted["Rot. 180"] == pytest.approx(2 * 2 / 8)


class Recorder:
    """Stands for a model: adds one, and keeps what it was given."""

    logdir = None

    def __init__(self):
        self.seen = []

    def predict(self, image, axes, normalizer):
        assert normalizer is None and axes == "YX"
        self.seen.append(image)
        return image + 1


def predicted(image, size, monkeypatch, margin=0, **normalization):
    model = Recorder()
    monkeypatch.setattr(normalizers, "prediction_normalization", lambda _: NormalizationSection(**normalization))
    return predict_in_patches(model, image, "YX", size, margin), model.seen


def test_every_pixel_comes_from_one_patch_of_full_size(monkeypatch):
    image = np.arange(10 * 7.0).reshape(10, 7)
    result, seen = predicted(image, 4, monkeypatch, kind="none")
    np.testing.assert_array_equal(result, image + 1)
    assert [patch.shape for patch in seen] == [(4, 4)] * 6
    # The last ones are shifted inwards.
    assert [patch[0, 0] for patch in seen] == [image[y, x] for y in (0, 4, 6) for x in (0, 3)]
    _, seen = predicted(image, 8, monkeypatch, kind="none")
    assert [patch.shape for patch in seen] == [(8, 7)] * 2
    _, seen = predicted(image, 10, monkeypatch, kind="none")
    assert [patch.shape for patch in seen] == [(10, 7)]


def test_volumes_are_cut_into_patches_of_a_size_for_each_axis():
    volume, seen = np.arange(3 * 6 * 5.0).reshape(3, 6, 5), []

    class Doubling:
        """Any model of CSBDeep's."""

        def predict(self, image, axes, normalizer):
            seen.append((image.shape, image[0, 0, 0]))
            return 2 * image

    result = predict_in_patches(Doubling(), volume, "ZYX", (4, 4, 2), normalizer=NoNormalizer())
    np.testing.assert_array_equal(result, 2 * volume)
    assert seen == [((3, 4, 2), volume[0, y, x]) for y in (0, 2) for x in (0, 2, 3)]


def test_margins_are_cut_off_within_the_image(monkeypatch):
    """Patches of 6 with a margin of 1 begin at 0, 4 and, shifted inwards, 6 of 12 columns; what is used are columns
    0 to 4 of the first, 5 and 6 of the second, and from 7 on, the border included, the last."""

    class Numbered(Recorder):
        def predict(self, image, axes, normalizer):
            super().predict(image, axes, normalizer)
            return np.full(image.shape, len(self.seen), np.float32)

    monkeypatch.setattr(f"{__name__}.Recorder", Numbered)
    result, seen = predicted(np.arange(72.0).reshape(6, 12), 6, monkeypatch, 1, kind="none")
    assert [patch[0, 0] for patch in seen] == [0, 4, 6]
    np.testing.assert_array_equal(result, [[1] * 5 + [2] * 2 + [3] * 5] * 6)


def test_patches_are_normalised_as_the_whole_is(monkeypatch):
    image = np.arange(64.0).reshape(8, 8)
    result, seen = predicted(image, 4, monkeypatch, kind="percentile", low=0, high=100)
    np.testing.assert_allclose(seen[-1], image[4:, 4:] / 63, rtol=1e-6)
    # One, added in units of the range.
    np.testing.assert_allclose(result, image + 63, rtol=1e-5)
    result, seen = predicted(image, 4, monkeypatch, kind="standard")
    np.testing.assert_allclose(np.std([seen]), 1, rtol=1e-6)
    np.testing.assert_allclose(result, (image - image.mean()) / image.std() + 1, rtol=1e-5)
