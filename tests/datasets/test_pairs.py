"""Pairs match by name and shape, or are refused with both names."""

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from aeanet_tf.datasets.name_matching import wildcard_texts
from aeanet_tf.datasets.pairs import UnpairedError, held_out_count, pair_folders, read_npz, read_pair
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


def make_files(folder, names):
    """Files that are found by their names; nothing is read of them."""
    for name in names.split():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def named(pairs):
    return [f"{low.name} {gt.name}" for low, gt in pairs]


@pytest.mark.parametrize(
    ("low", "gt", "files", "expected"),
    [
        # One folder with both.
        ("*_noisy.tif", "*_clean.tif", "a_noisy.tif b_noisy.tif b_clean.tif a_clean.tif",
         ["a_noisy.tif a_clean.tif", "b_noisy.tif b_clean.tif"]),
        # In folders, and with an extension of its own.
        ("raw/*_low.tif", "raw/*_high.*", "raw/x1_low.tif raw/x1_high.png", ["x1_low.tif x1_high.png"]),
        # A folder stands for all names in it.
        ("raw/*_low.tif", "truth", "raw/a_low.tif raw/b_low.tif truth/b.tif truth/a.png",
         ["a_low.tif a.png", "b_low.tif b.tif"]),
        # A folder for each field of view.
        ("*/low.tif", "*/gt.tif", "f1/low.tif f2/low.tif f2/gt.tif f1/gt.tif", ["low.tif gt.tif", "low.tif gt.tif"]),
        # Several wildcards, neighbouring ones together.
        ("c1_[0-9][0-9]_*.tif", "c2_*_*.tif", "c1_07_u.tif c1_07_v.tif c2_07_v.tif c2_07_u.tif",
         ["c1_07_u.tif c2_07_u.tif", "c1_07_v.tif c2_07_v.tif"]),
        # Names that are equal beat what the wildcards stand for.
        ("low/i*.tif", "GT/*.tif", "low/i1.tif low/ii1.tif GT/i1.tif GT/ii1.tif", ["i1.tif i1.tif", "ii1.tif ii1.tif"]),
        # Two files that are named.
        ("one.tif", "two.tif", "one.tif two.tif", ["one.tif two.tif"]),
    ],
)  # fmt: skip
def test_patterns_pair_by_what_their_wildcards_stand_for(tmp_path, low, gt, files, expected):
    make_files(tmp_path, files)
    pairs = pair_folders(tmp_path / low, tmp_path / gt)
    assert named(pairs) == expected
    if low.startswith("*/"):
        assert all(one.parent == other.parent for one, other in pairs)


def test_patterns_that_do_not_pair_are_refused(tmp_path):
    make_files(tmp_path, "a_low.tif b_low.tif a_high.tif c_high.tif x_1_low.tif x_2_low.tif")
    with pytest.raises(
        UnpairedError, match=r"_low\.tif: .* have no partner .*: b_low\.tif, x_1_low\.tif, x_2_low\.tif$"
    ):
        pair_folders(tmp_path / "*_low.tif", tmp_path / "*_high.tif")
    make_files(tmp_path, "a_low.png")
    with pytest.raises(UnpairedError, match=r"a_low\.png and a_low\.tif are both 'a', expected one image each"):
        pair_folders(tmp_path / "*_low.*", tmp_path / "*_high.tif")


def test_what_wildcards_stand_for(tmp_path):
    make_files(tmp_path, "a/b_low.ome.tif [x]_1.tif")
    assert wildcard_texts(tmp_path / "**" / "*_low.tif", tmp_path / "a" / "b_low.ome.tif") == ("a/", "b")
    assert wildcard_texts(tmp_path / "[[]x]_?.tif", tmp_path / "[x]_1.tif") == ("[", "1")
    assert wildcard_texts(tmp_path / "*_low.tif", tmp_path / "b.tif") is None
    assert wildcard_texts(tmp_path / "b*", tmp_path / "b1.tif") == ("1",)


