"""Pairs match by name and shape, or are refused with both names."""

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from aeanet_tf.datasets.pairs import pair_folders, read_npz, read_pair
from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image


def read_pairs(pairs, *options):
    """Inputs and ground truths of several pairs."""
    return [list(side) for side in zip(*(read_pair(*pair, *options) for pair in pairs), strict=True)]


@pytest.fixture
def folders(tmp_path):
    low, gt = tmp_path / "low", tmp_path / "GT"
    low.mkdir()
    gt.mkdir()
    return low, gt


def save(path, shape, axes, value=0):
    write_image(path, np.full(shape, value, np.float32), axes)


def test_pairs_match_by_name_whatever_the_extension(folders):
    low, gt = folders
    for number, name in enumerate(("b", "a", "c")):
        save(low / f"{name}.tif", (5, 6), "YX", number)
        imsave(gt / f"{name}.png", np.full((5, 6), number, np.uint8), check_contrast=False)
    pairs = pair_folders(low, gt)
    assert [(first.name, second.name) for first, second in pairs] == [
        ("a.tif", "a.png"),
        ("b.tif", "b.png"),
        ("c.tif", "c.png"),
    ]
    lows, gts = read_pairs(pairs)
    assert [image.array[0, 0] for image in lows] == [image.array[0, 0] for image in gts] == [1, 0, 2]


def test_volumes_in_folders_of_slices_match_by_the_folders_names(tmp_path):
    volumes = np.random.default_rng(0).integers(0, 99, (2, 2, 4, 8, 9)).astype(np.uint8)
    for side, volume in zip(("low", "GT"), volumes, strict=True):
        for name, slices in zip(("one", "two"), volume, strict=True):
            (tmp_path / side / name).mkdir(parents=True)
            for z, plane in enumerate(slices):
                tifffile.imwrite(tmp_path / side / name / f"{side}{z + 8}.tif", plane)
    pairs = pair_folders(tmp_path / "low", tmp_path / "GT", slices=True)
    assert [[path.name for path in pair] for pair in pairs] == [["one", "one"], ["two", "two"]]
    for number, pair in enumerate(pairs):
        for image, expected in zip(read_pair(*pair), volumes[:, number], strict=True):
            assert image.axes == "ZYX"
            np.testing.assert_array_equal(image.array, expected)


def test_names_without_partner_are_counted_on_either_side(folders):
    low, gt = folders
    for number in range(6):
        save(low / f"{number}.tif", (5, 6), "YX")
    save(gt / "0.tif", (5, 6), "YX")
    with pytest.raises(InputError, match=r"low: 5 of 6 .*GT: 1\.tif, 2\.tif, 3\.tif, \.\.\.$"):
        pair_folders(low, gt)
    with pytest.raises(InputError, match=r"low: 5 of 6 images have no partner of the same name in .*GT"):
        pair_folders(gt, low)


def test_a_name_that_stands_twice_is_refused(folders):
    low, gt = folders
    save(low / "a.tif", (5, 6), "YX")
    save(low / "a.tiff", (5, 6), "YX")
    save(gt / "a.tif", (5, 6), "YX")
    with pytest.raises(InputError, match=r"a\.tiff: has the same name"):
        pair_folders(low, gt)


def test_shapes_and_axes_that_differ_name_both_files(folders):
    low, gt = folders
    save(low / "a.tif", (3, 5, 6), "ZYX")
    save(gt / "a.tif", (3, 5, 7), "ZYX")
    with pytest.raises(InputError, match=r"GT.a\.tif: shape \(3, 5, 7\).*low.a\.tif has \(3, 5, 6\)"):
        read_pairs(pair_folders(low, gt))
    save(gt / "a.tif", (3, 5, 6), "CYX")
    with pytest.raises(InputError, match=r"\(CYX\).*\(ZYX\)"):
        read_pairs(pair_folders(low, gt))
    # stated axes settle what the files disagree on
    lows, gts = read_pairs(pair_folders(low, gt), "ZYX")
    assert lows[0].axes == gts[0].axes == "ZYX"


@pytest.mark.parametrize("axes", [None, "ZYX"])
@pytest.mark.parametrize("keeps_axis", [True, False])
def test_a_projected_ground_truth_lacks_the_reduced_axis(folders, axes, keeps_axis):
    low, gt = folders
    save(low / "a.tif", (3, 5, 6), "ZYX")
    if keeps_axis:
        tifffile.imwrite(gt / "a.tif", np.zeros((1, 5, 6), np.float32))
    else:
        save(gt / "a.tif", (5, 6), "YX")
    lows, gts = read_pairs(pair_folders(low, gt), axes, "Z")
    assert (lows[0].axes, gts[0].axes, gts[0].array.shape) == ("ZYX", "YX", (5, 6))
    with pytest.raises(InputError, match="GT"):
        read_pairs(pair_folders(low, gt))


