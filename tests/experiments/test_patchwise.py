"""Patches that know nothing of each other: where they lie, what becomes of their borders, how they are normalised."""

import numpy as np

from aeanet_tf.experiments import patchwise
from aeanet_tf.models import normalizers
from aeanet_tf.runs.config import NormalizationSection


class Recorder:
    """Stands for a model: adds one, and keeps what it was given."""

    logdir = None

    def __init__(self):
        self.seen = []

    def predict(self, image, axes, normalizer):
        assert normalizer is None and axes == "YX"
        self.seen.append(image)
        return image + 1


def predicted(image, size, monkeypatch, **normalization):
    model = Recorder()
    monkeypatch.setattr(normalizers, "prediction_normalization", lambda _: NormalizationSection(**normalization))
    return patchwise.predict_in_patches(model, image, "YX", size), model.seen


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


def test_patches_are_normalised_as_the_whole_is(monkeypatch):
    image = np.arange(64.0).reshape(8, 8)
    result, seen = predicted(image, 4, monkeypatch, kind="percentile", low=0, high=100)
    np.testing.assert_allclose(seen[-1], image[4:, 4:] / 63, rtol=1e-6)
    # One, added in units of the range.
    np.testing.assert_allclose(result, image + 63, rtol=1e-5)
    result, seen = predicted(image, 4, monkeypatch, kind="standard")
    np.testing.assert_allclose(np.std([seen]), 1, rtol=1e-6)
    np.testing.assert_allclose(result, (image - image.mean()) / image.std() + 1, rtol=1e-5)
