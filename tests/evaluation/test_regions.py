"""Foreground and background are Otsu's, of the ground truth alone, and scored apart."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.metrics import region_psnr


@pytest.fixture
def gt():
    image = np.random.default_rng(0).normal(60, 8, (40, 50))
    image[10:25, 20:40] += 120
    return np.clip(image, 0, 255).astype(np.uint8)


def otsu(image):
    """The threshold of the largest variance between the two classes, tried one after the other."""

    def between(threshold):
        low, high = image[image <= threshold], image[image > threshold]
        return low.size * high.size * (low.mean() - high.mean()) ** 2

    return max(range(int(image.min()), int(image.max())), key=between)


def test_psnr_of_each_region(gt):
    mask = np.zeros(gt.shape, bool)
    mask[10:25, 20:40] = True
    np.testing.assert_array_equal(mask, gt > otsu(gt))
    image = gt.astype(float)
    image[mask] += 10
    image[~mask] -= 2
    expected = {"foreground": 20 * np.log10(255 / 10), "background": 20 * np.log10(255 / 2)}
    assert region_psnr(gt, image) == pytest.approx(expected)
    # What cannot be stored does not count.
    image[mask] = 400
    expected["foreground"] = -10 * np.log10(np.mean((1 - gt[mask] / 255) ** 2))
    assert region_psnr(gt, image) == pytest.approx(expected)
    image[mask] = gt[mask]
    assert region_psnr(gt, image)["foreground"] == np.inf


def test_what_has_no_regions_is_refused(gt):
    with pytest.raises(InputError, match="is constant, expected foreground and background"):
        region_psnr(np.full((5, 5), 7), np.ones((5, 5)))
    with pytest.raises(InputError, match=r"shape \(40, 49\), expected \(40, 50\)"):
        region_psnr(gt, gt[:, 1:])
