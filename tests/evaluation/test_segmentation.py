"""Scores of labels against counts and distances worked out by hand or by brute force."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.label_folders import score_segmentation
from aeanet_tf.evaluation.metrics import mean_of_classes, modified_hausdorff
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.evaluation.segmentation_metrics import (
    class_counts,
    class_scores,
    confusion,
    detection_scores,
    dice_ratios,
    linewise_hausdorff,
)
from aeanet_tf.evaluation.tables import absence_note, summary_table
from aeanet_tf.io.tiff import write_image


def labels(seed, shape=(12, 14, 10)):
    return np.random.default_rng(seed).choice(np.uint8([0, 10, 150, 250]), shape)


def dice(gt, image, label):
    """By its definition; NaN where neither has the label."""
    a, b = gt == label, image == label
    with np.errstate(invalid="ignore"):
        return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_dice_of_absent_labels():
    empty, full = np.zeros((3, 3)), np.ones((3, 3))
    assert [dice_ratios(confusion(image, full, [0, 1]))[1] for image in (empty, full)] == [0, 1]
    assert np.isnan(dice_ratios(confusion(empty, empty, [0, 1]))[1])
    assert mean_of_classes([np.nan, 0.5, 1]) == 0.75 and np.isnan(mean_of_classes([np.nan]))


def test_precision_recall_and_f1_of_a_class():
    gt, image = np.uint8([0, 0, 0, 255, 255, 255]), np.uint8([0, 0, 255, 0, 0, 255])
    # Of 4 pixels found 2 are true, of 3 true ones 2 are found.
    assert detection_scores(gt, image, 0, (0, 255)) == pytest.approx(
        {"precision": 2 / 4, "recall": 2 / 3, "f1": 2 / (4 / 2 + 3 / 2)}
    )
    nothing = np.full(6, 255, np.uint8)
    scores = detection_scores(gt, nothing, 0, (0, 255))
    assert np.isnan(scores["precision"]) and scores["recall"] == scores["f1"] == 0
    assert all(np.isnan(value) for value in detection_scores(nothing, nothing, 0, (0, 255)).values())


def surface(image, label):
    """Positions of pixels of which a face neighbour, or the outside, is not of the label."""
    mask = np.pad(image == label, 1)
    inner = mask.copy()
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)
    return np.argwhere(mask & ~inner) - 1


def test_modified_hausdorff_is_the_larger_mean_of_nearest_distances():
    # Blobs of different size, so that there is an inside and the two directions differ.
    z, y, x = np.indices((12, 14, 10))
    gt = np.where((z - 5) ** 2 + (y - 6) ** 2 + (x - 5) ** 2 < 12, 150, 0)
    image = np.where((z - 7) ** 2 + (y - 6) ** 2 + (x - 4) ** 2 < 22, 150, 0)
    a, b = (surface(each, 150) for each in (gt, image))
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    expected = max(distances.min(0).mean(), distances.min(1).mean())
    assert distances.min(0).mean() != pytest.approx(distances.min(1).mean())
    assert len(a) < (gt == 150).sum()
    assert modified_hausdorff(gt, image, 150) == pytest.approx(expected)
    assert modified_hausdorff(image, gt, 150) == pytest.approx(expected)


def test_modified_hausdorff_by_hand():
    gt, image = np.zeros((2, 7, 7))
    gt[3, 3] = 1
    image[3, 3] = image[3, 6] = 1
    # From gt: 0. From image: (0 + 3) / 2.
    assert modified_hausdorff(gt, image, 1) == pytest.approx(1.5)
    assert np.isnan(modified_hausdorff(gt, image, 2))
    assert modified_hausdorff(gt, 2 * image, 1) == np.inf
    # The border of the image is surface, too. The four pixels about a hole are 3 away from it.
    full = np.ones((9, 9))
    hole = full.copy()
    hole[4, 4] = 0
    assert modified_hausdorff(full, hole, 1) == pytest.approx(4 * 3 / 36)


def test_the_mri_protocol_scores_every_tissue():
    gt, image = labels(0), labels(1).astype(np.float32)
    scores = get_protocol("mri")(gt, image)
    assert tuple(scores) == get_protocol("mri").scores
    assert scores["dice_gm"] == dice(gt, image, 150)
    assert scores["dice_mean"] == pytest.approx((scores["dice_csf"] + scores["dice_gm"] + scores["dice_wm"]) / 3)
    assert scores["mhd_wm"] == modified_hausdorff(gt, image, 250)
    assert scores["3d_mhd_gm"] == linewise_hausdorff(gt, image, 150)
    perfect = get_protocol("mri")(gt, gt)
    assert all(value == (1 if name.startswith("dice") else 0) for name, value in perfect.items())
    with pytest.raises(InputError, match=r"image to score: has the value 1, .* labels \[0, 10, 150, 250\]"):
        get_protocol("mri")(gt, gt // 250)
    with pytest.raises(InputError, match=r"ground truth: has the value \d+\.5, expected labels"):
        get_protocol("mri")(gt + 0.5, gt)
    with pytest.raises(InputError, match="protocol mri fixes it"):
        get_protocol("mri")(gt, gt, 255)


def test_the_mri_protocol_leaves_out_tissues_that_are_not_there():
    gt, image = (np.where(labels(n) == 250, 0, labels(n)) for n in range(2))
    scores = get_protocol("mri")(gt, image)
    assert np.isnan(scores["dice_wm"]) and np.isnan(scores["mhd_wm"])
    assert scores["dice_mean"] == pytest.approx((scores["dice_csf"] + scores["dice_gm"]) / 2)
    assert all(np.isnan(value) for value in get_protocol("mri")(0 * gt, 0 * gt).values())


def nearest(vectors, others):
    """Mean distance of vectors to the nearest of others, by loops."""
    distances = []
    for vector in vectors:
        distances.append(min(sum((p - q) ** 2 for p, q in zip(vector, other, strict=True)) ** 0.5 for other in others))
    return sum(distances) / len(distances)


def test_linewise_hausdorff_by_loops():
    gt, image = labels(2, (3, 4, 5)), labels(3, (3, 4, 5))
    gt[:, :2] = image[1:, 0] = 0
    a, b = ((each == 150).astype(int).tolist() for each in (gt, image))
    depth, height, width = 3, 4, 5

    def lines(m):
        return [
            [[m[d][h][w] for d in range(depth)] for h in range(height) for w in range(width)],
            [[m[d][h][w] for h in range(height)] for d in range(depth) for w in range(width)],
            [[m[d][h][w] for w in range(width)] for d in range(depth) for h in range(height)],
        ]

    expected = [max(nearest(p, q), nearest(q, p)) for p, q in zip(lines(a), lines(b), strict=True)]
    assert len({round(one, 6) for one in expected}) == 3
    assert linewise_hausdorff(gt, image, 150) == pytest.approx(sum(expected) / 3)
    assert linewise_hausdorff(image, gt, 150) == pytest.approx(sum(expected) / 3)
    assert linewise_hausdorff(gt, gt, 150) == 0


def test_linewise_hausdorff_by_hand(monkeypatch):
    gt, image = np.zeros((2, 2, 1, 3), int)
    gt[0] = image[1] = 7
    # Three times 10 against 01; 1 and 0 against 0 and 1, at distance 0; 111 and 000 against the same, moved.
    assert linewise_hausdorff(gt, image, 7) == pytest.approx(np.sqrt(2) / 3)
    assert np.isnan(linewise_hausdorff(gt, image, 8))
    # Only one has the class: three times 10, three of 1 and of 0, 111 and 000, against zeros.
    assert linewise_hausdorff(gt, 0 * image, 7) == pytest.approx((1 + 1 / 2 + np.sqrt(3) / 2) / 3)
    whole = linewise_hausdorff(labels(0), labels(1), 10)
    monkeypatch.setattr("aeanet_tf.evaluation.segmentation_metrics._BLOCK", 50)
    assert linewise_hausdorff(labels(0), labels(1), 10) == whole
    with pytest.raises(InputError, match="expected two dimensions or more"):
        linewise_hausdorff([1], [1], 1)
    with pytest.raises(InputError, match=r"shape \(1, 1, 3\), expected \(2, 1, 3\)"):
        linewise_hausdorff(gt, image[1:], 7)


def test_confusion_counts_pixels_one_by_one():
    gt, image = labels(0), labels(1)
    classes = [250, 0, 150, 10, 7]
    expected = [[0] * 5 for _ in range(5)]
    for a, b in zip(gt.ravel().tolist(), image.ravel().tolist(), strict=True):
        expected[classes.index(a)][classes.index(b)] += 1
    matrix = confusion(gt, image.astype(np.float32), classes)
    assert matrix.tolist() == expected and matrix.dtype == np.int64
    in_gt, in_image, both = class_counts(matrix)
    assert in_gt.tolist() == [(gt == label).sum() for label in classes]
    assert in_image.tolist() == [(image == label).sum() for label in classes]
    assert both.tolist() == [((gt == label) & (image == label)).sum() for label in classes]
    np.testing.assert_allclose(dice_ratios(matrix), [dice(gt, image, label) for label in classes])
    assert np.isnan(dice_ratios(matrix)[-1])
    with pytest.raises(InputError, match=r"image to score: has the value 10, expected labels \[0, 150, 250\]"):
        confusion(np.where(gt == 10, 0, gt), image, [0, 150, 250])
    with pytest.raises(InputError, match="expected different values"):
        confusion(gt, image, [0, 0])
    with pytest.raises(InputError, match="shape"):
        confusion(gt, image[1:], classes)


def test_the_background_counts_in_the_mean_only_when_asked():
    matrix = np.array([[90, 0, 0], [0, 0, 0], [5, 0, 5]])
    scores = class_scores([0, 1, 2], matrix)
    assert scores.pop("dice_0") == pytest.approx(180 / 185) and np.isnan(scores.pop("dice_1"))
    assert scores == pytest.approx({"dice_2": 10 / 15, "dice_mean": 10 / 15})
    assert class_scores([0, 1, 2], matrix, None)["dice_mean"] == pytest.approx((180 / 185 + 10 / 15) / 2)


def test_the_segmentation_protocol_takes_any_whole_numbers():
    gt, image = labels(0).astype(np.int32) * 1000 - 10000, labels(1).astype(np.float32) * 1000 - 10000
    scores = get_protocol("segmentation")(gt, image)
    assert list(scores) == ["dice_-10000", "dice_0", "dice_140000", "dice_240000", "dice_mean"]
    assert scores["dice_140000"] == dice(gt, image, 140000)
    expected = [dice(gt, image, label) for label in (-10000, 140000, 240000)]
    assert scores["dice_mean"] == pytest.approx(np.mean(expected))
    assert list(get_protocol("segmentation")(gt == 0, image == 0)) == ["dice_0", "dice_1", "dice_mean"]
    with pytest.raises(InputError, match=r"image to score: has the value 0\.5, expected labels, which are whole"):
        get_protocol("segmentation")(np.ones((2, 2)), np.full((2, 2), 0.5))
    with pytest.raises(InputError, match="ground truth: has the value inf"):
        get_protocol("segmentation")(np.full(3, np.inf), np.zeros(3))
    with pytest.raises(InputError, match="ground truth: has 300 different values, expected at most 256 classes"):
        get_protocol("segmentation")(np.arange(300), np.zeros(300))


def test_folders_are_scored_over_the_classes_of_all_images(tmp_path):
    images = {}
    for number, values in enumerate(([0, 1], [0, 1, 2], [0, 1, 5])):
        rng = np.random.default_rng(number)
        for side in ("GT", "pred", "low"):
            images[side, number] = rng.choice(np.uint8(values), (9, 8))
            write_image(tmp_path / side / f"{number}.tif", images[side, number], "YX")
    scored = score_segmentation(tmp_path / "pred", tmp_path / "GT", tmp_path / "low")
    assert scored.confusion.labels == (0, 1, 2, 5)
    for number, row in enumerate(scored.rows):
        for side, scores in (("pred", row.prediction), ("low", row.input)):
            pair = images["GT", number], images[side, number]
            assert list(scores) == ["dice_0", "dice_1", "dice_2", "dice_5", "dice_mean"]
            wanted = [dice(*pair, label) for label in (0, 1, 2, 5)]
            np.testing.assert_allclose(list(scores.values()), [*wanted, np.nanmean(wanted[1:])])
        assert row.counts["both_1"] == ((images["GT", number] == 1) & (images["pred", number] == 1)).sum()
        assert row.counts["gt_5"] == (images["GT", number] == 5).sum()
    assert scored.confusion.matrix.sum() == 3 * 72
    sides = (np.stack([images[side, number] for number in range(3)]) for side in ("GT", "pred"))
    np.testing.assert_array_equal(scored.confusion.matrix, confusion(*sides, [0, 1, 2, 5]))
    lines = [line for line in summary_table(scored.rows).splitlines() if line.startswith(("| Dice 1", "| Dice 2"))]
    only = scored.rows[1]
    assert "| 3 |" in lines[0] and [cell.strip() for cell in lines[1].split("|")[2:-1]] == [
        "1",
        f"{only.input['dice_2']:.4f}",
        f"{only.prediction['dice_2']:.4f}",
        f"{only.prediction['dice_2'] - only.input['dice_2']:+.4f}",
    ]
    assert absence_note(scored.rows) == (
        "left out, as neither ground truth nor image has the class (nan): "
        "Dice 2 (2 of 3 images), Dice 5 (2 of 3 images)"
    )