@pytest.mark.parametrize(
    ("low", "gt", "expected"),
    [
        ("a_noisy b_noisy", "b_clean a_clean", ["a_noisy.tif a_clean.tif", "b_noisy.tif b_clean.tif"]),
        ("a b", "a_gt b_gt", ["a.tif a_gt.tif", "b.tif b_gt.tif"]),
        ("low-01 low-02", "high-02 high-01", ["low-01.tif high-01.tif", "low-02.tif high-02.tif"]),
        # Numbers as long as they are: t1 is not a word of t10.
        ("t10_low t11_low", "t10 t11", ["t10_low.tif t10.tif", "t11_low.tif t11.tif"]),
        ("cell_low", "cell_gt", ["cell_low.tif cell_gt.tif"]),
    ],
)
def test_names_that_differ_by_a_word_pair_and_it_is_said(folders, caplog, low, gt, expected):
    for folder, names in zip(folders, (low, gt), strict=True):
        make_files(folder, " ".join(f"{name}.tif" for name in names.split()))
    with caplog.at_level("INFO", "aeanet_tf"):
        assert named(pair_folders(*folders)) == expected
    (message,) = caplog.messages
    assert f"{len(expected)} pairs by name: " in message and expected[0].replace(" ", " with ") in message


@pytest.mark.parametrize(
    ("low", "gt", "patterns", "in_order"),
    [
        # Two specimens, or two channels: nobody knows.
        ("plate1_a plate1_b", "plate2_a plate2_b", ("plate1_*", "plate2_*"), ("plate1_a.tif", "plate2_a.tif")),
        ("a_c1 b_c1", "a_c2 b_c2", ("*1", "*2"), ("a_c1.tif", "a_c2.tif")),
        # Other frames whose last digits are the same.
        ("t10 t11 t12", "t20 t21 t22", None, ("t10.tif", "t20.tif")),
        ("low", "gt", None, ("low.tif", "gt.tif")),
        ("a b", "x", None, None),
        # 1 and 01 are no equal names.
        ("n1 n2", "m01 m02", None, ("n1.tif", "m01.tif")),
    ],
)
def test_names_that_may_be_of_other_specimens_are_not_paired(folders, low, gt, patterns, in_order):
    for folder, names in zip(folders, (low, gt), strict=True):
        make_files(folder, " ".join(f"{name}.tif" for name in names.split()))
    with pytest.raises(UnpairedError, match="have no partner of the same name") as caught:
        pair_folders(*folders)
    assert (caught.value.patterns, caught.value.in_order) == (patterns, in_order)


def test_pairs_by_order_are_made_only_where_asked_for(folders, caplog):
    low, gt = folders
    make_files(low, "n1.tif n2.tif n10.tif")
    make_files(gt, "m001.tif m002.tif m010.tif")
    with caplog.at_level("INFO", "aeanet_tf"):
        assert named(pair_folders(low, gt, match="order")) == ["n1.tif m001.tif", "n2.tif m002.tif", "n10.tif m010.tif"]
    assert caplog.messages == ["3 pairs by order: n1.tif with m001.tif, ..., n10.tif with m010.tif"]
    make_files(gt, "m011.tif")
    with pytest.raises(UnpairedError, match=r"GT: found 4 images, expected 3, as many as .*low has"):
        pair_folders(low, gt, match="order")
    with pytest.raises(InputError, match="match: found 'size', expected one of 'name', 'order'"):
        pair_folders(low, gt, match="size")


def test_one_of_two_images_is_held_out_and_never_all():
    assert [held_out_count(n, 0.1) for n in (1, 2, 5, 6, 14, 15, 16, 25, 100)] == [0, 1, 1, 1, 1, 2, 2, 2, 10]
    assert [held_out_count(3, share) for share in (0.001, 0.5, 0.999)] == [1, 2, 2]


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
    for split, held in ((0.01, 1), (0.99, 9)):
        assert len(read_npz(path, split)[1][0]) == held
    single, _ = npz(tmp_path / "single.npz", X=np.zeros((1, 2, 3, 4)), Y=np.zeros((1, 1, 3, 4)))
    with pytest.raises(InputError, match=r"single\.npz: found one sample, expected at least two"):
        read_npz(single)
    for split in (1.0, -0.1):
        with pytest.raises(InputError, match="validation_split"):
            read_npz(path, split)
