"""Triplets are aligned, cut and kept or left out as they should be; slices that are not to be used are not read."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from aeanet_tf.errors import InputError
from aeanet_tf.sections.alignment import to_common_histogram
from aeanet_tf.sections.stack import SerialStack, open_stack
from aeanet_tf.sections.triplet_options import TripletOptions
from aeanet_tf.sections.triplets import make_triplets, summary, write_report

SLICES = Path(__file__).parents[3] / "shared" / "data" / "isbi2012" / "slices.tif"
RANDOM = np.random.default_rng(0)
SMALL = TripletOptions(window=64, max_shift=16)
RAW = TripletOptions(window=64, max_shift=16, match_histograms=False)
SHIFTS = [(0, 0), (3, -5), (-2, 4), (6, 1), (0, 0)]


def in_memory(images, was_read=None):
    """A stack of these images; the indices of those that are read go to the list ``was_read``."""
    images, was_read = np.asarray(images), [] if was_read is None else was_read

    def reader(index):
        was_read.append(index)
        return images[index]

    return SerialStack(Path("stack"), "ZYX", {}, None, images.dtype, images.shape[1:], len(images), reader)


def tissue(count=5, size=(150, 210), shifts=SHIFTS):
    """Slices of a scene that changes little by little, each displaced by its shift, with noise, as uint8."""
    random, margin = np.random.default_rng(0), 10
    scene = random.normal(size=(count + 2, size[0] + 2 * margin, size[1] + 2 * margin))
    scene = gaussian_filter(scene, (0.7, 2, 2))
    scene = 128 + 30 * scene / scene.std()
    slices = []
    for index, (y, x) in zip(range(count), shifts, strict=False):
        image = scene[index + 1, margin - y : margin - y + size[0], margin - x : margin - x + size[1]]
        slices.append(image + random.normal(size=size) * 5)
    return np.clip(np.round(slices), 1, 254).astype(np.uint8)


@pytest.fixture(scope="module")
def stack():
    return tissue()


def test_neighbours_are_aligned_to_the_middle_and_cropped(stack):
    triplets, records = make_triplets(in_memory(stack), range(5), TripletOptions(None, 16, match_histograms=False))
    assert [triplet.slice for triplet in triplets] == [1, 2, 3] == [record.slice for record in records]
    for triplet, record in zip(triplets, records, strict=True):
        middle = triplet.slice
        (y, x), shifts = triplet.corner, np.array(SHIFTS)
        moves = [shifts[middle] - shifts[middle + by] for by in (-1, 1)]
        assert [(record.before_y, record.before_x), (record.after_y, record.after_x)] == [tuple(m) for m in moves]
        low, high = np.max([(0, 0), *moves], 0), np.min([(0, 0), *moves], 0)
        assert (y, x) == tuple(low) and triplet.images.shape[1:] == tuple(np.array(stack.shape[1:]) - low + high)
        height, width = triplet.images.shape[1:]
        for image, by, (dy, dx) in zip(triplet.images, (-1, 0, 1), (moves[0], (0, 0), moves[1]), strict=True):
            index = middle + by
            np.testing.assert_array_equal(image, stack[index, y - dy : y - dy + height, x - dx : x - dx + width])
        assert triplet.images.dtype == np.uint8


def test_windows_go_from_left_to_right_and_from_top_to_bottom(stack):
    triplets, records = make_triplets(in_memory(stack[:3]), range(3), RAW)
    # The middle lies at (3, -5); of 150 x 210 pixels 145 x 201 are common from (5, 0) on.
    corners = [(5, 0), (5, 64), (5, 128), (69, 0), (69, 64), (69, 128)]
    assert [(record.y, record.x) for record in records] == corners == [triplet.corner for triplet in triplets]
    for triplet in triplets:
        y, x = triplet.corner
        np.testing.assert_array_equal(triplet.images[1], stack[1, y : y + 64, x : x + 64])


@pytest.mark.parametrize(("window", "shape"), [(145, (145, 145)), (146, (145, 146)), (500, (145, 201))])
def test_a_side_shorter_than_the_window_is_taken_whole(stack, window, shape):
    triplets, records = make_triplets(in_memory(stack[:3]), range(3), TripletOptions(window, 16))
    assert [triplet.images.shape for triplet in triplets] == [(3, *shape)]
    assert (records[0].height, records[0].width) == shape


def test_histograms_are_matched_to_what_the_neighbours_share(stack):
    raw, _ = make_triplets(in_memory(stack), range(5), RAW)
    darker = stack.copy()
    darker[2] = darker[2] // 2
    matched, _ = make_triplets(in_memory(stack), range(5), SMALL)
    for one, other in zip(raw, matched, strict=True):
        before, after, middle = to_common_histogram(one.images[0], one.images[2], one.images[1])
        np.testing.assert_array_equal(other.images, [before, middle, after])
        assert other.images.dtype == np.float32
    means = [triplet.images.mean(axis=(1, 2)) for triplet in make_triplets(in_memory(darker), [1, 2, 3], SMALL)[0]]
    assert means and np.ptp(means, axis=1).max() < 1


def test_slices_that_are_not_given_are_not_read():
    was_read = []
    source = in_memory(tissue(9, shifts=[(0, 0)] * 9), was_read)
    triplets, _ = make_triplets(source, [8, 0, 1, 2, 2, 4, 5, 6, 7], SMALL)
    assert sorted({triplet.slice for triplet in triplets}) == [1, 5, 6, 7]
    assert was_read == [0, 1, 2, 4, 5, 6, 7, 8]


def blurred(image):
    return gaussian_filter(image.astype(float), 2)


def blank(image):
    return np.full_like(image, 90)


def noise_only(image):
    return RANDOM.normal(100, 5, image.shape)


def black_band(image):
    image = image.copy()
    image[20:40] = 0
    return image


def noisy_band(image):
    image = image.copy()
    image[20:60] = np.clip(RANDOM.normal(20, 8, (40, image.shape[1])), 1, 254)
    return image


def replaced(image):
    return image[::-1, ::-1]


DAMAGES = {
    blurred: "different blur",
    blank: "defect",
    noise_only: "defect",
    black_band: "defect",
    noisy_band: "defect",
    replaced: "weak continuity",
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_slice_is_left_out(damage, reason, damaged):
    images = tissue(3, shifts=[(0, 0)] * 3)
    images[damaged] = np.round(damage(images[damaged]))
    with pytest.raises(
        InputError, match=rf"stack: no triplet is left, .*: 0 of 1 triplets accepted; rejected: 1 {reason}"
    ):
        make_triplets(in_memory(images), range(3), TripletOptions(None, 0))


def test_a_shift_at_the_limit_is_bad_alignment(stack):
    with pytest.raises(InputError, match="rejected: 1 badly aligned"):
        make_triplets(in_memory(stack[:3]), range(3), TripletOptions(None, 9))
    assert len(make_triplets(in_memory(stack[:3]), range(3), TripletOptions(None, 10))[0]) == 1
    # Without alignment nothing is at a limit; what is displaced is then not continuous.
    with pytest.raises(InputError, match="rejected: 1 weak continuity"):
        make_triplets(in_memory(stack[:3]), range(3), TripletOptions(None, 0, min_correlation=0.5))


def test_limits_can_be_changed(stack):
    images = stack[:3].copy()
    images[1] = np.round(blurred(images[1]))
    _, records = make_triplets(in_memory(images), range(3), TripletOptions(None, 16, max_blur_ratio=20))
    assert 1.5 < records[0].blur_ratio < 20 and records[0].accepted and records[0].reason == ""
    images = stack[:3].copy()
    images[1, 20:40] = 0
    _, records = make_triplets(in_memory(images), range(3), TripletOptions(None, 16, max_flat=0.3, min_correlation=-1))
    # Of 145 rows 20 are black.
    assert records[0].flat == pytest.approx(20 / 145, abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 20}, "window: found 20, expected at least 30 pixels, or none"),
        ({"max_shift": -1}, "max_shift: found -1, expected 0 or more"),
        ({"min_correlation": 1.5}, "min_correlation: found 1.5, expected -1 to 1"),
        ({"max_blur_ratio": 0.5}, "max_blur_ratio: found 0.5, expected 1 to inf"),
        ({"max_flat": float("nan")}, "max_flat: found nan, expected 0 to 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        TripletOptions(**options)


def test_what_cannot_be_used_is_said(stack):
    with pytest.raises(InputError, match=r"stack: there is no slice 5, expected 0 to 4 \(5 slices\)"):
        make_triplets(in_memory(stack), [3, 4, 5], SMALL)
    with pytest.raises(InputError, match="stack: no three consecutive slices among the 4 that may be used"):
        make_triplets(in_memory(stack), [0, 1, 3, 4], SMALL)
    with pytest.raises(InputError, match="max_shift: found 38 for slices of"):
        make_triplets(in_memory(stack), range(5), TripletOptions(max_shift=38))


def test_the_report_is_a_table_of_all_candidates(tmp_path):
    images = tissue(4, shifts=[(0, 0)] * 4)
    images[3] = 90
    triplets, records = make_triplets(in_memory(images), range(4), TripletOptions(64, 16))
    write_report(tmp_path / "report.csv", records)
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["accepted"] for row in rows] == ["True"] * 6 + ["False"] * 6 and len(triplets) == 6
    assert [row["reason"] for row in rows] == [""] * 6 + ["defect"] * 6
    assert [(int(row["slice"]), int(row["y"]), int(row["x"])) for row in rows] == [(r.slice, r.y, r.x) for r in records]
    assert float(rows[0]["before_correlation"]) == records[0].before_correlation > 0.2
    assert summary(records) == "6 of 12 triplets accepted; rejected: 6 defect"
    assert summary(records[:6]) == "6 of 6 triplets accepted"


@pytest.mark.skipif(not SLICES.is_file(), reason="needs the EM slices in shared/data")
def test_the_defaults_take_real_slices_and_leave_damaged_ones_out(tmp_path):
    triplets, records = make_triplets(open_stack(SLICES), range(12, 19))
    assert summary(records) == "5 of 5 triplets accepted" and len(triplets) == 5
    images = tifffile.imread(SLICES)[12:15]
    damages = {
        "defect": [np.full_like(images[1], 130), np.where(np.arange(512)[:, None] // 30 == 5, 0, images[1])],
        "different blur": [gaussian_filter(images[1], 2)],
        "weak continuity": [tifffile.imread(SLICES, key=28)],
    }
    for reason, slices in damages.items():
        for damaged in slices:
            path = tmp_path / "stack.tif"
            tifffile.imwrite(path, np.stack([images[0], damaged.astype(np.uint8), images[2]]), imagej=True)
            # Where the slice is unlike its neighbours the search may end at its limit.
            expected = reason if reason != "weak continuity" else f"({reason}|badly aligned)"
            with pytest.raises(InputError, match=f"rejected: 1 {expected}"):
                make_triplets(open_stack(path, axes="ZYX"), range(3))