@pytest.mark.parametrize("axes", [None, "ZYX"])
def test_a_projected_ground_truth_that_is_not_projected(folders, axes):
    low, gt = folders
    save(low / "a.tif", (3, 5, 6), "ZYX")
    save(gt / "a.tif", (3, 5, 6), "ZYX")
    with pytest.raises(InputError, match=r"GT.a\.tif.*\(3, 5, 6\)"):
        read_pairs(pair_folders(low, gt), axes, "Z")
    save(gt / "a.tif", (5, 7), "YX")
    with pytest.raises(InputError, match=r"GT.a\.tif.*\(5, 7\).*expected \(5, 6\)"):
        read_pairs(pair_folders(low, gt), axes, "Z")
    with pytest.raises(InputError, match="the axis T"):
        read_pairs(pair_folders(low, gt), axes, "T")


def npz(path, **changes):
    values = np.arange(10 * 2 * 3 * 4, dtype=np.float32).reshape(10, 2, 3, 4)
    content = {"X": values, "Y": -values[:, :1], "axes": "SCYX", **changes}
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path, content


def test_npz_is_channels_last_and_holds_out_the_end(tmp_path):
    path, content = npz(tmp_path / "a.npz")
    (x, y), (x_val, y_val), axes = read_npz(path, 0.2)
    assert axes == "SYXC"
    np.testing.assert_array_equal(x, np.einsum("scyx->syxc", content["X"][:8]))
    np.testing.assert_array_equal(y_val, np.einsum("scyx->syxc", content["Y"][8:]))
    assert len(y) == 8 and len(x_val) == 2
    (x, _), validation, _ = read_npz(path, 0)
    assert len(x) == 10 and validation is None


def test_npz_takes_a_projection_and_axes_from_the_caller(tmp_path):
    values = np.zeros((4, 1, 5, 6, 7), np.float32)
    path, _ = npz(tmp_path / "a.npz", X=values, Y=values[:, :, :1], axes=None)
    (x, y), _, axes = read_npz(path, 0, axes="SCZYX")
    assert (x.shape, y.shape, axes) == ((4, 5, 6, 7, 1), (4, 1, 6, 7, 1), "SZYXC")
    with pytest.raises(InputError, match=r"a\.npz: lacks axes; it has X, Y"):
        read_npz(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Y": None}, r"a\.npz: lacks Y; it has X, axes"),
        ({"Y": np.zeros((9, 1, 3, 4))}, r"Y has shape \(9, 1, 3, 4\).*\(10, 2, 3, 4\)"),
        ({"Y": np.zeros((10, 1, 3, 5))}, r"Y has shape \(10, 1, 3, 5\)"),
        ({"Y": np.zeros((10, 1, 1, 1))}, r"Y has shape \(10, 1, 1, 1\)"),
        ({"Y": np.zeros((10, 3, 4))}, r"Y has shape \(10, 3, 4\)"),
        ({"axes": "SCZYX"}, "axes SCZYX"),
        ({"axes": "TZYX"}, "axes TZYX"),
        ({"axes": "SCQX"}, "axes"),
        ({"X": np.full((10, 2, 3, 4), np.nan)}, "X holds NaN"),
        ({"Y": np.full((10, 1, 3, 4), np.inf)}, "Y holds NaN or inf"),
        ({"X": np.array([{}] * 10)}, "found X of type object"),
        ({"X": np.zeros((0, 2, 3, 4)), "Y": np.zeros((0, 2, 3, 4))}, r"\(0, 2, 3, 4\)"),
    ],
)
def test_npz_that_does_not_fit_is_refused(tmp_path, changes, message):
    path, _ = npz(tmp_path / "a.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_npz(path)
    assert "\n" not in str(caught.value)


def test_npz_missing_damaged_or_split_to_nothing(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        read_npz(tmp_path / "none.npz")
    path, _ = npz(tmp_path / "a.npz")
    content = path.read_bytes()
    for fraction in (0, 0.4, 0.9):
        path.write_bytes(content[: int(len(content) * fraction)])
        with pytest.raises(InputError, match=r"a\.npz: not a readable"):
            read_npz(path)
    damaged = bytearray(content)
    damaged[600] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.npz: not a readable"):
        read_npz(path)
    path.write_bytes(content)
    for split in (0.01, 0.99, 1.0, -0.1):
        with pytest.raises(InputError, match="validation_split"):
            read_npz(path, split)
