"""Scores of labels against counts and distances worked out by hand or by brute force."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.metrics import dice, modified_hausdorff
from aeanet_tf.evaluation.protocols import get_protocol


def labels(seed, shape=(12, 14, 10)):
    return np.random.default_rng(seed).choice(np.uint8([0, 10, 150, 250]), shape)


def test_dice_is_the_f1_score():
    gt, image = labels(0), labels(1)
    for label in (10, 150, 250):
        hit = ((gt == label) & (image == label)).sum()
        precision, recall = hit / (image == label).sum(), hit / (gt == label).sum()
        assert dice(gt, image, label) == pytest.approx(2 * precision * recall / (precision + recall))


def test_dice_of_absent_labels():
    empty, full = np.zeros((3, 3)), np.ones((3, 3))
    assert [dice(empty, empty, 1), dice(empty, full, 1), dice(full, full, 1)] == [1, 0, 1]


def surface(image, label):
    """Positions of pixels of which a face neighbour, or the outside, is not of the label."""
    mask = np.pad(image == label, 1)
    inner = mask.copy()
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)
    return np.argwhere(mask & ~inner) - 1


@pytest.mark.parametrize("spacing", [1, (2.0, 0.5, 1.0)])
def test_modified_hausdorff_is_the_larger_mean_of_nearest_distances(spacing):
    # Blobs of different size, so that there is an inside and the two directions differ.
    z, y, x = np.indices((12, 14, 10))
    gt = np.where((z - 5) ** 2 + (y - 6) ** 2 + (x - 5) ** 2 < 12, 150, 0)
    image = np.where((z - 7) ** 2 + (y - 6) ** 2 + (x - 4) ** 2 < 22, 150, 0)
    a, b = (surface(each, 150) * spacing for each in (gt, image))
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    expected = max(distances.min(0).mean(), distances.min(1).mean())
    assert distances.min(0).mean() != pytest.approx(distances.min(1).mean())
    assert len(a) < (gt == 150).sum()
    assert modified_hausdorff(gt, image, 150, spacing) == pytest.approx(expected)
    assert modified_hausdorff(image, gt, 150, spacing) == pytest.approx(expected)


def test_modified_hausdorff_by_hand():
    gt, image = np.zeros((2, 7, 7))
    gt[3, 3] = 1
    image[3, 3] = image[3, 6] = 1
    # From gt: 0. From image: (0 + 3) / 2.
    assert modified_hausdorff(gt, image, 1) == pytest.approx(1.5)
    assert modified_hausdorff(gt, image, 1, spacing=(1, 4)) == pytest.approx(6)
    assert modified_hausdorff(gt, image, 2) == 0
    assert modified_hausdorff(gt, 2 * image, 1) == np.inf
    # The border of the image is surface, too. The four pixels about a hole are 3 away from it.
    full = np.ones((9, 9))
    hole = full.copy()
    hole[4, 4] = 0
    assert modified_hausdorff(full, hole, 1) == pytest.approx(4 * 3 / 36)


@pytest.mark.parametrize("spacing", [0, (1, 2), (1, 2, -1), np.nan])
def test_spacing_that_makes_no_sense_is_refused(spacing):
    with pytest.raises(InputError, match=r"spacing: got .*, expected a positive number or 3 of them"):
        modified_hausdorff(labels(0), labels(1), 10, spacing)


def test_the_mri_protocol_scores_every_tissue():
    gt, image = labels(0), labels(1).astype(np.float32)
    scores = get_protocol("mri")(gt, image)
    assert tuple(scores) == get_protocol("mri").scores
    assert scores["dice_gm"] == dice(gt, image, 150)
    assert scores["dice_mean"] == pytest.approx((scores["dice_csf"] + scores["dice_gm"] + scores["dice_wm"]) / 3)
    assert scores["mhd_wm"] == modified_hausdorff(gt, image, 250)
    perfect = get_protocol("mri")(gt, gt)
    assert all(value == (1 if name.startswith("dice") else 0) for name, value in perfect.items())
    with pytest.raises(InputError, match=r"image to score: has the value 1, .* labels \(0, 10, 150, 250\)"):
        get_protocol("mri")(gt, gt // 250)
    with pytest.raises(InputError, match=r"ground truth: has the value 0\.5"):
        get_protocol("mri")(gt + 0.5, gt)
    with pytest.raises(InputError, match="protocol mri fixes it"):
        get_protocol("mri")(gt, gt, 255)
