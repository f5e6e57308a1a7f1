"""Patches lie at one place in source and target, follow the seed, and come from checked images."""

import numpy as np
import pytest
import tifffile

from aeanet_tf.datasets.patches import PatchSettings, cut_patches, find_pairs, save_patches
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import draw_patches


def ramp(shape, offset=0):
    """Pixels that tell their own position, so that a patch tells where it was cut."""
    return (np.arange(np.prod(shape)) + offset).reshape(shape).astype(np.float32)


@pytest.fixture
def folders(tmp_path):
    for name in ("low", "low2", "GT"):
        (tmp_path / name).mkdir()
    for number in range(2):
        tifffile.imwrite(tmp_path / "low" / f"{number}.tif", ramp((20, 30)))
        tifffile.imwrite(tmp_path / "low2" / f"{number}.tif", 3 * ramp((20, 30)) + 7)
        tifffile.imwrite(tmp_path / "GT" / f"{number}.tif", 2 * ramp((20, 30)) + 5)
    return tmp_path


def settings(**changes):
    return PatchSettings(**{"axes": "YX", "patch_size": (8, 6), "patches_per_image": 5, **changes})


def cut(folder, sources=("low",), **changes):
    return cut_patches(folder, sources, "GT", settings(**changes), verbose=False)


def test_source_and_target_are_cut_at_one_place(folders):
    x, y, axes = cut(folders, ("low", "low2"), percentiles=(0, 100), threshold=None)
    assert x.shape == y.shape == (2 * 2 * 5, 1, 8, 6) and axes == "SCYX"
    # all three images are affine in the position, so normalised by their extremes they are equal
    np.testing.assert_allclose(x, y, atol=1e-5)
    np.testing.assert_allclose(np.diff(x, axis=-1) * 599, 1, rtol=1e-3)
    np.testing.assert_allclose(np.diff(x, axis=-2) * 599, 30, rtol=1e-3)


def test_the_seed_decides_and_the_global_generator_is_put_back(folders):
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(4)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    first, again, other = cut(folders), cut(folders), cut(folders, seed=1)
    np.testing.assert_array_equal(np.random.random(4), expected)  # noqa: NPY002
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_the_background_filter_keeps_to_the_signal(folders):
    image = np.zeros((64, 64), np.float32)
    image[:8, :8] = 100
    for name in ("low", "GT"):
        for number in range(2):
            tifffile.imwrite(folders / name / f"{number}.tif", image)
    x, _, _ = cut(folders, percentiles=(0, 100), patches_per_image=20)
    assert x.max(axis=(1, 2, 3)).min() > 0
    x, _, _ = cut(folders, percentiles=(0, 100), patches_per_image=20, threshold=None)
    assert x.max(axis=(1, 2, 3)).min() == 0
    tifffile.imwrite(folders / "GT" / "1.tif", np.zeros((64, 64), np.float32))
    with pytest.raises(InputError, match=r"GT.1\.tif: no place for a patch"):
        cut(folders)


@pytest.mark.parametrize("shape", [(20, 30), (1, 20, 30)])
def test_a_projected_target_keeps_one_plane(folders, shape):
    volume = np.broadcast_to(ramp((20, 30)), (4, 20, 30)).copy()
    for number in range(2):
        tifffile.imwrite(folders / "low" / f"{number}.tif", volume, metadata={"axes": "ZYX"})
        tifffile.imwrite(folders / "GT" / f"{number}.tif", ramp(shape))
    x, y, axes = cut(folders, axes="ZYX", patch_size=(0, 8, 8), reduce="Z", percentiles=(0, 100), threshold=None)
    assert (x.shape, y.shape, axes) == ((10, 1, 4, 8, 8), (10, 1, 1, 8, 8), "SCZYX")
    np.testing.assert_allclose(x[:, :, :1], y, atol=1e-5)


def test_channels_stay_whole_and_lead(folders):
    for name in ("low", "GT"):
        for number in range(2):
            tifffile.imwrite(folders / name / f"{number}.tif", ramp((20, 30, 2)), metadata={"axes": "YXC"})
    x, _, axes = cut(folders, axes="YXC", patch_size=(8, 6, 0), threshold=None)
    assert x.shape == (10, 2, 8, 6) and axes == "SCYX"
    with pytest.raises(InputError, match="2 channels, but patches of 1"):
        cut(folders, axes="YXC", patch_size=(8, 6, 1))


def test_bad_folders_are_found_before_cutting(folders):
    with pytest.raises(InputError, match="none: no such folder"):
        find_pairs(folders, ["none"], "GT")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        find_pairs(folders / "nowhere", ["low"], "GT")
    with pytest.raises(InputError, match=r"low: no image matches \*\.png"):
        find_pairs(folders, ["low"], "GT", "*.png")
    for number in range(1, 6):
        tifffile.imwrite(folders / "low2" / f"x{number}.tif", ramp((20, 30)))
    with pytest.raises(InputError, match=r"low2: 5 of 7 .*GT: x1\.tif, x2\.tif, x3\.tif, \.\.\."):
        find_pairs(folders, ["low", "low2"], "GT")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (ramp((20, 31)), r"GT.1\.tif: shape \(20, 31\).*\(20, 30\)"),
        (ramp((2, 20, 30)), r"GT.1\.tif: shape \(2, 20, 30\) does not fit axes YX"),
        (np.full((20, 30), np.nan, np.float32), r"GT.1\.tif.*NaN"),
    ],
)
def test_a_bad_image_is_named(folders, image, message):
    tifffile.imwrite(folders / "GT" / "1.tif", image)
    with pytest.raises(InputError, match=message):
        cut(folders)


def test_a_patch_larger_than_an_image_is_refused(folders):
    for name in ("low", "GT"):
        tifffile.imwrite(folders / name / "1.tif", ramp((20, 7)))
    with pytest.raises(InputError, match=r"low.1\.tif: shape \(20, 7\).*smaller than a patch of \(8, 8\)"):
        cut(folders, patch_size=(8, 8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": "YQ"}, "axes"),
        ({"patch_size": (8, 8, 8)}, "expected 2 sizes for the axes YX"),
        ({"patch_size": (8, -1)}, "patch size"),
        ({"patches_per_image": 0}, "patches per image"),
        ({"reduce": "Z"}, "reduce"),
        ({"reduce": "Y"}, "reduce"),
        ({"threshold": 1.5}, "threshold"),
        ({"percentiles": (99, 1)}, "percentiles"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_name_the_bad_field(changes, message):
    with pytest.raises(InputError, match=message):
        settings(**changes)


def test_the_file_loads_in_csbdeep_and_the_picture_shows_the_pairs(folders):
    from csbdeep.io import load_training_data

    x, y, axes = cut(folders)
    save_patches(folders / "new" / "train.npz", x, y, axes)
    (x_read, _), _, axes_read = load_training_data(str(folders / "new" / "train.npz"))
    np.testing.assert_array_equal(x_read[..., 0], x[:, 0])
    assert axes_read == "SYXC"
    draw_patches(folders / "new" / "train.png", x, y, axes)
    draw_patches(folders / "new" / "volume.png", x[:1, :, None], y[:1, :, None], "SCZYX")
    assert sorted(path.name for path in (folders / "new").iterdir()) == [
        "train.npz",
        "train.png",
        "volume.png",
    ]
    with pytest.raises(InputError, match=r"\.npz"):
        save_patches(folders / "train.zip", x, y, axes)
